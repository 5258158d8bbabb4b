//! A bucket for files of the state, in S3, in Azure, and by the requests of Google Cloud Storage.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use tempfile::tempdir;
use tidegate_model::bucket::Content;
use tidegate_model::{Bucket, ConnectorContext, Error, ErrorKind};
use tidegate_transport::http::RealHttp;
use tidegate_transport::storage::{LakeSettings, StorageBucket};

use crate::azure::Container;
use crate::s3;
use crate::support::context;

const PIECE: usize = 256 << 10;
/// Of many parts, and not a multiple of one.
const PIECES: usize = 201;

fn open(settings: &Value) -> StorageBucket {
    let folder = tempdir().expect("a folder");
    let settings: LakeSettings = serde_json::from_value(settings.clone()).expect("settings");
    // A login at Google asks for a token.
    let http = Arc::new(RealHttp::new().expect("a client"));
    let context = ConnectorContext { http, ..context(folder.path()) };
    StorageBucket::open(&settings, &context).expect("a bucket")
}

fn content(pieces: usize) -> Content {
    let piece = |at: usize| Bytes::from(vec![u8::try_from(at % 251).expect("small"); PIECE]);
    stream::iter((0..pieces).map(move |at| Ok(piece(at)))).boxed()
}

fn small(text: &'static str) -> Content {
    stream::once(async move { Ok(Bytes::from_static(text.as_bytes())) }).boxed()
}

async fn names(bucket: &StorageBucket, folder: &str) -> Vec<String> {
    let mut names: Vec<String> =
        bucket.list(folder).map_ok(|file| file.name).try_collect().await.expect("listed");
    names.sort();
    names
}

async fn read(bucket: &StorageBucket, name: &str) -> Option<Vec<u8>> {
    let content = bucket.get(name).await.expect("read")?;
    Some(content.try_collect::<Vec<Bytes>>().await.expect("read").concat())
}

/// The highest memory of this process so far, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") / 1024
}

async fn keeps_files(settings: Value) {
    let bucket = open(&settings);
    let name = "history/orders%20of%2Fall~1/2026-03-01/a-000001..b-000002.parquet";
    bucket.put(name, small("first")).await.expect("written");
    bucket.put(name, small("second")).await.expect("written over");
    bucket.put("lookback/s/1.rows", small("")).await.expect("written");
    assert_eq!(read(&bucket, name).await.as_deref(), Some(&b"second"[..]));
    assert_eq!(names(&bucket, "history").await, [name], "the name is the key as it stands");
    assert_eq!(read(&bucket, "history/none").await, None);

    // A file whose content fails is not there, in part neither.
    let broken = stream::iter([Ok(Bytes::from(vec![0; 12 << 20])), Err(Error::internal("gone"))]);
    bucket.put("history/broken", broken.boxed()).await.expect_err("the content failed");
    assert_eq!(names(&bucket, "history").await, [name]);

    let before = peak_mib();
    bucket.put("large", content(PIECES)).await.expect("written");
    let took = peak_mib() - before;
    assert!(took < 64, "{took} MiB for a file of 50 MiB");
    let mut found = bucket.get("large").await.expect("read").expect("there");
    let (mut bytes, mut at) = (0, 0);
    while let Some(piece) = found.try_next().await.expect("read") {
        let expected = |byte: usize| u8::try_from(byte / PIECE % 251).expect("small");
        assert!(piece.iter().enumerate().all(|(byte, found)| *found == expected(at + byte)));
        (bytes, at) = (bytes + piece.len(), at + piece.len());
    }
    assert_eq!(bytes, PIECES * PIECE);

    bucket.remove("large").await.expect("removed");
    bucket.remove("large").await.expect("it is gone already");
    bucket.remove(name).await.expect("removed");
    assert!(names(&bucket, "history").await.is_empty());
    assert_eq!(names(&bucket, "lookback").await, ["lookback/s/1.rows"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_the_state_are_kept_in_s3() {
    let name = s3::bucket("state");
    keeps_files(s3::connection(&format!("s3://{name}/some/folder"))).await;
    keeps_files(s3::connection(&format!("s3://{name}"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_the_state_are_kept_in_azure() {
    keeps_files(Container::new("state").connection("folder")).await;
}

/// A security token service that answers every login with one token.
fn token_service(token: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/v1/token", listener.local_addr().expect("an address"));
    let body = json!({
        "access_token": token, "token_type": "Bearer", "expires_in": 3600,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    })
    .to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        for mut asked in listener.incoming().flatten() {
            let mut request = [0; 16 << 10];
            let _ = asked.read(&mut request).and_then(|_| asked.write_all(answer.as_bytes()));
        }
    });
    address
}

/// Emulators of Google Cloud Storage take uploads by its JSON API. Tidegate sends those of the XML API, which are S3's:
/// Google documents it as interoperable. So an emulator of S3 judges them; the text of the token is what it looks
/// for in a header.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_the_state_are_kept_by_the_requests_of_google_cloud_storage() {
    // The client escapes a hyphen in the name, which this emulator takes for another bucket.
    let name = format!("googlestate{}", std::process::id());
    let made = s3::ask_at(&s3::endpoint(), "PUT", &format!("/{name}"), b"");
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    let room = tempdir().expect("a folder");
    let subject = room.path().join("subject");
    std::fs::write(&subject, "a-token-of-the-machine").expect("written");
    let login = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": token_service("Credential=test/20261122/us-east-1/s3/aws4_request"),
        "credential_source": { "file": subject },
    });
    keeps_files(json!({
        "path": format!("gs://{name}/some/folder"),
        "endpoint": s3::endpoint(),
        "workload_identity": login.to_string(),
    }))
    .await;
}

#[tokio::test]
async fn a_bucket_that_is_not_there_names_the_option_and_the_verb() {
    let bucket = open(&s3::connection("s3://no-such-bucket-of-anyone/state"));
    let error = bucket.put("x", small("x")).await.expect_err("no bucket");
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    assert!(
        error.next_step().contains("`--bucket`") && error.next_step().contains("tidegate doctor"),
        "{error:?}"
    );
    let settings = json!({ "path": "s3://a?b=c" });
    let settings: LakeSettings = serde_json::from_value(settings).expect("settings");
    let error = StorageBucket::open(&settings, &context(std::path::Path::new("/"))).expect_err("no folder");
    assert_eq!(error.kind(), ErrorKind::Settings);
}
