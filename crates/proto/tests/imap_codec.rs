//! A second opinion: what `imap-codec` writes we read with the same meaning, and what we write it reads.
//!
//! Where the two differ, the test says so and cites the RFC.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use arbitrary::{Arbitrary, Unstructured};
use imap_codec::decode::Decoder as _;
use imap_codec::encode::Encoder as _;
use imap_codec::imap_types::command::{Command as TheirCommand, CommandBody};
use imap_codec::imap_types::fetch::MacroOrMessageDataItemNames;
use imap_codec::imap_types::flag::Flag as TheirFlag;
use imap_codec::imap_types::search::SearchKey as TheirKey;
use imap_codec::imap_types::status::StatusDataItemName;
use imap_codec::{CommandCodec, GreetingCodec, ResponseCodec};
use proptest::prelude::*;
use proto::imap::command::{AppendHead, SearchKey};
use proto::imap::response::{
    Condition, Content, Encoder, FlagList, ListAttribute, ListEntry, SectionName, StatusValue,
};
use proto::imap::{Capability, Code, PartPath, Section, SectionText, Tag};
use proto::imap::{Command, Dialect, Event, Fragmenter, Ids, NonSyncLiterals, ParseError, Request, Verdict};
use std::num::NonZeroU32;
use types::{
    DateTime, Flag, Flags, IdSet, Limits, MailboxName, ModSeq, SeqNum, SpecialUse, Uid, UidValidity, UnixTime,
};

/// A command of theirs as octets.
fn written(command: &TheirCommand<'_>) -> Vec<u8> {
    CommandCodec::default().encode(command).dump()
}

/// What we make of the octets: a command, or the head of an APPEND.
fn read(octets: &[u8]) -> Result<Option<Command>, ParseError> {
    let limits = Limits::default();
    let mut fragmenter = Fragmenter::new(&limits, NonSyncLiterals::Plus);
    fragmenter.logged_in();
    fragmenter.input().extend_from_slice(octets);
    loop {
        match fragmenter.next_event().expect("a whole command") {
            Event::Continue => {}
            Event::Command(octets) => {
                return Request::parse(octets, Dialect::default(), &limits).map(|r| Some(r.command));
            }
            Event::Append(head) => {
                AppendHead::parse(head, Dialect::default(), &limits)?;
                fragmenter.accept();
            }
            Event::Octets(_) => {}
            Event::AppendEnd => return Ok(None),
            other => panic!("{other:?}"),
        }
    }
}

/// True for what IMAP4rev1 with our extensions has.
fn is_ours(body: &CommandBody<'_>) -> bool {
    let settable = |flags: &[TheirFlag<'_>]| {
        // RFC 9051 §9 flag-extension: "Future expansion"; there is none, so STORE of one is refused.
        flags.iter().all(|f| !matches!(f, TheirFlag::Extension(_)))
    };
    match body {
        CommandBody::Sort { .. }
        | CommandBody::Thread { .. }
        | CommandBody::Compress { .. }
        | CommandBody::GetQuota { .. }
        | CommandBody::GetQuotaRoot { .. }
        | CommandBody::SetQuota { .. } => false,
        CommandBody::Status { item_names, .. } => {
            // RFC 9208 has these; an empty list is outside of RFC 3501 §9 status.
            let quota = [StatusDataItemName::DeletedStorage];
            !item_names.is_empty() && item_names.iter().all(|i| !quota.contains(i))
        }
        // RFC 3501 §9 fetch: at least one item.
        CommandBody::Fetch { macro_or_item_names, .. } => {
            !matches!(macro_or_item_names, MacroOrMessageDataItemNames::MessageDataItemNames(names) if names.is_empty())
        }
        CommandBody::Store { flags, .. } | CommandBody::Append { flags, .. } => settable(flags),
        _ => true,
    }
}

/// What we refuse although their types can say it.
fn is_rightly_refused(error: &ParseError) -> bool {
    error.verdict == Verdict::No
        // RFC 3501 §6.4.4: strings are in the charset.
        || error.text.contains("a search string is not in")
        // RFC 5322 §2.2: a field name is printable ASCII.
        || error.text.contains("a header field's name")
}

