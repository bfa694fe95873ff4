//! The grammar and the encoder: `cargo bench -p proto`.
#![allow(clippy::unwrap_used, missing_docs)]

use divan::{Bencher, black_box};
use proto::imap::response::{Content, FlagList, SectionName};
use proto::imap::{Dialect, Encoder, Event, Fragmenter, NonSyncLiterals, Request, Section};
use types::{DateTime, Flag, Limits, SeqNum, Uid, UnixTime};

fn main() {
    divan::main();
}

/// What clients send.
const COMMANDS: [&str; 4] = [
    "a1 NOOP",
    "a2 UID STORE 1,5:9,400:800 +FLAGS.SILENT (\\Seen $Label1)",
    "a3 UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])",
    "a4 UID SEARCH RETURN (ALL) UNDELETED OR (FROM \"somebody\" SINCE 1-Feb-2026) NOT SUBJECT \"something else\"",
];

#[divan::bench(args = COMMANDS)]
fn grammar(bencher: Bencher, command: &str) {
    let limits = Limits::default();
    bencher.bench(|| Request::parse(black_box(command.as_bytes()), Dialect::default(), &limits).unwrap());
}

#[divan::bench(args = COMMANDS)]
fn fragmenter(bencher: Bencher, command: &str) {
    let (line, limits) = ([command.as_bytes(), b"\r\n"].concat(), Limits::default());
    let mut fragmenter = Fragmenter::new(&limits, NonSyncLiterals::Minus);
    fragmenter.logged_in();
    bencher.bench_local(|| {
        fragmenter.input().extend_from_slice(&line);
        assert!(matches!(fragmenter.next_event(), Some(Event::Command(_))));
    });
}

#[divan::bench]
fn encoder(bencher: Bencher) {
    let flags = FlagList::new(&[Flag::Seen, Flag::parse("$Label1").unwrap()].into_iter().collect(), false);
    let (number, uid) = (SeqNum::new(4711).unwrap(), Uid::new(81_234).unwrap());
    let (section, mut out) = (SectionName::from(&Section::default()), Vec::new());
    bencher.bench_local(|| {
        out.clear();
        let mut encoder = Encoder::new(&mut out, Dialect::default());
        let mut response = encoder.fetch(number, uid);
        response.uid(uid);
        response.flags(&flags);
        response.size(15_000);
        response.internal_date(DateTime { time: UnixTime(1_770_000_000), zone: 60 });
        response.section(&section, None, Content::Octets(11));
        response.buffer().extend_from_slice(b"From: a@b\r\n");
        response.finish();
        out.len()
    });
}
