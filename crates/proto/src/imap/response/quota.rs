//! QUOTA and QUOTAROOT responses (RFC 9208 §4.2).

use types::{MailboxName, Resource};

use super::{Encoder, text};

impl Encoder<'_> {
    /// `quota-response = "QUOTA" SP quota-root-name SP quota-list`: each resource that is limited, with
    /// its usage and its limit in units.
    pub fn quota(&mut self, root: &str, resources: impl IntoIterator<Item = (Resource, u64, u64)>) {
        self.out.extend_from_slice(b"* QUOTA ");
        self.quota_root_name(root);
        self.out.extend_from_slice(b" (");
        for (i, (resource, usage, limit)) in resources.into_iter().enumerate() {
            if i > 0 {
                self.out.push(b' ');
            }
            self.out.extend_from_slice(resource.name().as_bytes());
            self.out.push(b' ');
            text::number(self.out, usage);
            self.out.push(b' ');
            text::number(self.out, limit);
        }
        self.out.push(b')');
        self.end();
    }

    /// `quotaroot-response = "QUOTAROOT" SP mailbox *(SP quota-root-name)`
    pub fn quota_root(&mut self, mailbox: &MailboxName, root: &str) {
        self.out.extend_from_slice(b"* QUOTAROOT ");
        text::mailbox(self.out, mailbox, self.dialect);
        self.out.push(b' ');
        self.quota_root_name(root);
        self.end();
    }

    /// `quota-root-name = astring`. Beyond ASCII it is a literal, unless quoted strings may be UTF-8.
    fn quota_root_name(&mut self, root: &str) {
        if root.is_ascii() || self.dialect.unicode_names() {
            text::quoted(self.out, root);
        } else {
            self.out.extend_from_slice(format!("{{{}}}\r\n{root}", root.len()).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Dialect;

    fn written(dialect: Dialect, f: impl FnOnce(&mut Encoder<'_>)) -> String {
        let mut out = Vec::new();
        f(&mut Encoder::new(&mut out, dialect));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lists_of_three() {
        let both = [(Resource::Storage, 54, 111), (Resource::Message, 42, 1000)];
        // RFC 9208 §4.1.3
        assert_eq!(
            written(Dialect::REV1, |e| e.quota("#user/alice", both)),
            "* QUOTA \"#user/alice\" (STORAGE 54 111 MESSAGE 42 1000)\r\n"
        );
        assert_eq!(written(Dialect::REV1, |e| e.quota("", [])), "* QUOTA \"\" ()\r\n");
    }

    #[test]
    fn names_beyond_ascii() {
        let rev2 = Dialect { rev2: true, ..Dialect::REV1 };
        let name = MailboxName::new("Entwürfe").unwrap();
        assert_eq!(
            written(Dialect::REV1, |e| e.quota_root(&name, "jörg")),
            "* QUOTAROOT \"Entw&APw-rfe\" {5}\r\njörg\r\n"
        );
        assert_eq!(written(rev2, |e| e.quota_root(&name, "jörg")), "* QUOTAROOT \"Entwürfe\" \"jörg\"\r\n");
    }
}
