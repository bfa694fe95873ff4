//! FETCH and UID FETCH (RFC 9051 §6.4.5, RFC 3501 §6.4.5).

use std::collections::HashSet;

use types::ModSeq;

use crate::imap::lex::Cursor;
use crate::imap::{Ids, ParseError, PartPath, Partial, Section, Window};

/// `fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// Which messages.
    pub ids: Ids,
    /// What of them, macros expanded, as the client ordered, without repetitions. UID FETCH does
    /// not add [`FetchItem::Uid`]: see [`Ids::by_uid`].
    pub items: Vec<FetchItem>,
    /// `CHANGEDSINCE` (RFC 7162 §3.1.4.1): only what changed after this.
    pub changed_since: Option<ModSeq>,
    /// `VANISHED` (RFC 7162 §3.2.6): and what of the messages is gone. Only with `changed_since`.
    pub vanished: bool,
    /// `PARTIAL` (RFC 9394 §3.3): only these of the messages. Only with UIDs.
    pub partial: Option<Window>,
}

/// `fetch-att` of RFC 9051 §9 and RFC 3501 §9.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum FetchItem {
    /// `BINARY[part]<partial>`: decoded content.
    Binary {
        /// Which part; empty is the whole message.
        part: PartPath,
        /// Which octets of it.
        partial: Option<Partial>,
        /// `BINARY.PEEK`: \Seen stays as it is.
        peek: bool,
    },
    /// `BINARY.SIZE[part]`: octets of the decoded content.
    BinarySize(PartPath),
    /// `BODY`: structure without extension data.
    Body,
    /// `BODY[section]<partial>`
    BodySection {
        /// Which part and what of it.
        section: Section,
        /// Which octets of it.
        partial: Option<Partial>,
        /// `BODY.PEEK`: \Seen stays as it is.
        peek: bool,
    },
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `EMAILID` (RFC 8474 §5.1)
    EmailId,
    /// `ENVELOPE`
    Envelope,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `MODSEQ` (RFC 7162 §3.1.4.2)
    ModSeq,
    /// `PREVIEW` (RFC 8970 §3.1)
    Preview {
        /// `LAZY` (§4.1): rather NIL than late.
        lazy: bool,
    },
    /// `RFC822` (RFC 3501): as `BODY[]`, answered under its own name.
    Rfc822,
    /// `RFC822.HEADER` (RFC 3501): as `BODY.PEEK[HEADER]`, answered under its own name.
    Rfc822Header,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `RFC822.TEXT` (RFC 3501): as `BODY[TEXT]`, answered under its own name.
    Rfc822Text,
    /// `SAVEDATE` (RFC 8514 §4.2)
    SaveDate,
    /// `THREADID` (RFC 8474 §5.2)
    ThreadId,
    /// `UID`
    Uid,
}

impl FetchItem {
    /// True where fetching this sets \Seen (RFC 9051 §6.4.5).
    pub fn sets_seen(&self) -> bool {
        match self {
            Self::Binary { peek, .. } | Self::BodySection { peek, .. } => !peek,
            Self::Rfc822 | Self::Rfc822Text => true,
            _ => false,
        }
    }
}

impl Fetch {
    pub(super) fn parse(c: &mut Cursor<'_>, by_uid: bool) -> Result<Self, ParseError> {
        c.space()?;
        let ids = c.ids(by_uid)?;
        c.space()?;
        let items = parse_items(c)?;
        let mut fetch = Self { ids, items, changed_since: None, vanished: false, partial: None };
        if c.eat(b' ') && c.peek() == Some(b'(') {
            c.list(false, |c| fetch.parse_modifier(c, by_uid))?;
        }
        if fetch.vanished && fetch.changed_since.is_none() {
            return Err(ParseError::bad("VANISHED comes with CHANGEDSINCE only"));
        }
        Ok(fetch)
    }

    /// `fetch-modifier` of RFC 4466 §2.4, RFC 7162 §7, RFC 9394 §4.
    fn parse_modifier(&mut self, c: &mut Cursor<'_>, by_uid: bool) -> Result<(), ParseError> {
        let start = c.clone();
        match c.word("a modifier")?.as_str() {
            "CHANGEDSINCE" if self.changed_since.is_none() => {
                c.space()?;
                self.changed_since = Some(c.modseq()?);
            }
            // RFC 7162 §3.2.6: for UID FETCH only, and only after ENABLE QRESYNC.
            "VANISHED" if by_uid && c.dialect.qresync => self.vanished = true,
            // RFC 9394 §3.3: for UID FETCH only.
            "PARTIAL" if by_uid && self.partial.is_none() => {
                c.space()?;
                self.partial = Some(Window::parse(c)?);
            }
            _ => return start.expected("a modifier that is possible here"),
        }
        Ok(())
    }
}

