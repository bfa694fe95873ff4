//! The client side of one connection: sends octets, takes whole responses.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::deflated::Deflated;
use super::script::Protocol;
use super::spell::{quoted, spell};

/// Octets both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What comes next from the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A response, its literals spelled as quoted strings.
    Response(String),
    /// The server hung up.
    Eof,
    /// Nothing, for as long as we were willing to wait.
    Silence,
}

pub(crate) struct Session {
    stream: Box<dyn Stream>,
    pub(crate) protocol: Protocol,
    buffer: Vec<u8>,
    eof: bool,
    /// Lines that wait for the next send.
    pub(crate) held: Vec<u8>,
    /// The last response that was taken.
    pub(crate) last: String,
    /// The server said goodbye, or its end was expected.
    pub(crate) ended: bool,
    /// IMAP4rev2 or UTF8=ACCEPT is enabled, so that quoted strings and texts may be UTF-8.
    utf8: bool,
    /// Set where a compressed client sends what it sends as it is.
    plain_out: Arc<AtomicBool>,
    commands: u32,
}

impl Session {
    pub(crate) fn new(stream: Box<dyn Stream>, protocol: Protocol) -> Self {
        let (buffer, held, last) = (Vec::new(), Vec::new(), String::new());
        let plain_out = Arc::default();
        Self { stream, protocol, buffer, eof: false, held, last, ended: false, utf8: false, plain_out, commands: 0 }
    }

    /// A tag of the runner's own.
    pub(crate) fn tag(&mut self) -> String {
        self.commands += 1;
        format!("kit{}", self.commands)
    }

    /// Writes, and reads meanwhile, so that neither side waits for the other for ever. A server
    /// that has hung up is noticed by whoever expects an answer.
    pub(crate) async fn send(&mut self, octets: &[u8]) {
        let sent = String::from_utf8_lossy(octets).to_ascii_uppercase();
        self.utf8 |= sent.contains(" ENABLE IMAP4REV2") || sent.contains(" ENABLE UTF8=ACCEPT");
        let mut rest = octets;
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        while !rest.is_empty() {
            tokio::select! {
                biased;
                written = writer.write(rest) => match written {
                    Ok(n) if n > 0 => rest = rest.get(n..).unwrap_or_default(),
                    _ => return,
                },
                read = reader.read_buf(&mut self.buffer), if !self.eof => {
                    self.eof = !matches!(read, Ok(n) if n > 0);
                }
            }
        }
        let _ = writer.flush().await;
    }

    /// The next response, waiting for `patience` of tokio's clock.
    pub(crate) async fn next(&mut self, patience: Duration) -> Result<Event, String> {
        loop {
            if let Some((response, used)) = take_response(&self.buffer, self.protocol, self.utf8)? {
                self.buffer.drain(..used);
                self.ended |=
                    response.starts_with("* BYE") || response.starts_with("221 ") || response.starts_with("421 ");
                self.last.clone_from(&response);
                return Ok(Event::Response(response));
            }
            if self.eof {
                return if self.buffer.is_empty() {
                    Ok(Event::Eof)
                } else {
                    Err(format!("the connection ended within a line: {}", spell(&self.buffer)))
                };
            }
            match tokio::time::timeout(patience, self.stream.read_buf(&mut self.buffer)).await {
                Ok(read) => self.eof = !matches!(read, Ok(n) if n > 0),
                Err(_) if self.buffer.is_empty() => return Ok(Event::Silence),
                Err(_) => return Err(format!("half a line: {}", spell(&self.buffer))),
            }
        }
    }

    /// The client's side of a TLS handshake.
    pub(crate) async fn handshake(&mut self, config: Arc<rustls::ClientConfig>) -> Result<(), String> {
        if !self.buffer.is_empty() {
            return Err(format!("plaintext before TLS: {}", spell(&self.buffer)));
        }
        let name = rustls::pki_types::ServerName::try_from("localhost").map_err(|e| e.to_string())?;
        let plain = std::mem::replace(&mut self.stream, Box::new(Closed));
        let tls = tokio_rustls::TlsConnector::from(config).connect(name, plain).await;
        self.stream = Box::new(tls.map_err(|e| format!("TLS: {e}"))?);
        Ok(())
    }

