//! What a transcript can ask of the server it runs against.

use std::time::Duration;

use server::context::OverQuota;
use types::{Limits, Resource, Resources};

/// The non-synchronising literals that are announced (RFC 7888): one of the two, never both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Literals {
    /// LITERAL+.
    Plus,
    /// LITERAL-.
    Minus,
}

/// How to start the server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Their names; the password of each is `secret`.
    pub accounts: Vec<String>,
    /// The limits on peers.
    pub limits: Limits,
    /// Which extension of RFC 7888.
    pub literals: Literals,
    /// The quota of every account, in units.
    pub quota: Resources<Option<u64>>,
    /// Who may set quotas.
    pub quota_administrators: Vec<String>,
    /// What becomes of mail over quota.
    pub over_quota: OverQuota,
    /// LOGIN and PLAIN without TLS, which the configuration can allow on loopback.
    pub plaintext_login: bool,
    /// Capabilities that are switched off for everybody.
    pub off: Vec<String>,
    /// Capabilities that are switched off for one account, which `accounts` has.
    pub account_off: Vec<(String, Vec<String>)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            accounts: vec!["alice".into()],
            limits: Limits::default(),
            literals: Literals::Plus,
            quota: Resources::default(),
            quota_administrators: Vec::new(),
            over_quota: OverQuota::Temporary,
            plaintext_login: true,
            off: vec![],
            account_off: vec![],
        }
    }
}

impl Options {
    /// Sets one option: `literals=plus|minus`, `plaintext=allow|refuse`, `over_quota=temporary|permanent`,
    /// `quota_administrator=NAME`, `quota.RESOURCE=UNITS`, `off=MOVE,ID`, `off:alice=MOVE,ID`, or a limit by its name.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match (key, value) {
            ("literals", "plus") => self.literals = Literals::Plus,
            ("literals", "minus") => self.literals = Literals::Minus,
            ("plaintext", "allow") => self.plaintext_login = true,
            ("plaintext", "refuse") => self.plaintext_login = false,
            ("over_quota", "temporary") => self.over_quota = OverQuota::Temporary,
            ("over_quota", "permanent") => self.over_quota = OverQuota::Permanent,
            ("quota_administrator", name) => self.quota_administrators.push(name.to_owned()),
            _ if key.starts_with("quota.") => return self.set_quota(key, value),
            ("off", names) => self.off = names.split(',').map(str::to_owned).collect(),
            (key, names) if key.starts_with("off:") => {
                let account = key.trim_start_matches("off:").to_owned();
                self.account_off.push((account, names.split(',').map(str::to_owned).collect()));
            }
            _ => return set_limit(&mut self.limits, key, value),
        }
        Ok(())
    }

    fn set_quota(&mut self, key: &str, value: &str) -> Result<(), String> {
        let resource =
            key.strip_prefix("quota.").and_then(Resource::parse).ok_or_else(|| format!("no resource: {key}"))?;
        *self.quota.get_mut(resource) = Some(Value::read(value)?);
        Ok(())
    }
}

/// `30m`, `90s`, `1500ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let n: u64 = digits.parse().map_err(|_| format!("no duration: {text}"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(n)),
        "s" => Ok(Duration::from_secs(n)),
        "m" => Ok(Duration::from_secs(n * 60)),
        "h" => Ok(Duration::from_secs(n * 3600)),
        "d" => Ok(Duration::from_secs(n * 86400)),
        _ => Err(format!("no duration: {text}")),
    }
}

/// A limit is a number or a duration; either knows how to read itself.
trait Value: Sized {
    fn read(text: &str) -> Result<Self, String>;
}

impl Value for Duration {
    fn read(text: &str) -> Result<Self, String> {
        duration(text)
    }
}

macro_rules! numbers {
    ($($t:ty),*) => {$(
        impl Value for $t {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("no number: {text}"))
            }
        }
    )*};
}
numbers!(u32, u64, usize);

macro_rules! limits {
    ($($name:ident)*) => {
        fn set_limit(limits: &mut Limits, key: &str, value: &str) -> Result<(), String> {
            match key {
                $(stringify!($name) => limits.$name = Value::read(value)?,)*
                _ => return Err(format!("no option or limit: {key}")),
            }
            Ok(())
        }
    };
}
limits! {
    message_size command_size literal_size drain_size command_size_before_login nesting search_keys fetch_items
    list_patterns
    set_ranges uid_batches multiappend errors login_failures login_timeout idle_timeout idle_keepalive progress_after progress_interval write_timeout
    handshake_timeout connections connections_per_account unauthenticated_per_address mailboxes keywords
    keywords_per_message subscriptions recipients lmtp_timeout lmtp_line message_line mime_parts mime_depth header_size
    password_hashes password_queue waiting_memory snapshot_memory change_records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_set_by_name() {
        let mut o = Options::default();
        o.set("literals", "minus").unwrap();
        o.set("errors", "3").unwrap();
        o.set("idle_timeout", "31m").unwrap();
        assert_eq!((o.literals, o.limits.errors), (Literals::Minus, 3));
        assert_eq!(o.limits.idle_timeout, Duration::from_secs(31 * 60));
        o.set("quota.storage", "7").unwrap();
        assert_eq!(o.quota.storage, Some(7));
        assert!(o.set("quota.beds", "7").is_err());
        assert!(o.set("error", "3").is_err() && o.set("errors", "x").is_err());
    }
}
