//! Certificates of real files, seen by a client that trusts just one of them.

use std::net::SocketAddr;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use rcgen::CertifiedKey;
use tidegate_model::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::connections::Limits;

type Made = CertifiedKey<rcgen::KeyPair>;

fn made() -> Made {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate")
}

/// A folder with the files of a certificate.
struct Files(tempfile::TempDir);

impl Files {
    fn of(made: &Made) -> Files {
        let files = Files(tempfile::tempdir().expect("a folder"));
        files.write("cert.pem", &made.cert.pem());
        files.write("key.pem", &made.signing_key.serialize_pem());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    fn open(&self) -> Result<ServerTls, Error> {
        ServerTls::open(self.path("cert.pem"), self.path("key.pem"))
    }
}

/// A server with these files, and the address that it listens on.
async fn served(files: &Files) -> (Arc<ServerTls>, SocketAddr, CancellationToken) {
    let tls = Arc::new(files.open().expect("a pair"));
    let listener = crate::listen("127.0.0.1:0".parse().expect("an address")).await.expect("listening");
    let address = listener.local_addr().expect("an address");
    let scheme =
        |headers: HeaderMap| async move { headers["x-forwarded-proto"].to_str().expect("text").to_owned() };
    let routes = Router::new().route("/", get(scheme));
    let stop = CancellationToken::new();
    let limits = Limits { connections: 8, reserved: 2, head: Duration::from_secs(30) };
    tokio::spawn(crate::server::run(
        listener,
        routes,
        Some(tls.clone()),
        limits,
        TaskTracker::new(),
        stop.clone(),
    ));
    (tls, address, stop)
}

/// A connection of a client that trusts one certificate only.
async fn connect(address: SocketAddr, trusted: &Made) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// What the server answers on this connection.
async fn asked(stream: &mut TlsStream<TcpStream>) -> String {
    let request = "GET / HTTP/1.1\r\nhost: localhost\r\nx-forwarded-proto: http\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = vec![0; 1 << 10];
    let read = stream.read(&mut answer).await.expect("read");
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[expect(clippy::disallowed_methods, reason = "files are looked at once a second")]
async fn until_the_next_look() {
    tokio::time::sleep(LOOK + Duration::from_millis(50)).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart_and_open_connections_stay() {
    let (old, new) = (made(), made());
    let files = Files::of(&old);
    let (tls, address, _stop) = served(&files).await;
    let mut open = connect(address, &old).await.expect("trusted");
    let answer = asked(&mut open).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=31536000"), "{answer}");
    assert!(answer.ends_with("https"), "a client cannot say otherwise: {answer}");
    assert!(connect(address, &new).await.is_err(), "another certificate is not trusted");

    // Half of it: the key is another one still.
    files.write("cert.pem", &new.cert.pem());
    until_the_next_look().await;
    connect(address, &old).await.expect("the pair before stays");
    files.write("key.pem", &new.signing_key.serialize_pem());
    until_the_next_look().await;
    connect(address, &new).await.expect("the new one is in use");
    assert!(connect(address, &old).await.is_err());
    assert!(asked(&mut open).await.starts_with("HTTP/1.1 200"), "no connection was dropped");

    // SIGHUP does not wait for the next look.
    files.write("cert.pem", &old.cert.pem());
    let error = tls.reload().expect_err("half of it");
    assert!(error.message().contains("is not that of the certificate"), "{error}");
    files.write("key.pem", &old.signing_key.serialize_pem());
    tls.reload().expect("a pair");
    connect(address, &old).await.expect("it is in use at once");
}

#[tokio::test]
async fn a_browser_that_leaves_out_the_s_is_answered_in_words() {
    let files = Files::of(&made());
    let (_, address, _stop) = served(&files).await;
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.ends_with(crate::HTTPS_ONLY), "{answer}");
}

#[tokio::test]
async fn a_client_that_never_ends_its_handshake_does_not_hold_the_server() {
    let files = Files::of(&made());
    let (_, address, stop) = served(&files).await;
    let mut silent = TcpStream::connect(address).await.expect("it listens");
    let mut half = TcpStream::connect(address).await.expect("it listens");
    half.write_all(&[0x16, 3, 1]).await.expect("written");
    stop.cancel();
    for stream in [&mut silent, &mut half] {
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 16])).await;
        assert!(!matches!(ended.expect("it ends"), Ok(1..)), "closed without an answer");
    }
}

#[test]
fn a_pair_that_cannot_be_used_is_an_error_with_the_option_and_the_file() {
    let files = Files::of(&made());
    let refused = || {
        let error = files.open().err().expect("an error");
        assert_eq!(error.kind(), ErrorKind::Settings);
        assert!(!error.next_step().is_empty());
        error.message().to_owned()
    };
    files.write("key.pem", &made().signing_key.serialize_pem());
    let why = refused();
    assert!(why.starts_with("`--tls-key`: the key in ") && why.contains("cert.pem"), "{why}");
    files.write(
        "key.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    assert!(refused().ends_with("key.pem does not hold a private key"));
    std::fs::remove_file(files.path("key.pem")).expect("removed");
    assert!(refused().ends_with("key.pem cannot be read"));
    files.write("cert.pem", "no certificate");
    assert!(refused().ends_with("cert.pem does not hold a certificate"));
}
