//! Where connections come from: TCP and Unix sockets, and the loop that accepts them.
//!
//! A connection is one task. The loop never waits for a peer: the TLS handshake happens in the
//! connection's task, a refusal is one attempt to write.

use std::fs;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tracing::{info, warn};

use crate::connections::{Admission, Connections, TooMany};
use crate::shutdown::Shutdown;
use crate::stream::Stream;
use crate::tls::Tls;

/// Connections that the kernel may hold for us until we accept them.
const BACKLOG: i32 = 1024;

/// How long the loop rests when the system has no descriptors or memory for another connection.
const REST: Duration = Duration::from_millis(200);

/// A socket that listens.
#[derive(Debug)]
pub struct Listener(Socketed);

#[derive(Debug)]
enum Socketed {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket; it goes with its listener.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Connection {
    /// Its bytes.
    pub stream: Stream,
    /// Its place in the limits.
    pub admission: Admission,
    /// Tells it when to say goodbye; whoever waits for the end waits until this is dropped.
    pub shutdown: Shutdown,
}

/// What happens to the connections of one listener.
#[derive(Clone, Debug)]
pub struct Reception {
    /// For the log: `imaps`.
    pub name: &'static str,
    /// Where TLS comes before everything else.
    pub implicit_tls: Option<Arc<Tls>>,
    /// In which time that handshake must end.
    pub handshake_timeout: Duration,
    /// With what a connection that is one too many is told so, if it speaks without TLS.
    pub refusal: &'static str,
}

impl Listener {
    /// Listens on an address; port 0 is any free one. An IPv6 wildcard takes IPv6 only, so that
    /// `0.0.0.0` and `[::]` can both be listed.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Without it a restart has to wait for the last server's connections to time out.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into()).map(|tcp| Self(Socketed::Tcp(tcp)))
    }

    /// Listens on a Unix socket whose file gets these permissions. A file that an earlier server
    /// left is replaced; one that somebody listens on is an error ([`io::ErrorKind::AddrInUse`]).
    pub fn unix(path: &Path, mode: u32) -> io::Result<Self> {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
        // Bound under another name and renamed, so that nobody meets it with other permissions.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let mut file = SocketFile(PathBuf::from(new));
        let _ = fs::remove_file(&file.0);
        let unix = UnixListener::bind(&file.0)?;
        fs::set_permissions(&file.0, fs::Permissions::from_mode(mode))?;
        fs::rename(&file.0, path)?;
        path.clone_into(&mut file.0);
        Ok(Self(Socketed::Unix(unix, file)))
    }

    /// The address with its real port; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Socketed::Tcp(tcp) => tcp.local_addr().ok(),
            Socketed::Unix(..) => None,
        }
    }

    /// The path of a Unix socket; `None` for TCP.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Socketed::Tcp(_) => None,
            Socketed::Unix(_, file) => Some(&file.0),
        }
    }

    async fn accept(&self) -> io::Result<Stream> {
        match &self.0 {
            Socketed::Tcp(tcp) => {
                let (stream, peer) = tcp.accept().await?;
                set_options(&stream);
                Ok(Stream::tcp(stream, peer))
            }
            Socketed::Unix(unix, _) => unix.accept().await.map(|(stream, _)| Stream::unix(stream)),
        }
    }

    /// Accepts until the end is requested; `session` is the life of one connection.
    pub async fn serve<S, F>(
        self,
        reception: Reception,
        connections: Arc<Connections>,
        mut shutdown: Shutdown,
        session: S,
    ) where
        S: Fn(Connection) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.requested() => break,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok(stream) => match connections.admit(stream.peer()) {
                    Ok(admission) => {
                        let connection = Connection { stream, admission, shutdown: shutdown.clone() };
                        let (received, session) = (receive(connection, reception.clone()), session.clone());
                        tokio::spawn(async move {
                            let received = received.await;
                            if let Some(connection) = received {
                                session(connection).await;
                            }
                        });
                    }
                    Err(reason) => refuse(stream, &reception, reason),
                },
                // The peer went away between the kernel's accept and ours.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // EMFILE, ENFILE, ENOBUFS: asking again at once would only burn the CPU.
                    warn!("{}: cannot accept connections: {error}", reception.name);
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}

