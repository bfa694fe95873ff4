//! How each error of the store is answered: the only table (RFC 5530, RFC 9051 §7.1).

use proto::imap::Code;
use store::Error;

use super::answer::{Answer, sentence};

/// The answer to a command that the store refused; `None` where the fault is ours, so that the
/// session logs it and answers [SERVERBUG].
pub(crate) fn refusal(error: &Error) -> Option<Answer> {
    let code = match error {
        Error::NoSuchMailbox | Error::NoSuchQuotaRoot => Code::NonExistent,
        // RFC 9051 §6.3.12, §6.4.7: the client may try again after CREATE.
        Error::NoSuchTarget => Code::TryCreate,
        Error::MailboxExists => Code::AlreadyExists,
        Error::HasChildren => Code::HasChildren,
        Error::Cannot(_) | Error::Name(_) | Error::Flag(_) => Code::Cannot,
        Error::Limit(_) => Code::Limit,
        // RFC 7889 §4
        Error::TooBig { .. } => Code::TooBig,
        // RFC 5530 §3: "or if there is not enough disk space".
        Error::DiskFull => Code::OverQuota,
        // RFC 9208 §4.3.1
        Error::OverQuota(_) => Code::OverQuota,
        Error::NotPermitted => Code::NoPerm,
        Error::Expunged => Code::ExpungeIssued,
        // RFC 6154 §5.2: the special use could not be set.
        Error::SpecialUseTaken | Error::SpecialUseUnsupported => Code::UseAttr,
        Error::Conflict => Code::InUse,
        Error::Internal => Code::ServerBug,
        // The account was deleted while this session lived.
        Error::NoSuchAccount => Code::Unavailable,
        Error::AccountExists | Error::Damaged(_) | Error::Engine(_) => return None,
    };
    Some(Answer::no(code, sentence(error)))
}

#[cfg(test)]
mod tests {
    use proto::imap::response::Condition;

    use super::*;

    #[test]
    fn refusals_have_codes_and_faults_have_none() {
        let code = |error: Error| refusal(&error).and_then(|answer| answer.code);
        assert_eq!(code(Error::NoSuchMailbox), Some(Code::NonExistent));
        assert_eq!(code(Error::NoSuchTarget), Some(Code::TryCreate));
        assert_eq!(code(Error::Expunged), Some(Code::ExpungeIssued));
        assert_eq!(code(Error::DiskFull), Some(Code::OverQuota));
        assert_eq!(code(Error::SpecialUseTaken), Some(Code::UseAttr));
        // Whoever reads the log is to be told, and the client no details.
        assert!(refusal(&Error::Damaged("/var/lib/x".to_owned())).is_none());
        let answer = refusal(&Error::TooBig { limit: 7 }).unwrap();
        assert_eq!(
            (answer.condition, &*answer.text),
            (Condition::No, "The message is larger than the 7 octets allowed")
        );
    }
}
