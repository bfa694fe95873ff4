//! What another IMAP server may send to an import.

use import::imap::framer::{Event, Framer};
use import::imap::response::Response;

use crate::pieces;

/// Responses, whole and in parts.
pub(crate) const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "* ",
    "a1 ",
    "+ ",
    "* 1 FETCH (",
    "UID 7",
    "FLAGS (",
    "\\Seen",
    "INTERNALDATE \"17-Jul-1996 02:44:25 -0700\"",
    "RFC822.SIZE 5",
    "RFC822 ",
    "BODY[] ",
    "BODY[]<0> ",
    "BODY[HEADER.FIELDS (MESSAGE-ID)] ",
    "{5}\r\nabcde",
    "~{0}\r\n",
    "{1+}\r\nx",
    "{18446744073709551615}\r\n",
    "* LIST (\\Noselect) \"/\" ",
    "* LSUB () NIL ",
    "* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL",
    "* STATUS INBOX (MESSAGES 3)",
    "OK [",
    "NO [LIMIT] ",
    "* BYE ",
    "UIDVALIDITY 5] ",
    "]",
    ")",
    "(",
    "\"",
    "\\",
    "NIL",
    "\0",
    "\u{e9}",
];

/// However the stream is cut, the same responses and messages come out.
pub(crate) fn response(data: &[u8]) {
    let whole = events(data.get(1..).unwrap_or_default().chunks(4096));
    assert_eq!(whole, events(pieces(data)), "what comes out depends on how it was cut");
}

fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut framer, mut seen, mut message) = (Framer::default(), Vec::new(), Vec::new());
    for piece in pieces {
        framer.input().extend_from_slice(piece);
        loop {
            match framer.next_event() {
                Ok(None) => break,
                Ok(Some(Event::Octets(octets))) => {
                    assert!(!octets.is_empty(), "octets that are none");
                    message.extend_from_slice(octets);
                }
                Ok(Some(Event::Line(line))) => {
                    seen.push(format!("{:?} {:?}", Response::parse(&line), String::from_utf8_lossy(&message)));
                    message.clear();
                }
                Err(endless) => {
                    seen.push(endless.to_string());
                    return seen;
                }
            }
        }
    }
    seen.push(format!("then {:?}", String::from_utf8_lossy(&message)));
    seen
}
