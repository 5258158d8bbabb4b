//! Who is let in.

use super::*;
use tidegate_model::{ConnectionId, IngestRoute};

/// Signed by botocore 1.44.5 at 2026-03-01T12:00:00Z for `http://127.0.0.1:8080/in/pinpoint/shop`
/// with the key `AKIDAPPS` and the secret `secret-of-the-apps/+0`.
const SIGNED: &str = include_str!("signed.json");

fn plane() -> Plane {
    Plane::new(json!({ "access_keys": [
        { "id": "AKIDOTHER", "secret": "another" },
        { "id": "AKIDAPPS", "secret": "secret-of-the-apps/+0" },
    ] }))
}

/// The signed request at `at`, which this changes first.
async fn send(at: usize, change: impl FnOnce(&mut Request<Bytes>)) -> (u16, String) {
    let signed: Value = serde_json::from_str(SIGNED).expect("JSON");
    let signed = &signed[at];
    let path = signed["path"].as_str().expect("text").strip_prefix("/in/pinpoint/shop").expect("the path");
    let mut request = Request::builder().method(signed["method"].as_str().expect("text")).uri(path);
    for (name, value) in signed["headers"].as_object().expect("headers") {
        request = request.header(name, value.as_str().expect("text"));
    }
    let body = signed["body"].as_str().expect("text").to_owned();
    let mut request = request.body(Bytes::from(body)).expect("a request");
    let place = IngestRoute { connection: ConnectionId::new("shop"), path: "/in/pinpoint/shop".to_owned() };
    request.extensions_mut().insert(place);
    change(&mut request);
    let received = take(plane().ingest.as_ref(), &request).await;
    let (status, _) = shown(&received);
    let kind =
        received.answer.headers().get("x-amzn-errortype").map_or("", |kind| kind.to_str().expect("text"));
    (status, kind.to_owned())
}

#[tokio::test]
async fn what_botocore_signed_is_let_in() {
    assert_eq!(send(0, |_| ()).await, (202, String::new()), "PutEvents");
    assert_eq!(send(1, |_| ()).await, (404, "NotFoundException".to_owned()), "GetEndpoint with an odd id");
}

#[tokio::test]
async fn what_was_changed_on_its_way_is_not() {
    let invalid = (403, "InvalidSignatureException".to_owned());
    let header = |name: &'static str, from: &'static str, to: &'static str| {
        move |request: &mut Request<Bytes>| {
            let value = request.headers()[name].to_str().expect("text").replace(from, to);
            request.headers_mut().insert(name, value.parse().expect("a header"));
        }
    };
    assert_eq!(
        send(0, |request| *request.body_mut() = Bytes::from_static(b"{\"BatchItem\":{}}")).await,
        invalid
    );
    assert_eq!(
        send(0, |request| *request.uri_mut() = "/v1/apps/app2/events".parse().unwrap()).await,
        invalid
    );
    assert_eq!(send(0, header("host", "8080", "8081")).await, invalid);
    assert_eq!(send(0, header("x-amz-date", "120000Z", "120001Z")).await, invalid);
    assert_eq!(
        send(0, header("x-amz-date", "120000Z", "115459Z")).await,
        invalid,
        "5 minutes and 1 second old"
    );
    assert_eq!(send(0, header("authorization", "mobiletargeting", "kinesis")).await, invalid);
    assert_eq!(send(0, header("authorization", "AKIDAPPS", "AKIDOTHER")).await, invalid);
    let unknown = (403, "UnrecognizedClientException".to_owned());
    assert_eq!(send(0, header("authorization", "AKIDAPPS", "AKIDNOBODY")).await, unknown);
    let incomplete = (403, "IncompleteSignatureException".to_owned());
    assert_eq!(send(0, header("authorization", "Signature=", "Sig=")).await, incomplete);
    let unsigned = send(0, |request| drop(request.headers_mut().remove("authorization"))).await;
    assert_eq!(unsigned, (403, "MissingAuthenticationTokenException".to_owned()));
}
