//! LIST (RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154).

use super::{StatusItem, status};
use crate::imap::lex::Cursor;
use crate::imap::{ListPattern, ParseError, mailbox};

/// `list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// Which mailboxes; default where the client gave no selection options.
    pub select: ListSelection,
    /// The reference, decoded. Already part of the patterns.
    pub reference: String,
    /// The patterns that are not empty, each with the reference in front.
    pub patterns: Vec<ListPattern>,
    /// `LIST "" ""` in its basic form: asks for the hierarchy delimiter and the root of the
    /// reference, and nothing else (RFC 9051 §6.3.9).
    pub delimiter_only: bool,
    /// What to say about them; default where the client gave no return options.
    pub returns: ListReturn,
}

/// Selection options (RFC 5258 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ListSelection {
    /// The client sent selection options, if only `()`: the command is extended (RFC 5258 §3).
    pub given: bool,
    /// `SUBSCRIBED`: the subscribed names, existing or not. Implies the return option.
    pub subscribed: bool,
    /// `REMOTE`: remote mailboxes too (we have none).
    pub remote: bool,
    /// `RECURSIVEMATCH`: also parents of what matches, with CHILDINFO.
    pub recursive_match: bool,
    /// `SPECIAL-USE` (RFC 6154 §2): only mailboxes with such a use.
    pub special_use: bool,
}

/// Return options (RFC 5258 §3.2, RFC 5819, RFC 6154).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListReturn {
    /// The client sent return options, if only `()`: the command is extended (RFC 5258 §3).
    pub given: bool,
    /// `SUBSCRIBED`: say what is subscribed.
    pub subscribed: bool,
    /// `CHILDREN`: say what has children.
    pub children: bool,
    /// `SPECIAL-USE`: say what is for what.
    pub special_use: bool,
    /// `STATUS (…)`: a STATUS response for each selectable mailbox (RFC 5819); empty if not asked.
    pub status: Vec<StatusItem>,
}

impl List {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        let mut select = ListSelection::default();
        if c.peek() == Some(b'(') {
            select = ListSelection::parse(c)?;
            c.space()?;
        }
        let reference = parse_reference(c)?;
        c.space()?;
        let several = c.peek() == Some(b'(');
        let patterns = if several { parse_patterns(c, &reference)? } else { vec![parse_pattern(c, &reference)?] };
        let asked_for_nothing = patterns.iter().all(|(_, empty)| *empty);
        let mut returns = ListReturn::default();
        if c.eat(b' ') && !c.rest().is_empty() {
            if !c.eat_word("RETURN") {
                return c.expected("RETURN");
            }
            c.space()?;
            returns = ListReturn::parse(c)?;
        }
        // RFC 5258 §3.1, RFC 6154 §2: these selection options imply the return options.
        returns.subscribed |= select.subscribed;
        returns.special_use |= select.special_use;
        // RFC 5258 §3: in the extended form an empty pattern is nothing special.
        let delimiter_only = asked_for_nothing && !several && !select.given && !returns.given;
        // RFC 5258 §3: there, empty ones are ignored for the purpose of matching.
        let patterns = patterns.into_iter().filter(|(_, empty)| !empty).map(|(pattern, _)| pattern).collect();
        Ok(Self { select, reference, patterns, delimiter_only, returns })
    }
}

impl ListSelection {
    /// `list-select-opts = "(" [list-select-opt *(SP list-select-opt)] ")"`
    fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let mut select = Self { given: true, ..Self::default() };
        c.list(true, |c| {
            let start = c.clone();
            match c.word("a selection option")?.as_str() {
                "SUBSCRIBED" => select.subscribed = true,
                "REMOTE" => select.remote = true,
                "RECURSIVEMATCH" => select.recursive_match = true,
                "SPECIAL-USE" => select.special_use = true,
                // RFC 5258 §3: an unknown option is BAD.
                _ => return start.expected("a known selection option"),
            }
            Ok(())
        })?;
        // RFC 5258 §3.1: RECURSIVEMATCH needs an option that is a base option, which only SUBSCRIBED is.
        if select.recursive_match && !select.subscribed {
            return Err(ParseError::bad("RECURSIVEMATCH needs SUBSCRIBED"));
        }
        Ok(select)
    }
}

impl ListReturn {
    /// `list-return-opts = "RETURN" SP "(" [list-return-opt *(SP list-return-opt)] ")"`
    fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let mut returns = Self { given: true, ..Self::default() };
        c.list(true, |c| {
            let start = c.clone();
            match c.word("a return option")?.as_str() {
                "SUBSCRIBED" => returns.subscribed = true,
                "CHILDREN" => returns.children = true,
                "SPECIAL-USE" => returns.special_use = true,
                "STATUS" => {
                    c.space()?;
                    returns.status = status::parse_items(c)?;
                }
                _ => return start.expected("a known return option"),
            }
            Ok(())
        })?;
        Ok(returns)
    }
}

