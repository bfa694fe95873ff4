//! A connection's bytes, whatever carries them: TCP, Unix socket, or memory in tests, with or
//! without TLS, compressed or not.
//!
//! An idle connection holds no buffer here: [`Stream::read_more`] reads through the stack. Of a
//! compressed one see `deflate.rs`.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::deflate::{Inflater, Then, deflate};
use crate::tls::Tls;

/// Octets that one read takes at most where little is expected: a TLS record.
pub const READ_SIZE: usize = 16 << 10;

/// The same in the middle of a message.
pub const MESSAGE_READ_SIZE: usize = 64 << 10;

/// Octets that are compressed at one time at most.
const PACK_SIZE: usize = 32 << 10;

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Peer {
    /// An address and port.
    Tcp(SocketAddr),
    /// A process on this machine, through a Unix socket.
    Unix,
    /// A test.
    Memory,
}

impl Peer {
    /// The address that limits count by; `None` for what cannot come from elsewhere.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip().to_canonical()),
            Self::Unix | Self::Memory => None,
        }
    }

    /// True where nobody between can listen: loopback, a Unix socket, memory.
    pub fn is_local(&self) -> bool {
        self.ip().is_none_or(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix => f.write_str("unix"),
            Self::Memory => f.write_str("memory"),
        }
    }
}

/// A connection.
pub struct Stream {
    transport: Transport,
    peer: Peer,
    /// Boxed: most connections have none.
    compression: Option<Box<Compression>>,
}

/// COMPRESS (RFC 4978), above TLS. Stays when it has ended, for its counts.
struct Compression {
    /// What the peer sends, as long as that is compressed.
    incoming: Option<Inflater>,
    /// Whether what we send is.
    outgoing: bool,
    carried: Carried,
}

/// Octets that went over the line compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Carried {
    /// From the peer.
    pub received: u64,
    /// To the peer.
    pub sent: u64,
}

enum Transport {
    Plain(Plain),
    /// Boxed: the TLS state is a kilobyte that plain connections should not carry.
    Tls(Box<TlsStream<Plain>>),
    /// A TLS handshake was begun and did not end: nothing can be read or written any more.
    Broken,
}

enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
    Memory(DuplexStream),
}

impl Stream {
    /// A TCP connection, with the socket options already set.
    pub fn tcp(tcp: TcpStream, peer: SocketAddr) -> Self {
        Self { transport: Transport::Plain(Plain::Tcp(tcp)), peer: Peer::Tcp(peer), compression: None }
    }

    /// A connection through a Unix socket.
    pub fn unix(unix: UnixStream) -> Self {
        Self { transport: Transport::Plain(Plain::Unix(unix)), peer: Peer::Unix, compression: None }
    }

