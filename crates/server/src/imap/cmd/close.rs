//! CLOSE (RFC 9051 §6.4.1): what is deleted goes without a word, except under EXAMINE.

use store::Error;

use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::{Selected, State};

pub(crate) async fn close(selected: Box<Selected>) -> (State, Outcome) {
    if !selected.read_only {
        match selected.mailbox.expunge(&selected.user.principal, None).await {
            // A mailbox that was deleted in this moment is closed as well.
            Ok(_) | Err(Error::NoSuchMailbox) => {}
            Err(error) => return (State::Selected(selected), Err(error.into())),
        }
    }
    (State::Authenticated(selected.user), Ok(Answer::ok("Closed")))
}