/// The reference: a `mailbox` that may be empty and need not be a name.
pub(super) fn parse_reference(c: &mut Cursor<'_>) -> Result<String, ParseError> {
    let octets = c.astring("a reference name")?;
    Ok(mailbox::decode_text(&octets, c.dialect).unwrap_or_else(|_| String::from_utf8_lossy(&octets).into()))
}

/// One `list-mailbox`, joined to the reference; and whether it is empty.
pub(super) fn parse_pattern(c: &mut Cursor<'_>, reference: &str) -> Result<(ListPattern, bool), ParseError> {
    let octets = c.list_mailbox()?;
    Ok((ListPattern::new(reference, &octets, c.dialect), octets.is_empty()))
}

/// `patterns = "(" list-mailbox *(SP list-mailbox) ")"` (RFC 5258 §6)
fn parse_patterns(c: &mut Cursor<'_>, reference: &str) -> Result<Vec<(ListPattern, bool)>, ParseError> {
    let (mut count, most) = (0, c.limits.list_patterns);
    c.list(false, |c| {
        count += 1;
        if count > most { Err(ParseError::limit("patterns", most)) } else { parse_pattern(c, reference) }
    })
}

#[cfg(test)]
mod tests {
    use types::MailboxName;

    use super::super::tests::{bad, no, ok};
    use super::*;
    use crate::imap::Command;

    fn parsed(text: &str) -> List {
        match ok(&format!("a LIST {text}")) {
            Command::List(l) => l,
            other => panic!("{other:?}"),
        }
    }

    fn matches(list: &List, name: &str) -> bool {
        list.patterns.iter().any(|p| p.matches(&MailboxName::new(name).unwrap()))
    }

    #[test]
    fn basic() {
        let l = parsed("\"\" *");
        assert!(matches(&l, "a/b") && !l.delimiter_only && !l.select.given && !l.returns.given);
        let l = parsed("~/Mail/ %");
        assert!(matches(&l, "~/Mail/foo") && !matches(&l, "foo"));
        // RFC 9051 §6.3.9: asks for the hierarchy delimiter.
        let l = parsed("\"\" \"\"");
        assert!(l.delimiter_only && l.patterns.is_empty());
        let l = parsed("foo \"\"");
        assert!(l.delimiter_only && !matches(&l, "foo"));
        assert_eq!(l.reference, "foo");
        for text in ["", "x", "\"\"  *", "\"\" * x", "\"\" (", "* \"\"", "\"\" *) x"] {
            bad(&format!("a LIST {text}"));
        }
    }

    #[test]
    fn extended() {
        // RFC 5258 §5
        let l = parsed("(SUBSCRIBED RECURSIVEMATCH) \"\" \"*\"");
        assert!(l.select.subscribed && l.select.recursive_match && l.returns.subscribed);
        let l = parsed("(remote) \"\" % return (children)");
        assert!(l.select.remote && l.returns.children && !l.returns.subscribed);
        let l = parsed("() \"\" (INBOX \"Drafts\" Sent/% \"\") RETURN ()");
        assert!(l.select.given && l.returns.given && l.patterns.len() == 3 && !l.delimiter_only);
        assert!(matches(&l, "INBOX") && matches(&l, "Sent/x") && !matches(&l, "Trash"));
        assert!(!parsed("() \"\" \"\"").delimiter_only && !parsed("\"\" (\"\")").delimiter_only);
        assert!(!parsed("\"\" \"\" RETURN ()").delimiter_only);
        // RFC 6154 §5.2
        assert!(parsed("(SPECIAL-USE) \"\" \"*\"").returns.special_use);
        // RFC 5819 §2
        let l = parsed("\"\" % RETURN (STATUS (MESSAGES UNSEEN) SPECIAL-USE)");
        assert_eq!(l.returns.status, [StatusItem::Messages, StatusItem::Unseen]);
        assert!(l.returns.special_use);
    }

    #[test]
    fn combinations_that_are_not_allowed() {
        // RFC 5258 §3.1
        for text in [
            "(RECURSIVEMATCH) \"\" *",
            "(REMOTE RECURSIVEMATCH) \"\" *",
            "(SPECIAL-USE RECURSIVEMATCH) \"\" *",
            "(FOO) \"\" *",
            "\"\" * RETURN (FOO)",
            "\"\" * RETURN",
            "\"\" * RETURN CHILDREN",
            "\"\" ()",
            "\"\" * RETURN (STATUS)",
            "\"\" * RETURN (STATUS ())",
        ] {
            bad(&format!("a LIST {text}"));
        }
    }

    #[test]
    fn both_sides_of_the_limit() {
        let many = |n: usize| format!("\"\" ({})", vec!["x"; n].join(" "));
        assert_eq!(parsed(&many(100)).patterns.len(), 100);
        no(&format!("a LIST {}", many(101)));
    }
}