fn parse_items(c: &mut Cursor<'_>) -> Result<Vec<FetchItem>, ParseError> {
    if c.peek() != Some(b'(') {
        return match parse_macro(c) {
            Some(items) => Ok(items),
            None => Ok(vec![parse_item(c)?]),
        };
    }
    let mut seen = HashSet::new();
    let mut items = c.list(false, |c| {
        let item = parse_item(c)?;
        if !seen.insert(item.clone()) {
            return Ok(None);
        }
        let most = c.limits.fetch_items;
        if seen.len() > most { Err(ParseError::limit("items", most)) } else { Ok(Some(item)) }
    })?;
    Ok(items.drain(..).flatten().collect())
}

/// The macros, which stand alone (RFC 9051 §6.4.5).
fn parse_macro(c: &mut Cursor<'_>) -> Option<Vec<FetchItem>> {
    let fast = [FetchItem::Flags, FetchItem::InternalDate, FetchItem::Rfc822Size];
    let more: &[FetchItem] = if c.eat_word("FAST") {
        &[]
    } else if c.eat_word("ALL") {
        &[FetchItem::Envelope]
    } else if c.eat_word("FULL") {
        &[FetchItem::Envelope, FetchItem::Body]
    } else {
        return None;
    };
    Some(fast.iter().chain(more).cloned().collect())
}

/// `fetch-att`, see [`FetchItem`].
fn parse_item(c: &mut Cursor<'_>) -> Result<FetchItem, ParseError> {
    let start = c.clone();
    // "[" and "<" are ATOM-CHARs, but here they end the item's name.
    let name = c.take_while(|b| b.is_ascii_alphanumeric() || b == b'.').to_ascii_uppercase();
    let section_follows = c.peek() == Some(b'[');
    Ok(match (name.as_slice(), section_follows) {
        (b"EMAILID", false) => FetchItem::EmailId,
        (b"ENVELOPE", false) => FetchItem::Envelope,
        (b"FLAGS", false) => FetchItem::Flags,
        (b"INTERNALDATE", false) => FetchItem::InternalDate,
        (b"MODSEQ", false) => FetchItem::ModSeq,
        (b"PREVIEW", false) => FetchItem::Preview { lazy: parse_lazy(c)? },
        (b"RFC822", false) => FetchItem::Rfc822,
        (b"RFC822.HEADER", false) => FetchItem::Rfc822Header,
        (b"RFC822.SIZE", false) => FetchItem::Rfc822Size,
        (b"RFC822.TEXT", false) => FetchItem::Rfc822Text,
        (b"BODY", false) => FetchItem::Body,
        (b"BODYSTRUCTURE", false) => FetchItem::BodyStructure,
        (b"SAVEDATE", false) => FetchItem::SaveDate,
        (b"THREADID", false) => FetchItem::ThreadId,
        (b"UID", false) => FetchItem::Uid,
        (b"BODY" | b"BODY.PEEK", true) => {
            let section = Section::parse(c)?;
            FetchItem::BodySection { section, partial: Partial::parse(c)?, peek: name.ends_with(b"PEEK") }
        }
        (b"BINARY" | b"BINARY.PEEK", true) => {
            let part = PartPath::parse_binary(c)?;
            FetchItem::Binary { part, partial: Partial::parse(c)?, peek: name.ends_with(b"PEEK") }
        }
        (b"BINARY.SIZE", true) => FetchItem::BinarySize(PartPath::parse_binary(c)?),
        _ => return start.expected("a known FETCH item"),
    })
}

