//! Browsers, and senders without a key of ours.

use super::*;
use tidegate_model::{ConnectionId, Error, ErrorKind, IngestRoute, SentBody};

const BEACON: &str = "/v1/apps/app1/events/legacy";

fn batch() -> String {
    json!({ "BatchItem": { "ep1": { "Endpoint": {}, "Events": { "e": event("_session.stop") } } } })
        .to_string()
}

async fn status(plane: &Plane, request: Request<Bytes>) -> u16 {
    shown(&take(plane.ingest.as_ref(), &request).await).0
}

fn refused_settings(settings: &Value) -> Error {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = super::super::ingest::open(&settings_of(settings), &context(folder.path()));
    opened.err().unwrap_or_else(|| panic!("{settings} was taken"))
}

#[test]
fn a_plane_that_does_not_say_who_may_send_stays_closed() {
    for settings in [json!({}), json!({ "access_keys": [] }), json!({ "anonymous": false })] {
        let error = refused_settings(&settings);
        assert_eq!(error.kind(), ErrorKind::Settings);
        let next = error.next_step();
        assert!(next.contains("`access_keys`") && next.contains("`anonymous: true`"), "{next}");
    }
}

#[tokio::test]
async fn a_stranger_may_add_events_where_any_may_send_and_see_redirect_or_delete_nothing() {
    let open = Plane::new(json!({ "anonymous": true }));
    let endpoint = r#"{"Address":"a@example.com","ChannelType":"EMAIL"}"#;
    assert_eq!(status(&open, request("POST", "/v1/apps/app1/events", &batch())).await, 202);
    assert_eq!(status(&open, request("PUT", "/v1/apps/app1/endpoints/ep1", endpoint)).await, 202);
    let stream = r#"{"DestinationStreamArn":"arn:aws:kinesis:eu-west-1:1:stream/x","RoleArn":"arn:aws:iam::1:role/x"}"#;
    for (method, path) in [
        ("POST", "/v1/apps/app1/eventstream"),
        ("GET", "/v1/apps/app1/eventstream"),
        ("DELETE", "/v1/apps/app1/eventstream"),
        ("GET", "/v1/apps/app1/endpoints/ep1"),
        ("DELETE", "/v1/apps/app1/endpoints/ep1"),
        ("GET", "/v1/apps/app1/users/u1"),
        ("DELETE", "/v1/apps/app1/users/u1"),
    ] {
        assert_eq!(status(&open, request(method, path, stream)).await, 403, "{method} {path}");
    }
    assert_eq!(open.exports(), []);
}

#[tokio::test]
async fn a_temporary_key_of_cognito_sends_where_any_may_send_and_is_told_why_not_elsewhere() {
    let temporary = || {
        let mut request =
            signed(request("POST", "/v1/apps/app1/events", &batch()), SignatureLocation::Headers);
        let header =
            request.headers()["authorization"].to_str().expect("text").replace(KEY_ID, "ASIATEMPORARY");
        request.headers_mut().insert("authorization", header.parse().expect("a header"));
        request.headers_mut().insert("x-amz-security-token", "a-token".parse().expect("a header"));
        request
    };
    let keyed = json!([{ "id": KEY_ID, "secret": SECRET }]);
    let both = Plane::new(json!({ "anonymous": true, "access_keys": keyed }));
    assert_eq!(status(&both, temporary()).await, 202);
    assert_eq!(both.call("GET", "/v1/apps/app1/eventstream", Value::Null).await.0, 404, "asked with the key");

    let (code, answer) = shown(&take(Plane::new(json!({})).ingest.as_ref(), &temporary()).await);
    assert_eq!(code, 403);
    assert!(answer["Message"].as_str().is_some_and(|said| said.contains("`anonymous: true`")), "{answer}");
}

#[tokio::test]
async fn a_wrong_signature_of_a_known_key_is_refused_even_where_any_may_send() {
    let keyed = json!([{ "id": KEY_ID, "secret": "another" }]);
    let plane = Plane::new(json!({ "anonymous": true, "access_keys": keyed }));
    let request = signed(request("POST", "/v1/apps/app1/events", &batch()), SignatureLocation::Headers);
    assert_eq!(status(&plane, request).await, 403);
}