/// Their key as ours.
fn key(theirs: &TheirKey<'_>) -> Option<SearchKey> {
    let text = |s: &imap_codec::imap_types::core::AString<'_>| String::from_utf8(s.as_ref().to_vec()).ok();
    Some(match theirs {
        TheirKey::All => SearchKey::All,
        TheirKey::Recent => SearchKey::Recent,
        TheirKey::Old => SearchKey::Not(Box::new(SearchKey::Recent)),
        TheirKey::Subject(s) => SearchKey::Subject(text(s)?),
        TheirKey::Body(s) => SearchKey::Body(text(s)?),
        TheirKey::Text(s) => SearchKey::Text(text(s)?),
        TheirKey::From(s) => SearchKey::From(text(s)?),
        TheirKey::To(s) => SearchKey::To(text(s)?),
        TheirKey::Cc(s) => SearchKey::Cc(text(s)?),
        TheirKey::Bcc(s) => SearchKey::Bcc(text(s)?),
        TheirKey::Header(n, v) => SearchKey::Header { name: text(n)?, value: text(v)? },
        TheirKey::Larger(n) => SearchKey::Larger((*n).into()),
        TheirKey::Smaller(n) => SearchKey::Smaller((*n).into()),
        TheirKey::Seen => SearchKey::Flag(Flag::Seen),
        TheirKey::Unseen => SearchKey::Not(Box::new(SearchKey::Flag(Flag::Seen))),
        TheirKey::Deleted => SearchKey::Flag(Flag::Deleted),
        TheirKey::Undeleted => SearchKey::Not(Box::new(SearchKey::Flag(Flag::Deleted))),
        _ => return None,
    })
}

fn set_of(ids: &Ids) -> String {
    match ids {
        Ids::Seq(set) => set.to_string(),
        Ids::Uid(set) => set.to_string(),
        Ids::Saved { .. } => "$".into(),
    }
}

/// Compares what both can say.
fn same(theirs: &CommandBody<'_>, ours: &Command) {
    match (theirs, ours) {
        (CommandBody::Search { criteria, uid, .. }, Command::Search(search)) => {
            assert_eq!(*uid, search.by_uid);
            if let (1, Some(expected)) = (criteria.as_ref().len(), key(&criteria.as_ref()[0])) {
                assert_eq!(expected, search.key);
            }
        }
        (CommandBody::Login { username, password }, Command::Login(login)) => {
            assert_eq!(String::from_utf8_lossy(username.as_ref()), login.user);
            assert_eq!(password.declassify().as_ref(), login.password.expose());
        }
        (CommandBody::Copy { sequence_set, uid, .. }, Command::Copy(copy)) => {
            assert_eq!((numbers(sequence_set), *uid), (set_of(&copy.ids), copy.ids.by_uid()));
        }
        (CommandBody::Move { sequence_set, uid, .. }, Command::Move(move_)) => {
            assert_eq!((numbers(sequence_set), *uid), (set_of(&move_.ids), move_.ids.by_uid()));
        }
        (CommandBody::Store { sequence_set, uid, flags, .. }, Command::Store(store)) => {
            assert_eq!((numbers(sequence_set), *uid), (set_of(&store.ids), store.ids.by_uid()));
            let theirs = flags.iter().filter_map(|f| Flag::parse(&f.to_string()).ok()).collect::<Flags>();
            assert_eq!(theirs, store.flags);
        }
        (CommandBody::Fetch { sequence_set, uid, .. }, Command::Fetch(fetch)) => {
            assert_eq!((numbers(sequence_set), *uid), (set_of(&fetch.ids), fetch.ids.by_uid()));
        }
        (CommandBody::Id { parameters }, Command::Id(fields)) => {
            assert_eq!(parameters.as_ref().map_or(0, Vec::len), fields.len());
        }
        _ => assert_eq!(
            theirs.name().to_uppercase(),
            format!("{ours:?}").split(['(', ' ']).next().unwrap().to_uppercase().replace("UIDEXPUNGE", "EXPUNGE"),
        ),
    }
}

