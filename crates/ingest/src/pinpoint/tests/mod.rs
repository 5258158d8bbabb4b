//! The data plane, seen from the wire.

mod data_plane;
mod signature;

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_model::{ExportRequest, Ingest, Received};
use tidegate_testkit::conforms::{context, settings_of};

/// A data plane in a folder of its own, on a clock that stands at 2026-03-01T12:00:00Z.
struct Plane {
    ingest: Arc<dyn Ingest>,
    folder: TempDir,
    settings: Value,
}

impl Plane {
    fn new(settings: Value) -> Plane {
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
        let request = Request::builder().method(method).uri(path);
        self.ingest.receive(&request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()).await
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
