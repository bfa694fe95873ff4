//! A connection: octets out, whole responses in.

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::transcript::Stream;

/// The connection is no more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gone {
    /// The server said why.
    Bye(String),
    /// It did not, or nobody listens.
    HungUp,
}

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self::HungUp
    }
}

pub(super) struct Wire {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
    tags: u32,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({} tags)", self.tags)
    }
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, unread: vec![], tags: 0 }
    }

    pub(super) fn tag(&mut self) -> String {
        self.tags += 1;
        format!("a{}", self.tags)
    }

    pub(super) async fn send(&mut self, octets: &[u8]) -> Result<(), Gone> {
        if self.stream.write_all(octets).await.is_ok() && self.stream.flush().await.is_ok() {
            return Ok(());
        }
        // It may have said goodbye before.
        loop {
            self.response().await?;
        }
    }

    /// A response without its CRLF; each literal in it stands as `""`.
    pub(super) async fn response(&mut self) -> Result<String, Gone> {
        let mut response = self.line().await?;
        while let Some(literal) = response.rfind('{').filter(|_| response.ends_with('}')) {
            let size = response[literal + 1..response.len() - 1].parse().unwrap();
            self.fill(size).await?;
            self.unread.drain(..size);
            response.replace_range(literal.., "\"\"");
            response.push_str(&self.line().await?);
        }
        match response.strip_prefix("* BYE") {
            Some(why) => Err(Gone::Bye(why.to_owned())),
            None => Ok(response),
        }
    }

    async fn line(&mut self) -> Result<String, Gone> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.unread[looked..].windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..looked + at + 2).collect();
                return Ok(String::from_utf8(line[..line.len() - 2].to_vec()).unwrap());
            }
            looked = self.unread.len().saturating_sub(1);
            self.fill(self.unread.len() + 1).await?;
        }
    }

    /// Until so many octets are there.
    async fn fill(&mut self, size: usize) -> Result<(), Gone> {
        while self.unread.len() < size {
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(Gone::HungUp);
            }
        }
        Ok(())
    }
}

/// What an IMAP server announces in its greeting.
pub async fn announced(stream: Box<dyn Stream>) -> Result<BTreeSet<String>, Gone> {
    let greeting = Wire::new(stream).line().await?;
    let names = between(&greeting, "[CAPABILITY ", "]").unwrap_or_default();
    Ok(names.split(' ').map(str::to_owned).collect())
}

/// Delivers messages by LMTP into alice's INBOX; gives how many were accepted.
pub async fn deliver(stream: Box<dyn Stream>, messages: u64) -> Result<u64, Gone> {
    let mut wire = Wire::new(stream);
    let mut accepted = 0;
    wire.line().await?;
    reply(&mut wire, "LHLO test\r\n").await?;
    for _ in 0..messages {
        reply(&mut wire, "MAIL FROM:<a@example.com>\r\n").await?;
        reply(&mut wire, "RCPT TO:<alice@example.org>\r\n").await?;
        reply(&mut wire, "DATA\r\n").await?;
        accepted += u64::from(reply(&mut wire, "Subject: delivered\r\n\r\n.\r\n").await?.starts_with("250"));
    }
    Ok(accepted)
}

async fn reply(wire: &mut Wire, command: &str) -> Result<String, Gone> {
    wire.send(command.as_bytes()).await?;
    loop {
        let line = wire.line().await?;
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line);
        }
    }
}

/// What stands between two texts.
pub(super) fn between<'l>(line: &'l str, before: &str, after: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}

/// The number behind a text.
pub(super) fn number_after(line: &str, before: &str) -> Option<u64> {
    let (_, rest) = line.split_once(before)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// The numbers of a set without `*`.
pub(super) fn numbers(set: &str) -> impl Iterator<Item = u32> + '_ {
    set.split(',').filter(|range| !range.is_empty()).flat_map(|range| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        first.parse().unwrap()..=last.parse().unwrap()
    })
}

/// A set of these numbers.
pub(super) fn set(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().map(|n| n.to_string()).collect::<Vec<_>>().join(",")
}
