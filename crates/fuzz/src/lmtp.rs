//! An LMTP session as far as octets decide it: lines, DATA, BDAT.

use proto::lmtp::{Command, Event, Fragmenter};

use crate::{limits, pieces};

/// Commands and what goes wrong in between.
pub(crate) const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    ".\r\n",
    "\r\n.\r\n",
    "\n.\n",
    "\r\n..\r\n",
    "LHLO x",
    "MAIL FROM:<>",
    "MAIL FROM:<a@b> SIZE=9 BODY=8BITMIME SMTPUTF8",
    "RCPT TO:<alice+Work/2026@example.org>",
    "RCPT TO:<\"a\\\"b\"@[127.0.0.1]>",
    "RCPT TO:<@a,@b:c@d>",
    "DATA\r\n",
    "BDAT 5\r\n",
    "BDAT 0 LAST\r\n",
    "BDAT 18446744073709551615 LAST\r\n",
    "RSET",
    "VRFY x",
    "NOOP",
    "QUIT",
    "STARTTLS",
    "\0",
    "\u{e9}",
    "<",
    ">",
    "@",
    "+",
];

/// However the stream is cut, the same lines and messages come out.
pub(crate) fn session(data: &[u8]) {
    let whole = events(data.get(1..).unwrap_or_default().chunks(4096));
    assert_eq!(whole, events(pieces(data)), "what comes out depends on how it was cut");
}

fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    enum Next {
        Line,
        Data,
        Chunk(u64),
    }
    let (mut fragmenter, mut seen, mut message) = (Fragmenter::new(limits().lmtp_line), Vec::new(), Vec::new());
    for piece in pieces {
        fragmenter.input().extend_from_slice(piece);
        loop {
            let mut next = Next::Line;
            match fragmenter.next_event() {
                None => break,
                Some(Event::Octets(octets)) => {
                    assert!(!octets.is_empty(), "octets that are none");
                    message.extend_from_slice(octets);
                }
                Some(Event::Line(line)) => {
                    let command = Command::parse(line, line.len() % 2 == 0);
                    match &command {
                        Ok(Command::Data) => next = Next::Data,
                        Ok(Command::Bdat { size, .. }) => next = Next::Chunk(*size),
                        _ => {}
                    }
                    seen.push(format!("{command:?}"));
                }
                Some(Event::LineTooLong) => seen.push("too long".into()),
                Some(Event::End) => {
                    seen.push(format!("message {:?}", String::from_utf8_lossy(&std::mem::take(&mut message))))
                }
            }
            match next {
                Next::Line => {}
                Next::Data => fragmenter.expect_data(),
                Next::Chunk(size) => fragmenter.expect_chunk(size),
            }
        }
    }
    seen.push(format!("then {:?}", String::from_utf8_lossy(&message)));
    seen
}
