//! AUTHENTICATE (RFC 9051 §6.2.2) with initial response (RFC 4959).

use auth::{Mechanism, SaslError, Step};
use proto::imap::Code;
use proto::imap::command::{Authenticate, SaslResponse};

use super::login::{enter, privacy_required};
use crate::imap::answer::{Answer, Failure, sentence};
use crate::imap::capability::may_send_password;
use crate::imap::dispatch::Room;
use crate::imap::state::{Authenticated, NotAuthenticated};

pub(crate) async fn authenticate(
    stranger: &mut NotAuthenticated,
    room: &mut Room<'_>,
    first: Authenticate,
) -> Result<(Authenticated, Answer), Failure> {
    // RFC 9051 §6.2.2: NO for a mechanism that is not supported.
    let mechanism = Mechanism::parse(&first.mechanism)
        .ok_or_else(|| Failure::no(Code::Cannot, "There is no such authentication mechanism here"))?;
    if mechanism.shows_password() && !may_send_password(room.wire, room.server) {
        return Err(privacy_required());
    }
    let mut step = mechanism.start(first.initial.as_ref().map(|initial| initial.expose()));
    loop {
        match step.map_err(refused)? {
            Step::Check(credentials) => return enter(stranger, room, credentials).await,
            Step::Challenge(challenge, exchange) => {
                room.wire.encoder().challenge(&challenge);
                match room.wire.line(SaslResponse::parse).await?? {
                    // RFC 9051 §6.2.2: the client cancels; the answer is BAD.
                    SaslResponse::Cancel => return Err(Failure::bad("Cancelled")),
                    SaslResponse::Data(response) => step = exchange.respond(response.expose()),
                }
            }
        }
    }
}

fn refused(error: SaslError) -> Failure {
    match error {
        SaslError::Malformed(what) => Failure::bad(what),
        SaslError::Authorization => Failure::no(Code::AuthorizationFailed, sentence(&error)),
    }
}
