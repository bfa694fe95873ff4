//! TLS for all listeners: one certificate chain and key, which can be replaced while connections live.
//!
//! TLS 1.2 and 1.3 by rustls on ring. Sessions resume by tickets under keys that rotate and never
//! leave the process, so nothing is kept per client.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use types::UnixTime;

mod validity;

/// Why a certificate and key cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file holds no PEM certificate.
    #[error("no `BEGIN CERTIFICATE` block in the certificate file")]
    NoCertificate,
    /// A PEM block is broken.
    #[error("the certificate file cannot be read: {0}")]
    BadCertificate(String),
    /// The key file holds no PEM private key.
    #[error("no private key in the key file (PKCS#8, PKCS#1 or SEC1 in PEM, without a passphrase): {0}")]
    NoKey(String),
    /// The key is not the certificate's.
    #[error(
        "the private key does not belong to the certificate (the server's own certificate must come first in the file)"
    )]
    Mismatch,
    /// Anything else that rustls refuses, such as a key of an unknown kind.
    #[error("the certificate and key cannot be used: {0}")]
    Unusable(String),
}

/// The TLS side of every listener. Handshakes take the certificate of their moment.
#[derive(Debug)]
pub struct Tls(RwLock<Current>);

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    not_after: Option<UnixTime>,
}

impl Tls {
    /// From a certificate chain (the server's own first) and its key, in PEM.
    pub fn new(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Current::new(certificates, key).map(|current| Self(RwLock::new(current)))
    }

    /// Replaces certificate and key for the handshakes to come; connections go on with what they
    /// have. After an error nothing has changed.
    pub fn replace(&self, certificates: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let current = Current::new(certificates, key)?;
        *self.0.write() = current;
        Ok(())
    }

    /// When the server's own certificate ends (RFC 5280 §4.1.2.5); `None` where that cannot be read.
    pub fn not_after(&self) -> Option<UnixTime> {
        self.0.read().not_after
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.read().config.clone())
    }
}

impl Current {
    fn new(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| TlsError::BadCertificate(error.to_string()))?;
        let own = chain.first().ok_or(TlsError::NoCertificate)?;
        let not_after = validity::not_after(own);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::NoKey(error.to_string()))?;

        let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsError::Mismatch,
                other => unusable(other),
            })?;
        // Tickets hold the session at the client; the cache of TLS 1.2 session ids is not needed.
        config.ticketer = ring::Ticketer::new().map_err(unusable)?;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), not_after })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    use super::*;
    use crate::stream::{Peer, READ_SIZE, Stream};

    fn pair() -> (String, String, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem(), made.cert.der().clone())
    }

    fn client(root: &CertificateDer<'static>, version: &'static rustls::SupportedProtocolVersion) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    async fn connect(tls: &Tls, connector: &TlsConnector) -> (Stream, TlsStream<DuplexStream>) {
        let (near, far) = tokio::io::duplex(1 << 16);
        let mut server = Stream::memory(near, Peer::Memory);
        let name = ServerName::try_from("localhost").unwrap();
        let (accepted, client) =
            tokio::join!(server.start_tls(tls, Duration::from_secs(5)), connector.connect(name, far));
        accepted.unwrap();
        (server, client.unwrap())
    }

    #[tokio::test]
    async fn both_versions_carry_bytes_and_resume() {
        let (cert, key, der) = pair();
        let tls = Tls::new(cert.as_bytes(), key.as_bytes()).unwrap();
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let connector = client(&der, version);
            for round in 0..2 {
                let (mut server, mut client) = connect(&tls, &connector).await;
                assert!(server.is_tls());
                client.write_all(b"hello").await.unwrap();
                let mut got = Vec::new();
                server.read_more(&mut got, READ_SIZE).await.unwrap();
                assert_eq!(got, b"hello");
                server.send(b"world", Duration::from_secs(5)).await.unwrap();
                let mut answer = [0; 5];
                client.read_exact(&mut answer).await.unwrap();
                let kind = client.get_ref().1.handshake_kind().unwrap();
                assert_eq!(kind == rustls::HandshakeKind::Resumed, round == 1, "{version:?} {kind:?}");
                // TLS twice is a mistake of ours that must not go unnoticed.
                assert!(server.start_tls(&tls, Duration::from_secs(5)).await.is_err());
                drop(client);
                assert_eq!(
                    server.read_more(&mut got, READ_SIZE).await.unwrap(),
                    0,
                    "an end without close_notify is an end"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_new_certificate_leaves_old_connections_alone() {
        let (cert, key, der) = pair();
        let tls = Tls::new(cert.as_bytes(), key.as_bytes()).unwrap();
        let (mut server, mut old) = connect(&tls, &client(&der, &rustls::version::TLS13)).await;
        let (cert, key, der) = pair();
        tls.replace(cert.as_bytes(), key.as_bytes()).unwrap();
        connect(&tls, &client(&der, &rustls::version::TLS13)).await;
        old.write_all(b"x").await.unwrap();
        assert_eq!(server.read_more(&mut Vec::new(), READ_SIZE).await.unwrap(), 1);
        assert_eq!(tls.replace(b"", key.as_bytes()), Err(TlsError::NoCertificate));
        connect(&tls, &client(&der, &rustls::version::TLS13)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_ends_in_time() {
        let (cert, key, _) = pair();
        let tls = Tls::new(cert.as_bytes(), key.as_bytes()).unwrap();
        let (near, _far) = tokio::io::duplex(1 << 16);
        let mut server = Stream::memory(near, Peer::Memory);
        let begun = tokio::time::Instant::now();
        let error = server.start_tls(&tls, Duration::from_secs(20)).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (std::io::ErrorKind::TimedOut, 20));
        assert!(server.read_more(&mut Vec::new(), READ_SIZE).await.is_err());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let (cert, key, _) = pair();
        let (_, other, _) = pair();
        let error = |cert: &str, key: &str| Tls::new(cert.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(error("", &key), TlsError::NoCertificate);
        assert_eq!(error(&key, &key), TlsError::NoCertificate);
        assert!(matches!(error(&cert, &cert), TlsError::NoKey(_)));
        assert_eq!(error(&cert, &other), TlsError::Mismatch);
    }
}
