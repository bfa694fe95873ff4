//! The IMAP fragmenter and the command grammar.

use proto::imap::command::{AppendHead, AppendMessage};
use proto::imap::{Command, Dialect, Event, Fragmenter, NonSyncLiterals, Request};

use crate::{limits, pieces};

/// Commands, items, keys and what goes wrong in between.
pub(crate) const WORDS: &[&str] = &[
    "\r\n",
    " ",
    "(",
    ")",
    "\"",
    "\\",
    "{5}\r\n",
    "{5+}\r\n",
    "~{3}\r\n",
    "{999999999999}\r\n",
    "{300+}\r\n",
    "NIL",
    "INBOX",
    "*",
    "1:*",
    "$",
    "4294967295",
    "18446744073709551616",
    "&AOk-",
    "\u{e9}",
    "\0",
    "a1 ",
    "UID ",
    "LOGIN ",
    "APPEND ",
    "REPLACE 1 x ",
    "FETCH ",
    "STORE ",
    "SEARCH ",
    "LIST ",
    "IDLE\r\nDONE",
    "AUTHENTICATE PLAIN",
    "BODY.PEEK[1.2.HEADER.FIELDS (X Y)]<0.10>",
    "BINARY[1]",
    "ENVELOPE",
    "BODYSTRUCTURE",
    "OR ",
    "NOT ",
    "CHARSET UTF-8 ",
    "RETURN (MIN MAX SAVE)",
    "+FLAGS.SILENT ",
    "(\\Seen $x)",
    "1-Jan-2026",
    "\" 1-Jan-2026 00:00:00 +0000\"",
    "HEADER X ",
    "RETURN (STATUS (MESSAGES))",
    "(SUBSCRIBED RECURSIVEMATCH)",
    "SPECIAL-USE",
    "USE (\\Drafts)",
    "ENABLE IMAP4rev2",
    "ID (\"a\" NIL)",
];

/// However the stream is cut, the same commands come out, and each of them can be looked at.
pub(crate) fn fragmenter(data: &[u8]) {
    for literals in [NonSyncLiterals::Plus, NonSyncLiterals::Minus] {
        let whole = events(data.get(1..).unwrap_or_default().chunks(4096), literals);
        let cut = events(pieces(data), literals);
        assert_eq!(whole, cut, "what comes out depends on how it was cut");
    }
}

/// What comes out of a stream, in words; neighbouring octets of a message are one.
fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>, literals: NonSyncLiterals) -> Vec<String> {
    let limits = limits();
    let (mut fragmenter, mut seen, mut message) = (Fragmenter::new(&limits, literals), Vec::new(), Vec::new());
    let mut say = |message: &mut Vec<u8>, what: String| {
        if !message.is_empty() {
            seen.push(format!("octets {:?}", String::from_utf8_lossy(message)));
            message.clear();
        }
        seen.push(what);
    };
    'stream: for piece in pieces {
        fragmenter.input().extend_from_slice(piece);
        while let Some(event) = fragmenter.next_event() {
            let (mut line, mut accept) = (false, false);
            let last = matches!(event, Event::HangUp { .. });
            match event {
                Event::Octets(octets) => {
                    assert!(!octets.is_empty(), "octets that are none");
                    message.extend_from_slice(octets);
                    continue;
                }
                Event::Command(text) => {
                    line = waits_for_line(text);
                    say(&mut message, format!("command {:?}", String::from_utf8_lossy(text)));
                }
                Event::Append(head) => {
                    // Some are refused: the rest has to be skipped then.
                    accept = AppendHead::parse(head, Dialect::default(), &limits)
                        .is_ok_and(|h| h.message.literal.size < 500);
                    say(&mut message, format!("append {:?}", String::from_utf8_lossy(head)));
                }
                Event::AppendNext(head) => {
                    accept =
                        AppendMessage::parse(head, Dialect::default(), &limits).is_ok_and(|m| m.literal.size < 500);
                    say(&mut message, format!("next {:?}", String::from_utf8_lossy(head)));
                }
                other => say(&mut message, format!("{other:?}")),
            }
            if last {
                break 'stream;
            }
            if line {
                fragmenter.expect_line();
            }
            if accept {
                fragmenter.accept();
            }
        }
    }
    say(&mut message, "end".into());
    seen
}

fn waits_for_line(text: &[u8]) -> bool {
    let request = Request::parse(text, Dialect::default(), &limits());
    request.is_ok_and(|r| matches!(r.command, Command::Idle | Command::Authenticate(_)))
}

/// No command breaks the parser, in any dialect; and what has a tag keeps it, understood or not.
pub(crate) fn command(data: &[u8]) {
    let limits = limits();
    for (rev2, utf8, uid_only) in [(false, false, false), (true, false, true), (false, true, false)] {
        let dialect = Dialect { rev2, utf8, condstore: utf8, qresync: utf8, uid_only };
        let tag = proto::imap::Tag::of_line(data);
        match Request::parse(data, dialect, &limits) {
            Ok(request) => assert_eq!(Some(request.tag), tag, "an answer needs its tag"),
            Err(error) => assert!(error.tag.is_none() || error.tag == tag, "not the tag of the command"),
        }
        let _ = AppendHead::parse(data, dialect, &limits);
        let _ = AppendMessage::parse(data, dialect, &limits);
    }
}
