//! Servers with certificates of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tidegate_model::{ConnectorContext, ErrorKind, Http, HttpFailure};
use tidegate_testkit::ManualClock;
use tidegate_testkit::tls::{Certificate, TlsFront};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::RealHttp;
use super::answer::{RequestError, lost};
use crate::storage::{LakeSettings, StorageRoot};

/// A server that answers everything with a 404.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 8_192];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
                }
            });
        }
    });
    address
}

async fn front(certificate: &Certificate) -> TlsFront {
    TlsFront::start(certificate, server().await).await
}

async fn ask(http: &dyn Http, front: &TlsFront) -> Result<u16, HttpFailure> {
    let request = http::Request::get(format!("https://{}/path", front.address)).body(Bytes::new());
    http.send(request.expect("request")).await.map(|answer| answer.status().as_u16())
}

fn written(folder: &Path, certificate: &Certificate) -> PathBuf {
    let file = folder.join("server.pem");
    std::fs::write(&file, &certificate.pem).expect("written");
    file
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_an_error_of_the_settings_with_its_remedy() {
    let (right, wrong) = (Certificate::of("127.0.0.1"), Certificate::of("braze.example"));
    let http = RealHttp::new().expect("client");
    for (certificate, trusted, said, remedy) in [
        (&right, false, "is signed by an authority that is not trusted here", "set `ca_file` to"),
        (&wrong, true, "is not valid for this host name", "to a name that the certificate holds"),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let file = written(folder.path(), certificate);
        let http = match trusted {
            true => http.trusting(&file).expect("certificates").expect("a client"),
            false => Arc::new(http.clone()),
        };
        let front = front(certificate).await;

        let failure = ask(&*http, &front).await.expect_err("not trusted");

        let RequestError::NoEffect(error) = lost("Braze", &failure) else { panic!("{failure:?}") };
        assert_eq!(error.kind(), ErrorKind::Settings, "no retry helps");
        assert!(error.message().contains(&front.address.to_string()), "{error:?}");
        assert!(error.message().ends_with(said), "{error:?}");
        assert!(error.next_step().contains(remedy), "{}", error.next_step());
    }
}

#[tokio::test]
async fn a_server_is_trusted_by_its_ca_file_and_a_renewed_file_counts_at_once() {
    let folder = tempfile::tempdir().expect("folder");
    let http = RealHttp::new().expect("client");
    let first = Certificate::of("127.0.0.1");
    let file = written(folder.path(), &first);
    let before = front(&first).await;
    for _ in 0..3 {
        let trusting = http.trusting(&file).expect("certificates").expect("a client");
        assert_eq!(ask(&*trusting, &before).await, Ok(404));
    }
    assert_eq!(before.connections(), 1, "one file, one pool of connections");

    let second = Certificate::of("127.0.0.1");
    std::fs::write(&file, format!("# renewed\n{}", second.pem)).expect("written");
    let trusting = http.trusting(&file).expect("certificates").expect("a client");
    assert_eq!(ask(&*trusting, &front(&second).await).await, Ok(404));
    assert!(matches!(ask(&*trusting, &front(&first).await).await, Err(HttpFailure::Untrusted { .. })));
}

#[tokio::test]
async fn an_object_store_is_trusted_by_its_ca_file() {
    let folder = tempfile::tempdir().expect("folder");
    let certificate = Certificate::of("127.0.0.1");
    written(folder.path(), &certificate);
    let front = front(&certificate).await;
    let context = ConnectorContext {
        http: Arc::new(RealHttp::new().expect("client")),
        clock: Arc::new(ManualClock::default()),
        project: folder.path().to_owned(),
        data: folder.path().to_owned(),
        dry_run: false,
    };
    let mut settings: LakeSettings = serde_json::from_value(serde_json::json!({
        "path": "s3://lake/events",
        "endpoint": format!("https://{}", front.address),
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "secret",
    }))
    .expect("settings");

    let root = StorageRoot::open(&settings, &context).expect("opened");
    let error = root.get("file").await.expect_err("not trusted");
    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    assert!(error.message().contains("the certificate of the store is signed by"), "{error:?}");
    assert!(error.next_step().contains("`ca_file`"), "{}", error.next_step());

    settings.ca_file = Some("server.pem".into());
    let root = StorageRoot::open(&settings, &context).expect("opened");
    assert_eq!(root.get("file").await.expect("an answer"), None);
}
