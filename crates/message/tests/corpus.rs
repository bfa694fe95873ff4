//! Whole messages and everything that is said about them: `corpus/x.eml` and `corpus/x.txt`.
//! Where a change is meant, `UPDATE_EXPECTED=1 cargo test -p message` writes the new text, to be read before it is committed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

use message::{Card, CardHeader, CardRef, Content, Decoder, FieldSet, Header, Layout, Parser, Section, decode_words};
use types::Limits;

#[test]
fn corpus() {
    let mut seen = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            check(&path);
            seen += 1;
        }
    }
    assert!(seen > 5);
}

fn check(path: &Path) {
    let report = report(&std::fs::read(path).unwrap());
    let expected = path.with_extension("txt");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&expected, &report).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&expected).unwrap(), report, "{}", path.display());
}

fn report(bytes: &[u8]) -> String {
    let mut parser = Parser::new(&Limits::default());
    bytes.chunks(7).for_each(|piece| parser.push(piece));
    let made = Card::from_message(&parser.finish());
    let card = CardRef::from_bytes(made.as_bytes()).unwrap();
    let text = String::from_utf8_lossy;
    let mut out = String::new();
    writeln!(out, "ENVELOPE {}", text(card.envelope())).unwrap();
    writeln!(out, "BODYSTRUCTURE {}", text(card.bodystructure())).unwrap();
    writeln!(out, "sent {:?}", card.sent().map(|sent| sent.civil())).unwrap();
    writeln!(out, "subject {:?} reply {}", card.base_subject(), card.is_reply()).unwrap();
    let references: Vec<_> = card.references().map(text).collect();
    writeln!(out, "id {:?} references {references:?}", card.message_id().map(text)).unwrap();
    writeln!(out, "preview {:?}", card.preview().unwrap()).unwrap();
    let mut header = Vec::new();
    CardHeader::from_bytes(made.common(), made.rare()).unwrap().unwrap().select(FieldSet::all(), &mut header);
    for field in Header::new(&header).fields() {
        writeln!(out, "{}: {:?}", text(field.name), decode_words(&field.unfolded())).unwrap();
    }
    parts(&card.layout().unwrap(), &mut vec![], bytes, &mut out);
    out
}

/// Each part by its number, as a client finds them.
fn parts(layout: &Layout, path: &mut Vec<u32>, bytes: &[u8], out: &mut String) {
    let octets = |range: Range<u64>| &bytes[range.start as usize..range.end as usize];
    for number in 1.. {
        path.push(number);
        let Some(place) = layout.part(path) else {
            path.pop();
            return;
        };
        let size = |section| layout.section(path, section).map(|range| octets(range).len());
        let name: Vec<_> = path.iter().map(u32::to_string).collect();
        write!(
            out,
            "{} MIME {:?} HEADER {:?} TEXT {:?}",
            name.join("."),
            size(Section::Mime),
            size(Section::Header),
            size(Section::Text)
        )
        .unwrap();
        if let Content::Text(charset) = place.content {
            let (mut content, mut decoder) = (vec![], Decoder::new(place.encoding).unwrap());
            decoder.push(octets(layout.section(path, Section::Whole).unwrap()), &mut content);
            decoder.finish(&mut content);
            write!(out, " {:?}", charset.decode(&content)).unwrap();
        }
        writeln!(out).unwrap();
        parts(layout, path, bytes, out);
        path.pop();
    }
}
