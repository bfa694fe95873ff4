//! `pillarbox serve`: the server as the configuration wants it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use server::context::{ImapOptions, LmtpOptions, OverQuota};
use server::tls::Tls;
use store::Clock;
use tracing::{error, info, warn};
use types::DateTime;

use crate::config::{Config, Literals, Refusal};
use crate::logging;
use crate::run::{Place, Protocol, Setup, Wanted, run};
use crate::warnings::Warnings;

/// A certificate that ends within so many days is worth a warning.
const WARN_DAYS: i64 = 14;

/// Runs until a signal.
pub(crate) fn serve(path: &Path) -> Result<()> {
    let config = Config::read(path)?;
    logging::init(&config.log);
    let files = config.tls()?.map(|(certificate, key)| (certificate.to_owned(), key.to_owned()));
    let tls = match &files {
        Some((certificate, key)) => Some(Arc::new(load_tls(certificate, key)?)),
        None => {
            warn!("there is no certificate (tls.certificate): STARTTLS is not offered");
            None
        }
    };
    run(setup(&config, tls.clone())?, async |server, signals| {
        server.announce()?;
        signals
            .wait(|| {
                if let (Some(tls), Some((certificate, key))) = (&tls, &files) {
                    reload_tls(tls, certificate, key);
                }
            })
            .await;
        Ok(())
    })
}

fn setup(config: &Config, tls: Option<Arc<Tls>>) -> Result<Setup> {
    let tcp = |protocol, option, addresses: &[std::net::SocketAddr]| -> Vec<Wanted> {
        addresses.iter().map(|&address| Wanted { protocol, place: Place::Tcp(address), option }).collect()
    };
    let mut wanted = tcp(Protocol::Imap, "imap.listen in the configuration", &config.imap.listen);
    wanted.extend(tcp(Protocol::Imaps, "imaps.listen in the configuration", &config.imaps.listen));
    wanted.extend(tcp(Protocol::Lmtp, "lmtp.listen in the configuration", &config.lmtp.listen));
    wanted.extend(config.lmtp.socket.iter().map(|path| Wanted {
        protocol: Protocol::Lmtp,
        place: Place::Unix { path: path.clone(), mode: config.socket_mode() },
        option: "lmtp.socket in the configuration",
    }));
    let over_quota = match config.lmtp.over_quota {
        Refusal::Temporary => OverQuota::Temporary,
        Refusal::Permanent => OverQuota::Permanent,
    };
    let mut store = config.store_options()?;
    let warnings = Warnings::new(&config.quota.warning_command, &mut store.quota);
    Ok(Setup {
        store_path: config.store.path.clone(),
        engine: config.engine_options(),
        store,
        tls,
        wanted,
        hostname: config.hostname.clone().unwrap_or_else(machine_name),
        imap: ImapOptions {
            plaintext_login_on_loopback: config.imap.plaintext_login_on_loopback,
            literal_minus: config.imap.literals == Literals::Minus,
            off: config.off()?,
        },
        lmtp: LmtpOptions { domains: config.lmtp.domains.clone(), over_quota },
        warnings,
    })
}

/// The machine's name, as far as it can stand in a greeting.
fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if fits { name } else { "localhost".to_owned() }
}

fn load_tls(certificate: &Path, key: &Path) -> Result<Tls> {
    let (chain, secret) = read_pair(certificate, key)?;
    let tls = Tls::new(&chain, &secret).with_context(|| named(certificate, key))?;
    warn_of_end(&tls);
    Ok(tls)
}

fn reload_tls(tls: &Tls, certificate: &Path, key: &Path) {
    let replaced = read_pair(certificate, key).and_then(|(chain, secret)| Ok(tls.replace(&chain, &secret)?));
    match replaced {
        Ok(()) => {
            info!("{} read again", named(certificate, key));
            warn_of_end(tls);
        }
        Err(error) => error!("{}: {error:#}; going on with the old ones", named(certificate, key)),
    }
}

fn read_pair(certificate: &Path, key: &Path) -> Result<(Vec<u8>, Vec<u8>)> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    Ok((read(certificate)?, read(key)?))
}

fn named(certificate: &Path, key: &Path) -> String {
    format!("certificate {} and key {}", certificate.display(), key.display())
}

fn warn_of_end(tls: &Tls) {
    let Some(end) = tls.not_after() else { return };
    let civil = DateTime::utc(end).civil();
    let date = format!("{:04}-{:02}-{:02}", civil.year, civil.month, civil.day);
    let left = end.0 - store::SystemClock.now().0;
    if left < 0 {
        warn!("the certificate ended on {date}: clients will refuse it");
    } else if left < WARN_DAYS * 86_400 {
        warn!("the certificate ends on {date}");
    }
}
