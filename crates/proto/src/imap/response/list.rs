//! LIST, LSUB and NAMESPACE responses (RFC 9051 §7.3.1, §7.3.2, RFC 3501 §7.2.3, RFC 5258, RFC 2342).

use types::{MailboxName, SpecialUse};

use super::{Encoder, text, words};

/// `mbx-list-flags` (RFC 9051 §7.3.1, RFC 5258 §4, RFC 6154 §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListAttribute {
    /// `\HasChildren`
    HasChildren,
    /// `\HasNoChildren`
    HasNoChildren,
    /// `\Marked`
    Marked,
    /// `\NoInferiors`
    NoInferiors,
    /// `\NonExistent`: implies `\Noselect`; also send that to clients that may not know this one.
    NonExistent,
    /// `\Noselect`
    NoSelect,
    /// `\Remote`
    Remote,
    /// `\Subscribed`
    Subscribed,
    /// `\Unmarked`
    Unmarked,
    /// `\Drafts` and so on.
    SpecialUse(SpecialUse),
}

impl ListAttribute {
    fn as_str(self) -> &'static str {
        match self {
            Self::HasChildren => "\\HasChildren",
            Self::HasNoChildren => "\\HasNoChildren",
            Self::Marked => "\\Marked",
            Self::NoInferiors => "\\NoInferiors",
            Self::NonExistent => "\\NonExistent",
            Self::NoSelect => "\\Noselect",
            Self::Remote => "\\Remote",
            Self::Subscribed => "\\Subscribed",
            Self::Unmarked => "\\Unmarked",
            Self::SpecialUse(usage) => usage.as_str(),
        }
    }
}

/// One mailbox of a LIST or LSUB answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListEntry<'a> {
    /// Its attributes.
    pub attributes: &'a [ListAttribute],
    /// Its name.
    pub name: &'a MailboxName,
    /// `CHILDINFO ("SUBSCRIBED")`: listed because something below it matches (RFC 5258 §3.5).
    pub child_subscribed: bool,
    /// `OLDNAME`: how the client or an earlier time called it (RFC 9051 §6.3.9.7).
    pub old_name: Option<&'a str>,
}

impl Encoder<'_> {
    /// `mailbox-list` (RFC 9051 §7.3.1)
    pub fn list(&mut self, entry: ListEntry<'_>) {
        self.entry("* LIST (", entry);
        let mut between = " (";
        if entry.child_subscribed {
            // RFC 9051 §9 childinfo-extended-item: the options are always quoted.
            self.out.extend_from_slice(between.as_bytes());
            self.out.extend_from_slice(b"\"CHILDINFO\" (\"SUBSCRIBED\")");
            between = " ";
        }
        if let Some(old) = entry.old_name {
            self.out.extend_from_slice(between.as_bytes());
            self.out.extend_from_slice(b"\"OLDNAME\" (");
            text::mailbox_text(self.out, old, self.dialect);
            self.out.push(b')');
            between = " ";
        }
        if between == " " {
            self.out.push(b')');
        }
        self.end();
    }

    /// The answer to `LIST "" ""`: the hierarchy separator and an empty root (RFC 9051 §6.3.9).
    pub fn list_delimiter(&mut self) {
        self.out.extend_from_slice(b"* LIST (\\Noselect) \"/\" \"\"");
        self.end();
    }

    /// The answer to an LSUB with an empty pattern; see [`Self::list_delimiter`].
    pub fn lsub_delimiter(&mut self) {
        self.out.extend_from_slice(b"* LSUB (\\Noselect) \"/\" \"\"");
        self.end();
    }

    /// `LSUB` (RFC 3501 §7.2.3): without extended data.
    pub fn lsub(&mut self, entry: ListEntry<'_>) {
        self.entry("* LSUB (", entry);
        self.end();
    }

    /// `namespace-response` (RFC 2342 §5): everything is in one personal namespace.
    pub fn namespace(&mut self) {
        self.out.extend_from_slice(b"* NAMESPACE ((\"\" \"/\")) NIL NIL");
        self.end();
    }

    fn entry(&mut self, start: &str, entry: ListEntry<'_>) {
        self.out.extend_from_slice(start.as_bytes());
        words(self.out, entry.attributes.iter().map(|a| a.as_str()));
        self.out.extend_from_slice(b") \"/\" ");
        text::mailbox(self.out, entry.name, self.dialect);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Dialect;

    fn written(f: impl FnOnce(&mut Encoder<'_>)) -> String {
        let mut out = Vec::new();
        f(&mut Encoder::new(&mut out, Dialect::default()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn extended_data() {
        let (name, old) = (MailboxName::new("Foo").unwrap(), MailboxName::new("f\u{fc}").unwrap());
        let attributes = [ListAttribute::Subscribed, ListAttribute::NonExistent];
        let mut entry = ListEntry { attributes: &attributes, name: &name, child_subscribed: false, old_name: None };
        let plain = r#"* LIST (\Subscribed \NonExistent) "/" "Foo""#;
        assert_eq!(written(|e| e.list(entry)), format!("{plain}\r\n"));
        // RFC 5258 §5, example 8
        entry.child_subscribed = true;
        assert_eq!(written(|e| e.list(entry)), format!("{plain} (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"));
        // RFC 9051 §6.3.9.7
        entry.old_name = Some(old.as_str());
        let both = r#"("CHILDINFO" ("SUBSCRIBED") "OLDNAME" ("f&APw-"))"#;
        assert_eq!(written(|e| e.list(entry)), format!("{plain} {both}\r\n"));
        entry.child_subscribed = false;
        assert_eq!(written(|e| e.list(entry)), format!("{plain} (\"OLDNAME\" (\"f&APw-\"))\r\n"));
        // RFC 3501 §7.2.3: LSUB has none.
        entry.attributes = &[];
        assert_eq!(written(|e| e.lsub(entry)), "* LSUB () \"/\" \"Foo\"\r\n");
    }

    #[test]
    fn fixed_ones() {
        // RFC 9051 §6.3.9
        assert_eq!(written(|e| e.list_delimiter()), "* LIST (\\Noselect) \"/\" \"\"\r\n");
        // RFC 2342 §5
        assert_eq!(written(|e| e.namespace()), "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    }
}
