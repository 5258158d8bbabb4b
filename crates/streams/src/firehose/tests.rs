//! Firehose with answers that no emulator gives.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidegate_model::{
    ConnectionId, ErrorKind, Event, Json, Layout, LoggedEvent, Offset, Outcome, Sink, SinkTarget, StreamId,
    SyncId,
};
use tidegate_testkit::ManualClock;

use super::setup::setup;
use tidegate_testkit::http::{Canned, context, raw};

fn connection() -> Value {
    json!({ "region": "eu-west-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "s" })
}

fn sink(target: Value, far: Arc<Canned>) -> Arc<Sink> {
    let target = SinkTarget {
        sync: SyncId::new("export"),
        stream: StreamId::new("shop"),
        layout: Layout::Events,
        settings: raw(target),
    };
    super::sink::open(&raw(connection()), &target, &context(far, &ManualClock::default())).expect("a sink")
}

fn named() -> Value {
    json!({ "delivery_stream": "events" })
}

fn event(payload: &str) -> LoggedEvent {
    let at = "2026-03-01T12:00:00Z".parse().expect("a time");
    let event = Event {
        id: "e1".into(),
        kind: "order_placed".into(),
        at,
        user: "ann".into(),
        app: "".into(),
        message: "".into(),
        template: "".into(),
        payload: Json::trusted(payload.to_owned()),
    };
    LoggedEvent { offset: Offset::new(0, 1), logged_at: at, event }
}

const DONE: &str = r#"{"RecordId":"1"}"#;

#[tokio::test]
async fn an_event_is_one_line_however_it_was_written() {
    for (newline, expected) in [(true, "{  \"n\": 1 }\n"), (false, "{\r\n\"n\": 1\n}")] {
        let far = Canned::once(200, format!(r#"{{"FailedPutCount":0,"RequestResponses":[{DONE}]}}"#));
        let target = json!({ "delivery_stream": "events", "newline": newline });

        let sink = sink(target, far.clone());
        let written = event("{\r\n\"n\": 1\n}");
        let receipt = sink.deliver(std::slice::from_ref(&written)).await.expect("a receipt");

        assert_eq!(receipt.outcomes, [Outcome::Delivered]);
        let request = far.requests().remove(0);
        assert_eq!(request.headers()["x-amz-target"], "Firehose_20150804.PutRecordBatch");
        let body: Value = serde_json::from_slice(request.body()).expect("JSON");
        assert_eq!(
            body,
            json!({ "DeliveryStreamName": "events", "Records": [{ "Data": STANDARD.encode(expected) }] })
        );
        assert!(sink.estimated_size(&written).abs_diff(request.body().len()) < 60);
    }
}

#[tokio::test]
async fn only_the_records_that_failed_are_sent_again() {
    let busy = r#"{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."}"#;
    let far = Canned::once(200, format!(r#"{{"FailedPutCount":1,"RequestResponses":[{busy},{DONE}]}}"#));

    let receipt = sink(named(), far).deliver(&[event("{}"), event("{}")]).await.expect("a receipt");

    assert!(
        matches!(&receipt.outcomes[0], Outcome::Deferred(it) if it.code == "ServiceUnavailableException")
    );
    assert_eq!(receipt.outcomes[1], Outcome::Delivered);
}

#[tokio::test]
async fn an_error_response_says_what_to_do() {
    let refused = async |status: u16, code: &str| {
        let far = Canned::once(status, json!({ "__type": code, "message": "no" }).to_string());
        let error = sink(named(), far).deliver(&[event("{}")]).await.expect_err(code);
        (error.kind(), error.next_step().to_owned())
    };
    assert_eq!(refused(500, "ServiceUnavailableException").await.0, ErrorKind::Throttled(None));
    let (kind, step) = refused(400, "ResourceNotFoundException").await;
    assert_eq!(kind, ErrorKind::Missing);
    assert!(step.contains("aws firehose create-delivery-stream --delivery-stream-name events"), "{step}");
    let (kind, step) = refused(400, "InvalidSourceException").await;
    assert_eq!(kind, ErrorKind::Settings);
    assert!(step.contains("Direct PUT"), "{step}");
    let (kind, step) = refused(400, "AccessDeniedException").await;
    assert_eq!(kind, ErrorKind::Denied);
    assert!(step.contains("arn:aws:firehose:eu-west-1:<account-id>:deliverystream/events"), "{step}");
}

#[tokio::test]
async fn a_stream_that_reads_from_elsewhere_does_not_pass_the_check() {
    for (status, kind, passed) in [
        ("ACTIVE", "DirectPut", true),
        ("ACTIVE", "KinesisStreamAsSource", false),
        ("CREATING", "DirectPut", false),
    ] {
        let found = json!({ "DeliveryStreamDescription": {
            "DeliveryStreamStatus": status, "DeliveryStreamType": kind,
        } });
        let far = Canned::new([
            Ok((200, found.to_string())),
            Ok((400, r#"{"__type":"ValidationException","message":"at least one"}"#.to_owned())),
        ]);
        assert_eq!(sink(named(), far).check().await.expect("checks").passed(), passed, "{status} {kind}");
    }
}

#[test]
fn an_event_that_cannot_be_read_does_not_arrive_as_a_pinpoint_record_without_its_values() {
    let of = |shape: &str| {
        let target = json!({ "delivery_stream": "events", "shape": shape });
        sink(target, Canned::new([]))
    };
    let (pinpoint, whole) = (of("pinpoint"), of("event"));
    let deep = format!(r#"{{"kind":"tap","a":{}{}}}"#, "[".repeat(128), "]".repeat(128));
    for (payload, code) in [
        (r#"{"kind":"tap","note":"\ud83d","total":12.5}"#, "invalid_json"),
        (r#"{"kind":"tap","total":1e400}"#, "number_too_large"),
        (&*deep, "invalid_json"),
        ("[1]", "not_an_object"),
    ] {
        let reason = pinpoint.validate(&event(payload)).expect_err(payload);
        assert_eq!(reason.code, code, "{payload}: {}", reason.message);
        assert!(whole.validate(&event(payload)).is_ok(), "as it came in: {payload}");
    }
    let payload = r#"{"note":"\ud83d\ude00","total":1e30}"#;
    assert!(pinpoint.validate(&event(payload)).is_ok());
}

#[test]
fn setup_without_a_stream_has_a_place_for_its_name() {
    let text = setup(&ConnectionId::new("aws"), &raw(connection()), None).expect("steps");
    assert!(text.contains("deliverystream/<stream>"), "{text}");
    assert!(text.contains("aws iam put-user-policy"), "{text}");
    assert!(!text.contains("create-role"), "{text}");
}
