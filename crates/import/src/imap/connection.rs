//! The connection to the other server: the only place of this crate with a socket. TLS, one response after the other,
//! and the end when the server is silent for too long.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::framer::{Event, Framer};
use super::response::Response;
use super::{Failure, Security, Server, Trust};

/// Octets that are read at a time.
const PIECE: usize = 64 << 10;

/// What takes a server's responses while a command is at work.
pub(super) trait Listener: Send {
    /// Octets of a message; the response that says which follows.
    fn octets(&mut self, _: &[u8]) -> Result<(), Failure> {
        Ok(())
    }

    /// An untagged response.
    fn response(&mut self, response: Response) -> Result<(), Failure>;
}

impl<F: FnMut(Response) + Send> Listener for F {
    fn response(&mut self, response: Response) -> Result<(), Failure> {
        self(response);
        Ok(())
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// See the module.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    framer: Framer,
    silence: Duration,
}

impl Connection {
    /// Connects; with TLS, unless STARTTLS is to come or nobody wants it.
    pub(super) async fn open(server: &Server) -> Result<Self, Failure> {
        let connect = TcpStream::connect((server.host.as_str(), server.port));
        let tcp = in_time(server.silence, connect).await?;
        // Commands are small, and each waits for its answer.
        let _ = tcp.set_nodelay(true);
        let connection = Self { stream: Box::new(tcp), framer: Framer::default(), silence: server.silence };
        match server.security {
            Security::Tls => connection.with_tls(server).await,
            Security::StartTls | Security::Insecure => Ok(connection),
        }
    }

    /// The same connection under TLS. What the server said before it counts no more.
    pub(super) async fn with_tls(self, server: &Server) -> Result<Self, Failure> {
        // RFC 9051 §11.1: somebody in between may have put words into the server's mouth.
        if !self.framer.is_empty() {
            return Err(Failure::Fatal("the server spoke between STARTTLS and TLS: that may be an attack".into()));
        }
        let config = store::blocking(|| config(&server.trust))?;
        let name = ServerName::try_from(server.host.clone())
            .map_err(|_| Failure::Fatal(format!("{:?} is no name of a server", server.host)))?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, self.stream);
        let stream = match timeout(self.silence, handshake).await {
            Ok(Ok(stream)) => stream,
            // Trying again would not help.
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(Failure::Fatal(format!("TLS: {error}")));
            }
            Ok(Err(error)) => return Err(Failure::lost(error)),
            Err(_) => return Err(Failure::Lost("the server is silent".into())),
        };
        Ok(Self { stream: Box::new(stream), framer: Framer::default(), silence: self.silence })
    }

    pub(super) async fn send(&mut self, octets: &[u8]) -> Result<(), Failure> {
        let (stream, silence) = (&mut self.stream, self.silence);
        in_time(silence, async {
            stream.write_all(octets).await?;
            stream.flush().await
        })
        .await
    }

    /// The next response; the octets of a message that it brings go to `listener`.
    pub(super) async fn response(&mut self, listener: &mut dyn Listener) -> Result<Response, Failure> {
        loop {
            match self.framer.next_event().map_err(|error| Failure::Lost(error.to_string()))? {
                Some(Event::Octets(octets)) => listener.octets(octets)?,
                Some(Event::Line(line)) => return Ok(Response::parse(&line)),
                None => {
                    let input = self.framer.input();
                    input.reserve(PIECE);
                    if in_time(self.silence, self.stream.read_buf(input)).await? == 0 {
                        return Err(Failure::Lost("the server has closed the connection".into()));
                    }
                }
            }
        }
    }
}

async fn in_time<T>(silence: Duration, work: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
    match timeout(silence, work).await {
        Ok(done) => done.map_err(Failure::lost),
        Err(_) => Err(Failure::Lost("the server is silent".into())),
    }
}

fn config(trust: &Trust) -> Result<ClientConfig, Failure> {
    let fatal = |error: &dyn std::fmt::Display| Failure::Fatal(format!("TLS: {error}"));
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| fatal(&error))?;
    let believed = match trust {
        Trust::Anybody => Believed::Anybody,
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
                return Err(fatal(&format!("this machine has no list of certificate authorities{why}")));
            }
            return Ok(builder.with_root_certificates(roots).with_no_client_auth());
        }
        Trust::File(path) => {
            let wrong = |error: &dyn std::fmt::Display| Failure::Fatal(format!("{}: {error}", path.display()));
            let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let certificates = certificates.map_err(|error| wrong(&error))?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates.iter().cloned());
            let issued = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
            Believed::These { certificates, issued: issued.map_err(|error| wrong(&error))? }
        }
    };
    let verifier = Arc::new(Verifier { believed, provider });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Believes what it was asked to. Signatures must be right in any case.
#[derive(Debug)]
struct Verifier {
    believed: Believed,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Believed {
    Anybody,
    /// These very certificates, and those that they issued.
    These {
        certificates: Vec<CertificateDer<'static>>,
        issued: Arc<WebPkiServerVerifier>,
    },
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.believed {
            // Certificates that servers have made for themselves often call
            // themselves an authority, which is refused otherwise.
            Believed::These { certificates, issued } if !certificates.contains(end_entity) => {
                issued.verify_server_cert(end_entity, intermediates, name, ocsp, now)
            }
            Believed::These { .. } | Believed::Anybody => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