#[tokio::test]
async fn a_beacon_signed_in_its_query_is_taken() {
    let plane = Plane::new(json!({}));
    let beacon = |path: &str| {
        let mut request = request("POST", path, &batch());
        request.headers_mut().insert("content-type", "text/plain;charset=UTF-8".parse().expect("a header"));
        signed(request, SignatureLocation::QueryParams)
    };
    let good = beacon(BEACON);
    assert!(good.uri().query().is_some_and(|query| query.contains("X-Amz-Signature=")), "{}", good.uri());
    assert_eq!(status(&plane, good).await, 202);
    assert_eq!(status(&plane, beacon("/v1/apps/app%201/events?a=b%20c&a=%2F")).await, 202, "an odd address");

    let mut changed = beacon(BEACON);
    *changed.body_mut() = Bytes::from(batch().replace("stop", "start"));
    assert_eq!(status(&plane, changed).await, 403, "another body");
    for (from, to) in [("app1", "app2"), ("Expires=300", "Expires=900"), ("T120000Z", "T110000Z")] {
        let mut changed = beacon(BEACON);
        *changed.uri_mut() = changed.uri().to_string().replace(from, to).parse().expect("an address");
        assert_eq!(status(&plane, changed).await, 403, "{to}");
    }
}

#[tokio::test]
async fn a_browser_that_asks_first_is_answered_before_any_signature_is_looked_at() {
    let plane = Plane::new(json!({}));
    let mut preflight = request("OPTIONS", "/v1/apps/app1/events", "");
    for (name, value) in [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-amz-date"),
    ] {
        preflight.headers_mut().insert(name, value.parse().expect("a header"));
    }
    let received = take(plane.ingest.as_ref(), &preflight).await;
    let headers = received.answer.headers();
    assert_eq!(
        (received.answer.status().as_u16(), &headers["access-control-allow-origin"]),
        (200, &"*".parse().unwrap())
    );
    assert_eq!(headers["access-control-allow-headers"], "authorization,content-type,x-amz-date");
    assert!(headers["access-control-allow-methods"].to_str().expect("text").contains("POST"));

    // A page may read every answer, whatever it says.
    let refused =
        take(plane.ingest.as_ref(), &request("POST", "/v1/apps/app1/events", &batch())).await.answer;
    let full = plane.ingest.error_response(&Error::new(ErrorKind::Throttled(None), "the log is behind"));
    let taken = plane.receive("POST", "/v1/apps/app1/events", &batch()).await.answer;
    for (answer, code) in [(refused, 403), (full, 429), (taken, 202)] {
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
            (code, &"*".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn a_sender_that_compresses_signs_the_compressed_body() {
    let plane = Plane::new(json!({}));
    let mut request = signed(request("POST", "/v1/apps/app1/events", "squeezed"), SignatureLocation::Headers);
    let sent = std::mem::replace(request.body_mut(), Bytes::from(batch()));
    request.extensions_mut().insert(SentBody(sent));
    assert_eq!(status(&plane, request).await, 202);
}

#[tokio::test]
async fn a_signature_is_judged_by_the_head_before_the_body_is_there() {
    let plane = Plane::new(json!({}));
    let place = IngestRoute { connection: ConnectionId::new("shop"), path: "/in/pinpoint/shop".to_owned() };
    let answer = |change: &dyn Fn(&mut Request<Bytes>)| {
        let mut request = signed(request("POST", "/v1/apps/app1/events", ""), SignatureLocation::Headers);
        request.extensions_mut().insert(place.clone());
        change(&mut request);
        let (head, _) = request.into_parts();
        plane.ingest.answer_head(&head).map(|answer| answer.status().as_u16())
    };
    assert_eq!(answer(&|_| ()), None, "the body decides");
    assert_eq!(answer(&|request| drop(request.headers_mut().remove("authorization"))), Some(403));
    assert_eq!(answer(&|request| *request.uri_mut() = "/v1/apps/app1/segments".parse().unwrap()), Some(404));
    assert_eq!(answer(&|request| *request.method_mut() = http::Method::GET), Some(405));
}
