//! SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3; parameters RFC 4466 §2.4, RFC 7162 §3.1.8, §3.2.5).

use types::{IdSet, MailboxName, ModSeq, SeqNum, Uid, UidValidity};

use crate::imap::lex::Cursor;
use crate::imap::{MailboxError, ParseError, mailbox};

/// `select = "SELECT" SP mailbox [select-params]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Select {
    /// Which mailbox. A name that cannot be is no parse error here, because a SELECT that fails
    /// also deselects (RFC 9051 §6.3.2): answer `NO [CANNOT]` and deselect.
    pub mailbox: Result<MailboxName, MailboxError>,
    /// How the client wrote the name, where we write it differently (RFC 9051 §6.3.9.7 OLDNAME).
    pub old_name: Option<String>,
    /// `(CONDSTORE)` (RFC 7162 §3.1.8).
    pub condstore: bool,
    /// `(QRESYNC (…))` (RFC 7162 §3.2.5).
    pub qresync: Option<Qresync>,
}

/// What a client still knows of the mailbox: `"QRESYNC" SP "(" uidvalidity SP mod-sequence-value
/// [SP known-uids] [SP seq-match-data] ")"`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Qresync {
    /// Under which UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// Up to which change.
    pub modseq: ModSeq,
    /// Which messages it asks about; `None` for all.
    pub known: Option<IdSet<Uid>>,
    /// The n-th of these numbers was the n-th of these UIDs. As many of both.
    pub matches: Option<(IdSet<SeqNum>, IdSet<Uid>)>,
}

impl Select {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        let octets = c.astring("a mailbox name")?;
        let mailbox = mailbox::decode(&octets, c.dialect);
        let old_name = mailbox.as_ref().ok().and_then(|name| mailbox::written_otherwise(&octets, name, c.dialect));
        // select-params = SP "(" select-param *(SP select-param) ")"
        let (mut condstore, mut qresync) = (false, None);
        if c.eat(b' ') && c.peek() == Some(b'(') {
            c.list(false, |c| {
                match c.word("a parameter")?.as_str() {
                    "CONDSTORE" => condstore = true,
                    "QRESYNC" if qresync.is_none() => qresync = Some(Qresync::parse(c)?),
                    _ => return Err(ParseError::bad("unknown parameter")),
                }
                Ok(())
            })?;
        }
        Ok(Self { mailbox, old_name, condstore, qresync })
    }
}

impl Qresync {
    fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        // RFC 7162 §3.2.5: "A server MUST respond with a tagged BAD response".
        if !c.dialect.qresync {
            return Err(ParseError::bad("QRESYNC was not enabled"));
        }
        c.space()?;
        c.expect(b'(', "an opening parenthesis")?;
        let start = c.clone();
        let uid_validity = UidValidity::new(c.nz_number::<Uid>()?.get());
        let uid_validity = uid_validity.map_or_else(|| start.expected("a UIDVALIDITY"), Ok)?;
        c.space()?;
        let modseq = c.modseq()?;
        let (mut known, mut matches) = (None, None);
        let mut more = c.eat(b' ');
        if more && c.peek() != Some(b'(') {
            known = Some(c.plain_set()?);
            more = c.eat(b' ');
        }
        if more {
            // RFC 9586 §3: the match data are sequence numbers.
            if c.dialect.uid_only {
                return Err(ParseError::uid_required());
            }
            matches = Some(parse_matches(c)?);
        }
        c.expect(b')', "a closing parenthesis")?;
        Ok(Self { uid_validity, modseq, known, matches })
    }
}

/// `seq-match-data = "(" known-sequence-set SP known-uid-set ")"`, as many of both.
fn parse_matches(c: &mut Cursor<'_>) -> Result<(IdSet<SeqNum>, IdSet<Uid>), ParseError> {
    let start = c.clone();
    c.expect(b'(', "an opening parenthesis")?;
    let numbers = c.plain_set::<SeqNum>()?;
    c.space()?;
    let uids = c.plain_set::<Uid>()?;
    c.expect(b')', "a closing parenthesis")?;
    if numbers.len() == uids.len() { Ok((numbers, uids)) } else { start.expected("as many numbers as UIDs") }
}

#[cfg(test)]
mod tests {
    use types::{Limits, NameError};

    use super::super::tests::{bad, ok};
    use super::*;
    use crate::imap::{Command, Dialect, Request};

    fn inbox() -> Select {
        Select { mailbox: Ok(MailboxName::inbox()), old_name: None, condstore: false, qresync: None }
    }

    fn resync(text: &str) -> Result<Select, ParseError> {
        let dialect = Dialect { condstore: true, qresync: true, ..Dialect::REV1 };
        match Request::parse(format!("a SELECT x {text}").as_bytes(), dialect, &Limits::default())?.command {
            Command::Select(select) => Ok(select),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_client_still_knows() {
        assert!(matches!(ok("a SELECT inbox (condstore)"), Command::Select(s) if s.condstore && s.qresync.is_none()));
        // RFC 7162 §3.2.5
        let all = resync("(QRESYNC (67890007 20050715194045000 41,43:211,214:541))").unwrap().qresync.unwrap();
        assert_eq!((all.uid_validity.get(), all.modseq.get()), (67_890_007, 20_050_715_194_045_000));
        assert_eq!((all.known.unwrap().to_string(), all.matches), ("41,43:211,214:541".into(), None));
        let all = resync("(QRESYNC (1 2 1:29997 (5000,9990:9991 15000,29970,29973)) CONDSTORE)").unwrap();
        let matches = all.qresync.unwrap().matches.unwrap();
        assert_eq!(
            (matches.0.to_string(), matches.1.to_string()),
            ("5000,9990:9991".into(), "15000,29970,29973".into())
        );
        let all = resync("(QRESYNC (1 2 (1 2)))").unwrap().qresync.unwrap();
        assert!(all.known.is_none() && all.matches.is_some());
        for text in [
            "(QRESYNC)",
            "(QRESYNC ())",
            "(QRESYNC (1))",
            "(QRESYNC (0 1))",
            "(QRESYNC (1 x))",
            "(QRESYNC (1 9223372036854775808))",
            "(QRESYNC (1 2 1:*))",
            "(QRESYNC (1 2 (1 *)))",
            "(QRESYNC (1 2 (1:2 2)))",
            "(QRESYNC (1 2 1 (1)))",
            "(QRESYNC (1 2 1 ))",
            "(QRESYNC (1 2) QRESYNC (1 2))",
        ] {
            assert!(resync(text).is_err(), "{text}");
        }
        // RFC 7162 §3.2.5: not without ENABLE QRESYNC.
        bad("a SELECT x (QRESYNC (1 2))");
    }

    #[test]
    fn names_that_can_and_cannot_be() {
        assert_eq!(ok("a SELECT inbox"), Command::Select(Select { old_name: Some("inbox".into()), ..inbox() }));
        assert_eq!(ok("a EXAMINE \"INBOX\" "), Command::Examine(inbox()));
        let wildcard = Err(MailboxError::Name(NameError::Wildcard));
        assert_eq!(ok("a SELECT \"a*\""), Command::Select(Select { mailbox: wildcard, ..inbox() }));
        for text in ["a SELECT", "a SELECT ", "a SELECT x y", "a SELECT x (FOO)", "a SELECT x ()", "a SELECT a*"] {
            bad(text);
        }
    }
}
