//! Takes the messages of one FETCH, in any order, as they arrive: their octets go to the store, and nothing of their
//! size is held in memory.

use std::collections::BTreeMap;

use message::{Header, parse_date};
use store::{Account, Incoming, Received};
use types::{DateTime, Flags, IdSet, Uid};

use super::Failure;
use super::connection::Listener;
use super::progress::Progress;
use super::response::{Content, Fetched, Response};
use super::session::Messages;
use crate::lines::ToCrlf;

/// Octets of a header in which a date is looked for.
const MAX_HEAD: usize = 16 << 10;

/// A message that came, or why it did not.
pub(super) type Outcome = Result<Arrived, String>;

/// A message that came.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) content: Received,
    pub(super) flags: Flags,
    pub(super) internal_date: Option<DateTime>,
}

/// See the module.
pub(super) struct Receiver<'a> {
    account: &'a Account,
    asked: &'a IdSet<Uid>,
    listed: &'a Messages,
    progress: &'a Progress,
    current: Option<Current>,
    pub(super) outcomes: BTreeMap<Uid, Outcome>,
}

/// The message that is arriving.
struct Current {
    incoming: Result<Incoming, String>,
    crlf: ToCrlf,
    head: Vec<u8>,
    /// Where lines have CRLF already, it is what came.
    out: Vec<u8>,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(
        account: &'a Account,
        asked: &'a IdSet<Uid>,
        listed: &'a Messages,
        progress: &'a Progress,
    ) -> Self {
        Self { account, asked, listed, progress, current: None, outcomes: BTreeMap::new() }
    }

    fn take(&mut self, octets: &[u8]) -> Result<(), Failure> {
        let mut current = match self.current.take() {
            Some(current) => current,
            None => {
                let incoming = Ok(self.account.receive()?);
                Current { incoming, crlf: ToCrlf::default(), head: vec![], out: vec![] }
            }
        };
        self.progress.octets(octets.len() as u64);
        let room = MAX_HEAD.saturating_sub(current.head.len()).min(octets.len());
        current.head.extend_from_slice(octets.get(..room).unwrap_or_default());
        current.crlf.push(octets, &mut current.out);
        if let Ok(incoming) = &mut current.incoming {
            match incoming.push(&current.out) {
                Ok(()) => {}
                // The rest of it is read and goes nowhere.
                Err(error @ store::Error::TooBig { .. }) => current.incoming = Err(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        current.out.clear();
        self.current = Some(current);
        Ok(())
    }

    fn arrived(&mut self, mut fetched: Fetched) -> Result<(), Failure> {
        // Without content it is about another message, or about flags that changed.
        let Some(content) = fetched.content.take() else {
            self.current = None;
            return Ok(());
        };
        if let Content::Here(octets) = &content {
            self.take(octets)?;
        }
        let current = self.current.take();
        // RFC 3501 §6.4.8 demands the UID; where one message was asked for, there is no doubt without it.
        let only = self.asked.first().filter(|_| self.asked.len() == 1);
        let Some(uid) = fetched.uid.or(only).filter(|uid| self.asked.contains(*uid)) else { return Ok(()) };
        if self.outcomes.contains_key(&uid) {
            return Ok(());
        }
        let outcome = match current {
            Some(current) => self.finish(current, uid, &fetched)?,
            None => self.empty(content, uid, &fetched)?,
        };
        self.outcomes.insert(uid, outcome);
        Ok(())
    }

    fn finish(&self, current: Current, uid: Uid, fetched: &Fetched) -> Result<Outcome, Failure> {
        let incoming = match current.incoming {
            Ok(incoming) => incoming,
            Err(why) => return Ok(Err(why)),
        };
        let listed = self.listed.get(&uid);
        let given = fetched.internal_date.as_deref().and_then(parse_date);
        let internal_date = given
            .or_else(|| listed?.internal_date)
            .or_else(|| Header::new(&current.head).first("Date").and_then(|field| parse_date(field.value)));
        let flags = fetched.flags.clone().or_else(|| listed?.flags.as_deref().cloned()).unwrap_or_default();
        Ok(Ok(Arrived { content: incoming.finish()?, flags, internal_date }))
    }

    /// A message without octets: that is what some servers give for one that they have lost.
    fn empty(&self, content: Content, uid: Uid, fetched: &Fetched) -> Result<Outcome, Failure> {
        let size = self.listed.get(&uid).and_then(|listed| listed.size).or(fetched.size);
        if content == Content::Nothing || size.is_some_and(|size| size > 0) {
            return Ok(Err("the server sends nothing in its place".to_owned()));
        }
        let current =
            Current { incoming: Ok(self.account.receive()?), crlf: ToCrlf::default(), head: vec![], out: vec![] };
        self.finish(current, uid, fetched)
    }
}

impl Listener for Receiver<'_> {
    fn octets(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.take(octets)
    }

    fn response(&mut self, response: Response) -> Result<(), Failure> {
        match response {
            Response::Fetch(fetched) => self.arrived(fetched),
            _ => {
                // Octets of a response that made no sense behind them are nobody's.
                self.current = None;
                Ok(())
            }
        }
    }
}
