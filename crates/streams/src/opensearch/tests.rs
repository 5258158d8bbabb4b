//! OpenSearch with answers that the server of the tests does not give.

use std::sync::Arc;

use serde_json::{Value, json};
use tidegate_model::{
    ConnectionId, ErrorKind, Event, HttpFailure, Json, Layout, LoggedEvent, Offset, Outcome, Sink,
    SinkTarget, StreamId, SyncId,
};
use tidegate_testkit::ManualClock;
use tidegate_testkit::http::{Canned, context, raw};

use super::setup::setup;

const ADDRESS: &str = "https://search.example.com:9200";

fn open(connection: Value, target: Value, far: Arc<Canned>) -> tidegate_model::Result<Arc<Sink>> {
    let target = SinkTarget {
        sync: SyncId::new("export"),
        stream: StreamId::new("Shop"),
        layout: Layout::Events,
        settings: raw(target),
    };
    super::sink::open(&raw(connection), &target, &context(far, &ManualClock::default()))
}

fn sink(far: Arc<Canned>) -> Arc<Sink> {
    open(json!({ "endpoint": ADDRESS }), json!({ "template": false }), far).expect("a sink")
}

fn events(count: u64) -> Vec<LoggedEvent> {
    let at = "2026-03-01T12:00:00Z".parse().expect("a time");
    let event = |number: u64| Event {
        id: format!("e{number}").into(),
        kind: "order_placed".into(),
        at,
        user: "".into(),
        app: "".into(),
        message: "".into(),
        template: "".into(),
        payload: Json::trusted("{}"),
    };
    (0..count)
        .map(|at_| LoggedEvent { offset: Offset::new(0, at_), logged_at: at, event: event(at_) })
        .collect()
}

fn item(status: u16, kind: &str, reason: &str) -> Value {
    match kind {
        "" => json!({ "create": { "_index": "i", "_id": "x", "status": status } }),
        _ => json!({ "create": { "status": status, "error": { "type": kind, "reason": reason } } }),
    }
}

fn answer(items: &[Value]) -> Arc<Canned> {
    Canned::once(200, json!({ "took": 1, "errors": true, "items": items }).to_string())
}

#[tokio::test]
async fn only_the_throttled_documents_are_sent_again() {
    let throttled = item(429, "rejected_execution_exception", "rejected execution of primary operation");
    let there =
        item(409, "version_conflict_engine_exception", "[e2]: version conflict, document already exists");

    let receipt =
        sink(answer(&[item(201, "", ""), throttled, there])).deliver(&events(3)).await.expect("a receipt");

    assert_eq!([&receipt.outcomes[0], &receipt.outcomes[2]], [&Outcome::Delivered; 2], "it was there before");
    assert!(
        matches!(&receipt.outcomes[1], Outcome::Deferred(why) if why.code == "rejected_execution_exception")
    );
    assert_eq!(receipt.rate_limit.map(|pace| pace.remaining), Some(0), "the cluster is too slow for now");
}

#[test]
fn a_cluster_that_takes_most_of_a_request_is_paused_for_a_part_of_a_second() {
    let now = "2026-03-01T12:00:00Z".parse().expect("a time");
    let pause = |throttled: usize| {
        let busy = || item(429, "rejected_execution_exception", "busy");
        let items: Vec<Value> =
            (0..8).map(|at| if at < throttled { busy() } else { item(201, "", "") }).collect();
        let body = json!({ "took": 1, "errors": true, "items": items }).to_string();
        let receipt = super::outcome::receipt(&http::Response::new(body.into()), 8, "", now);
        receipt.expect("a receipt").rate_limit.map(|pace| pace.reset.duration_since(now).as_millis())
    };
    assert_eq!([pause(0), pause(1), pause(4), pause(7)], [None, Some(125), Some(500), Some(875)]);
}

