use proptest::prelude::*;

use super::*;
use crate::Section;

fn message(text: &str) -> Message {
    parse(text.as_bytes(), &Limits::default())
}

/// What a section of the message is.
#[track_caller]
fn section(text: &str, path: &[u32], section: Section) -> Option<String> {
    let range = message(text).layout().section(path, section)?;
    Some(text[range.start as usize..range.end as usize].to_owned())
}

/// The bodies of the parts 1, 2, …
fn bodies(text: &str) -> Vec<String> {
    (1..).map_while(|n| section(text, &[n], Section::Whole)).collect()
}

fn multipart(body: &str) -> String {
    format!("Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n{body}")
}

// RFC 2046 §5.1.1: its example; the preamble and the epilogue are no parts.
#[test]
fn rfc_2046_example() {
    let text = "From: Nathaniel Borenstein <nsb@bellcore.com>\r\nMIME-Version: 1.0\r\n\
        Content-type: multipart/mixed; boundary=\"simple boundary\"\r\n\r\n\
        This is the preamble.  It is to be ignored.\r\n\r\n--simple boundary\r\n\r\n\
        This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak.\r\n--simple boundary\r\n\
        Content-type: text/plain; charset=us-ascii\r\n\r\n\
        This is explicitly typed plain US-ASCII text.\r\nIt DOES end with a linebreak.\r\n\r\n--simple boundary--\r\n\r\n\
        This is the epilogue.  It is also to be ignored.\r\n";
    assert_eq!(
        bodies(text),
        [
            "This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak.",
            "This is explicitly typed plain US-ASCII text.\r\nIt DOES end with a linebreak.\r\n"
        ]
    );
    let lines: Vec<_> = message(text).layout().places().iter().map(|place| place.lines).collect();
    assert_eq!(lines, [15, 1, 2]);
    assert_eq!(section(text, &[2], Section::Mime).unwrap(), "Content-type: text/plain; charset=us-ascii\r\n\r\n");
    assert_eq!(section(text, &[1], Section::Mime).unwrap(), "\r\n");
    assert_eq!(section(text, &[3], Section::Whole), None);
}

#[test]
fn plain_messages() {
    let text = "Subject: x\r\n\r\nbody\r\nmore";
    assert_eq!(section(text, &[], Section::Header).unwrap(), "Subject: x\r\n\r\n");
    assert_eq!(section(text, &[], Section::Text).unwrap(), "body\r\nmore");
    assert_eq!(section(text, &[], Section::Whole).unwrap(), text);
    assert_eq!(section(text, &[1], Section::Whole).unwrap(), "body\r\nmore");
    assert_eq!(section(text, &[1], Section::Mime).unwrap(), "Subject: x\r\n\r\n");
    for (path, kind) in [
        (&[][..], Section::Mime),
        (&[0], Section::Whole),
        (&[2], Section::Whole),
        (&[1, 1], Section::Whole),
        (&[1], Section::Header),
        (&[1], Section::Text),
    ] {
        assert_eq!(section(text, path, kind), None, "{path:?} {kind:?}");
    }
}

#[test]
fn odd_line_ends_and_headers() {
    assert_eq!(section("A: b\n\nc\n", &[], Section::Text).unwrap(), "c\n");
    assert_eq!(section("A: b\r\r\n\r\r\nc", &[], Section::Text).unwrap(), "c");
    assert_eq!(
        section("A: b\rB: c\r\n\r\nx", &[], Section::Header).unwrap(),
        "A: b\rB: c\r\n\r\n",
        "a lone CR ends no line"
    );
    assert_eq!(section("\r\nbody", &[], Section::Text).unwrap(), "body");
    assert_eq!(section("no header at all\r\nA: b\r\n", &[], Section::Text).unwrap(), "no header at all\r\nA: b\r\n");
    assert_eq!(section("A: b\r\nno field\r\nB: c\r\n\r\nd", &[], Section::Text).unwrap(), "d");
    assert_eq!(section("From a@b Mon Jan 1\r\nA: b\r\n\r\nd", &[], Section::Text).unwrap(), "d", "mbox");
    assert_eq!(section("A: b", &[], Section::Header).unwrap(), "A: b");
    assert_eq!(section("A: b", &[], Section::Text).unwrap(), "");
    assert_eq!(section("", &[1], Section::Whole).unwrap(), "");
    assert_eq!(message("A: b\r\n \0\r\n\r\n\0").header().bytes(), b"A: b\r\n \0\r\n\r\n");
}

