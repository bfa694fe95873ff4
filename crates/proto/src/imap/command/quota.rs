//! GETQUOTA and SETQUOTA (RFC 9208 §4.1.1, §4.1.3).

use types::{Resource, Resources};

use crate::imap::ParseError;
use crate::imap::lex::Cursor;

/// `quota-root-name = astring`: an opaque string; what is not UTF-8 names no root of ours.
///
/// `getquota = "GETQUOTA" SP quota-root-name`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuotaRoot(pub String);

/// `setquota = "SETQUOTA" SP quota-root-name SP setquota-list`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetQuota {
    /// Whose limits.
    pub root: QuotaRoot,
    /// The limits, in the units of the resources; `None` for what is not listed.
    pub limits: Resources<Option<u64>>,
    /// A resource that is listed and that we do not know, in capitals.
    pub unknown: Option<String>,
}

impl QuotaRoot {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        Ok(Self(String::from_utf8_lossy(&c.astring("a quota root")?).into_owned()))
    }
}

impl SetQuota {
    /// `setquota-list = "(" [setquota-resource *(SP setquota-resource)] ")"`
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let mut set = Self { root: QuotaRoot::parse(c)?, limits: Resources::default(), unknown: None };
        c.space()?;
        c.list(true, |c| set.resource(c))?;
        Ok(set)
    }

    /// `setquota-resource = resource-name SP resource-limit`, `resource-limit = number64`
    fn resource(&mut self, c: &mut Cursor<'_>) -> Result<(), ParseError> {
        let start = c.clone();
        let name = c.word("a resource")?;
        c.space()?;
        let limit = c.number64()?;
        match Resource::parse(&name) {
            None => self.unknown = Some(name),
            // RFC 9208 says nothing of two limits for one resource: neither is meant more than the other.
            Some(resource) if self.limits.get(resource).is_some() => return start.expected("another resource"),
            Some(resource) => *self.limits.get_mut(resource) = Some(limit),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, ok};
    use super::*;
    use crate::imap::Command;

    fn set(text: &str) -> SetQuota {
        match ok(text) {
            Command::SetQuota(set) => set,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn roots_are_strings() {
        // RFC 9208 §4.1.1, §4.1.3
        assert_eq!(ok("G0001 GETQUOTA \"!partition/sda4\""), Command::GetQuota(QuotaRoot("!partition/sda4".into())));
        assert_eq!(ok("a getquota \"\""), Command::GetQuota(QuotaRoot(String::new())));
        assert_eq!(ok("a GETQUOTA {3}\r\na b"), Command::GetQuota(QuotaRoot("a b".into())));
        for text in ["a GETQUOTA", "a GETQUOTA ", "a GETQUOTA x y", "a GETQUOTA (x)"] {
            bad(text);
        }
    }

    #[test]
    fn limits() {
        let one = set("S0001 SETQUOTA \"#user/alice\" (STORAGE 510)");
        let limits = Resources { storage: Some(510), ..Resources::default() };
        assert_eq!(one, SetQuota { root: QuotaRoot("#user/alice".into()), limits, unknown: None });
        let all = set("a SETQUOTA x (message 0 ANNOTATION-STORAGE 9223372036854775807 Mailbox 3 storage 4)");
        let limits = Resources {
            storage: Some(4),
            message: Some(0),
            mailbox: Some(3),
            annotation_storage: Some(Resource::MAX_LIMIT),
        };
        assert_eq!((all.limits, all.unknown), (limits, None));
        assert_eq!(set("a SETQUOTA x ()").limits, Resources::default());
        let strange = set("a SETQUOTA x (STORAGE 1 X-Beds 2 X-BEDS 3)");
        assert_eq!((strange.limits.storage, strange.unknown), (Some(1), Some("X-BEDS".into())));
    }

    #[test]
    fn what_is_no_list_of_limits() {
        for list in [
            "",
            "STORAGE 1",
            "(STORAGE)",
            "(STORAGE )",
            "(STORAGE x)",
            "(STORAGE -1)",
            "(STORAGE 9223372036854775808)",
            "(STORAGE 1 STORAGE 1)",
            "(STORAGE 1  MESSAGE 1)",
            "(\"STORAGE\" 1)",
            "(STORAGE 1",
            "() x",
        ] {
            bad(&format!("a SETQUOTA x {list}"));
        }
        bad("a SETQUOTA x");
    }
}
