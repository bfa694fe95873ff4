use types::Limits;

use super::*;

/// What a capability brings, to see that it goes with it.
enum Brings {
    /// A command that is right with it and unknown without.
    Command(&'static str),
    /// The head of an APPEND.
    Append(&'static str),
    /// The part of an APPEND before a further message.
    Message(&'static str),
    /// What ENABLE names.
    Enabled,
    /// Literals that the fragmenter takes: see the transcripts.
    Literals,
    /// Only something that we tell, harmless to who does not know it.
    Told,
}

/// Each capability, and what is gone without it. Who announces a new one adds it here.
fn examples() -> Vec<(Capability, Brings)> {
    use Brings::*;
    use Capability as C;
    vec![
        (C::Imap4Rev2, Enabled),
        (C::LiteralPlus, Literals),
        (C::LiteralMinus, Literals),
        (C::SaslIr, Command("a AUTHENTICATE PLAIN =")),
        (C::Id, Command("a ID NIL")),
        (C::Enable, Command("a ENABLE CONDSTORE")),
        (C::Idle, Command("a IDLE")),
        (C::Namespace, Command("a NAMESPACE")),
        (C::Unselect, Command("a UNSELECT")),
        (C::UidPlus, Command("a UID EXPUNGE 1")),
        (C::Move, Command("a UID MOVE 1 x")),
        (C::Children, Told),
        (C::ListExtended, Command("a LIST \"\" (x y)")),
        (C::ListExtended, Command("a LIST () \"\" x")),
        (C::ListExtended, Command("a LIST \"\" x RETURN (CHILDREN)")),
        (C::ListStatus, Command("a LIST \"\" x RETURN (STATUS (UNSEEN))")),
        (C::SpecialUse, Command("a LIST (SPECIAL-USE) \"\" x")),
        (C::SpecialUse, Command("a LIST \"\" x RETURN (SPECIAL-USE)")),
        (C::CreateSpecialUse, Command("a CREATE x (USE (\\Sent))")),
        (C::StatusSize, Command("a STATUS x (SIZE)")),
        (C::StatusSize, Command("a LIST \"\" x RETURN (STATUS (SIZE))")),
        (C::ESearch, Command("a SEARCH RETURN (ALL) SEEN")),
        (C::SearchRes, Command("a UID SEARCH RETURN (SAVE) SEEN")),
        (C::SearchRes, Command("a SEARCH OR SEEN NOT $")),
        (C::SearchRes, Command("a FETCH $ FLAGS")),
        (C::SearchRes, Command("a STORE $ FLAGS (\\Seen)")),
        (C::SearchRes, Command("a COPY $ x")),
        (C::SearchRes, Command("a MOVE $ x")),
        (C::SearchRes, Command("a UID EXPUNGE $")),
        (C::Partial, Command("a SEARCH RETURN (PARTIAL 1:5) SEEN")),
        (C::Partial, Command("a UID FETCH 1:* FLAGS (PARTIAL 1:5)")),
        (C::Sort, Command("a SORT (DATE) UTF-8 ALL")),
        (C::SortDisplay, Command("a SORT (DISPLAYTO) UTF-8 ALL")),
        (C::ESort, Command("a SORT RETURN () (DATE) UTF-8 ALL")),
        (C::Thread("ORDEREDSUBJECT"), Command("a THREAD ORDEREDSUBJECT UTF-8 ALL")),
        (C::Thread("REFERENCES"), Command("a THREAD REFERENCES UTF-8 ALL")),
        (C::Thread("REFS"), Command("a UID THREAD REFS UTF-8 ALL")),
        (C::Within, Command("a SEARCH YOUNGER 5")),
        (C::Within, Command("a SORT (DATE) UTF-8 OLDER 5")),
        (C::CondStore, Enabled),
        (C::CondStore, Command("a SELECT x (CONDSTORE)")),
        (C::CondStore, Command("a FETCH 1 MODSEQ")),
        (C::CondStore, Command("a FETCH 1 FLAGS (CHANGEDSINCE 1)")),
        (C::CondStore, Command("a STORE 1 (UNCHANGEDSINCE 1) FLAGS (\\Seen)")),
        (C::CondStore, Command("a SEARCH (SEEN MODSEQ 1)")),
        (C::CondStore, Command("a STATUS x (HIGHESTMODSEQ)")),
        (C::QResync, Enabled),
        (C::QResync, Command("a EXAMINE x (QRESYNC (1 1))")),
        (C::QResync, Command("a UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)")),
        (C::UidOnly, Enabled),
        (C::UidBatches, Command("a UIDBATCHES 500")),
        (C::Preview, Command("a FETCH 1 (PREVIEW (LAZY))")),
        (C::ObjectId, Command("a STATUS x (MAILBOXID)")),
        (C::ObjectId, Command("a FETCH 1 (UID EMAILID)")),
        (C::ObjectId, Command("a FETCH 1 THREADID")),
        (C::ObjectId, Command("a SEARCH NOT EMAILID M1")),
        (C::ObjectId, Command("a THREAD REFS UTF-8 THREADID T1")),
        (C::SaveDate, Command("a FETCH 1 SAVEDATE")),
        (C::SaveDate, Command("a SEARCH SAVEDON 1-Jan-2026")),
        (C::SaveDate, Command("a SEARCH SAVEDATESUPPORTED")),
        (C::Binary, Command("a FETCH 1 BINARY.PEEK[1]")),
        (C::Binary, Command("a FETCH 1 BINARY.SIZE[1]")),
        (C::Binary, Append("a APPEND x ~{1}")),
        (C::MultiAppend, Message(" {1}")),
        (C::Replace, Append("a UID REPLACE 1 x {1}")),
        (C::Utf8Accept, Enabled),
        (C::CompressDeflate, Command("a COMPRESS DEFLATE")),
        (C::Unauthenticate, Command("a UNAUTHENTICATE")),
        (C::InProgress, Told),
        (C::AppendLimit(0), Command("a STATUS x (APPENDLIMIT)")),
        (C::Quota, Command("a GETQUOTA x")),
        (C::Quota, Command("a GETQUOTAROOT x")),
        (C::QuotaSet, Command("a SETQUOTA x ()")),
        (C::QuotaRes(Resource::Storage), Command("a SETQUOTA x (STORAGE 1)")),
        (C::QuotaRes(Resource::Storage), Command("a STATUS x (DELETED-STORAGE)")),
        (C::QuotaRes(Resource::Message), Command("a SETQUOTA x (MAILBOX 1 MESSAGE 1)")),
        (C::QuotaRes(Resource::Mailbox), Command("a SETQUOTA x (MAILBOX 1)")),
        (C::QuotaRes(Resource::AnnotationStorage), Command("a SETQUOTA x (ANNOTATION-STORAGE 1)")),
    ]
}

const DIALECT: Dialect = Dialect { qresync: true, condstore: true, ..Dialect::REV1 };

/// Whether it is known with these capabilities off.
fn is_known(off: &Off, dialect: Dialect, brings: &Brings, name: &str) -> bool {
    let limits = Limits::default();
    match brings {
        Brings::Command(text) => off.known(dialect, Request::parse(text.as_bytes(), DIALECT, &limits).unwrap()).is_ok(),
        Brings::Append(text) => {
            off.known_append(dialect, AppendHead::parse(text.as_bytes(), DIALECT, &limits).unwrap()).is_ok()
        }
        Brings::Message(text) => {
            off.known_message(dialect, AppendMessage::parse(text.as_bytes(), DIALECT, &limits).unwrap()).is_ok()
        }
        Brings::Enabled => {
            let text = format!("a ENABLE {name} X-OTHER");
            match off.known(dialect, Request::parse(text.as_bytes(), DIALECT, &limits).unwrap()).unwrap().command {
                Command::Enable(names) => names.len() == 2,
                other => panic!("{other:?}"),
            }
        }
        Brings::Literals => {
            let options = ImapOptions { literal_minus: name == "LITERAL-", ..ImapOptions::default() };
            off.literals(&options, dialect) != NonSyncLiterals::None
        }
        Brings::Told => !off.has(&find(name).unwrap()),
    }
}

#[test]
fn whatever_is_announced_can_be_switched_off_and_is_gone_then() {
    let examples = examples();
    for capability in switchable() {
        let name = name(&capability);
        let off = Off::named(&[&name]).unwrap();
        assert!(off.has(&capability), "{name}");
        let of_it: Vec<_> = examples.iter().filter(|(of, _)| *of == capability).collect();
        assert!(!of_it.is_empty(), "{name} is announced: add to examples() what is gone without it");
        for (_, brings) in of_it {
            assert!(is_known(&Off::default(), DIALECT, brings, &name), "{name}");
            assert!(!is_known(&off, DIALECT, brings, &name), "{name} is off, and yet it works");
        }
    }
}

#[test]
fn a_session_in_rev2_keeps_what_rev2_contains() {
    for (capability, brings) in examples() {
        let name = name(&capability);
        let off = Off::named(&[&name]).unwrap();
        let dialect = Dialect { rev2: true, ..DIALECT };
        let kept = OF_REV2.contains(&capability) || matches!(brings, Brings::Literals);
        if !matches!(brings, Brings::Told) {
            assert_eq!(is_known(&off, dialect, &brings, &name), kept, "{name}");
        }
    }
}

#[test]
fn what_rests_on_another_goes_with_it() {
    let off = Off::named(&["sort"]).unwrap();
    assert!(off.has(&Capability::ESort) && off.has(&Capability::SortDisplay) && !off.has(&Capability::ESearch));
    let off = Off::named(&["ENABLE"]).unwrap();
    assert!(off.has(&Capability::Imap4Rev2) && off.has(&Capability::QResync) && !off.has(&Capability::CondStore));
    let off = Off::named(&["quota"]).unwrap();
    assert!(off.has(&Capability::QuotaSet) && Resource::ALL.iter().all(|&each| off.has(&Capability::QuotaRes(each))));
    let both = Off::named(&["ID"]).unwrap().and(&["CONDSTORE".to_owned(), "OF-THE-FUTURE".to_owned()]);
    assert!(both.has(&Capability::Id) && both.has(&Capability::CondStore) && both.has(&Capability::QResync));
}

#[test]
fn names_are_checked() {
    assert_eq!(known_name("appendlimit=5").unwrap(), "APPENDLIMIT");
    assert_eq!(known_name("Thread=Refs").unwrap(), "THREAD=REFS");
    for fixed in ["IMAP4rev1", "STARTTLS", "LOGINDISABLED", "AUTH=PLAIN", "", "X"] {
        let error = Off::named(&["ID", fixed]).unwrap_err().to_string();
        assert!(error.contains(&format!("{fixed:?}")) && error.contains("SORT=DISPLAY, "), "{error}");
        assert!(known_name(fixed).is_err());
    }
}
