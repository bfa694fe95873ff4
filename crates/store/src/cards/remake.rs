//! Cards that are made anew, of bodies.

use std::sync::Arc;

use engine::{Blob, BlobId, FromBlobs, Write};
use message::{Card, Message, Parser};
use types::{AccountId, EmailId, Limits};

use super::Pack;

/// Makes the cards of bodies again that a crash has taken; for the engine. It has the limits of the store, by which they
/// were made when the messages came.
#[derive(Clone, Debug, Default)]
pub struct CardsOfBodies(pub Arc<Limits>);

impl FromBlobs for CardsOfBodies {
    fn make(&self, account: AccountId, blobs: &[(BlobId, Arc<dyn Blob>)]) -> Result<Vec<Write>, engine::Error> {
        let mut pack = Pack::default();
        // The bodies of the directory are no messages.
        let bodies = if account == AccountId::DIRECTORY { &[] } else { blobs };
        for (BlobId(email), body) in bodies {
            pack.push(EmailId(*email), Card::from_message(&parse(&**body, &self.0, |_| false)?));
        }
        Ok(pack.finish())
    }
}

/// Parses a body, until that is enough.
pub(crate) fn parse(body: &dyn Blob, limits: &Limits, enough: fn(&Parser) -> bool) -> Result<Message, engine::Error> {
    let mut parser = Parser::new(limits);
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < body.size() && !enough(&parser) {
        let end = body.size().min(at + 0x1_0000);
        buffer.clear();
        body.read(at..end, &mut buffer)?;
        parser.push(&buffer);
        at = end;
    }
    Ok(parser.finish())
}