/// As written, with `3:3` as `3`.
fn numbers(set: &imap_codec::imap_types::sequence::SequenceSet) -> String {
    use imap_codec::encode::Encoder;
    let body = CommandBody::Copy {
        sequence_set: set.clone(),
        mailbox: imap_codec::imap_types::mailbox::Mailbox::Inbox,
        uid: false,
    };
    let octets = CommandCodec::default().encode(&TheirCommand::new("a", body).unwrap()).dump();
    let text = String::from_utf8(octets).unwrap();
    let ranges = text.split(' ').nth(2).unwrap().split(',');
    let short = ranges.map(|range| match range.split_once(':') {
        Some((a, b)) if a == b => a,
        _ => range,
    });
    short.collect::<Vec<_>>().join(",")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_imap_codec_writes_we_read(seed in proptest::collection::vec(any::<u8>(), 16..400)) {
        let Ok(command) = TheirCommand::arbitrary(&mut Unstructured::new(&seed)) else {
            return Ok(());
        };
        prop_assume!(is_ours(&command.body));
        let octets = written(&command);
        let shown = String::from_utf8_lossy(&octets).into_owned();
        match read(&octets) {
            Ok(Some(ours)) => same(&command.body, &ours),
            Ok(None) => prop_assert_eq!(command.body.name(), "APPEND"),
            Err(error) => prop_assert!(is_rightly_refused(&error), "{error}: {shown:?}"),
        }
    }
}

