//! Requests and what becomes of them.

use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tidegate_model::{Error, ErrorKind, Ingest, Received};
use tidegate_testkit::ManualClock;
use tidegate_testkit::conforms::ingest::take;
use tidegate_testkit::conforms::{context, settings_of};

const TOKEN: &str = "events-token-0123456789";

fn open(changes: &Value) -> (Arc<dyn Ingest>, ManualClock) {
    let clock = ManualClock::default();
    let mut context = context("/nonexistent".as_ref());
    context.clock = Arc::new(clock.clone());
    let mut settings = json!({ "token": TOKEN });
    for (name, value) in changes.as_object().expect("an object") {
        settings[name] = value.clone();
    }
    (super::ingest::open(&settings_of(&settings), &context).expect("settings"), clock)
}

async fn post(ingest: &Arc<dyn Ingest>, content_type: &str, body: &str) -> Received {
    let request = http::Request::post("/").header("authorization", format!("Bearer {TOKEN}"));
    let request = request.header("content-type", content_type).body(Bytes::copy_from_slice(body.as_bytes()));
    take(ingest.as_ref(), &request.unwrap()).await
}

fn answer(received: &Received) -> (u16, Value) {
    let body = serde_json::from_slice(received.answer.body()).expect("JSON");
    (received.answer.status().as_u16(), body)
}

#[tokio::test]
async fn events_are_taken_as_they_are() {
    let (ingest, clock) = open(&json!({}));
    let body =
        r#"[{"id":"1","kind":"order","time":1772366400,"user_id":"u","total":1.50},{ "type":"visit" }]"#;
    let received = post(&ingest, "application/json", body).await;

    assert_eq!(answer(&received), (202, json!({ "accepted": 2 })));
    let [order, visit] = received.events.as_slice() else { panic!("two events") };
    assert_eq!((&*order.id, &*order.kind, &*order.user), ("1", "order", "u"));
    assert_eq!(order.at.as_second(), 1_772_366_400);
    assert!(order.payload.as_str().ends_with("\"total\":1.50}"));
    assert_eq!(visit.payload.as_str(), "{ \"type\":\"visit\" }");
    assert_eq!((visit.id.len(), visit.at), (36, tidegate_model::Clock::now(&clock)));
}

#[tokio::test]
async fn one_bad_event_keeps_all_of_the_request_out() {
    let (ingest, _) = open(&json!({}));
    for (content_type, body, part) in [
        (
            "application/json",
            r#"[{"kind":"a"},{"kind":"b","time":"soon"}]"#,
            "event 2: the time is not ISO 8601",
        ),
        ("application/x-ndjson", "{\"kind\":\"a\"}\n\n{}\n", "line 3: it has no kind"),
        ("application/json", "{\"kind\":\"a\"", "the body is not JSON"),
    ] {
        let received = post(&ingest, content_type, body).await;
        let (status, said) = answer(&received);
        assert_eq!((status, received.events.len()), (400, 0));
        let said = said["error"].as_str().expect("a sentence");
        assert!(said.contains(part) && said.ends_with("nothing was accepted"), "{said}");
    }
}

#[tokio::test]
async fn an_event_with_a_time_and_without_an_id_has_the_same_one_when_it_comes_again() {
    let (ingest, _) = open(&json!({}));
    let at = "\"timestamp\":\"2026-03-01T09:00:00Z\"";
    let body = format!("{{\"kind\":\"a\",{at}}}\n{{\"kind\":\"a\",{at}}}\n{{\"kind\":\"b\",{at}}}");
    let body = body.as_str();
    let ids = |received: &Received| received.events.iter().map(|event| event.id.clone()).collect::<Vec<_>>();
    let first = ids(&post(&ingest, "application/x-ndjson", body).await);
    let again = ids(&post(&ingest, "text/plain", body).await);
    assert_eq!(first, again);
    assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2], "{first:?}");
}

#[tokio::test]
async fn an_event_without_id_and_time_that_is_posted_twice_in_a_day_is_two_events() {
    let (ingest, _) = open(&json!({}));
    let body = "{\"kind\":\"app_open\",\"user_id\":\"42\"}";
    let morning = post(&ingest, "application/json", body).await.events;
    let afternoon = post(&ingest, "application/json", body).await.events;
    assert_ne!(morning[0].id, afternoon[0].id);
}

#[tokio::test]
async fn requests_beyond_the_rate_are_asked_to_wait() {
    let (ingest, clock) = open(&json!({ "requests_per_second": 2 }));
    let send = || post(&ingest, "application/json", "[]");
    assert_eq!([send().await, send().await].map(|received| answer(&received).0), [202, 202]);
    let received = send().await;
    assert_eq!(
        (answer(&received).0, &received.answer.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );

    let stranger = http::Request::post("/").body(Bytes::new()).unwrap();
    assert_eq!(take(ingest.as_ref(), &stranger).await.answer.status(), 401);
    clock.advance(SignedDuration::from_secs(1));
    assert_eq!(answer(&send().await).0, 202);
}

#[tokio::test]
async fn an_overloaded_log_is_answered_so_that_senders_come_back() {
    let (ingest, _) = open(&json!({}));
    let answer = ingest.error_response(&Error::new(ErrorKind::Throttled(None), "the log is behind"));
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    assert_eq!(ingest.error_response(&Error::new(ErrorKind::Storage, "the disk is full")).status(), 503);
}

#[test]
fn no_body_makes_the_ingest_panic() {
    let (ingest, _) = open(&json!({}));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let array =
        br#"[{"id":"1","kind":"order","time":1772366400,"user_id":"u","total":1.50},{"type":"visit"}]"#;
    let lines = b"{\"kind\":\"a\",\"time\":\"2026-01-02T03:04:05Z\"}\n\n{\"event\":\"b\"}\n";
    tidegate_testkit::mangle::mangled(&[array, lines], 1_000, |bytes| {
        for content_type in ["application/json", "application/x-ndjson"] {
            let request = http::Request::post("/").header("authorization", format!("Bearer {TOKEN}"));
            let request = request.header("content-type", content_type).body(Bytes::copy_from_slice(bytes));
            let received = runtime.block_on(take(ingest.as_ref(), &request.unwrap()));
            let status = received.answer.status();
            assert!(status.is_success() || status.is_client_error(), "{status}");
        }
    });
}