/// `[SP "(" preview-mod *(SP preview-mod) ")"]`, `preview-mod = "LAZY"` (RFC 8970 §6). Behind an item that
/// stands alone a parenthesis may also begin the modifiers of the FETCH.
fn parse_lazy(c: &mut Cursor<'_>) -> Result<bool, ParseError> {
    let mut ahead = c.clone();
    if !(ahead.eat(b' ') && ahead.eat(b'(') && ahead.eat_word("LAZY")) {
        return Ok(false);
    }
    c.space()?;
    c.list(false, |c| if c.eat_word("LAZY") { Ok(()) } else { c.expected("LAZY") })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use types::Limits;

    use super::super::tests::{bad, no, ok};
    use super::*;
    use crate::imap::{Command, Dialect, Request, SectionText};

    fn items(what: &str) -> Vec<FetchItem> {
        match ok(&format!("a FETCH 1 {what}")) {
            Command::Fetch(f) => f.items,
            other => panic!("{other:?}"),
        }
    }

    fn part(numbers: &[u32]) -> PartPath {
        PartPath(numbers.iter().filter_map(|&n| NonZeroU32::new(n)).collect())
    }

    fn section(numbers: &[u32], text: SectionText) -> FetchItem {
        FetchItem::BodySection { section: Section { part: part(numbers), text }, partial: None, peek: false }
    }

    #[test]
    fn macros_and_simple_items() {
        use FetchItem::*;
        assert_eq!(items("ALL"), [Flags, InternalDate, Rfc822Size, Envelope]);
        assert_eq!(items("fast"), [Flags, InternalDate, Rfc822Size]);
        assert_eq!(items("FULL"), [Flags, InternalDate, Rfc822Size, Envelope, Body]);
        assert_eq!(items("(uid FLAGS UID)"), [Uid, Flags]);
        assert_eq!(items("(RFC822 RFC822.HEADER RFC822.TEXT)"), [Rfc822, Rfc822Header, Rfc822Text]);
        assert_eq!(items("(BODY BODYSTRUCTURE)"), [Body, BodyStructure]);
        for text in [
            "(ALL)",
            "(FLAGS FAST)",
            "()",
            "FLAGS UID",
            "FOO",
            "",
            "(FLAGS",
            "RFC822[1]",
            "BINARY",
            "BODY.PEEK",
            "FLAGS[]",
        ] {
            bad(&format!("a FETCH 1 {text}"));
        }
    }

    #[test]
    fn sections() {
        use SectionText::*;
        let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        assert_eq!(items("BODY[]"), [section(&[], All)]);
        assert_eq!(items("body[1.2]"), [section(&[1, 2], All)]);
        assert_eq!(items("BODY[HEADER]"), [section(&[], Header)]);
        assert_eq!(items("BODY[4.2.2.mime]"), [section(&[4, 2, 2], Mime)]);
        assert_eq!(
            items("BODY[4.1.HEADER.FIELDS (Date \"From\")]"),
            [section(&[4, 1], HeaderFields(names(&["Date", "From"])))]
        );
        assert_eq!(items("BODY[HEADER.FIELDS.NOT (x)]"), [section(&[], HeaderFieldsNot(names(&["x"])))]);
        assert_eq!(items("BODY[3.TEXT]"), [section(&[3], Text)]);
        for text in [
            "BODY[MIME]",
            "BODY[0]",
            "BODY[1.]",
            "BODY[1..2]",
            "BODY[.1]",
            "BODY[1 TEXT]",
            "BODY[HEADER.FIELDS]",
            "BODY[HEADER.FIELDS ()]",
            "BODY[FOO]",
            "BODY[1",
            "BODY[4294967296]",
            "BODY[HEADER.FIELDS (\u{fc})]",
            "BODY[HEADER.FIELDS (\"a\tb\")]",
            "BODY[] <0.1>",
        ] {
            bad(&format!("a FETCH 1 {text}"));
        }
    }

    #[test]
    fn partials_peeks_and_binaries() {
        let ten = Some(Partial { offset: 0, length: NonZeroU64::new(10).unwrap() });
        let text = Section { part: part(&[]), text: SectionText::Text };
        assert_eq!(
            items("BODY.PEEK[TEXT]<0.10>"),
            [FetchItem::BodySection { section: text, partial: ten, peek: true }]
        );
        assert_eq!(items("BINARY[1]<0.10>"), [FetchItem::Binary { part: part(&[1]), partial: ten, peek: false }]);
        assert_eq!(items("BINARY.PEEK[]"), [FetchItem::Binary { part: part(&[]), partial: None, peek: true }]);
        assert_eq!(items("BINARY.SIZE[2.1]"), [FetchItem::BinarySize(part(&[2, 1]))]);
        for text in [
            "BODY[]<0>",
            "BODY[]<0.0>",
            "BODY[]<.1>",
            "BODY[]<0.1",
            "BINARY[TEXT]",
            "BINARY.SIZE[1]<0.1>",
            "BODY[]<0.9223372036854775808>",
        ] {
            bad(&format!("a FETCH 1 {text}"));
        }
    }

    #[test]
    fn seen_is_set_by_what_is_not_a_peek() {
        let seen = |what| items(what).iter().any(FetchItem::sets_seen);
        for what in ["BODY[]", "RFC822", "RFC822.TEXT", "BINARY[1]"] {
            assert!(seen(what), "{what}");
        }
        for what in ["BODY.PEEK[]", "RFC822.HEADER", "BINARY.PEEK[1]", "BINARY.SIZE[1]", "BODY", "FULL"] {
            assert!(!seen(what), "{what}");
        }
    }

    #[test]
    fn both_sides_of_the_limit() {
        let many = |n: usize| format!("({})", (1..=n).map(|i| format!("BODY[{i}]")).collect::<Vec<_>>().join(" "));
        assert_eq!(items(&many(1000)).len(), 1000);
        no(&format!("a FETCH 1 {}", many(1001)));
        let fields = |n: usize| format!("BODY[HEADER.FIELDS ({})]", vec!["x"; n].join(" "));
        assert_eq!(items(&fields(1000)).len(), 1);
        no(&format!("a FETCH 1 {}", fields(1001)));
    }

    #[test]
    fn only_what_changed() {
        let since = |text: &str| match ok(text) {
            Command::Fetch(f) => (f.items, f.changed_since.map(ModSeq::get), f.vanished),
            other => panic!("{other:?}"),
        };
        // RFC 7162 §3.1.4.1; iOS sends zero.
        assert_eq!(
            since("s100 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)"),
            (vec![FetchItem::Flags], Some(12_345), false)
        );
        assert_eq!(since("s100 FETCH 1:* modseq (changedsince 0)"), (vec![FetchItem::ModSeq], Some(0), false));
        for text in [
            "a UID FETCH 1:* (FLAGS) ()",
            "a UID FETCH 1:* (FLAGS) (CHANGEDSINCE)",
            "a UID FETCH 1:* (FLAGS) (CHANGEDSINCE x)",
            "a UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 CHANGEDSINCE 1)",
            "a UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)",
            "a UID FETCH 1:* (FLAGS) (FOO)",
            "a UID FETCH 1:* (MODSEQ (1))",
        ] {
            bad(text);
        }
        let enabled = Dialect { condstore: true, qresync: true, ..Dialect::REV1 };
        let vanished =
            |text: &str| match Request::parse(text.as_bytes(), enabled, &Limits::default()).map(|r| r.command) {
                Ok(Command::Fetch(f)) => Ok(f.vanished),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error),
            };
        assert_eq!(vanished("a UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)"), Ok(true));
        assert!(vanished("a UID FETCH 1:* (FLAGS) (VANISHED)").is_err());
        assert!(vanished("a FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)").is_err());
    }

    // RFC 8970 §6
    #[test]
    fn previews() {
        let preview = |lazy| FetchItem::Preview { lazy };
        assert_eq!(items("(RFC822.SIZE PREVIEW)"), [FetchItem::Rfc822Size, preview(false)]);
        assert_eq!(items("(ENVELOPE preview (lazy) UID)"), [FetchItem::Envelope, preview(true), FetchItem::Uid]);
        assert_eq!(items("PREVIEW (LAZY LAZY)"), [preview(true)]);
        let since = |text: &str| match ok(text) {
            Command::Fetch(f) => (f.items, f.changed_since.map(ModSeq::get)),
            other => panic!("{other:?}"),
        };
        assert_eq!(since("a FETCH 1 PREVIEW (CHANGEDSINCE 7)"), (vec![preview(false)], Some(7)));
        assert_eq!(since("a FETCH 1 PREVIEW (LAZY) (CHANGEDSINCE 7)"), (vec![preview(true)], Some(7)));
        for text in [
            "(PREVIEW ())",
            "(PREVIEW (FUZZY))",
            "(PREVIEW (LAZY FUZZY))",
            "PREVIEW (FUZZY)",
            "PREVIEW[]",
            "(PREVIEW LAZY)",
        ] {
            bad(&format!("a FETCH 1 {text}"));
        }
    }

    // RFC 9394 §3.3
    #[test]
    fn only_a_window() {
        let window = |text: &str| match ok(text) {
            Command::Fetch(f) => (f.partial.map(|window| window.to_string()), f.changed_since.map(ModSeq::get)),
            other => panic!("{other:?}"),
        };
        assert_eq!(window("a UID FETCH 25900:26600 (UID FLAGS) (PARTIAL -1:-30)"), (Some("-1:-30".into()), None));
        assert_eq!(window("a UID FETCH 1:* FLAGS (partial 7:3 CHANGEDSINCE 9)"), (Some("7:3".into()), Some(9)));
        assert_eq!(window("a UID FETCH $ FLAGS (CHANGEDSINCE 9 PARTIAL 1:1)"), (Some("1:1".into()), Some(9)));
        for modifier in
            ["PARTIAL", "PARTIAL 1", "PARTIAL 0:1", "PARTIAL 1:-1", "PARTIAL 1:*", "PARTIAL 1:2 PARTIAL 1:2"]
        {
            bad(&format!("a UID FETCH 1:* FLAGS ({modifier})"));
        }
        bad("a FETCH 1:* FLAGS (PARTIAL 1:2)");
    }

    #[test]
    fn messages() {
        assert!(matches!(ok("a UID FETCH 1:* FLAGS"), Command::Fetch(f) if f.ids.by_uid()));
        assert!(matches!(ok("a FETCH $ FLAGS"), Command::Fetch(f) if f.ids == Ids::Saved { by_uid: false }));
        for text in ["a FETCH", "a FETCH 1", "a FETCH FLAGS", "a FETCH 0 FLAGS", "a FETCH 1:2: FLAGS"] {
            bad(text);
        }
    }
}