#[test]
fn boundaries() {
    assert_eq!(bodies(&multipart("--b\r\n\r\none\r\n--b--")), ["one"]);
    assert_eq!(bodies(&multipart("--b\n\none\n--b  \t\n\ntwo\n--b--\n")), ["one", "two"]);
    assert_eq!(bodies(&multipart("--b\r\n\r\none\r\n--b\r\n\r\nopen\r\n")), ["one", "open\r\n"], "never closed");
    assert_eq!(bodies(&multipart("--b\r\n--b\r\n\r\n--b\r\nA: b\r\n--b--")), ["", "", ""], "no body, no blank line");
    assert_eq!(section(&multipart("--b\r\nA: b\r\n--b--"), &[1], Section::Mime).unwrap(), "A: b\r\n");
    assert_eq!(bodies(&multipart("--b\r\nhello\r\n--b--")), ["hello"], "no header");
    assert_eq!(bodies(&multipart("--b\r\n\r\none\r\n--b--\r\n--b\r\n\r\ntwo\r\n--b--")), ["one"], "the epilogue");
    assert_eq!(bodies(&multipart("--b\r\n\r\none\r\n --b\r\n-b\r\nx--b\r\n--b--")), ["one\r\n --b\r\n-b\r\nx--b"]);
    // "it is sufficient that the boundary appear in its entirety following the CRLF"
    assert_eq!(bodies(&multipart("--b\r\n\r\none\r\n--b junk\r\n\r\ntwo\r\n--b--junk\r\n--b\r\n")), ["one", "two"]);
}

#[test]
fn multiparts_without_parts_have_one() {
    assert_eq!(bodies(&multipart("just text\r\n")), ["just text\r\n"]);
    assert_eq!(bodies(&multipart("")), [""]);
    assert_eq!(bodies(&multipart("--b--\r\n")), ["--b--\r\n"]);
    assert_eq!(bodies("Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n--b--"), ["--b\r\n\r\nx\r\n--b--"]);
}

#[test]
fn nested_boundaries() {
    let inner = |boundary: &str, parts: &str| {
        format!("--b\r\nContent-Type: multipart/mixed; boundary={boundary}\r\n\r\n{parts}")
    };
    // One is a prefix of the other, either way.
    for name in ["bb", "b-", "b--"] {
        let text = multipart(&inner(
            name,
            &format!("--{name}\r\n\r\none\r\n--{name}--\r\n--{name}--\r\n--b\r\n\r\ntwo\r\n--b--\r\n"),
        ));
        assert_eq!(section(&text, &[1, 1], Section::Whole).unwrap(), "one", "{name}");
        assert_eq!(section(&text, &[2], Section::Whole).unwrap(), "two", "{name}");
        assert_eq!(section(&text, &[3], Section::Whole), None, "{name}");
    }
    // The same twice: the inner one first.
    let text = multipart(&inner("b", "--b\r\n\r\none\r\n--b--\r\n--b\r\n\r\ntwo\r\n--b--"));
    assert_eq!(section(&text, &[1, 1], Section::Whole).unwrap(), "one");
    assert_eq!(section(&text, &[2], Section::Whole).unwrap(), "two");
    // The outer boundary ends an inner multipart that was never closed.
    let text = multipart(&inner("i", "--i\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--"));
    assert_eq!(section(&text, &[1, 1], Section::Whole).unwrap(), "one");
    assert_eq!(section(&text, &[1], Section::Whole).unwrap(), "--i\r\n\r\none");
    assert_eq!(section(&text, &[2], Section::Whole).unwrap(), "two");
}