#[tokio::test]
async fn what_holds_all_documents_up_is_an_error_and_no_document_is_refused() {
    for (item, kind, step) in [
        (item(429, "rejected_execution_exception", "busy"), ErrorKind::Throttled(None), ""),
        (
            item(429, "cluster_block_exception", "disk usage exceeded flood-stage watermark"),
            ErrorKind::Denied,
            "free disk",
        ),
        (
            item(503, "unavailable_shards_exception", "primary shard is not active"),
            ErrorKind::Unavailable,
            "",
        ),
        (
            item(403, "cluster_block_exception", "read-only / allow delete"),
            ErrorKind::Denied,
            "free disk space",
        ),
        (
            item(403, "security_exception", "no permissions for [indices:data/write/bulk]"),
            ErrorKind::Denied,
            "index_permissions",
        ),
        (item(404, "index_not_found_exception", "no such index"), ErrorKind::Missing, "auto_create_index"),
        (
            item(400, "validation_exception", "this action would add [2] total shards"),
            ErrorKind::Denied,
            "max_shards_per_node",
        ),
    ] {
        let told = item.to_string();
        let far = answer(&[item.clone(), item]);

        let error = sink(far).deliver(&events(2)).await.expect_err("nothing was written");

        assert_eq!(error.kind(), kind, "{told}");
        assert!(error.next_step().contains(step), "{told}: {}", error.next_step());
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_every_document_in_doubt() {
    for far in [
        Canned::new([Err(HttpFailure::ResponseLost("closed".into()))]),
        Canned::once(502, "<html>"),
        Canned::once(200, r#"{"items":[]}"#),
        Canned::once(200, r#"{"items":[{},{}]}"#),
    ] {
        let receipt = sink(far).deliver(&events(2)).await.expect("a receipt");
        assert!(receipt.outcomes.iter().all(|it| matches!(it, Outcome::Unknown(_))), "{receipt:?}");
    }
}

#[tokio::test]
async fn a_refused_request_says_why_and_what_to_do() {
    let refused = async |status: u16, body: &str| {
        let error = sink(Canned::once(status, body)).deliver(&events(2)).await.expect_err("refused");
        (error.kind(), error.with_words(), error.next_step().to_owned())
    };
    let (kind, _, step) = refused(401, "Unauthorized").await;
    assert_eq!(kind, ErrorKind::Denied);
    assert!(step.contains("`password`"), "{step}");
    let denied = json!({ "error": { "type": "security_exception", "reason": "no permissions for [indices:data/write/bulk]" } });
    let (kind, words, step) = refused(403, &denied.to_string()).await;
    assert_eq!(kind, ErrorKind::Denied);
    assert!(words.contains("security_exception: no permissions for"), "{words}");
    assert!(step.contains("\"shop_events-*\""), "{step}");
    assert_eq!(refused(413, "").await.0, ErrorKind::TooLarge);
    assert_eq!(refused(429, "").await.0, ErrorKind::Throttled(None));
}

#[tokio::test]
async fn a_data_stream_gets_a_template_once_and_documents_that_are_only_created() {
    let ok = |body: Value| Ok((200, body.to_string()));
    let done = || ok(json!({ "items": [item(201, "", "")] }));
    let far = Canned::new([
        Ok((404, json!({ "error": { "type": "resource_not_found_exception" } }).to_string())),
        ok(json!({ "acknowledged": true })),
        done(),
        done(),
    ]);
    let connection = json!({ "endpoint": ADDRESS, "user": "tidegate", "password": "hush-hush-deadbeef" });
    let sink = open(connection, json!({ "data_stream": "shop-events" }), far.clone()).expect("a sink");

    for _ in 0..2 {
        sink.deliver(&events(1)).await.expect("a receipt");
    }

    let requests = far.requests();
    let asked: Vec<String> =
        requests.iter().map(|it| format!("{} {}", it.method(), it.uri().path())).collect();
    let template = "/_index_template/shop-events";
    assert_eq!(asked, [&format!("GET {template}"), &format!("PUT {template}"), "POST /_bulk", "POST /_bulk"]);
    assert_eq!(requests[2].headers()["authorization"], "Basic dGlkZWdhdGU6aHVzaC1odXNoLWRlYWRiZWVm");
    let body: Value = serde_json::from_slice(requests[1].body()).expect("JSON");
    assert_eq!(body["data_stream"]["timestamp_field"]["name"], "@timestamp");
    assert_eq!(body["index_patterns"], json!(["shop-events"]));
    let bulk = String::from_utf8_lossy(requests[2].body()).into_owned();
    assert!(bulk.starts_with(r#"{"create":{"_index":"shop-events","_id":"e0"}}"#), "{bulk}");
    assert_eq!(bulk.lines().count(), 2);
}

#[tokio::test]
async fn requests_to_aws_are_signed_with_the_hash_of_their_body() {
    let far = answer(&[item(201, "", "")]);
    let connection = json!({
        "endpoint": "https://abc.eu-west-1.aoss.amazonaws.com", "region": "eu-west-1", "service": "aoss",
        "access_key_id": "AKIDEXAMPLE", "secret_access_key": "s",
    });

    let sink = open(connection, json!({ "template": false }), far.clone()).expect("a sink");
    sink.deliver(&events(1)).await.expect("a receipt");

    let requests = far.requests();
    let authorization = requests[0].headers()["authorization"].to_str().expect("text");
    assert!(authorization.contains("/eu-west-1/aoss/aws4_request"), "{authorization}");
    assert!(authorization.contains("x-amz-content-sha256"), "{authorization}");
    assert_eq!(requests[0].headers()["x-amz-content-sha256"].len(), 64);
}

#[tokio::test]
async fn credentials_that_expired_are_renewed_or_said() {
    let expired = json!({ "message": "The security token included in the request is expired" }).to_string();
    let connection = json!({
        "endpoint": "https://search-x.eu-west-1.es.amazonaws.com", "region": "eu-west-1",
        "access_key_id": "AKIDEXAMPLE", "secret_access_key": "s",
    });
    let far = Canned::once(403, expired);

    let sink = open(connection, json!({ "template": false }), far).expect("a sink");
    let error = sink.deliver(&events(1)).await.expect_err("there is no other key");

    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.with_words().contains("token included in the request is expired"), "{error:?}");
    assert!(error.next_step().contains("es:ESHttpPost"), "{}", error.next_step());
}

#[tokio::test]
async fn a_cluster_that_is_too_old_for_the_template_is_named_by_the_check() {
    for (version, passes) in [
        (json!({ "number": "2.19.1", "distribution": "opensearch" }), true),
        (json!({ "number": "2.5.0", "distribution": "opensearch" }), false),
        (json!({ "number": "7.17.0" }), false),
    ] {
        let not_found = || Ok((404, String::new()));
        let far =
            Canned::new([Ok((200, json!({ "version": version }).to_string())), not_found(), not_found()]);
        let sink = open(json!({ "endpoint": ADDRESS }), json!({}), far).expect("a sink");

        let checks = sink.check().await.expect("checks");

        assert_eq!(checks.passed(), passes, "{checks:?}");
        assert!(passes || checks.0[0].remedy.as_ref().is_some_and(|it| it.contains("payload: dynamic")));
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (connection, target, named) in [
        (json!({ "endpoint": "search" }), json!({}), "`endpoint`"),
        (json!({ "endpoint": "https://u:p@search.example.com" }), json!({}), "`endpoint`"),
        (
            json!({ "endpoint": "http://search.example.com", "user": "u", "password": "p" }),
            json!({}),
            "`endpoint`",
        ),
        (json!({ "endpoint": ADDRESS, "user": "u" }), json!({}), "`password`"),
        (json!({ "endpoint": ADDRESS, "profile": "p" }), json!({}), "`region`"),
        (
            json!({ "endpoint": ADDRESS, "user": "u", "password": "p", "region": "eu-west-1" }),
            json!({}),
            "`region`",
        ),
        (json!({ "endpoint": ADDRESS }), json!({ "index": "Shop" }), "`index`"),
        (json!({ "endpoint": ADDRESS }), json!({ "index": "a", "data_stream": "b" }), "`data_stream`"),
    ] {
        let Err(error) = open(connection.clone(), target, Canned::new([])) else { panic!("{connection}") };
        assert_eq!(error.kind(), ErrorKind::Settings);
        assert!(error.message().contains(named), "{error:?}");
    }
}

#[test]
fn setup_prints_the_role_for_the_index_in_the_settings() {
    let connection = json!({ "endpoint": ADDRESS, "user": "mover", "password": "p" });
    let target = raw(json!({ "index": "shop" }));

    let text = setup(&ConnectionId::new("search"), &raw(connection), Some(&target)).expect("steps");

    for words in ["roles/tidegate", "\"shop-*\"", "{\"users\":[\"mover\"]}", "internalusers/mover", ADDRESS] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
}
