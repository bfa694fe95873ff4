//! What a quota counts (RFC 9208 §5).

use std::fmt;

/// A resource that an account uses and that may be limited.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Resource {
    /// The octets of all messages (RFC 9208 §5.1).
    Storage,
    /// The messages (RFC 9208 §5.2).
    Message,
    /// The mailboxes (RFC 9208 §5.3).
    Mailbox,
    /// The octets of all annotations (RFC 9208 §5.4).
    AnnotationStorage,
}

/// One value for each resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Resources<T> {
    /// [`Resource::Storage`]
    pub storage: T,
    /// [`Resource::Message`]
    pub message: T,
    /// [`Resource::Mailbox`]
    pub mailbox: T,
    /// [`Resource::AnnotationStorage`]
    pub annotation_storage: T,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Storage, Self::Message, Self::Mailbox, Self::AnnotationStorage];

    /// The largest limit that can be set: limits are numbers of 63 bits (RFC 9208 §10).
    pub const MAX_LIMIT: u64 = u64::MAX / 2;

    /// Its name in the IANA registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Storage => "STORAGE",
            Self::Message => "MESSAGE",
            Self::Mailbox => "MAILBOX",
            Self::AnnotationStorage => "ANNOTATION-STORAGE",
        }
    }

    /// By its name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.name().eq_ignore_ascii_case(name))
    }

    /// How many octets or things make one unit of a limit (RFC 9208 §5.1, §5.4).
    pub fn unit(self) -> u64 {
        match self {
            Self::Storage | Self::AnnotationStorage => 1024,
            Self::Message | Self::Mailbox => 1,
        }
    }

    /// An amount, of octets or things, in the units in which it is limited and reported. A unit that is begun counts:
    /// so the amount is within a limit exactly where this number is.
    pub fn in_units(self, amount: u64) -> u64 {
        amount.div_ceil(self.unit())
    }
}

/// For people.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Storage => "storage",
            Self::Message => "messages",
            Self::Mailbox => "mailboxes",
            Self::AnnotationStorage => "annotations",
        })
    }
}

impl<T> Resources<T> {
    /// The value that `f` gives for each.
    pub fn each(mut f: impl FnMut(Resource) -> T) -> Self {
        Self {
            storage: f(Resource::Storage),
            message: f(Resource::Message),
            mailbox: f(Resource::Mailbox),
            annotation_storage: f(Resource::AnnotationStorage),
        }
    }

    /// The value of one.
    pub fn get(&self, resource: Resource) -> &T {
        match resource {
            Resource::Storage => &self.storage,
            Resource::Message => &self.message,
            Resource::Mailbox => &self.mailbox,
            Resource::AnnotationStorage => &self.annotation_storage,
        }
    }

    /// The value of one, to be changed.
    pub fn get_mut(&mut self, resource: Resource) -> &mut T {
        match resource {
            Resource::Storage => &mut self.storage,
            Resource::Message => &mut self.message,
            Resource::Mailbox => &mut self.mailbox,
            Resource::AnnotationStorage => &mut self.annotation_storage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_is_begun_counts() {
        let units = |amount| Resource::Storage.in_units(amount);
        assert_eq!((units(0), units(1), units(1024), units(1025)), (0, 1, 1, 2));
        assert_eq!(units(u64::MAX), 1 << 54);
        assert_eq!(Resource::Message.in_units(7), 7);
    }

    #[test]
    fn names_have_no_case_and_places_no_mix() {
        for resource in Resource::ALL {
            assert_eq!(Resource::parse(&resource.name().to_lowercase()), Some(resource));
            let mut all = Resources::each(|each| each.name());
            assert_eq!(*all.get(resource), resource.name());
            *all.get_mut(resource) = "";
            assert_eq!(Resource::ALL.into_iter().filter(|&each| all.get(each).is_empty()).count(), 1);
        }
        assert_eq!(Resource::parse("STORAG"), None);
    }
}