    /// Compression from here on (RFC 4978).
    pub(crate) fn deflate(&mut self, flush: &str) -> Result<(), String> {
        let inner = std::mem::replace(&mut self.stream, Box::new(Closed));
        self.plain_out = Arc::default();
        let mut deflated = Deflated::new(inner, flush, Arc::clone(&self.plain_out))?;
        // What came behind the answer is compressed already.
        deflated.unpack(&std::mem::take(&mut self.buffer)).map_err(|error| error.to_string())?;
        self.stream = Box::new(deflated);
        Ok(())
    }

    /// What is sent is not compressed any more; what comes is, until the server ends it.
    pub(crate) fn end_deflate(&mut self) {
        self.plain_out.store(true, Ordering::Relaxed);
    }

    /// Hangs up without a word.
    pub(crate) fn disconnect(&mut self) {
        self.stream = Box::new(Closed);
        self.buffer.clear();
        self.eof = true;
        self.ended = true;
    }
}

/// The first response in `buffer` and its length, once it is whole.
fn take_response(buffer: &[u8], protocol: Protocol, utf8: bool) -> Result<Option<(String, usize)>, String> {
    let (mut out, mut used) = (String::new(), 0);
    loop {
        let rest = buffer.get(used..).unwrap_or_default();
        let Some(end) = rest.iter().position(|b| *b == b'\n') else { return Ok(None) };
        let line = rest.get(..end).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r") else {
            return Err(format!("a line of the server ends without CR: {}", spell(line)));
        };
        // RFC 9051 appendix A: no 8-bit outside of literals before ENABLE IMAP4rev2.
        if !line.is_ascii() && !utf8 {
            return Err(format!("a line of the server has 8-bit characters: {}", spell(line)));
        }
        used += end + 1;
        out.push_str(&spell(line));
        let Some(size) = literal(&out).filter(|_| protocol == Protocol::Imap) else { return Ok(Some((out, used))) };
        let Some(content) = buffer.get(used..).and_then(|rest| rest.get(..size)) else { return Ok(None) };
        out.truncate(out.rfind('{').unwrap_or(out.len()));
        out.push_str(&quoted(&spell(content)));
        used += size;
    }
}

/// The size of the literal that a line of data announces at its end. Texts announce nothing.
fn literal(line: &str) -> Option<usize> {
    let is_status = |word: &str| matches!(word, "OK" | "NO" | "BAD" | "BYE" | "PREAUTH");
    if line.split(' ').nth(1).is_some_and(is_status) || line.starts_with('+') {
        return None;
    }
    let (_, digits) = line.strip_suffix('}')?.rsplit_once('{')?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// A stream that has ended.
struct Closed;

impl AsyncRead for Closed {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Closed {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_cut_at_their_ends() {
        let take = |text: &str| take_response(text.as_bytes(), Protocol::Imap, false);
        assert_eq!(take("* OK x\r\n* OK"), Ok(Some(("* OK x".into(), 8))));
        assert_eq!(take("* OK x\r"), Ok(None));
        assert_eq!(take("* 1 FETCH (BODY[] {4}\r\na\r\nb)\r\n"), Ok(Some(("* 1 FETCH (BODY[] \"a\nb\")".into(), 30))));
        assert_eq!(take("* 1 FETCH (BODY[] {9}\r\na\r\nb)\r\n"), Ok(None));
        assert_eq!(take("* OK {4}\r\n"), Ok(Some(("* OK {4}".into(), 10))));
        assert!(take("* OK x\n").is_err());
        assert!(take("* OK ü\r\n").is_err());
        assert!(take("* 1 FETCH (BODY[] {2}\r\nü)\r\n").is_ok());
    }
}
