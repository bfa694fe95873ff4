//! What it costs to look at a message as it passes by: `cargo bench -p message`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::path::Path;

use divan::{Bencher, black_box};
use message::{Card, CardHeader, CardRef, FieldSet, Needle, Parser, parse};
use types::Limits;

fn main() {
    divan::main();
}

/// Mail of several kinds.
const MESSAGES: [&str; 4] = ["attachments", "forwarded", "korean", "newsletter"];

fn message(name: &str) -> Vec<u8> {
    if name == "newsletter" {
        return newsletter();
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    std::fs::read(corpus.join(name).with_extension("eml")).unwrap()
}

/// A header as long as many are, and 20 KB of HTML.
fn newsletter() -> Vec<u8> {
    let mut header = String::from(
        "Return-Path: <bounce@news.example>\r\nFrom: =?utf-8?Q?Ein_Gesch=C3=A4ft?= <news@news.example>\r\nTo: a@example.org\r\n\
         Subject: =?utf-8?B?TmV1ZXMgYXVzIGRlbSBHZXNjaMOkZnQ=?=\r\nDate: Mon, 2 Mar 2026 10:00:00 +0100\r\n\
         Message-ID: <1234567890@news.example>\r\nMIME-Version: 1.0\r\nList-Unsubscribe: <https://news.example/leave>\r\n\
         Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n",
    );
    for hop in 0..6 {
        header += &format!(
            "Received: from mx{hop}.example (mx{hop}.example [192.0.2.{hop}])\r\n\tby relay.example with ESMTPS id {hop}ABCDEF\r\n\tfor <a@example.org>; Mon, 2 Mar 2026 10:00:0{hop} +0100\r\n"
        );
    }
    header += &format!("DKIM-Signature: v=1; a=rsa-sha256; d=news.example; s=x;\r\n\tb={}\r\n", "Ab3/".repeat(80));
    let line = "<tr><td style=3D\"color:#333\">Ein Satz mit Umlauten: =C3=A4=C3=B6=C3=BC, und noch etwas =\r\nmehr.</td></tr>\r\n";
    (header + "\r\n<html><style>p { margin: 0 }</style><body>" + &line.repeat(200) + "</body></html>\r\n").into_bytes()
}

#[divan::bench(args = MESSAGES)]
fn parser(bencher: Bencher, name: &str) {
    let message = message(name);
    bencher.counter(divan::counter::BytesCount::of_slice(&message)).bench(|| {
        let mut parser = Parser::new(&Limits::default());
        message.chunks(16 << 10).for_each(|piece| parser.push(piece));
        parser.finish()
    });
}

#[divan::bench(args = MESSAGES)]
fn card(bencher: Bencher, name: &str) {
    let message = parse(&message(name), &Limits::default());
    bencher.bench(|| Card::from_message(black_box(&message)));
}

#[divan::bench(args = MESSAGES)]
fn card_is_read(bencher: Bencher, name: &str) {
    let card = Card::from_message(&parse(&message(name), &Limits::default()));
    bencher.bench(|| CardRef::from_bytes(black_box(card.as_bytes())).unwrap().envelope().len());
}

#[divan::bench(args = MESSAGES)]
fn header_list(bencher: Bencher, name: &str) {
    let card = Card::from_message(&parse(&message(name), &Limits::default()));
    let set =
        FieldSet::new(&["From", "To", "Cc", "Subject", "Date", "Message-ID", "References", "Content-Type"]).unwrap();
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        CardHeader::from_bytes(black_box(card.common()), b"").unwrap().unwrap().select(set, &mut out);
        out.len()
    });
}

#[divan::bench]
fn needle(bencher: Bencher) {
    let (needle, text) = (Needle::new("Geschäft"), "Ein anderer Betreff, etwas länger als nötig ".repeat(20));
    bencher.bench(|| needle.is_in(black_box(&text)));
}
