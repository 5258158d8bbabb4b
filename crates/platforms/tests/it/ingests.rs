//! Requests of an event stream, as OneSignal makes them.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tidegate_testkit::conforms::{IngestExample, PRIVATE};

/// What senders carry in the header.
pub(super) const SECRET: &str = "f00d-cafe-f00d-cafe-f00d";

pub(super) fn onesignal() -> IngestExample {
    IngestExample {
        request: |number| {
            let body = json!({
                "event_id": format!("e{number}"),
                "event_kind": "message.push.clicked",
                "event_timestamp": "1772366400",
                "external_id": PRIVATE,
                "message_title": { "en": PRIVATE },
                "subscribed": "true",
            });
            post("/", &body)
        },
        events: 1,
        prove: bearing,
    }
}

fn post(path: &str, body: &Value) -> Request<Bytes> {
    let request =
        Request::post(path).header("host", "127.0.0.1:7700").header("content-type", "application/json");
    request.body(Bytes::from(body.to_string())).expect("a request")
}

fn bearing(mut request: Request<Bytes>) -> Request<Bytes> {
    request.headers_mut().insert("authorization", format!("Bearer {SECRET}").parse().expect("a header"));
    request
}