    /// One end of a pipe in memory, that passes for a connection from `peer`.
    pub fn memory(pipe: DuplexStream, peer: Peer) -> Self {
        Self { transport: Transport::Plain(Plain::Memory(pipe)), peer, compression: None }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// True where what we say is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// Does the TLS handshake as the server, within `limit`. The caller has thrown away whatever it
    /// had read (RFC 9051 §6.2.1, RFC 3207 §4.2). After an error the stream is of no use.
    pub async fn start_tls(&mut self, tls: &Tls, limit: Duration) -> io::Result<()> {
        match std::mem::replace(&mut self.transport, Transport::Broken) {
            Transport::Plain(plain) => {
                // Nothing of what came before counts.
                if let Some(compression) = &mut self.compression {
                    compression.incoming = None;
                }
                let handshake = Box::pin(tls.acceptor().accept(plain));
                let stream = timeout(limit, handshake).await.map_err(|_| timed_out("TLS handshake"))??;
                self.transport = Transport::Tls(Box::new(stream));
                Ok(())
            }
            other => {
                self.transport = other;
                Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS is already active"))
            }
        }
    }

    /// Compresses from here on, both ways (RFC 4978 §3). `early` is what the peer has sent already.
    pub fn start_compression(&mut self, early: Vec<u8>) {
        let carried = self.carried().unwrap_or_default();
        let carried = Carried { received: carried.received + early.len() as u64, ..carried };
        let incoming = Some(Inflater::new(early));
        self.compression = Some(Box::new(Compression { incoming, outgoing: true, carried }));
    }

    /// Makes of `text` what is to be sent of it: itself, or compressed so that the peer can read all of it.
    pub fn pack(&mut self, text: &mut Vec<u8>) {
        let Some(compression) = self.compression.as_mut().filter(|compression| compression.outgoing) else { return };
        let packed: Vec<u8> = text.chunks(PACK_SIZE).flat_map(|text| deflate(text, Then::More)).collect();
        compression.carried.sent += packed.len() as u64;
        *text = packed;
    }

    /// As [`Stream::pack`], for the last that is compressed; nor is what comes from here on, as after
    /// UNAUTHENTICATE (RFC 8437 §4.1).
    pub fn pack_last(&mut self, text: &mut Vec<u8>) {
        let Some(compression) = &mut self.compression else { return };
        if let Some(incoming) = &mut compression.incoming {
            incoming.end();
        }
        if std::mem::take(&mut compression.outgoing) {
            *text = deflate(text, Then::End);
            compression.carried.sent += text.len() as u64;
        }
    }

    /// True while what we say is compressed.
    pub fn is_compressed(&self) -> bool {
        self.compression.as_ref().is_some_and(|compression| compression.outgoing)
    }

    /// What went over the line compressed; `None` where nothing ever was.
    pub fn carried(&self) -> Option<Carried> {
        self.compression.as_ref().map(|compression| compression.carried)
    }

    /// Appends what has arrived to `buffer`, at most `size` octets ([`READ_SIZE`] or [`MESSAGE_READ_SIZE`]), and says how
    /// much that was; waits where nothing has. Zero is the end. Cancelling loses nothing. What was compressed comes a step
    /// at a time.
    pub fn read_more<'a>(
        &'a mut self,
        buffer: &'a mut Vec<u8>,
        size: usize,
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        poll_fn(move |cx| {
            loop {
                match self.inflate(buffer)? {
                    0 => {}
                    given => return Poll::Ready(Ok(given)),
                }
                // On the stack of this poll, so that a waiting connection owns no read buffer.
                let mut octets = [MaybeUninit::uninit(); MESSAGE_READ_SIZE];
                let size = if self.incoming().is_some() { READ_SIZE } else { size };
                let mut read = ReadBuf::uninit(octets.get_mut(..size).unwrap_or_default());
                match Pin::new(&mut *self).poll_read(cx, &mut read) {
                    Poll::Ready(Ok(())) if read.filled().is_empty() => return Poll::Ready(Ok(0)),
                    Poll::Ready(Ok(())) => {
                        if !self.keep_compressed(read.filled()) {
                            buffer.extend_from_slice(read.filled());
                            return Poll::Ready(Ok(read.filled().len()));
                        }
                    }
                    // RFC 5246 §7.2.1 wants close_notify; many clients just go. We frame our data ourselves.
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        return Poll::Ready(Ok(0));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        if let Some(incoming) = self.incoming() {
                            incoming.release();
                        }
                        return Poll::Pending;
                    }
                }
            }
        })
    }

    fn incoming(&mut self) -> Option<&mut Inflater> {
        self.compression.as_mut()?.incoming.as_mut()
    }

    /// The next octets of what is compressed, or what follows it.
    fn inflate(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let Some(incoming) = self.incoming() else { return Ok(0) };
        let given = incoming.step(buffer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if given > 0 {
            return Ok(given);
        }
        let Some(rest) = incoming.rest() else { return Ok(0) };
        if let Some(compression) = &mut self.compression {
            compression.incoming = None;
            compression.carried.received -= rest.len() as u64;
        }
        buffer.extend_from_slice(&rest);
        Ok(rest.len())
    }

    /// Keeps what has come to be inflated; false where it is not compressed.
    fn keep_compressed(&mut self, octets: &[u8]) -> bool {
        let Some(Compression { incoming: Some(incoming), carried, .. }) = self.compression.as_deref_mut() else {
            return false;
        };
        carried.received += octets.len() as u64;
        incoming.push(octets);
        true
    }

    /// Acknowledges at once what has come and what comes next, until we send something. A client that sends a
    /// literal and the line end in two pieces would otherwise wait for our delayed acknowledgement, 40 ms.
    pub fn acknowledge(&self) {
        let plain = match &self.transport {
            Transport::Plain(plain) => plain,
            Transport::Tls(tls) => tls.get_ref().0,
            Transport::Broken => return,
        };
        if let Plain::Tcp(tcp) = plain {
            // Only faster: nothing is wrong where it cannot be set.
            #[cfg(target_os = "linux")]
            let _ = socket2::SockRef::from(tcp).set_tcp_quickack(true);
            #[cfg(not(target_os = "linux"))]
            let _ = tcp;
        }
    }

    /// Writes all of `octets` as they are (see [`Stream::pack`]) and flushes. A peer that takes nothing
    /// for `patience` is an error.
    pub async fn send(&mut self, mut octets: &[u8], patience: Duration) -> io::Result<()> {
        while !octets.is_empty() {
            let written = timeout(patience, self.write(octets)).await.map_err(|_| timed_out("write"))??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            octets = octets.get(written..).unwrap_or_default();
        }
        timeout(patience, self.flush()).await.map_err(|_| timed_out("write"))?
    }

    /// Writes what the socket takes at once, and closes: for a peer that gets no session.
    pub fn send_last(self, octets: &[u8]) {
        let _ = match &self.transport {
            Transport::Plain(Plain::Tcp(tcp)) => tcp.try_write(octets),
            Transport::Plain(Plain::Unix(unix)) => unix.try_write(octets),
            _ => Ok(0),
        };
    }

    /// Says goodbye on the transport: TLS close_notify, TCP FIN. Errors do not matter any more.
    pub async fn close(mut self, patience: Duration) {
        let _ = timeout(patience, self.shutdown()).await;
    }
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} timed out"))
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the TLS handshake did not end")
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({}{})", self.peer, if self.is_tls() { ", TLS" } else { "" })
    }
}

/// Calls the same method on whatever is inside.
macro_rules! each_plain {
    ($self:expr, $s:ident => $call:expr) => {
        match $self.get_mut() {
            Plain::Tcp($s) => $call,
            Plain::Unix($s) => $call,
            Plain::Memory($s) => $call,
        }
    };
}

macro_rules! each_transport {
    ($self:expr, $s:ident => $call:expr) => {
        match &mut $self.get_mut().transport {
            Transport::Plain($s) => $call,
            Transport::Tls(boxed) => {
                let $s = &mut **boxed;
                $call
            }
            Transport::Broken => Poll::Ready(Err(broken())),
        }
    };
}

impl AsyncRead for Plain {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each_plain!(self, s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each_plain!(self, s => Pin::new(s).poll_write(cx, buf))
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_plain!(self, s => Pin::new(s).poll_flush(cx))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_plain!(self, s => Pin::new(s).poll_shutdown(cx))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each_transport!(self, s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each_transport!(self, s => Pin::new(s).poll_write(cx, buf))
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_transport!(self, s => Pin::new(s).poll_flush(cx))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_transport!(self, s => Pin::new(s).poll_shutdown(cx))
    }
}
