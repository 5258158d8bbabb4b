//! When the registry is asked, and what becomes of messages when it fails.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use tidegate_model::{ErrorKind, Http, HttpFailure, Settings, Value};

use super::{message, settings};
use crate::decode::Decoder;

/// Answers every question alike, after yielding once, and counts them.
struct Registry {
    status: u16,
    body: &'static str,
    asked: AtomicUsize,
}

#[async_trait]
impl Http for Registry {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let mut response = http::Response::new(Bytes::from_static(self.body.as_bytes()));
        *response.status_mut() = http::StatusCode::from_u16(self.status).expect("status");
        Ok(response)
    }
}

fn answering(status: u16, body: &'static str) -> (Arc<Registry>, Decoder) {
    let http = Arc::new(Registry { status, body, asked: AtomicUsize::new(0) });
    let registry = serde_json::json!({ "url": "http://registry.example" });
    let registry = Settings::new(registry.as_object().expect("object").clone()).parse().expect("settings");
    let settings = settings(serde_json::json!({ "format": "avro", "key_format": "text" }));
    let decoder = Decoder::new(&settings, Some(&registry), http.clone(), Path::new(".")).expect("decoder");
    (http, decoder)
}

#[tokio::test]
async fn many_messages_ask_for_a_schema_once() {
    let (http, decoder) = answering(200, r#"{"schema":"\"long\""}"#);
    let message = message(Some(b"\0\0\0\0\x01\x54"));

    let rows = join_all((0..50).map(|_| decoder.row(&message))).await;

    for row in rows {
        let row = row.expect("answers").expect("row");
        assert_eq!(row.get("value").and_then(Value::to_text).as_deref(), Some("42"));
    }
    assert_eq!(http.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_thousand_messages_of_an_unknown_schema_ask_once() {
    let (http, decoder) = answering(404, r#"{"error_code":40403,"message":"Schema not found"}"#);
    let message = message(Some(b"\0\0\0\0\x01\x54"));

    for _ in 0..1_000 {
        let reason = decoder.row(&message).await.expect("answers").expect_err("unknown").reason;
        assert_eq!(reason.code, "unknown_schema");
    }

    assert_eq!(http.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_registry_that_fails_is_asked_again_by_the_next_read() {
    for (status, kind) in [(503, ErrorKind::Unavailable), (429, ErrorKind::Throttled(None))] {
        let (http, decoder) = answering(status, "");
        let message = message(Some(b"\0\0\0\0\x01\x54"));

        for _ in 0..2 {
            assert_eq!(decoder.row(&message).await.expect_err("fails").kind(), kind);
        }

        assert_eq!(http.asked.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn a_schema_of_another_type_is_a_reason() {
    let (_, decoder) = answering(200, r#"{"schema":"syntax = \"proto3\";","schemaType":"PROTOBUF"}"#);

    let reason = decoder.row(&message(Some(b"\0\0\0\0\x01\x54"))).await.expect("answers");

    assert_eq!(reason.expect_err("no Avro").reason.code, "wrong_schema_type");
}
