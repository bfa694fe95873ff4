//! Starts the program, waits for `ready`, talks to it, and ends it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pillarbox"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end, with this on its standard input.
pub fn output(command: &mut Command, input: &str) -> Output {
    let mut child = command.spawn().unwrap();
    // A program that fails early reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// A configuration with free ports in a directory of its own.
pub fn configure(directory: &Path) -> PathBuf {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let path = directory.join("pillarbox.toml");
    let text = "store.path = \"store\"\ntls = { certificate = \"cert.pem\", key = \"key.pem\" }\n\
                imaps.listen = [\"127.0.0.1:0\"]\n\
                lmtp = { listen = [\"127.0.0.1:0\"], socket = \"lmtp.sock\" }\n\
                [imap]\nlisten = [\"127.0.0.1:0\"]\nplaintext_login_on_loopback = true\n";
    std::fs::write(&path, text).unwrap();
    path
}

/// A running server.
pub struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    /// What it printed until it was ready.
    pub said: Vec<String>,
}

impl Server {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, out, said: Vec::new() };
        loop {
            let mut line = String::new();
            assert!(server.out.read_line(&mut line).unwrap() > 0, "the server ended after {:#?}", server.said);
            if line == "ready\n" {
                return server;
            }
            // A listener that a configuration does not name has its default: the world, at the port that everybody knows.
            assert!(!["0.0.0.0:", "[::]:"].iter().any(|world| line.contains(world)), "name every listener: {line}");
            server.said.push(line.trim_end().to_owned());
        }
    }

    pub fn port(&self, protocol: &str) -> u16 {
        let prefix = format!("{protocol} listens on 127.0.0.1:");
        self.said.iter().find_map(|line| line.strip_prefix(&prefix)).unwrap().parse().unwrap()
    }

    pub fn connect(&self, protocol: &str) -> Conversation<TcpStream> {
        Conversation::new(self.tcp(protocol))
    }

    pub fn tcp(&self, protocol: &str) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port(protocol))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends it as `kill` does; gives its exit code and what else it printed.
    pub fn stop(mut self) -> (Option<i32>, String) {
        self.signal(rustix::process::Signal::TERM);
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines there and back.
pub struct Conversation<S>(BufReader<S>);

impl<S: Read + Write> Conversation<S> {
    pub fn new(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    pub fn line(&mut self) -> String {
        self.try_line().unwrap()
    }

    /// An error at the end, and where TLS does not come about.
    pub fn try_line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    pub fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
        self.0.get_mut().flush().unwrap();
    }

    /// Sends a line and gives the lines up to one that begins so.
    pub fn ask(&mut self, line: &str, until: &str) -> Vec<String> {
        self.send(&format!("{line}\r\n"));
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            lines.push(line);
            if lines.last().unwrap().starts_with(until) {
                return lines;
            }
        }
    }

    /// Delivers a message by LMTP.
    pub fn deliver(&mut self, to: &str, message: &str) {
        assert!(self.line().starts_with("220"));
        self.ask("LHLO test", "250 ");
        self.ask("MAIL FROM:<a@test>", "250 ");
        self.ask(&format!("RCPT TO:<{to}>"), "250 ");
        self.ask("DATA", "354 ");
        self.ask(&format!("{message}\r\n."), "250 ");
        self.ask("QUIT", "221 ");
    }
}

/// TLS with nothing but this certificate.
pub fn tls(
    stream: TcpStream,
    certificate: &Path,
) -> Conversation<rustls::StreamOwned<rustls::ClientConnection, TcpStream>> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let connection = rustls::ClientConnection::new(config.into(), name).unwrap();
    Conversation::new(rustls::StreamOwned::new(connection, stream))
}
