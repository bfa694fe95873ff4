//! The configuration: one TOML file, strict, every option documented in `pillarbox.toml` next to this file.
//!
//! An unknown key is an error that names its line and the nearest key there is. Relative paths are
//! taken from the directory of the file.

mod limits;
pub(crate) mod units;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use server::imap::switch::Off;
use types::{AccountName, Limits, MailboxName, Resource, Resources, SpecialUse};

use limits::LimitsTable;
pub(crate) use units::Span;
use units::{Ceiling, Mode, Percent, Size};

/// The example file: every option, with its default and what it means.
pub(crate) const EXAMPLE: &str = include_str!("pillarbox.toml");

/// The whole file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) hostname: Option<String>,
    pub(crate) store: StoreTable,
    pub(crate) tls: TlsTable,
    pub(crate) imap: ImapTable,
    pub(crate) imaps: ImapsTable,
    pub(crate) lmtp: LmtpTable,
    pub(crate) accounts: AccountsTable,
    pub(crate) quota: QuotaTable,
    pub(crate) retention: RetentionTable,
    pub(crate) log: LogTable,
    limits: LimitsTable,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreTable {
    pub(crate) path: PathBuf,
    copies: usize,
    copy_interval: Span,
    reserve: Size,
    compression: Compression,
    reclaim_share: Percent,
    reclaim_rate: Size,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compression {
    None,
    Zstd,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TlsTable {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ImapTable {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) plaintext_login_on_loopback: bool,
    pub(crate) literals: Literals,
    quota_administrators: Vec<String>,
    disabled_capabilities: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Literals {
    Plus,
    Minus,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ImapsTable {
    pub(crate) listen: Vec<SocketAddr>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LmtpTable {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) socket: Option<PathBuf>,
    socket_mode: Mode,
    pub(crate) domains: Vec<String>,
    pub(crate) over_quota: Refusal,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Refusal {
    Temporary,
    Permanent,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionTable {
    expunged: Span,
    history: Span,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AccountsTable {
    folders: Vec<FolderTable>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderTable {
    name: String,
    #[serde(default, rename = "use")]
    special_use: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct QuotaTable {
    storage: Ceiling<Size>,
    messages: Ceiling<u64>,
    mailboxes: Ceiling<u64>,
    warnings: Vec<u8>,
    pub(crate) warning_command: Vec<PathBuf>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogTable {
    pub(crate) level: LogLevel,
    pub(crate) format: LogFormat,
    pub(crate) time: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Default for StoreTable {
    fn default() -> Self {
        let engine::local::Options { reserve, reclaim, .. } = Default::default();
        Self {
            path: "/var/lib/pillarbox".into(),
            copies: 3,
            copy_interval: Span(Duration::from_secs(3600)),
            reserve: Size(reserve),
            compression: Compression::None,
            reclaim_share: Percent(reclaim.dead_share),
            reclaim_rate: Size(reclaim.rate),
        }
    }
}

impl Default for ImapTable {
    fn default() -> Self {
        Self {
            listen: everywhere(143),
            plaintext_login_on_loopback: false,
            literals: Literals::Plus,
            quota_administrators: vec![],
            disabled_capabilities: vec![],
        }
    }
}

impl Default for ImapsTable {
    fn default() -> Self {
        Self { listen: everywhere(993) }
    }
}

impl Default for LmtpTable {
    fn default() -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 24));
        Self {
            listen: vec![loopback],
            socket: None,
            socket_mode: Mode(0o660),
            domains: vec![],
            over_quota: Refusal::Temporary,
        }
    }
}

impl Default for AccountsTable {
    fn default() -> Self {
        let folder = |name: &str| FolderTable { name: name.to_owned(), special_use: format!("\\{name}") };
        Self { folders: ["Drafts", "Sent", "Junk", "Trash", "Archive"].map(folder).into() }
    }
}

impl Default for QuotaTable {
    fn default() -> Self {
        Self {
            storage: Ceiling(None),
            messages: Ceiling(None),
            mailboxes: Ceiling(None),
            warnings: vec![80, 95],
            warning_command: vec![],
        }
    }
}

impl Default for RetentionTable {
    fn default() -> Self {
        let store::Retention { expunged, history } = store::Retention::default();
        Self { expunged: Span(expunged), history: Span(history) }
    }
}

impl Default for LogTable {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Text, time: true }
    }
}

fn everywhere(port: u16) -> Vec<SocketAddr> {
    vec![SocketAddr::from(([0; 4], port)), SocketAddr::from(([0; 8], port))]
}

impl Config {
    /// Reads the file; every complaint names it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let mut config = Self::parse(&text).with_context(|| format!("in the configuration {}", path.display()))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let paths = [&mut config.tls.certificate, &mut config.tls.key, &mut config.lmtp.socket];
        let program = config.quota.warning_command.first_mut();
        for path in paths.into_iter().flatten().chain([&mut config.store.path]).chain(program) {
            *path = directory.join(&*path);
        }
        Ok(config)
    }

    /// Parses and checks what can be checked without looking at the machine.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|error| anyhow::anyhow!(explain(&error)))?;
        config.folders()?;
        config.quota()?;
        config.off()?;
        if config.tls()?.is_none() && !config.imaps.listen.is_empty() {
            bail!(
                "imaps.listen needs a certificate: set tls.certificate and tls.key, or write `listen = []` under [imaps]"
            );
        }
        // RFC 2033 §5: "it MUST NOT be used on the TCP service port 25".
        if config.lmtp.listen.iter().any(|address| address.port() == 25) {
            bail!("lmtp.listen cannot use port 25, which is for SMTP (RFC 2033 §5)");
        }
        if config.store.copy_interval.0.as_secs() < 60 {
            bail!("store.copy_interval must be at least 1m; write `copies = 0` for no copies");
        }
        if config.limits.limits().idle_timeout.as_secs() < 30 * 60 {
            bail!("limits.idle_timeout must be at least 30m (RFC 9051 §5.4)");
        }
        Ok(config)
    }

    /// How the store is to behave.
    pub(crate) fn store_options(&self) -> Result<store::Options> {
        let retention = store::Retention { expunged: self.retention.expunged.0, history: self.retention.history.0 };
        let (limits, default_mailboxes) = (self.limits().into(), self.folders()?);
        Ok(store::Options { limits, default_mailboxes, quota: self.quota()?, retention })
    }

    /// What accounts may use, and who may change that.
    fn quota(&self) -> Result<store::QuotaOptions> {
        let table = &self.quota;
        if table.warnings.iter().any(|percent| !(1..=100).contains(percent)) {
            bail!("quota.warnings are percentages, from 1 to 100");
        }
        let administrator =
            |name: &String| AccountName::new(name).with_context(|| format!("imap.quota_administrators: {name:?}"));
        Ok(store::QuotaOptions {
            defaults: Resources {
                storage: table.storage.0.map(|Size(octets)| Resource::Storage.in_units(octets)),
                message: table.messages.0,
                mailbox: table.mailboxes.0,
                annotation_storage: None,
            },
            administrators: self.imap.quota_administrators.iter().map(administrator).collect::<Result<_>>()?,
            warnings: table.warnings.clone(),
            events: None,
        })
    }

    /// How the server's engine is to keep the store.
    pub(crate) fn engine_options(&self) -> engine::local::Options {
        let StoreTable { copies, copy_interval, reserve, compression, reclaim_share, reclaim_rate, .. } = &self.store;
        let copies = (*copies > 0).then_some(engine::local::Copies { every: copy_interval.0, keep: *copies });
        let reclaim =
            engine::local::Reclaim { dead_share: reclaim_share.0, rate: reclaim_rate.0, ..Default::default() };
        let codec = match compression {
            Compression::None => engine::Codec::None,
            Compression::Zstd => engine::Codec::Zstd,
        };
        engine::local::Options { copies, reserve: reserve.0, codec, reclaim, ..Default::default() }
    }

    /// The same for a store that is opened for one command: nothing happens there by itself.
    pub(crate) fn engine_options_for_once(&self) -> engine::local::Options {
        let options = self.engine_options();
        let reclaim = engine::local::Reclaim { every: None, ..options.reclaim };
        engine::local::Options { copies: None, reclaim, ..options }
    }

    /// The limits.
    pub(crate) fn limits(&self) -> Limits {
        self.limits.limits()
    }

    /// The paths of certificate chain and key, if there is to be TLS.
    pub(crate) fn tls(&self) -> Result<Option<(&Path, &Path)>> {
        match (&self.tls.certificate, &self.tls.key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            (Some(_), None) => bail!("tls.certificate is set, tls.key is not"),
            (None, Some(_)) => bail!("tls.key is set, tls.certificate is not"),
        }
    }

    /// The capabilities that nobody is offered.
    pub(crate) fn off(&self) -> Result<Off> {
        Off::named(&self.imap.disabled_capabilities).context("imap.disabled_capabilities")
    }

    /// Permissions of the LMTP socket.
    pub(crate) fn socket_mode(&self) -> u32 {
        self.lmtp.socket_mode.0
    }

    /// The mailboxes of a new account besides INBOX.
    pub(crate) fn folders(&self) -> Result<Vec<(MailboxName, Option<SpecialUse>)>> {
        let parse = |folder: &FolderTable| {
            let name =
                MailboxName::new(&folder.name).with_context(|| format!("accounts.folders: {:?}", folder.name))?;
            let special_use = match folder.special_use.as_str() {
                "" => None,
                text => {
                    Some(SpecialUse::parse(text).with_context(|| format!("accounts.folders: no such use: {text:?}"))?)
                }
            };
            Ok((name, special_use))
        };
        self.accounts.folders.iter().map(parse).collect()
    }
}

/// The parser's words (which show line and column), with a hint where a key is misspelt.
fn explain(error: &toml::de::Error) -> String {
    let mut text = error.to_string().trim_end().to_owned();
    let message = error.message();
    if message.starts_with("unknown field") {
        // serde names the unknown key first and then the ones there are, each in backquotes.
        let mut names = message.split('`').skip(1).step_by(2);
        let unknown = names.next().unwrap_or_default();
        let distance = |name: &&str| strsim::damerau_levenshtein(name, unknown);
        if let Some(nearest) = names.min_by_key(distance)
            && distance(&nearest) <= 1 + unknown.len() / 3
        {
            text.push_str(&format!("\nDid you mean `{nearest}`?"));
        }
    }
    text
}

#[cfg(test)]
mod tests;
