//! What all sessions of a server share.

use std::sync::Arc;

use auth::FingerprintKey;
use store::{Clock, Store};
use types::Limits;

use crate::imap::switch::Off;
use crate::lent::Lender;
use crate::login::LoginGate;
use crate::tls::Tls;

/// The server as its sessions see it.
pub struct Context {
    /// Where the mail is.
    pub store: Store,
    /// What time it is, as the store sees it.
    pub clock: Arc<dyn Clock>,
    /// What a peer may ask.
    pub limits: Arc<Limits>,
    /// For STARTTLS; without it nothing is offered.
    pub tls: Option<Arc<Tls>>,
    /// Who gets in.
    pub login: LoginGate,
    /// What connections hold while they wait for their clients.
    pub lender: Arc<Lender>,
    /// The name in greetings and in `Received:`.
    pub hostname: String,
    /// What the configuration says about IMAP.
    pub imap: ImapOptions,
    /// What the configuration says about LMTP.
    pub lmtp: LmtpOptions,
}

impl Context {
    /// Of a store, with its limits, where nothing else is configured. Logins are recognised under `key`.
    pub fn new(store: Store, clock: Arc<dyn Clock>, key: FingerprintKey) -> Self {
        let limits = Arc::clone(store.limits());
        let (login, lender) = (LoginGate::new(&limits, key), Lender::new(&limits));
        let (imap, lmtp) = (ImapOptions::default(), LmtpOptions::default());
        Self { store, clock, limits, tls: None, login, lender, hostname: "localhost".to_owned(), imap, lmtp }
    }
}

/// What the configuration says about IMAP.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImapOptions {
    /// Local peers ([`crate::stream::Peer::is_local`]) may log in without TLS.
    pub plaintext_login_on_loopback: bool,
    /// `LITERAL-` instead of `LITERAL+` (RFC 7888).
    pub literal_minus: bool,
    /// The capabilities that nobody is offered.
    pub off: Off,
}

/// What the configuration says about LMTP.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LmtpOptions {
    /// The domains of recipients that are ours; empty is any.
    pub domains: Vec<String>,
    /// How mail for an account over its quota is refused.
    pub over_quota: OverQuota,
}

/// What becomes of mail for an account over its quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OverQuota {
    /// The MTA keeps it and tries again: `452 4.2.2`.
    #[default]
    Temporary,
    /// The sender gets it back: `552 5.2.2`.
    Permanent,
}
