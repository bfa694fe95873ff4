//! LOGIN (RFC 9051 §6.2.3), and what every way to log in ends with.

use auth::{Credentials, PasswordHash, Secret};
use proto::imap::Code;
use proto::imap::command::Login;
use store::AccountRecord;
use tracing::info;
use types::{AccountName, Principal};

use crate::imap::answer::{Answer, Failure, sentence};
use crate::imap::capability::{capabilities, may_send_password};
use crate::imap::dispatch::Room;
use crate::imap::lost::Lost;
use crate::imap::state::{Authenticated, NotAuthenticated};
use crate::login::LoginError;

pub(crate) async fn login(
    stranger: &mut NotAuthenticated,
    room: &mut Room<'_>,
    login: Login,
) -> Result<(Authenticated, Answer), Failure> {
    if !may_send_password(room.wire, room.server) {
        return Err(privacy_required());
    }
    // All passwords are UTF-8 and none is empty, so the empty one stands for what cannot be right.
    let password = Secret::from_utf8(login.password.expose().to_vec()).unwrap_or_else(|| Secret::from(""));
    enter(stranger, room, Credentials { name: login.user, password }).await
}

/// RFC 5530 §3: the connection is not private enough.
pub(crate) fn privacy_required() -> Failure {
    Failure::no(Code::PrivacyRequired, "Use TLS first: a password would be readable on the way")
}

/// Lets somebody in, or not. RFC 9051 §7.1: an unknown name and a wrong password are one answer,
/// after the same time.
pub(crate) async fn enter(
    stranger: &mut NotAuthenticated,
    room: &mut Room<'_>,
    credentials: Credentials,
) -> Result<(Authenticated, Answer), Failure> {
    let server = room.server;
    let name = AccountName::new(&credentials.name).ok();
    let kept = name.as_ref().and_then(|name| server.store.kept_account(name));
    let recognised = |record: &AccountRecord| {
        stored_hash(record).is_some_and(|hash| server.login.recognises(&credentials, record.id, &hash))
    };
    if let Some(record) = kept.filter(recognised) {
        return admit(room, record);
    }
    // Read for everybody else: the work does not tell whether somebody of that name was here.
    let record = name.map(|name| server.store.read_account(&name)).transpose()?.flatten();
    let party = room.wire.party();
    let stored = record.as_ref().and_then(|record| Some((record.id, stored_hash(record)?)));
    match (room.wire.while_there(server.login.check(party, &credentials, stored)).await?, record) {
        (Ok(_), Some(record)) => admit(room, record),
        (Err(LoginError::Busy), _) => Err(Failure::no(Code::Unavailable, "Too many logins at this moment; try again")),
        (Err(LoginError::Wrong) | Ok(_), _) => {
            stranger.failures += 1;
            info!("imap: {}: a login as {:?} failed", room.wire.peer(), credentials.name);
            Err(Failure::no(Code::AuthenticationFailed, "The name or the password is wrong"))
        }
    }
}

fn stored_hash(record: &AccountRecord) -> Option<PasswordHash> {
    record.password_hash.parse().ok()
}

fn admit(room: &mut Room<'_>, record: AccountRecord) -> Result<(Authenticated, Answer), Failure> {
    let account = room.server.store.account(record.id)?;
    // RFC 5530 §3 LIMIT, and not a failed authentication: clients would ask for the password again.
    let too_many = |error: crate::connections::TooMany| Failure::no(Code::Limit, sentence(&error));
    room.admission.log_in(record.id).map_err(too_many)?;
    room.wire.logged_in(record.id, &room.server.limits);
    room.wire.switch_off(room.server.imap.off.and(&record.off), &room.server.imap);
    let principal = Principal { account: record.id };
    let user = Authenticated { name: record.name, principal, account, lost: Lost::No };
    let code = Code::Capability(capabilities(room.wire, room.server, true));
    Ok((user, Answer::ok("Logged in").with(code)))
}
