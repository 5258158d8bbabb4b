//! Any bytes as the body of a request: JSON events, OneSignal's event stream, the Pinpoint data plane.
//!
//! The first byte chooses the ingest and the call, the rest is the body.

#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::Request;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tidegate_model::{Connector, Ingest};
use tidegate_testkit::conforms::{context, settings_of};
use tokio::runtime::{Builder, Runtime};

const TOKEN: &str = "Bearer events-token-0123456789";

struct Senders {
    events: Arc<dyn Ingest>,
    onesignal: Arc<dyn Ingest>,
    pinpoint: Arc<dyn Ingest>,
}

fn open(connector: &Connector, settings: &Value) -> Arc<dyn Ingest> {
    // Kept as long as the process runs.
    let folder = tempfile::tempdir().expect("a folder").keep();
    let role = connector.ingest.as_ref().expect("an ingest");
    (role.open)(&settings_of(settings), &context(&folder)).expect("settings")
}

static SENDERS: LazyLock<Senders> = LazyLock::new(|| {
    let token = "events-token-0123456789";
    Senders {
        events: open(&tidegate_ingest::events::CONNECTOR, &json!({ "token": token })),
        onesignal: open(
            &tidegate_platforms::onesignal::CONNECTOR,
            &json!({
                "app_id": "11111111-2222-3333-4444-555555555555",
                "api_key": "os_v2_app_key",
                "event_stream": { "token": token },
            }),
        ),
        pinpoint: open(&tidegate_ingest::pinpoint::CONNECTOR, &json!({ "anonymous": true })),
    }
});

/// Endpoints of the Pinpoint data plane are kept in a file, on a thread that may block.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let (ingest, method, path, content_type) = match choice % 6 {
        0 => (&SENDERS.events, "POST", "/", "application/json"),
        1 => (&SENDERS.events, "POST", "/", "application/x-ndjson"),
        2 | 3 => (&SENDERS.onesignal, "POST", "/", "application/json"),
        4 => (&SENDERS.pinpoint, "POST", "/v1/apps/a1/events", "application/json"),
        _ => (&SENDERS.pinpoint, "PUT", "/v1/apps/a1/endpoints/e1", "application/json"),
    };
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", TOKEN).header("content-type", content_type);
    let request = request.header("host", "127.0.0.1").body(Bytes::copy_from_slice(body)).expect("a request");
    let received = RUNTIME.block_on(ingest.receive(&request));
    let status = received.answer.status();
    assert!(status.is_success() || status.is_client_error(), "{status}");
    for event in &received.events {
        let payload = event.payload.as_str();
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(payload).is_ok(), "no JSON: {payload}");
    }
});
