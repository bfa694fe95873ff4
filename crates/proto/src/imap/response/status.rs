//! STATUS responses (RFC 9051 §7.3.3, RFC 3501 §7.2.4, RFC 8438, RFC 7889, RFC 9208).

use types::{MailboxName, ModSeq, Uid, UidValidity};

use super::{Encoder, text};
use crate::imap::ObjectId;

/// `status-att-val` of RFC 9051 §9 and RFC 3501 §9.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StatusValue {
    /// `APPENDLIMIT` (RFC 7889 §3): octets; `None` where there is no limit.
    AppendLimit(Option<u64>),
    /// `DELETED`
    Deleted(u32),
    /// `DELETED-STORAGE` (RFC 9208 §4.1.4): octets.
    DeletedStorage(u64),
    /// `HIGHESTMODSEQ` (RFC 7162 §3.1.7)
    HighestModSeq(ModSeq),
    /// `MAILBOXID` (RFC 8474 §4.3)
    MailboxId(ObjectId),
    /// `MESSAGES`
    Messages(u32),
    /// `RECENT` (RFC 3501)
    Recent(u32),
    /// `SIZE` (RFC 8438): octets.
    Size(u64),
    /// `UIDNEXT`
    UidNext(Uid),
    /// `UIDVALIDITY`
    UidValidity(UidValidity),
    /// `UNSEEN`: how many, unlike the response code.
    Unseen(u32),
}

impl Encoder<'_> {
    /// `STATUS` (RFC 9051 §7.3.3)
    pub fn status(&mut self, name: &MailboxName, values: &[StatusValue]) {
        self.out.extend_from_slice(b"* STATUS ");
        text::mailbox(self.out, name, self.dialect);
        self.out.extend_from_slice(b" (");
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                self.out.push(b' ');
            }
            let (item, number) = match value {
                StatusValue::AppendLimit(limit) => ("APPENDLIMIT ", *limit),
                StatusValue::Deleted(n) => ("DELETED ", Some((*n).into())),
                StatusValue::DeletedStorage(n) => ("DELETED-STORAGE ", Some(*n)),
                StatusValue::HighestModSeq(modseq) => ("HIGHESTMODSEQ ", Some(modseq.get())),
                StatusValue::MailboxId(id) => {
                    self.out.extend_from_slice(format!("MAILBOXID ({id})").as_bytes());
                    continue;
                }
                StatusValue::Messages(n) => ("MESSAGES ", Some((*n).into())),
                StatusValue::Recent(n) => ("RECENT ", Some((*n).into())),
                StatusValue::Size(n) => ("SIZE ", Some(*n)),
                StatusValue::UidNext(uid) => ("UIDNEXT ", Some(uid.get().into())),
                StatusValue::UidValidity(validity) => ("UIDVALIDITY ", Some(validity.get().into())),
                StatusValue::Unseen(n) => ("UNSEEN ", Some((*n).into())),
            };
            self.out.extend_from_slice(item.as_bytes());
            match number {
                Some(number) => text::number(self.out, number),
                None => self.out.extend_from_slice(b"NIL"),
            }
        }
        self.out.push(b')');
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Dialect;

    #[test]
    fn values() {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, Dialect::default());
        let uid = Uid::new(44_292).unwrap();
        let name = MailboxName::new("blurdybloop").unwrap();
        // RFC 9051 §6.3.11, RFC 7889 §3
        encoder.status(&name, &[StatusValue::Messages(231), StatusValue::UidNext(uid), StatusValue::AppendLimit(None)]);
        encoder.status(&MailboxName::inbox(), &[]);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "* STATUS \"blurdybloop\" (MESSAGES 231 UIDNEXT 44292 APPENDLIMIT NIL)\r\n* STATUS \"INBOX\" ()\r\n"
        );
    }
}
