//! Ingests: requests as their senders make them.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tidegate_model::Clock;
use tidegate_testkit::ManualClock;
use tidegate_testkit::conforms::{Example, IngestExample, PRIVATE};

/// What senders carry in the header.
const SECRET: &str = "f00d-cafe-f00d-cafe-f00d";
const KEY: &str = "deadbeefcafef00dbabe/+0";

/// The example of a type. A type without one fails the suite.
pub fn of(kind: &str) -> Option<Example> {
    match kind {
        "events" => Some(events()),
        "pinpoint" => Some(pinpoint()),
        _ => None,
    }
}

fn events() -> Example {
    Example {
        settings: json!({ "token": SECRET, "fields": { "id": "id" } }),
        ingest: Some(IngestExample {
            request: |number| {
                let event = |id: String| json!({ "id": id, "kind": "order_placed", "note": PRIVATE, "user_id": PRIVATE });
                post("/", &json!([event(format!("a{number}")), event(format!("b{number}"))]))
            },
            events: 2,
            prove: bearing,
        }),
        ..Example::default()
    }
}

fn pinpoint() -> Example {
    Example {
        settings: json!({ "access_keys": [{ "id": "AKIDAPPS", "secret": KEY }] }),
        ingest: Some(IngestExample {
            request: |number| {
                let event = |kind: &str| {
                    json!({
                        "EventType": kind,
                        "Timestamp": "2026-03-01T11:59:59Z",
                        "Attributes": { "note": PRIVATE },
                    })
                };
                let events =
                    json!({ format!("a{number}"): event("visit"), "b": event(&format!("buy{number}")) });
                let endpoint = json!({ "User": { "UserId": PRIVATE }, "Address": PRIVATE });
                let items = json!({ "ep1": { "Endpoint": endpoint, "Events": events } });
                post("/v1/apps/app1/events", &json!({ "BatchItem": items }))
            },
            events: 2,
            prove: signed,
        }),
        ..Example::default()
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

/// Signs as AWS SDKs do.
fn signed(mut request: Request<Bytes>) -> Request<Bytes> {
    let now = u64::try_from(ManualClock::default().now().as_second()).expect("after 1970");
    let identity = Credentials::new("AKIDAPPS", KEY, None, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("mobiletargeting")
        .time(SystemTime::UNIX_EPOCH + Duration::from_secs(now))
        .settings(SigningSettings::default())
        .build()
        .expect("all parts")
        .into();
    let address = format!("http://127.0.0.1:7700{}", request.uri());
    let headers =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
    let signable = SignableRequest::new(
        request.method().as_str(),
        address,
        headers,
        SignableBody::Bytes(request.body()),
    );
    let Ok((instructions, _)) = sign(signable.expect("a request"), &params).map(|signed| signed.into_parts())
    else {
        panic!("the request cannot be signed");
    };
    for (name, value) in
        instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    {
        let name: http::HeaderName = name.parse().expect("a name");
        request.headers_mut().insert(name, value.parse().expect("a header"));
    }
    request
}
