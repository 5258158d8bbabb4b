//! Kinesis with answers that no emulator gives.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidegate_model::{
    ConnectionId, ErrorKind, Event, HttpFailure, Json, Layout, LoggedEvent, Offset, Outcome, Sink,
    SinkTarget, StreamId, SyncId,
};
use tidegate_testkit::ManualClock;

use super::setup::setup;
use super::{encode, settings::PartitionBy};
use tidegate_testkit::http::{Canned, context, raw};

fn connection() -> Value {
    json!({ "region": "eu-west-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "s" })
}

fn sink_of(connection: Value, target: Value, far: Arc<Canned>) -> Arc<Sink> {
    let target = SinkTarget {
        sync: SyncId::new("export"),
        stream: StreamId::new("shop"),
        layout: Layout::Events,
        settings: raw(target),
    };
    super::sink::open(&raw(connection), &target, &context(far, &ManualClock::default())).expect("a sink")
}

fn sink(far: Arc<Canned>) -> Arc<Sink> {
    sink_of(connection(), json!({ "stream": "events" }), far)
}

fn event(id: &str, user: &str, payload: &str) -> LoggedEvent {
    let at = "2026-03-01T12:00:00Z".parse().expect("a time");
    let event = Event {
        id: id.to_owned().into(),
        kind: "order_placed".into(),
        at,
        user: user.to_owned().into(),
        app: "".into(),
        message: "".into(),
        template: "".into(),
        payload: Json::trusted(payload.to_owned()),
    };
    LoggedEvent { offset: Offset::new(0, 1), logged_at: at, event }
}

fn three() -> Vec<LoggedEvent> {
    vec![event("e1", "ann", r#"{"n":1}"#), event("e2", "bob", r#"{"n":2}"#), event("e3", "ann", r#"{"n":3}"#)]
}

const DONE: &str = r#"{"SequenceNumber":"1","ShardId":"shardId-000000000000"}"#;

#[tokio::test]
async fn a_request_has_the_documented_form() {
    let far = Canned::once(200, format!(r#"{{"FailedRecordCount":0,"Records":[{DONE},{DONE}]}}"#));
    let events = [event("e1", "ann \"a\"", r#"{"n":"é"}"#), event("e2", "", "{}")];

    let sink = sink(far.clone());
    let receipt = sink.deliver(&events).await.expect("a receipt");

    assert_eq!(receipt.outcomes, [Outcome::Delivered, Outcome::Delivered]);
    let requests = far.requests();
    let body: Value = serde_json::from_slice(requests[0].body()).expect("JSON");
    let expected = json!({ "StreamName": "events", "Records": [
        { "Data": STANDARD.encode(r#"{"n":"é"}"#), "PartitionKey": "ann \"a\"" },
        { "Data": STANDARD.encode("{}"), "PartitionKey": "e2" },
    ] });
    assert_eq!(body, expected);
    let weight: usize = events.iter().map(|logged| sink.estimated_size(logged)).sum();
    assert!(weight.abs_diff(requests[0].body().len()) < 60, "{weight}");
}

#[tokio::test]
async fn a_stream_of_another_account_is_named_by_its_arn() {
    let far = Canned::once(200, format!(r#"{{"Records":[{DONE}]}}"#));
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/events";

    sink_of(connection(), json!({ "stream": arn }), far.clone())
        .deliver(&three()[..1])
        .await
        .expect("a receipt");

    let body: Value = serde_json::from_slice(far.requests()[0].body()).expect("JSON");
    assert_eq!(body["StreamARN"], arn);
    assert_eq!(body.get("StreamName"), None);
}

#[tokio::test]
async fn records_have_the_shape_of_pinpoint_where_that_is_asked_for() {
    let far = Canned::once(200, format!(r#"{{"Records":[{DONE}]}}"#));
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/events";
    let target = json!({ "stream": arn, "shape": "pinpoint" });

    let sink = sink_of(connection(), target, far.clone());
    sink.deliver(&three()[..1]).await.expect("a receipt");

    let body: Value = serde_json::from_slice(far.requests()[0].body()).expect("JSON");
    let data = STANDARD.decode(body["Records"][0]["Data"].as_str().expect("data")).expect("base64");
    let record: Value = serde_json::from_slice(&data).expect("JSON");
    assert_eq!(record["event_type"], "order_placed");
    assert_eq!(record["awsAccountId"], "123456789012");
    assert!(data.len() < sink.estimated_size(&three()[0]), "it is not heavier than it was weighed");
}

#[test]
fn an_event_that_cannot_be_read_does_not_arrive_as_a_pinpoint_record_without_its_values() {
    let of = |shape: &str| {
        let target = json!({ "stream": "events", "shape": shape });
        sink_of(connection(), target, Canned::new([]))
    };
    let (pinpoint, whole) = (of("pinpoint"), of("event"));
    let deep = format!(r#"{{"kind":"tap","a":{}{}}}"#, "[".repeat(128), "]".repeat(128));
    for (payload, code) in [
        (r#"{"kind":"tap","note":"\ud83d","total":12.5}"#, "invalid_json"),
        (r#"{"kind":"tap","total":1e400}"#, "number_too_large"),
        (&*deep, "invalid_json"),
        ("[1]", "not_an_object"),
    ] {
        let reason = pinpoint.validate(&event("e1", "ann", payload)).expect_err(payload);
        assert_eq!(reason.code, code, "{payload}: {}", reason.message);
        assert!(whole.validate(&event("e1", "ann", payload)).is_ok(), "as it came in: {payload}");
    }
    let payload = r#"{"note":"\ud83d\ude00","total":1e30}"#;
    assert!(pinpoint.validate(&event("e1", "ann", payload)).is_ok());
}

#[test]
fn an_account_is_twelve_digits() {
    let target =
        |account: &str| raw(json!({ "stream": "events", "shape": "pinpoint", "account_id": account }));
    let open = |account: &str| {
        let target = SinkTarget {
            sync: SyncId::new("export"),
            stream: StreamId::new("shop"),
            layout: Layout::Events,
            settings: target(account),
        };
        super::sink::open(&raw(connection()), &target, &context(Canned::new([]), &ManualClock::default()))
    };
    assert!(open("123456789012").is_ok());
    assert!(open("1234-5678-9012").is_err_and(|error| error.message().contains("`account_id`")));
}

#[test]
fn a_key_is_never_empty_and_never_too_long() {
    let long = "é".repeat(300);
    assert_eq!(encode::key(PartitionBy::User, &event("e1", &long, "{}")).chars().count(), 256);
    assert_eq!(encode::key(PartitionBy::User, &event("e1", "", "{}")), "e1");
    assert_eq!(encode::key(PartitionBy::Event, &event("e1", "ann", "{}")), "e1");
    assert_eq!(encode::key(PartitionBy::User, &event("", "", "{}")), "-");
}

#[tokio::test]
async fn only_the_throttled_record_is_sent_again() {
    let throttled =
        r#"{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded"}"#;
    let far =
        Canned::once(200, format!(r#"{{"FailedRecordCount":1,"Records":[{DONE},{throttled},{DONE}]}}"#));

    let receipt = sink(far).deliver(&three()).await.expect("a receipt");

    assert_eq!([&receipt.outcomes[0], &receipt.outcomes[2]], [&Outcome::Delivered; 2]);
    assert!(matches!(receipt.outcomes[1], Outcome::Deferred(_)), "{receipt:?}");
    assert_eq!(receipt.rate_limit.map(|pace| pace.remaining), Some(0), "the stream is too slow for now");
}

#[tokio::test]
async fn strict_order_keeps_a_later_event_of_the_same_user_back() {
    let failed = r#"{"ErrorCode":"InternalFailure","ErrorMessage":"Internal Service Failure"}"#;
    let far = Canned::once(200, format!(r#"{{"FailedRecordCount":1,"Records":[{failed},{DONE}]}}"#));
    let target = json!({ "stream": "events", "order": "strict" });

    let receipt = sink_of(connection(), target, far.clone()).deliver(&three()).await.expect("a receipt");

    let body: Value = serde_json::from_slice(far.requests()[0].body()).expect("JSON");
    assert_eq!(body["Records"].as_array().map(Vec::len), Some(2));
    assert!(matches!(&receipt.outcomes[0], Outcome::Deferred(reason) if reason.code == "InternalFailure"));
    assert_eq!(receipt.outcomes[1], Outcome::Delivered);
    assert!(matches!(&receipt.outcomes[2], Outcome::Deferred(reason) if reason.code == "next_request"));
}

#[tokio::test]
async fn a_lost_answer_leaves_every_event_in_doubt() {
    for far in [
        Canned::new([Err(HttpFailure::ResponseLost("closed".into()))]),
        Canned::once(500, r#"{"__type":"InternalFailure"}"#),
        Canned::once(504, "gateway"),
        Canned::once(200, "<html>"),
    ] {
        let receipt = sink(far).deliver(&three()).await.expect("a receipt");
        assert_eq!(receipt.outcomes.len(), 3);
        assert!(receipt.outcomes.iter().all(|it| matches!(it, Outcome::Unknown(_))), "{receipt:?}");
    }
}

#[tokio::test]
async fn an_error_response_says_what_to_run() {
    let refused = async |code: &str| {
        let far = Canned::once(400, json!({ "__type": code, "message": "no" }).to_string());
        let error = sink(far).deliver(&three()).await.expect_err(code);
        (error.kind(), error.next_step().to_owned())
    };

    let (kind, step) = refused("ResourceNotFoundException").await;
    assert_eq!(kind, ErrorKind::Missing);
    assert!(step.contains("aws kinesis create-stream --stream-name events"), "{step}");
    assert!(step.contains("--region eu-west-1"), "{step}");

    let (kind, step) = refused("AccessDeniedException").await;
    assert_eq!(kind, ErrorKind::Denied);
    let statement: Value = serde_json::from_str(&step[step.find('{').expect("a statement")..]).expect("JSON");
    assert_eq!(statement["Action"], json!(["kinesis:PutRecords", "kinesis:DescribeStreamSummary"]));
    assert_eq!(statement["Resource"], "arn:aws:kinesis:eu-west-1:<account-id>:stream/events");

    assert_eq!(refused("ProvisionedThroughputExceededException").await.0, ErrorKind::Throttled(None));
}

#[tokio::test]
async fn a_check_tells_what_stands_in_the_way_of_writing() {
    let found = |status: &str| {
        Ok((
            200,
            json!({ "StreamDescriptionSummary": { "StreamStatus": status, "OpenShardCount": 3 } })
                .to_string(),
        ))
    };
    let refused = |code: &str| Ok((400, json!({ "__type": code, "message": "no" }).to_string()));
    let checks = async |answers: Vec<Result<(u16, String), HttpFailure>>| {
        let far = Canned::new(answers);
        let checks = sink(far.clone()).check().await.expect("checks");
        let requests = far.requests();
        let empty =
            requests.get(1).is_none_or(|it| it.body().windows(12).any(|part| part == b"\"Records\":[]"));
        assert!(empty, "a check writes nothing");
        checks
    };

    let dry = checks(vec![found("ACTIVE"), refused("DryRunOperationException")]).await;
    assert!(dry.passed(), "{dry:?}");
    assert_eq!(dry.0[0].detail, "ACTIVE, 3 open shards");
    assert!(checks(vec![found("UPDATING"), refused("ValidationException")]).await.passed());
    assert!(!checks(vec![found("CREATING")]).await.passed());
    assert!(!checks(vec![refused("ResourceNotFoundException")]).await.passed());
    let denied = checks(vec![found("ACTIVE"), refused("AccessDeniedException")]).await;
    assert!(!denied.passed() && denied.0[1].remedy.is_some(), "{denied:?}");
}

#[test]
fn a_target_that_cannot_work_is_refused() {
    for (stream, named) in [
        ("", "`stream`"),
        ("no blanks", "`stream`"),
        ("arn:aws:kinesis:us-east-1:1:stream/x", "`region`"),
        ("arn:aws:firehose:eu-west-1:1:deliverystream/x", "`stream`"),
    ] {
        let target = SinkTarget {
            sync: SyncId::new("export"),
            stream: StreamId::new("shop"),
            layout: Layout::Events,
            settings: raw(json!({ "stream": stream })),
        };
        let context = context(Canned::new([]), &ManualClock::default());
        let Err(error) = super::sink::open(&raw(connection()), &target, &context) else { panic!("{stream}") };
        assert_eq!(error.kind(), ErrorKind::Settings);
        assert!(error.message().contains(named), "{error:?}");
    }
}

#[test]
fn setup_prints_documents_for_the_names_in_the_settings() {
    let connection = json!({
        "region": "eu-west-1",
        "role_arn": "arn:aws:iam::123456789012:role/teams/tidegate",
        "external_id": "seven",
    });
    let text = setup(&ConnectionId::new("aws"), &raw(connection), Some(&raw(json!({ "stream": "events" }))))
        .expect("steps");

    let document = |file: &str| -> Value {
        let text = text.split_once(&format!("{file} <<'JSON'\n")).expect(file).1;
        serde_json::from_str(text.split_once("\nJSON\n").expect("its end").0).expect("JSON")
    };
    let policy = document("tidegate-aws-policy.json");
    assert_eq!(policy["Statement"][0]["Resource"], "arn:aws:kinesis:eu-west-1:123456789012:stream/events");
    let trust = document("tidegate-aws-trust.json");
    assert_eq!(trust["Statement"][0]["Action"], "sts:AssumeRole");
    assert_eq!(trust["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], "seven");
    for command in
        ["aws kinesis create-stream --stream-name events", "aws iam create-role --role-name tidegate"]
    {
        assert!(text.contains(command), "{text}");
    }
}
