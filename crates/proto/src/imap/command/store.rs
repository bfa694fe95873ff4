//! STORE and UID STORE (RFC 9051 §6.4.6, RFC 7162 §3.1.3).

use types::{Flags, ModSeq};

use crate::imap::lex::Cursor;
use crate::imap::{Ids, ParseError};

/// `store = "STORE" SP sequence-set [SP store-modifiers] SP store-att-flags`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// Which messages.
    pub ids: Ids,
    /// What to do with the flags.
    pub mode: StoreMode,
    /// `.SILENT`: the client wants no FETCH about its own change.
    pub silent: bool,
    /// The flags.
    pub flags: Flags,
    /// `UNCHANGEDSINCE` (RFC 7162 §3.1.3).
    pub unchanged_since: Option<ModSeq>,
}

/// What STORE does with its flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreMode {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

impl Store {
    pub(super) fn parse(c: &mut Cursor<'_>, by_uid: bool) -> Result<Self, ParseError> {
        c.space()?;
        let ids = c.ids(by_uid)?;
        c.space()?;
        let mut unchanged_since = None;
        if c.peek() == Some(b'(') {
            unchanged_since = Some(parse_modifier(c)?);
            c.space()?;
        }
        let (mode, silent) = parse_mode(c)?;
        c.space()?;
        let (flags, at_next_argument) = parse_flags(c)?;
        // imapflow sends the modifier behind the flags.
        if unchanged_since.is_none() && (at_next_argument || c.eat(b' ')) && c.peek() == Some(b'(') {
            unchanged_since = Some(parse_modifier(c)?);
        }
        Ok(Self { ids, mode, silent, flags, unchanged_since })
    }
}

/// `["+" / "-"] "FLAGS" [".SILENT"]`
fn parse_mode(c: &mut Cursor<'_>) -> Result<(StoreMode, bool), ParseError> {
    let start = c.clone();
    let mode = if c.eat(b'+') {
        StoreMode::Add
    } else if c.eat(b'-') {
        StoreMode::Remove
    } else {
        StoreMode::Replace
    };
    match c.word("FLAGS")?.as_str() {
        "FLAGS" => Ok((mode, false)),
        "FLAGS.SILENT" => Ok((mode, true)),
        _ => start.expected("FLAGS, +FLAGS or -FLAGS"),
    }
}

/// `flag-list / (flag *(SP flag))`; says whether the space after the last flag is already read.
fn parse_flags(c: &mut Cursor<'_>) -> Result<(Flags, bool), ParseError> {
    if c.peek() == Some(b'(') {
        return Ok((c.flag_list()?, false));
    }
    let mut flags = Flags::NONE;
    c.flag_into(&mut flags)?;
    while c.eat(b' ') {
        if matches!(c.peek(), None | Some(b'(' | b' ')) {
            return Ok((flags, true));
        }
        c.flag_into(&mut flags)?;
    }
    Ok((flags, false))
}

/// `"(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")"` (RFC 7162 §7)
fn parse_modifier(c: &mut Cursor<'_>) -> Result<ModSeq, ParseError> {
    c.expect(b'(', "an opening parenthesis")?;
    if !c.eat_word("UNCHANGEDSINCE") {
        return c.expected("UNCHANGEDSINCE");
    }
    c.space()?;
    let modseq = c.modseq()?;
    c.expect(b')', "a closing parenthesis")?;
    Ok(modseq)
}

#[cfg(test)]
mod tests {
    use types::Flag;

    use super::super::tests::{bad, no, ok};
    use super::*;
    use crate::imap::Command;

    fn parsed(text: &str) -> Store {
        match ok(text) {
            Command::Store(x) => x,
            other => panic!("{other:?}"),
        }
    }

    fn names(flags: &Flags) -> Vec<String> {
        flags.iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn modes_and_flags() {
        // RFC 9051 §6.4.6
        let s = parsed("A003 STORE 2:4 +FLAGS (\\Deleted)");
        assert_eq!((s.mode, s.silent, names(&s.flags)), (StoreMode::Add, false, vec!["\\Deleted".to_owned()]));
        let s = parsed("a UID STORE $ -flags.silent \\seen $Junk");
        assert_eq!((s.mode, s.silent, s.ids), (StoreMode::Remove, true, Ids::Saved { by_uid: true }));
        assert_eq!(names(&s.flags), ["\\Seen", "$Junk"]);
        let s = parsed("a STORE 1 FLAGS ()");
        assert!(s.mode == StoreMode::Replace && s.flags.is_empty());
        for text in [
            "a STORE",
            "a STORE 1",
            "a STORE 1 FLAGS",
            "a STORE 1 FLAGS ",
            "a STORE 1 *FLAGS (x)",
            "a STORE 1 FLAGS.LOUD (x)",
            "a STORE 1 FLAGS (\\Recent)",
            "a STORE 1 FLAGS x  y",
            "a STORE 1 FLAGS (x",
            "a STORE 1 FLAGS (x) y",
            "a STORE 1 FLAGS x)",
        ] {
            bad(text);
        }
        let many = |n: usize| format!("a STORE 1 FLAGS {}", (0..n).map(|i| format!("k{i} ")).collect::<String>());
        assert_eq!(parsed(&many(200)).flags.keywords().len(), 200);
        no(&many(201));
    }

    #[test]
    fn unchangedsince_where_the_rfc_has_it_and_where_imapflow_has_it() {
        for text in [
            "a STORE 1 (UNCHANGEDSINCE 12121230045) +FLAGS.SILENT (\\Deleted)",
            "a STORE 1 +FLAGS.SILENT (\\Deleted) (UNCHANGEDSINCE 12121230045)",
            "a STORE 1 +FLAGS.SILENT \\Deleted (unchangedsince 12121230045)",
        ] {
            let s = parsed(text);
            assert_eq!((s.unchanged_since, s.flags.contains(&Flag::Deleted)), (ModSeq::new(12_121_230_045), true));
        }
        for text in [
            "a STORE 1 (UNCHANGEDSINCE 1) FLAGS x (UNCHANGEDSINCE 1)",
            "a STORE 1 (UNCHANGEDSINCE) FLAGS x",
            "a STORE 1 (FOO 1) FLAGS x",
            "a STORE 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS x",
        ] {
            bad(text);
        }
    }
}