/// Failing to set an option is no reason to refuse a connection.
fn set_options(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    // A peer that vanished is noticed after two minutes and four unanswered probes.
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(120)).with_interval(Duration::from_secs(30)).with_retries(4);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

/// The beginning of a connection, until its session begins. Boxed: the task holds a place for it to its end.
fn receive(
    mut connection: Connection,
    reception: Reception,
) -> Pin<Box<impl Future<Output = Option<Connection>> + Send>> {
    Box::pin(async move {
        let peer = connection.stream.peer();
        if let Some(tls) = &reception.implicit_tls {
            let handshake = connection.stream.start_tls(tls, reception.handshake_timeout);
            if let Err(error) = handshake.await {
                info!("{}: {peer}: TLS handshake failed: {error}", reception.name);
                return None;
            }
        }
        info!("{}: {peer}: connected", reception.name);
        Some(connection)
    })
}

/// Says why and closes. The few octets fit into a fresh socket's buffer; a peer for whom they do not
/// learns nothing, and we wait for nobody.
fn refuse(stream: Stream, reception: &Reception, reason: TooMany) {
    info!("{}: {}: refused: {reason}", reception.name, stream.peer());
    if reception.implicit_tls.is_none() {
        stream.send_last(format!("{} {reason}\r\n", reception.refusal).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use types::Limits;

    use super::*;
    use crate::shutdown::Stopper;

    fn reception() -> Reception {
        Reception { name: "test", implicit_tls: None, handshake_timeout: Duration::from_secs(1), refusal: "no room:" }
    }

    async fn hello(mut connection: Connection) {
        let _ = connection.stream.send(b"hello\r\n", Duration::from_secs(1)).await;
        connection.shutdown.requested().await;
        let _ = connection.stream.send(b"bye\r\n", Duration::from_secs(1)).await;
    }

    #[tokio::test]
    async fn accepts_refuses_and_ends() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address().unwrap();
        let connections = Connections::new(&Limits { connections: 1, ..Limits::default() });
        let (stopper, shutdown) = Stopper::new();
        let serving = tokio::spawn(listener.serve(reception(), connections.clone(), shutdown, hello));

        let mut first = TcpStream::connect(address).await.unwrap();
        let mut octets = [0; 7];
        first.read_exact(&mut octets).await.unwrap();
        assert_eq!(&octets, b"hello\r\n");
        let mut text = String::new();
        TcpStream::connect(address).await.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "no room: the limit of connections is reached\r\n");

        assert!(stopper.stop(Duration::from_secs(5)).await);
        serving.await.unwrap();
        let mut rest = String::new();
        first.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "bye\r\n");
        assert_eq!(connections.count(), 0);
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn strangers_are_told_their_own_limit() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address().unwrap();
        let connections = Connections::new(&Limits { unauthenticated_per_address: 1, ..Limits::default() });
        let (_stopper, shutdown) = Stopper::new();
        tokio::spawn(listener.serve(reception(), connections, shutdown, hello));
        let _first = TcpStream::connect(address).await.unwrap();
        let mut text = String::new();
        TcpStream::connect(address).await.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "no room: too many connections from this address are not logged in\r\n");
    }

    #[tokio::test]
    async fn a_unix_socket_replaces_a_dead_one_and_respects_a_live_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lmtp");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a dead socket is left behind");
        let listener = Listener::unix(&path, 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(Listener::unix(&path, 0o660).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_busy_port_is_an_error() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = Listener::tcp(listener.address().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn connections_have_their_options() {
        let listener = Listener::tcp("[::1]:0".parse().unwrap()).unwrap();
        let _client = TcpStream::connect(listener.address().unwrap()).await.unwrap();
        let Socketed::Tcp(tcp) = &listener.0 else { panic!("no TCP") };
        let (stream, _) = tcp.accept().await.unwrap();
        set_options(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(120));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
    }
}
