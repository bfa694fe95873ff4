use proptest::prelude::*;

use super::super::framer::{Event, Framer};
use super::*;

fn parse(text: &str) -> Response {
    let mut framer = Framer::default();
    framer.input().extend_from_slice(text.as_bytes());
    framer.input().extend_from_slice(b"\r\n");
    loop {
        match framer.next_event().unwrap().unwrap() {
            Event::Octets(_) => {}
            Event::Line(line) => return Response::parse(&line),
        }
    }
}

fn fetched(text: &str) -> Fetched {
    match parse(text) {
        Response::Fetch(fetched) => fetched,
        other => panic!("{other:?}"),
    }
}

fn words(flags: &Flags) -> Vec<String> {
    flags.iter().map(|flag| flag.to_string()).collect()
}

#[test]
fn status_with_and_without_everything() {
    let answer = |text: &str| match parse(text) {
        Response::Tagged(_, answer) | Response::Status(answer) | Response::Bye(answer) => answer,
        other => panic!("{other:?}"),
    };
    let limit = answer("a1 NO [LIMIT] too many");
    assert_eq!((limit.status, &*limit.code, &*limit.text), (Status::No, "LIMIT", "too many"));
    // client-quirks row 40: no text behind the code, and none at all.
    assert_eq!(answer("* OK [UIDVALIDITY 17]").argument, "17");
    assert_eq!(answer("* ok").status, Status::Ok);
    assert_eq!(answer("* OK [UIDNEXT 5").text, "[UIDNEXT 5");
    assert_eq!(answer("* OK [PERMANENTFLAGS (a] \\*)] x").code, "PERMANENTFLAGS");
    assert_eq!(answer("* BYE").text, "");
    assert_eq!(parse("a1 WHAT"), Response::Other);
    assert_eq!(parse("+"), Response::Continue(String::new()));
    assert_eq!(parse("* CAPABILITY imap4rev1 X"), Response::Capability(vec!["IMAP4REV1".into(), "X".into()]));
}

#[test]
fn lists_of_all_kinds() {
    let list = |text: &str| match parse(text) {
        Response::List(listed) => (String::from_utf8(listed.name).unwrap(), listed.delimiter, listed.attributes),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        list(r#"* LIST (\Noselect) "/" "a \"b\" \\""#),
        (r#"a "b" \"#.into(), Some(b'/'), vec!["\\Noselect".into()])
    );
    assert_eq!(list("* LIST () NIL INBOX"), ("INBOX".into(), None, vec![]));
    assert_eq!(list(r#"* LSUB () "\\" x"#), ("x".into(), Some(b'\\'), vec![]));
    assert_eq!(list("* LIST (\\HasNoChildren \\Sent) \".\" {7}\r\na\"b (c) (\"X\" 1)").0, "a\"b (c)");
    assert_eq!(list("* LIST () \"\" Entwürfe"), ("Entwürfe".into(), None, vec![]));
    // Nobody would create it, but it may be there.
    assert_eq!(parse("* LIST () \"/\" NIL"), Response::Other);
    assert_eq!(list("* LIST () \"/\" \"NIL\"").0, "NIL");
    let Response::Namespace([own, others, shared]) =
        parse(r#"* NAMESPACE (("INBOX." ".")) (("user." "." "X" ("y"))) NIL"#)
    else {
        panic!()
    };
    assert_eq!((own[0].prefix.as_slice(), own[0].delimiter), (&b"INBOX."[..], Some(b'.')));
    assert_eq!((others[0].prefix.as_slice(), shared.len()), (&b"user."[..], 0));
    // client-quirks row 10: a space behind the list.
    let counted = Counted { messages: Some(3), uid_validity: None };
    assert_eq!(parse("* STATUS \"a b\" (UIDNEXT 4 MESSAGES 3 ) "), Response::Counted(counted));
}

#[test]
fn fetch_in_any_order_and_with_anything() {
    let all = fetched(
        "* 7 FETCH (BODY[] {3}\r\nabc INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" X-GM-LABELS (\"a)\" (b)) FLAGS (\\Seen \\Recent) UID 9 RFC822.SIZE 3)",
    );
    assert_eq!((all.uid, all.size, all.content), (Uid::new(9), Some(3), Some(Content::Passed)));
    assert_eq!(words(&all.flags.unwrap()), ["\\Seen"]);
    assert_eq!(all.internal_date.as_deref(), Some(&b"17-Jul-1996 02:44:25 -0700"[..]));
    assert_eq!(fetched("* 7 FETCH (UID 9 BODY[] NIL)").content, Some(Content::Nothing));
    assert_eq!(fetched("* 7 FETCH (UID 9 body[]<0> \"a\\\"b\")").content, Some(Content::Here(b"a\"b".to_vec())));
    let header = fetched("* 7 FETCH (BODY[HEADER.FIELDS (MESSAGE-ID)] {5}\r\nabcde UID 9)");
    assert_eq!((header.uid, header.header.as_deref()), (Uid::new(9), Some(&b"abcde"[..])));
    // client-quirks row 23: what cannot be read does not take with it what could.
    assert_eq!(fetched("* 7 FETCH (UID 9 ENVELOPE (\"a \"b\" c\" ((((").uid, Uid::new(9));
    assert_eq!(fetched("* 7 FETCH UID 9"), Fetched::default());
    assert_eq!(fetched("* 7 FETCH (FLAGS () UID 0 RFC822.SIZE -1)").uid, None);
}

#[test]
fn flags_that_are_none() {
    // client-quirks row 40: `]` in a keyword.
    let odd = fetched("* 1 FETCH (FLAGS (a]b %x \\Seen \\Strange \\* $Junk wörk) UID 1)");
    assert_eq!(words(&odd.flags.unwrap()), ["\\Seen", "$Junk", "_x", "a_b", "w_rk"]);
    assert_eq!(odd.uid, Uid::new(1));
    let long = format!("* 1 FETCH (FLAGS ({}) UID 1)", "x".repeat(300));
    assert_eq!(fetched(&long).flags.unwrap().keywords()[0].as_str().len(), Keyword::MAX_LEN);
}

proptest! {
    #[test]
    fn nothing_makes_it_stumble(text in "(\\* )?([0-9]{1,3} FETCH|LIST|NAMESPACE|STATUS|OK|a1 NO)?[ ()\"\\\\\\[\\]{}A-Z0-9]{0,40}") {
        let mut framer = Framer::default();
        framer.input().extend_from_slice(text.as_bytes());
        framer.input().extend_from_slice(b"\r\n");
        while let Ok(Some(event)) = framer.next_event() {
            if let Event::Line(line) = event {
                let _ = Response::parse(&line);
            }
        }
    }

    #[test]
    fn a_fetch_that_was_written_is_read(uid in 1u32.., size in 0u64..1 << 40, seen: bool, order in 0usize..6) {
        let mut items = [format!("UID {uid}"), format!("RFC822.SIZE {size}"), format!("FLAGS ({})", if seen { "\\Seen" } else { "" })];
        items.rotate_left(order % 3);
        if order > 2 {
            items.swap(0, 1);
        }
        let found = fetched(&format!("* 1 FETCH ({})", items.join(" ")));
        prop_assert_eq!((found.uid, found.size), (Uid::new(uid), Some(size)));
        prop_assert_eq!(found.flags.unwrap().contains(&Flag::Seen), seen);
    }
}
