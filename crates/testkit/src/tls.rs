//! A TLS server with a certificate of its own, in front of a server without.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A self-signed certificate and its key.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate as a PEM file has it.
    pub pem: String,
    /// The key of the certificate, likewise.
    pub key_pem: String,
    config: Arc<ServerConfig>,
}

impl Certificate {
    /// Makes a certificate for a host name or an address.
    pub fn of(name: &str) -> Certificate {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a key of the certificate");
        Certificate {
            pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
            config: Arc::new(config),
        }
    }
}

/// Returns a new private RSA key in PEM, PKCS#8.
pub fn rsa_key() -> String {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key").serialize_pem()
}

/// A TLS server that passes on what it decrypts. It ends with the runtime.
pub struct TlsFront {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl TlsFront {
    /// Starts a server with this certificate in front of another server.
    pub async fn start(certificate: &Certificate, behind: SocketAddr) -> TlsFront {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let (acceptor, accepted) = (TlsAcceptor::from(certificate.config.clone()), connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Ok(mut inner) = TcpStream::connect(behind).await else { return };
                    let _ = copy_bidirectional(&mut stream, &mut inner).await;
                });
            }
        });
        TlsFront { address, connections }
    }

    /// Returns how many connections came in, also those whose client went away.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}
