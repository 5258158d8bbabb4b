//! Events to OpenSearch, read back by its own client for Python.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tidegate_model::{
    ConnectorContext, Event, Json, Layout, LoggedEvent, Offset, Outcome, Settings, Sink, SinkTarget,
    StreamId, SyncId, SystemClock,
};
use tidegate_transport::http::RealHttp;

/// Indices of a test, at a server in memory.
#[derive(Clone)]
pub struct Search {
    pub endpoint: String,
    pub index: String,
}

impl Search {
    /// Indices that no other test uses.
    pub fn new() -> Search {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let endpoint = std::env::var("TIDEGATE_TEST_OPENSEARCH").expect("scripts/test sets it");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Search { endpoint, index: format!("t{}-{number}", std::process::id()) }
    }

    /// Every document, with `_index`, `_id` and `_source`.
    pub fn documents(&self) -> Vec<Value> {
        let python = std::env::var("TIDEGATE_TEST_OPENSEARCH_PYTHON").expect("scripts/test sets it");
        let program = format!("{}/../../clients/python/opensearch/documents.py", env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(python)
            .args([&program, &self.endpoint, &format!("{}*", self.index)])
            .output()
            .expect("Python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).expect("text");
        told.lines().map(|line| serde_json::from_str(line).expect("a document")).collect()
    }

    fn sink(&self, layout: Layout, target: &Value) -> Arc<Sink> {
        let context = ConnectorContext {
            http: Arc::new(RealHttp::new().expect("a client")),
            clock: Arc::new(SystemClock),
            project: std::env::temp_dir(),
            data: std::env::temp_dir(),
            dry_run: false,
        };
        let target = SinkTarget {
            sync: SyncId::new("export"),
            stream: StreamId::new("shop"),
            layout,
            settings: settings(target),
        };
        let connection = settings(&json!({ "endpoint": self.endpoint }));
        (tidegate_streams::opensearch::CONNECTOR.sink.expect("a sink").open)(&connection, &target, &context)
            .expect("a sink")
    }

    /// The mapping of an index, as the server has it.
    async fn mapping(&self, index: &str) -> Value {
        let url = format!("{}/{index}/_mapping", self.endpoint);
        let request = http::Request::get(url).body(bytes::Bytes::new()).expect("a request");
        let answer = tidegate_model::Http::send(&RealHttp::new().expect("a client"), request).await;
        let answer = answer.expect("an answer").into_body();
        let mut mapping: Value = serde_json::from_slice(&answer).expect("JSON");
        mapping[index]["mappings"]["properties"].take()
    }
}

fn settings(members: &Value) -> Settings {
    Settings::new(members.as_object().expect("an object").clone())
}

fn event(at: u64, kind: &str, payload: &str) -> LoggedEvent {
    LoggedEvent {
        offset: Offset::new(0, at),
        logged_at: "2026-11-22T07:00:00Z".parse().expect("a time"),
        event: Event {
            id: format!("e-{at} \"é\"").into(),
            kind: kind.into(),
            at: "2026-11-20T07:00:00.123456Z".parse().expect("a time"),
            user: "usér".into(),
            app: "a1".into(),
            message: "".into(),
            template: "".into(),
            payload: Json::parse(payload.to_owned().into()).expect("JSON"),
        },
    }
}

#[tokio::test]
async fn the_client_of_opensearch_finds_each_event_in_the_index_of_the_day_it_came_in() {
    let search = Search::new();
    let sink = search.sink(Layout::Events, &json!({ "index": search.index }));
    let events = [
        event(1, "order_placed", "{\n  \"total\": 12.5,\r\n  \"note\": \"日本 \\n 🎈\"\n}"),
        event(2, "order_placed", r#"{"total":"twelve","lines":[{"sku":1}]}"#),
    ];

    let receipt = sink.deliver(&events).await.expect("a receipt");

    assert_eq!(
        receipt.outcomes,
        [Outcome::Delivered, Outcome::Delivered],
        "members of a payload never conflict"
    );
    let mut found = search.documents();
    found.sort_by_key(|it| it["_id"].to_string());
    assert_eq!(found[0]["_index"], format!("{}-2026-11-22", search.index));
    assert_eq!(found[0]["_id"], "e-1 \"é\"");
    let expected = json!({
        "event_id": "e-1 \"é\"", "@timestamp": "2026-11-20T07:00:00.123456Z", "event_kind": "order_placed",
        "user_id": "usér", "app_id": "a1", "payload": { "total": 12.5, "note": "日本 \n 🎈" },
        "logged_at": "2026-11-22T07:00:00Z",
    });
    assert_eq!(found[0]["_source"], expected);
    assert_eq!(found.len(), 2);
    let mapping = search.mapping(&format!("{}-2026-11-22", search.index)).await;
    assert_eq!(mapping["@timestamp"]["type"], "date");
    assert_eq!(mapping["payload"]["type"], "flat_object");
}

#[tokio::test]
async fn a_message_event_has_the_members_of_its_table_without_names_that_opensearch_reserves() {
    let search = Search::new();
    let sink = search.sink(Layout::Messages, &json!({ "index": search.index, "rotation": "none" }));
    let payload = r#"{"device_type":1,"subscribed":true,"message_title":"Spring","language":"en"}"#;

    let receipt = sink.deliver(&[event(1, "message.push.clicked", payload)]).await.expect("a receipt");

    assert_eq!(receipt.outcomes, [Outcome::Delivered]);
    let found = search.documents();
    assert_eq!(found[0]["_index"], search.index);
    let expected = json!({
        "event_id": "e-1 \"é\"", "@timestamp": "2026-11-20T07:00:00.123456Z",
        "event_kind": "message.push.clicked", "app_id": "a1", "device_type": 1, "subscribed": true,
        "message_title": "Spring", "language": "en",
    });
    assert_eq!(found[0]["_source"], expected);
    let mapping = search.mapping(&search.index).await;
    assert_eq!(mapping["message_title"]["type"], "text");
    assert_eq!(mapping["subscribed"]["type"], "boolean");
}

#[tokio::test]
async fn a_document_that_does_not_fit_the_mapping_is_refused_alone_without_its_value() {
    let search = Search::new();
    let sink = search.sink(Layout::Events, &json!({ "index": search.index, "payload": "dynamic" }));
    let events = [
        event(1, "order_placed", r#"{"total":12}"#),
        event(2, "order_placed", r#"{"total":"a word that is private"}"#),
        event(3, "order_placed", r#"{"total":13}"#),
    ];
    sink.deliver(&events[..1]).await.expect("a receipt");

    let receipt = sink.deliver(&events).await.expect("a receipt");

    assert_eq!([&receipt.outcomes[0], &receipt.outcomes[2]], [&Outcome::Delivered; 2]);
    let Outcome::Rejected(reason) = &receipt.outcomes[1] else { panic!("{receipt:?}") };
    assert_eq!(reason.code, "mapper_parsing_exception");
    assert!(reason.message.contains("failed to parse field [payload.total] of type [long]"), "{reason:?}");
    assert!(!reason.message.contains("private"), "{reason:?}");
    assert_eq!(search.documents().len(), 2);
}

#[tokio::test]
async fn a_check_proves_the_right_to_write_and_writes_nothing() {
    let search = Search::new();
    let sink = search.sink(Layout::Events, &json!({ "index": search.index, "rotation": "none" }));
    let before = sink.check().await.expect("checks");
    sink.deliver(&[event(1, "seen", "{}")]).await.expect("a receipt");

    let after = sink.check().await.expect("checks");

    assert!(before.passed() && after.passed(), "{before:?} {after:?}");
    let last = |checks: &tidegate_model::Checks| checks.0.last().expect("a check").detail.clone();
    assert_eq!(last(&before), "is created with the first events");
    assert_eq!(last(&after), "is there and can be written to");
    assert_eq!(after.0[1].detail, "is there and left as it is");
    assert_eq!(search.documents().len(), 1);
}