// RFC 9051 §6.4.5.1: its example.
#[test]
fn rfc_9051_part_numbers() {
    let text = "Subject: outer\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\n\r\np1\r\n\
        --b\r\nContent-Type: application/octet-stream\r\n\r\np2\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: three\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\np3.1\r\n--c\r\nContent-Type: image/gif\r\n\r\np3.2\r\n--c--\r\n\
        --b\r\nContent-Type: multipart/mixed; boundary=d\r\n\r\n\
        --d\r\nContent-Type: image/gif\r\n\r\np4.1\r\n\
        --d\r\nContent-Type: message/global\r\n\r\n\
        Subject: four two\r\nContent-Type: multipart/mixed; boundary=e\r\n\r\n--e\r\n\r\np4.2.1\r\n\
        --e\r\nContent-Type: multipart/alternative; boundary=f\r\n\r\n--f\r\n\r\np4.2.2.1\r\n--f\r\nContent-Type: text/richtext\r\n\r\np4.2.2.2\r\n--f--\r\n\
        --e--\r\n--d--\r\n--b--\r\n";
    let whole = |path: &[u32]| section(text, path, Section::Whole);
    for path in [&[1][..], &[2], &[3, 1], &[3, 2], &[4, 1], &[4, 2, 1], &[4, 2, 2, 1], &[4, 2, 2, 2]] {
        let number: Vec<_> = path.iter().map(u32::to_string).collect();
        assert_eq!(whole(path).unwrap(), format!("p{}", number.join(".")));
    }
    for path in [&[5][..], &[1, 1], &[3, 3], &[4, 2, 2, 3], &[4, 2, 1, 1], &[u32::MAX], &[4, 0]] {
        assert_eq!(whole(path), None, "{path:?}");
    }
    assert_eq!(
        section(text, &[3], Section::Header).unwrap(),
        "Subject: three\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
    );
    assert!(section(text, &[3], Section::Text).unwrap().starts_with("--c\r\n"));
    assert_eq!(
        whole(&[3]).unwrap(),
        section(text, &[3], Section::Header).unwrap() + &section(text, &[3], Section::Text).unwrap()
    );
    assert!(section(text, &[4, 2], Section::Header).unwrap().starts_with("Subject: four two\r\n"));
    assert_eq!(section(text, &[4, 1], Section::Mime).unwrap(), "Content-Type: image/gif\r\n\r\n");
    assert_eq!(section(text, &[3], Section::Mime).unwrap(), "Content-Type: message/rfc822\r\n\r\n");
    assert_eq!(section(text, &[4], Section::Header), None, "a multipart has no header of its own");
    assert_eq!(section(text, &[4, 1], Section::Text), None);
}

#[test]
fn messages_inside() {
    let wrap = |fields: &str, body: &str| multipart(&format!("--b\r\n{fields}\r\n{body}\r\n--b--\r\n"));
    let text = wrap("Content-Type: message/rfc822\r\n", "Subject: x\r\n\r\nin");
    assert_eq!(section(&text, &[1, 1], Section::Whole).unwrap(), "in");
    assert_eq!(section(&text, &[1, 1], Section::Mime).unwrap(), "Subject: x\r\n\r\n");
    assert_eq!(section(&text, &[1, 2], Section::Whole), None);
    // Encoded: opaque, with an empty message inside for the grammar's sake.
    let text =
        wrap("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n", "U3ViamVjdDogeA0KDQppbg==");
    assert_eq!(section(&text, &[1], Section::Whole).unwrap(), "U3ViamVjdDogeA0KDQppbg==");
    assert_eq!(section(&text, &[1, 1], Section::Whole).unwrap(), "");
    assert_eq!(section(&text, &[1], Section::Header).unwrap(), "");
    // A message that is itself a message.
    let text = "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nin";
    assert_eq!(section(text, &[1], Section::Whole).unwrap(), "Subject: x\r\n\r\nin");
    assert_eq!(section(text, &[1], Section::Header).unwrap(), "Subject: x\r\n\r\n");
    assert_eq!(section(text, &[1, 1], Section::Whole).unwrap(), "in");
    // Without a header of its own, and with nothing at all.
    assert_eq!(
        section(&wrap("Content-Type: message/rfc822\r\n", "just text"), &[1], Section::Text).unwrap(),
        "just text"
    );
    assert_eq!(
        section(&multipart("--b\r\nContent-Type: message/rfc822\r\n--b--"), &[1, 1], Section::Whole).unwrap(),
        ""
    );
}

// RFC 2046 §5.1.5
#[test]
fn digests() {
    let text = "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: one\r\n\r\n1\r\n--b\r\nContent-Type: text/plain\r\n\r\n2\r\n--b\r\nno header\r\n--b--";
    assert_eq!(section(text, &[1], Section::Header).unwrap(), "Subject: one\r\n\r\n");
    assert_eq!(section(text, &[1, 1], Section::Whole).unwrap(), "1");
    assert_eq!(section(text, &[2], Section::Header), None);
    assert_eq!(section(text, &[3], Section::Text).unwrap(), "no header");
}

