//! `[limits]`: every field of [`types::Limits`] by its name, in units that people read.

use serde::Deserialize;
use types::Limits;

use super::units::{Size, Span};

/// Declares the table once: names, how each is written, and the way to [`Limits`] and back. A field
/// that `Limits` has and this has not does not compile.
macro_rules! limits {
    ($($name:ident: $kind:ty),* $(,)?) => {
        #[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct LimitsTable {
            $($name: $kind,)*
        }

        impl LimitsTable {
            /// The names of the options, for the documentation's test.
            #[cfg(test)]
            pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];

            pub(crate) fn limits(&self) -> Limits {
                Limits { $($name: self.$name.read(),)* }
            }
        }

        impl Default for LimitsTable {
            fn default() -> Self {
                let limits = Limits::default();
                Self { $($name: Written::write(limits.$name),)* }
            }
        }
    };
}

limits! {
    message_size: Size,
    command_size: Size,
    literal_size: Size,
    drain_size: Size,
    command_size_before_login: Size,
    nesting: usize,
    search_keys: usize,
    set_ranges: usize,
    uid_batches: usize,
    multiappend: usize,
    fetch_items: usize,
    list_patterns: usize,
    errors: u32,
    login_failures: u32,
    login_timeout: Span,
    idle_timeout: Span,
    idle_keepalive: Span,
    progress_after: Span,
    progress_interval: Span,
    write_timeout: Span,
    handshake_timeout: Span,
    connections: usize,
    connections_per_account: usize,
    unauthenticated_per_address: usize,
    mailboxes: usize,
    keywords: usize,
    keywords_per_message: usize,
    subscriptions: usize,
    recipients: usize,
    lmtp_timeout: Span,
    lmtp_line: Size,
    message_line: Size,
    mime_parts: usize,
    mime_depth: usize,
    header_size: Size,
    password_hashes: usize,
    password_queue: usize,
    waiting_memory: Size,
    snapshot_memory: Size,
    change_records: usize,
}

/// A limit as it is written, and as it is used.
trait Written<T> {
    fn read(self) -> T;
    fn write(value: T) -> Self;
}

impl<T> Written<T> for T {
    fn read(self) -> T {
        self
    }
    fn write(value: T) -> Self {
        value
    }
}

impl Written<u64> for Size {
    fn read(self) -> u64 {
        self.0
    }
    fn write(value: u64) -> Self {
        Self(value)
    }
}

impl Written<usize> for Size {
    fn read(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
    fn write(value: usize) -> Self {
        Self(value as u64)
    }
}

impl Written<std::time::Duration> for Span {
    fn read(self) -> std::time::Duration {
        self.0
    }
    fn write(value: std::time::Duration) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_types() {
        assert_eq!(LimitsTable::default().limits(), Limits::default());
    }
}
