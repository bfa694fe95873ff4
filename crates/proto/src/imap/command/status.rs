//! STATUS (RFC 9051 §6.3.11, RFC 3501 §6.3.10, RFC 8438, RFC 7889, RFC 9208 §4.1.4).

use types::MailboxName;

use crate::imap::ParseError;
use crate::imap::lex::Cursor;

/// `status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Which mailbox.
    pub mailbox: MailboxName,
    /// What to say of it, without repetitions.
    pub items: Vec<StatusItem>,
}

/// `status-att` of RFC 9051 §9 and RFC 3501 §9.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StatusItem {
    /// `APPENDLIMIT` (RFC 7889)
    AppendLimit,
    /// `DELETED`
    Deleted,
    /// `DELETED-STORAGE` (RFC 9208 §4.1.4)
    DeletedStorage,
    /// `HIGHESTMODSEQ` (RFC 7162 §3.1.7)
    HighestModSeq,
    /// `MAILBOXID` (RFC 8474 §4.3)
    MailboxId,
    /// `MESSAGES`
    Messages,
    /// `RECENT` (RFC 3501)
    Recent,
    /// `SIZE` (RFC 8438)
    Size,
    /// `UIDNEXT`
    UidNext,
    /// `UIDVALIDITY`
    UidValidity,
    /// `UNSEEN`
    Unseen,
}

impl Status {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        let mailbox = c.mailbox()?;
        c.space()?;
        Ok(Self { mailbox, items: parse_items(c)? })
    }
}

/// `"(" status-att *(SP status-att) ")"`, without repetitions; also in LIST-STATUS.
pub(super) fn parse_items(c: &mut Cursor<'_>) -> Result<Vec<StatusItem>, ParseError> {
    let mut items = Vec::new();
    c.list(false, |c| {
        let start = c.clone();
        let item = match c.word("a status item")?.as_str() {
            "APPENDLIMIT" => StatusItem::AppendLimit,
            "DELETED" => StatusItem::Deleted,
            "DELETED-STORAGE" => StatusItem::DeletedStorage,
            "HIGHESTMODSEQ" => StatusItem::HighestModSeq,
            "MAILBOXID" => StatusItem::MailboxId,
            "MESSAGES" => StatusItem::Messages,
            "RECENT" => StatusItem::Recent,
            "SIZE" => StatusItem::Size,
            "UIDNEXT" => StatusItem::UidNext,
            "UIDVALIDITY" => StatusItem::UidValidity,
            "UNSEEN" => StatusItem::Unseen,
            _ => return start.expected("a known status item"),
        };
        if !items.contains(&item) {
            items.push(item);
        }
        Ok(())
    })?;
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, no, ok};
    use super::*;
    use crate::imap::Command;

    #[test]
    fn items() {
        let parsed = |text: &str| match ok(text) {
            Command::Status(x) => (x.mailbox.to_string(), x.items),
            other => panic!("{other:?}"),
        };
        // RFC 9051 §6.3.11
        let items = vec![StatusItem::UidNext, StatusItem::Messages];
        assert_eq!(parsed("A042 STATUS blurdybloop (UIDNEXT MESSAGES)"), ("blurdybloop".into(), items));
        let all = parsed(
            "a STATUS x (messages recent uidnext uidvalidity unseen deleted deleted-storage size appendlimit size)",
        )
        .1;
        assert_eq!(all.len(), 9);
        for text in ["a STATUS x", "a STATUS x ()", "a STATUS x MESSAGES", "a STATUS x (FOO)", "a STATUS x (SIZE )"] {
            bad(text);
        }
        no("a STATUS \"%\" (SIZE)");
    }
}
