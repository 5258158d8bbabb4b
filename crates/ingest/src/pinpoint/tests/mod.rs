//! The data plane, seen from the wire.

mod browser;
mod data_plane;
mod signature;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_model::{Clock, ExportRequest, Ingest, Received};
use tidegate_testkit::ManualClock;
use tidegate_testkit::conforms::ingest::take;
use tidegate_testkit::conforms::{context, settings_of};

const HOST: &str = "127.0.0.1:7700";
const KEY_ID: &str = "AKIDAPPS";
const SECRET: &str = "secret-of-the-apps/+0";

/// A data plane in a folder of its own, on a clock that shows 2026-03-01T12:00:00Z.
struct Plane {
    ingest: Arc<dyn Ingest>,
    folder: TempDir,
    settings: Value,
}

impl Plane {
    /// With the key that all requests are signed with, where the settings name no sender.
    fn new(mut settings: Value) -> Plane {
        if settings.get("access_keys").is_none() && settings.get("anonymous").is_none() {
            settings["access_keys"] = json!([{ "id": KEY_ID, "secret": SECRET }]);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let ingest = open(&settings, &folder);
        Plane { ingest, folder, settings }
    }

    /// The same, as after a restart.
    fn again(self) -> Plane {
        Plane { ingest: open(&self.settings, &self.folder), ..self }
    }

    fn exports(&self) -> Vec<ExportRequest> {
        self.ingest.exports().map_err(|error| error.chain()).expect("told")
    }

    async fn receive(&self, method: &str, path: &str, body: &str) -> Received {
        take(self.ingest.as_ref(), &signed(request(method, path, body), SignatureLocation::Headers)).await
    }

    /// Status and body of a call that brings no events.
    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let received = self.receive(method, path, &body).await;
        assert!(received.events.is_empty());
        shown(&received)
    }

    async fn put_events(&self, items: Value) -> (Received, Value) {
        let body = json!({ "BatchItem": items }).to_string();
        let received = self.receive("POST", "/v1/apps/app1/events", &body).await;
        let (status, answer) = shown(&received);
        assert_eq!(status, 202, "{answer}");
        (received, answer["Results"].clone())
    }
}

fn request(method: &str, path: &str, body: &str) -> Request<Bytes> {
    let request = Request::builder().method(method).uri(path).header("host", HOST);
    request.body(Bytes::copy_from_slice(body.as_bytes())).expect("a request")
}

/// Signs as AWS SDKs do.
fn signed(mut request: Request<Bytes>, location: SignatureLocation) -> Request<Bytes> {
    let identity = Credentials::new(KEY_ID, SECRET, None, None, "test").into();
    let mut settings = SigningSettings::default();
    settings.signature_location = location;
    settings.expires_in = (location == SignatureLocation::QueryParams).then(|| Duration::from_secs(300));
    let now = u64::try_from(ManualClock::default().now().as_second()).expect("after 1970");
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("mobiletargeting")
        .time(SystemTime::UNIX_EPOCH + Duration::from_secs(now))
        .settings(settings)
        .build()
        .expect("all parts")
        .into();
    let address = format!("http://{HOST}{}", request.uri());
    let headers =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
    let body = SignableBody::Bytes(request.body());
    let signable =
        SignableRequest::new(request.method().as_str(), &address, headers, body).expect("a request");
    let instructions = sign(signable, &params).expect("signed").into_parts().0;
    let mut whole = Request::builder().uri(&address).body(()).expect("a request");
    *whole.headers_mut() = request.headers().clone();
    instructions.apply_to_request_http1x(&mut whole);
    *request.headers_mut() = whole.headers().clone();
    *request.uri_mut() = whole.uri().path_and_query().expect("a path").as_str().parse().expect("a path");
    request
}

fn open(settings: &Value, folder: &TempDir) -> Arc<dyn Ingest> {
    super::ingest::open(&settings_of(settings), &context(folder.path())).expect("settings")
}

/// Status and body; an error response has its type and its request's id.
fn shown(received: &Received) -> (u16, Value) {
    let body: Value = serde_json::from_slice(received.answer.body()).expect("JSON");
    let status = received.answer.status();
    if status.is_client_error() || status.is_server_error() {
        let kind = received.answer.headers()["x-amzn-errortype"].to_str().expect("text");
        assert!(kind.ends_with("Exception"), "{kind}");
        assert!(body["Message"].is_string() && body["RequestID"].is_string(), "{body}");
    }
    (status.as_u16(), body)
}

fn event(kind: &str) -> Value {
    json!({ "EventType": kind, "Timestamp": "2026-03-01T11:59:58.250Z" })
}
