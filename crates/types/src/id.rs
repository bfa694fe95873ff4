//! The numbers of the protocol and of the store, one type for each meaning.

use std::fmt;
use std::num::NonZeroU32;

macro_rules! display {
    ($name:ident, $field:ident => $value:expr) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $field = self;
                write!(f, "{}", $value)
            }
        }
    };
}

/// A number that an [`crate::IdSet`] can hold: `1..=u32::MAX`, as `nz-number` in RFC 9051 §9.
pub trait Number: Copy + Ord + fmt::Debug {
    /// The number, never zero.
    fn get(self) -> u32;
    /// `None` for zero.
    fn new(n: u32) -> Option<Self>;
}

macro_rules! nonzero {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The smallest: 1.
            pub const MIN: Self = Self(NonZeroU32::MIN);
            /// The largest: 4294967295.
            pub const MAX: Self = Self(NonZeroU32::MAX);

            /// `None` for zero.
            pub const fn new(n: u32) -> Option<Self> {
                match NonZeroU32::new(n) {
                    Some(n) => Some(Self(n)),
                    None => None,
                }
            }

            /// The number, never zero.
            pub const fn get(self) -> u32 {
                self.0.get()
            }

            /// The number after this one, `None` at the end of the range.
            pub const fn next(self) -> Option<Self> {
                match self.0.checked_add(1) {
                    Some(n) => Some(Self(n)),
                    None => None,
                }
            }
        }

        impl Number for $name {
            #[inline]
            fn get(self) -> u32 {
                self.0.get()
            }
            #[inline]
            fn new(n: u32) -> Option<Self> {
                NonZeroU32::new(n).map(Self)
            }
        }

        display!($name, n => n.0);
    };
}

nonzero! {
    /// A message's unique identifier in its mailbox (RFC 9051 §2.3.1.1): ascending, never reused.
    Uid
}
nonzero! {
    /// A message's sequence number in one session's view (RFC 9051 §2.3.1.2).
    SeqNum
}
nonzero! {
    /// What makes UIDs comparable between sessions (RFC 9051 §2.3.1.1).
    UidValidity
}

/// A mod-sequence (RFC 7162 §3.1): 63 bits, ascending in a mailbox. Zero is "before everything".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ModSeq(u64);

impl ModSeq {
    /// Before every change.
    pub const ZERO: Self = Self(0);
    /// The largest that fits the 63 bits of RFC 7162 §7.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// `None` where the number does not fit in 63 bits (RFC 7162 §7).
    pub const fn new(n: u64) -> Option<Self> {
        if n <= Self::MAX.0 { Some(Self(n)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The mod-sequence of the next change. Stays at the maximum, which a mailbox changed a
    /// million times a second reaches after 292,000 years.
    pub const fn next(self) -> Self {
        if self.0 < Self::MAX.0 { Self(self.0 + 1) } else { self }
    }
}
display!(ModSeq, n => n.0);

macro_rules! store_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub u64);
        display!($name, n => n.0);
    };
}

store_id! {
    /// An account, for its whole life; never reused. Account 0 holds the list of accounts.
    AccountId
}
store_id! {
    /// A mailbox of an account (RFC 8474 §4): unchanged by RENAME, never reused.
    MailboxId
}
store_id! {
    /// The immutable content of a message in an account (RFC 8474 §5.1): unchanged by COPY and
    /// MOVE, never reused.
    EmailId
}
store_id! {
    /// A conversation in an account (RFC 8474 §5.2): never reused.
    ThreadId
}

impl AccountId {
    /// The account that holds the list of accounts; nobody can log in to it.
    pub const DIRECTORY: Self = Self(0);
}