#[test]
fn limits_of_structure() {
    let limits = Limits { mime_parts: 3, ..Limits::default() };
    let text = multipart("--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b\r\n\r\n3\r\n--b--\r\n");
    let layout = parse(text.as_bytes(), &limits).layout().clone();
    assert_eq!(layout.places().len(), 3);
    let last = layout.section(&[2], Section::Whole).unwrap();
    assert_eq!(&text[last.start as usize..last.end as usize], "2\r\n--b\r\n\r\n3\r\n--b--\r\n");
    let all = parse(text.as_bytes(), &Limits { mime_parts: 4, ..Limits::default() });
    assert_eq!(all.layout().places().len(), 4);

    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(10_000);
    let limits = Limits { mime_depth: 5, ..Limits::default() };
    let depth = |n: usize| {
        let text = "Content-Type: message/rfc822\r\n\r\n".repeat(n) + "Subject: x\r\n\r\nx";
        parse(text.as_bytes(), &limits).layout().places().len()
    };
    assert_eq!((depth(4), depth(5), depth(6), depth(7)), (5, 6, 7, 7));
    assert_eq!(parse(nested.as_bytes(), &limits).layout().places().len(), 7);
    let limits = Limits { mime_depth: usize::MAX, ..Limits::default() };
    assert_eq!(parse(nested.as_bytes(), &limits).layout().places().len(), DEEPEST + 2);

    let limits = Limits { header_size: 10, ..Limits::default() };
    let message = parse(b"A: b\r\nContent-Type: text/html\r\n\r\nx", &limits);
    assert_eq!(message.header().bytes(), b"A: b\r\nCont");
    let whole = |header_size| parse(b"A: b\r\n\r\nx", &Limits { header_size, ..Limits::default() }).header_is_whole();
    assert!(whole(8) && !whole(7));
    assert!(!message.header_is_whole());
    assert_eq!(message.layout().section(&[], Section::Text), Some(33..34));
}

/// Messages made of what parsers trip over.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let line = proptest::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=b",
        "Content-Type: multipart/digest; boundary=bb",
        "Content-Type: message/rfc822",
        "Content-Transfer-Encoding: base64",
        "Subject: x",
        " folded",
        "--b",
        "--b--",
        "--bb",
        "--bb--",
        "--b junk",
        "",
        "",
        "text",
        "\0\u{fc}",
        "From x",
    ]);
    let end = proptest::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", "\r\r\n", "\r", ""]);
    proptest::collection::vec((line, end), 0..25)
        .prop_map(|lines| lines.iter().flat_map(|(line, end)| [*line, *end]).collect::<String>().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn cutting_the_input_changes_nothing(text in any_message(), cuts in proptest::collection::vec(0_usize..200, 0..6), header_size in 0_usize..200, parts in 1_usize..8) {
        let limits = Limits { header_size, mime_parts: parts, mime_depth: 4, ..Limits::default() };
        let whole = parse(&text, &limits);
        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut parser = Parser::new(&limits);
        let mut from = 0;
        for cut in cuts.into_iter().filter(|&cut| cut < text.len()) {
            parser.push(&text[from..cut]);
            from = cut;
        }
        parser.push(&text[from..]);
        prop_assert_eq!(parser.finish(), whole.clone());

        let mut parser = Parser::new(&limits);
        text.iter().for_each(|&b| parser.push(&[b]));
        prop_assert_eq!(parser.finish(), whole);
    }

    #[test]
    fn the_layout_is_a_tree(text in any_message()) {
        let message = parse(&text, &Limits::default());
        let layout = message.layout();
        prop_assert_eq!(layout.size(), text.len() as u64);
        prop_assert!(Layout::new(layout.places().to_vec()).is_some());
        for (index, place) in layout.places().iter().enumerate() {
            let body = &text[place.body as usize..place.end as usize];
            prop_assert_eq!(place.lines, body.iter().filter(|&&b| b == b'\n').count() as u64);
            let part = message.part(index).unwrap();
            prop_assert_eq!(part.header().bytes(), &text[place.header as usize..place.body as usize]);
            for child in part.children() {
                prop_assert!(place.body <= child.place().header && child.place().end <= place.end);
            }
        }
    }

    #[test]
    fn any_octets(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(parse(&text, &Limits::default()).size(), text.len() as u64);
    }
}