/// Everything we write, one response after another.
fn responses(dialect: Dialect) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    let mut write = |what, f: &dyn Fn(&mut Encoder<'_>)| {
        let mut out = Vec::new();
        f(&mut Encoder::new(&mut out, dialect));
        all.push((what, out));
    };
    let tag = Tag::new(b"a1").unwrap();
    let name = MailboxName::new("Entw\u{fc}rfe/\"x\" & y").unwrap();
    let uid = |n| Uid::new(n).unwrap();
    let uids = |a, b| IdSet::range(uid(a), uid(b));
    let validity = UidValidity::new(7).unwrap();
    for code in [
        Code::Alert,
        Code::AlreadyExists,
        Code::AppendUid(validity, uids(5, 5)),
        Code::BadCharset(&["UTF-8", "US-ASCII"]),
        Code::BadCharset(&[]),
        Code::Capability(vec![Capability::Imap4Rev1, Capability::Auth("PLAIN"), Capability::AppendLimit(5)]),
        Code::CopyUid(validity, uids(1, 3), uids(7, 9)),
        Code::HighestModSeq(ModSeq::new(9).unwrap()),
        Code::PermanentFlags { flags: vec![Flag::Seen, Flag::parse("$x").unwrap()], create: true },
        Code::PermanentFlags { flags: vec![], create: false },
        Code::UidNext(uid(4)),
        Code::UidValidity(validity),
        Code::Unseen(SeqNum::new(3).unwrap()),
        Code::ReadOnly,
        Code::TooBig,
        Code::UnknownCte,
    ] {
        write("code", &|e| e.tagged(&tag, Condition::No, Some(&code), "no"));
    }
    for condition in [Condition::Ok, Condition::No, Condition::Bad] {
        write("tagged", &|e| e.tagged(&tag, condition, None, "done"));
        write("untagged", &|e| e.untagged(condition, None, "[x] \r\n f\u{fc}r"));
    }
    write("bye", &|e| e.bye(Some(&Code::Unavailable), "bye"));
    write("capability", &|e| e.capability(&[Capability::Imap4Rev1, Capability::Idle, Capability::LiteralPlus]));
    write("enabled", &|e| e.enabled(["IMAP4rev2"]));
    write("flags", &|e| e.flags(&Flag::SYSTEM));
    write("exists", &|e| e.exists(23));
    write("recent", &|e| e.recent(0));
    write("expunge", &|e| e.expunge(SeqNum::MAX));
    write("search", &|e| {
        e.begin_search();
        e.numbers([uid(2), uid(84)]);
        e.end_numbers(None);
    });
    write("search nothing", &|e| {
        e.begin_search();
        e.end_numbers(None);
    });
    write("id", &|e| e.id(&[("name", Some("Pillarbox \"\\ \u{fc}")), ("vendor", None)]));
    write("id nothing", &|e| e.id(&[]));
    write("namespace", &|e| e.namespace());
    write("list delimiter", &|e| e.list_delimiter());
    let attributes = [ListAttribute::HasChildren, ListAttribute::NoSelect, ListAttribute::SpecialUse(SpecialUse::Sent)];
    let entry = ListEntry { attributes: &attributes, name: &name, child_subscribed: false, old_name: None };
    write("list", &|e| e.list(entry));
    write("lsub", &|e| e.lsub(entry));
    let values = [
        StatusValue::Messages(1),
        StatusValue::Recent(2),
        StatusValue::UidNext(uid(3)),
        StatusValue::UidValidity(validity),
        StatusValue::Unseen(4),
        StatusValue::Size(5),
        StatusValue::Deleted(6),
    ];
    write("status", &|e| e.status(&name, &values));
    write("fetch", &|e| {
        let mut f = e.fetch(SeqNum::MIN, uid(9));
        f.uid(uid(9));
        f.flags(&FlagList::new(&[Flag::Seen, Flag::parse("$Junk").unwrap()].into_iter().collect(), true));
        f.internal_date(DateTime { time: UnixTime(837_596_665), zone: -420 });
        f.size(4286);
        f.envelope(b"(NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL)");
        f.body(br#"("TEXT" "PLAIN" NIL NIL NIL "7BIT" 3 1)"#);
        f.body_structure(br#"("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3 1 NIL NIL NIL NIL)"#);
        f.section(&SectionName::from(&Section::default()), Some(5), Content::Octets(3));
        f.buffer().extend_from_slice(b"a)\n");
        let fields = SectionText::HeaderFields(vec!["Date".into(), "X \"Y".into()]);
        f.section(&SectionName::from(&Section { part: part(&[1, 2]), text: fields }), None, Content::Octets(0));
        f.section(&SectionName::from(&Section { part: part(&[3]), text: SectionText::Mime }), None, Content::Nil);
        f.rfc822_header(2);
        f.buffer().extend_from_slice(b"xy");
        f.binary(&part(&[4]), None, Content::Binary(1));
        f.buffer().push(0);
        f.binary_size(&part(&[4]), 17);
        f.finish();
    });
    all
}

fn part(numbers: &[u32]) -> PartPath {
    PartPath(numbers.iter().filter_map(|&n| NonZeroU32::new(n)).collect())
}

#[test]
fn what_we_write_imap_codec_reads() {
    for (what, octets) in responses(Dialect::default()) {
        let read = ResponseCodec::default().decode(&octets);
        let shown = String::from_utf8_lossy(&octets);
        assert!(matches!(&read, Ok((rest, _)) if rest.is_empty()), "{what}: {shown} {read:?}");
    }
    assert!(GreetingCodec::default().decode(&responses(Dialect::default()).last().unwrap().1).is_err());
}

/// RFC 9051 Appendix E: what is new in it, imap-codec (an RFC 3501 codec) does not read; but every
/// line must still be one line, and the names UTF-8.
#[test]
fn responses_of_rev2_are_utf8_and_lines() {
    for (what, octets) in responses(Dialect { rev2: true, ..Dialect::REV1 }) {
        let text = String::from_utf8(octets).unwrap();
        assert_eq!(text.is_empty(), what == "recent", "{what}");
        assert!(text.is_empty() || text.ends_with("\r\n"), "{what}");
        if what == "list" {
            assert!(text.contains("\"Entw\u{fc}rfe/\\\"x\\\" & y\""), "{text}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_and_any_name_stay_in_their_place(text in any::<String>(), name in any::<String>()) {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, Dialect::default());
        encoder.untagged(Condition::Ok, None, &text);
        if let Ok(name) = MailboxName::new(&name) {
            encoder.status(&name, &[StatusValue::Messages(1)]);
        }
        let mut rest = out.as_slice();
        while !rest.is_empty() {
            let (next, _) = ResponseCodec::default().decode(rest).unwrap_or_else(|e| panic!("{e:?}"));
            rest = next;
        }
        prop_assert!(out.is_ascii());
    }
}
