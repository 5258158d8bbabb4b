//! Whole messages to whole rows.

mod any_input;
mod confluent;
mod narrowed;
mod registry;
mod speed;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_model::{DataType, Error, Http, HttpFailure, Reason, Row, Settings, Text, Value};

use super::{Damaged, Decoder, FormatSettings};
use crate::message::Message;

/// HTTP that must not be used.
struct NoHttp;

#[async_trait]
impl Http for NoHttp {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        panic!("nothing is to be asked");
    }
}

fn settings(json: serde_json::Value) -> FormatSettings {
    let serde_json::Value::Object(members) = json else { panic!("an object") };
    Settings::new(members).parse().expect("settings")
}

fn decoder(json: serde_json::Value) -> Result<Decoder, Error> {
    Decoder::new(&settings(json), None, Arc::new(NoHttp), Path::new("."))
}

static SHOP: Text = Text::from_static("shop");

fn message(payload: Option<&[u8]>) -> Message<'_> {
    Message {
        topic: &SHOP,
        partition: 3,
        offset: 42,
        timestamp: Some("2026-01-02T03:04:05.006Z".parse().expect("time")),
        key: Some(b"k1"),
        payload,
        headers: Vec::new(),
    }
}

fn decode(decoder: &Decoder, message: &Message<'_>) -> Result<Row, Reason> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let row = runtime.block_on(decoder.row(message)).expect("no registry is asked");
    row.map_err(|damaged| damaged.reason)
}

fn damaged(decoder: &Decoder, message: &Message<'_>) -> Damaged {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    *runtime
        .block_on(decoder.row(message))
        .expect("no registry is asked")
        .expect_err("something cannot be read")
}

#[test]
fn what_can_be_read_of_a_message_is_kept_beside_what_cannot() {
    let fields = serde_json::json!({ "fields": { "user": "user", "at": { "path": "at", "as": "iso" } } });
    let decoder = decoder(fields).expect("decoder");

    let soon = damaged(&decoder, &message(Some(br#"{"user":"u1","at":"soon"}"#)));
    assert_eq!((&*soon.reason.code, &soon.unreadable[..]), ("not_a_time", &[1][..]));
    assert_eq!(soon.row.get("user"), Some(&Value::Text("u1".into())));
    assert!(matches!(soon.row.get("value"), Some(Value::Json(_))));

    let torn = damaged(&decoder, &message(Some(b"{torn")));
    assert_eq!((&*torn.reason.code, &torn.unreadable[..]), ("invalid_json", &[0, 1, 3][..]));
    assert_eq!(torn.row.get("key"), Some(&Value::Text("k1".into())));
    assert_eq!(torn.row.get("offset"), Some(&Value::Int(42)));
    let other = damaged(&decoder, &message(Some(b"{other")));
    assert_ne!(torn.row, other.row, "different messages stay different");
}

#[test]
fn a_value_is_read_although_its_key_cannot_be() {
    let settings = serde_json::json!({ "key_format": "json", "fields": { "user": "user" } });
    let decoder = decoder(settings).expect("decoder");
    let key = damaged(&decoder, &message(Some(br#"{"user":"u1"}"#)));
    assert_eq!((&*key.reason.code, &key.unreadable[..]), ("invalid_json", &[1][..]));
    assert!(key.reason.message.starts_with("the key"), "{}", key.reason.message);
    assert_eq!(key.row.get("user"), Some(&Value::Text("u1".into())));
}

/// The envelope of seed S1's kind: names, ids and times inside `data`.
const ENVELOPE: &[u8] = br#" {"schema": "user_event_schema_v1", "data": {"event_name": "purchase",
  "user_id": "user_\u00e9", "event_timestamp": 1640995200000, "at": "2022-01-01T00:00:00Z",
  "seconds": "1640995200.25", "items": [{"id": 7}, {"id": 12345678901234567890}],
  "inner": "{\"deep\":true}", "amount": 29.90, "nothing": null}} "#;

#[test]
fn fields_are_found_in_an_envelope() {
    let decoder = decoder(serde_json::json!({ "fields": {
        "name": "data.event_name",
        "user": "data.user_id",
        "time": { "path": "data.event_timestamp", "as": "epoch_ms" },
        "at": { "path": ["data", "at"], "as": "iso" },
        "seconds": { "path": "data.seconds", "as": "epoch_s" },
        "second": "data.items.1.id",
        "items": "data.items",
        "first": "data.items.0.id",
        "inner": { "path": "data.inner", "as": "json" },
        "amount": "data.amount",
        "amount_text": { "path": "data.amount", "as": "text" },
        "nothing": "data.nothing",
        "missing": "data.event_name.deeper",
    } }))
    .expect("decoder");

    let row = decode(&decoder, &message(Some(ENVELOPE))).expect("row");

    let time = |text: &str| Value::Timestamp(text.parse().expect("time"));
    let get = |name: &str| row.get(name).expect("column").clone();
    assert_eq!(get("name"), Value::Text("purchase".into()));
    assert_eq!(get("user"), Value::Text("user_é".into()));
    assert_eq!(get("time"), time("2022-01-01T00:00:00Z"));
    assert_eq!(get("at"), time("2022-01-01T00:00:00Z"));
    assert_eq!(get("seconds"), time("2022-01-01T00:00:00.25Z"));
    assert_eq!(get("second"), Value::Decimal("12345678901234567890".into()));
    assert_eq!(get("first"), Value::Int(7));
    assert_eq!(get("items").to_text().expect("text"), r#"[{"id": 7}, {"id": 12345678901234567890}]"#);
    assert_eq!(get("inner").to_text().expect("text"), r#"{"deep":true}"#);
    assert_eq!(get("amount"), Value::Decimal("29.90".into()));
    assert_eq!(get("amount_text"), Value::Text("29.90".into()));
    assert_eq!(get("nothing"), Value::Null);
    assert_eq!(get("missing"), Value::Absent);
}

#[test]
fn every_message_has_its_place_key_time_and_headers() {
    let decoder = decoder(serde_json::json!({ "fields": { "a": "a" } })).expect("decoder");
    let mut message = message(Some(br#"{"a":1}"#));
    message.headers = vec![("trace", Some(b"t1"))];

    let row = decode(&decoder, &message).expect("row");

    assert_eq!(
        row.to_json().as_str(),
        r#"{"a":1,"key":"k1","value":{"a":1},"headers":{"trace":"t1"},"topic":"shop","partition":3,"offset":42,"timestamp":"2026-01-02T03:04:05.006Z","tombstone":false}"#
    );
    let names: Vec<_> = decoder.columns().into_iter().map(|column| column.name).collect();
    assert_eq!(names, row.columns.names());
}

#[test]
fn every_field_is_of_the_type_that_its_column_says() {
    let fields = serde_json::json!({
        "auto": "a",
        "iso": { "path": "day", "as": "iso" },
        "at": { "path": "ms", "as": "epoch_ms" },
        "json": { "path": "doc", "as": "json" },
        "text": { "path": "a", "as": "text" },
    });
    let decoder = decoder(serde_json::json!({ "fields": fields })).expect("decoder");
    let message = message(Some(br#"{"a":1,"day":"2026-01-02","ms":1764410400123,"doc":"[1]"}"#));

    let row = decode(&decoder, &message).expect("row");

    let columns = decoder.columns();
    let types: Vec<_> = columns.iter().take(5).map(|column| column.data_type.clone()).collect();
    assert_eq!(types, [DataType::Any, DataType::Any, DataType::Timestamp, DataType::Json, DataType::Text]);
    for (column, value) in columns.iter().zip(&row.values) {
        assert!(column.data_type.holds(value) && !value.is_null(), "{column}: {value:?}");
    }
}

#[test]
fn a_value_that_is_plain_text_is_a_text_column() {
    let decoder = decoder(serde_json::json!({ "format": "text" })).expect("decoder");
    let value = decoder.columns().into_iter().find(|column| column.name == "value").expect("a value");
    assert_eq!(value.data_type, DataType::Text);
}

#[test]
fn a_tombstone_is_a_row_with_its_key_alone() {
    let decoder = decoder(serde_json::json!({ "fields": { "a": "a" } })).expect("decoder");

    let row = decode(&decoder, &message(None)).expect("row");

    assert_eq!(row.get("a"), Some(&Value::Absent));
    assert_eq!(row.get("value"), Some(&Value::Null));
    assert_eq!(row.get("key"), Some(&Value::Text("k1".into())));
    assert_eq!(row.get("tombstone"), Some(&Value::Bool(true)));
}

#[test]
fn a_key_may_be_bytes_or_json() {
    let mut message = message(Some(b"{}"));
    message.key = Some(&[0xff, 0]);
    let row = decode(&decoder(serde_json::json!({})).expect("decoder"), &message).expect("row");
    assert_eq!(row.get("key"), Some(&Value::Bytes(Bytes::from_static(&[0xff, 0]))));

    let json = decoder(serde_json::json!({ "key_format": "json" })).expect("decoder");
    message.key = Some(b" 17 ");
    assert_eq!(decode(&json, &message).expect("row").get("key"), Some(&Value::Int(17)));
    message.key = Some(b"17x");
    assert_eq!(decode(&json, &message).expect_err("no JSON").code, "invalid_json");
}

#[test]
fn what_cannot_be_decoded_has_a_reason_without_its_content() {
    let json = decoder(serde_json::json!({ "fields": { "at": { "path": "at", "as": "epoch_ms" } } }));
    let json = json.expect("decoder");
    let schema = decoder(serde_json::json!({ "format": "json_schema" })).expect("decoder");
    let text = decoder(serde_json::json!({ "format": "text" })).expect("decoder");
    let cases: [(&Decoder, &[u8], &str); 10] = [
        (&json, b"{\"secret\": ", "invalid_json"),
        (&json, b"{} {}", "invalid_json"),
        (&json, b"", "invalid_json"),
        (&json, b"\xff", "invalid_json"),
        (&json, b"\0\0\0\0\x01{}", "schema_header"),
        (&json, b"{\"at\": \"secret\"}", "not_a_time"),
        (&json, b"{\"at\": 99999999999999999999}", "not_a_time"),
        (&schema, b"{\"secret\":1}", "wrong_magic"),
        (&schema, b"\0\0\0", "truncated"),
        (&text, b"\xff", "invalid_text"),
    ];
    for (decoder, payload, code) in cases {
        let reason = decode(decoder, &message(Some(payload))).expect_err(code);
        assert_eq!(reason.code, code, "{payload:?}");
        assert!(!reason.message.contains("secret"), "{}", reason.message);
    }
}

#[test]
fn json_schema_framing_is_taken_off() {
    let decoder = decoder(serde_json::json!({ "format": "json_schema", "fields": { "a": "a" } }));
    let decoder = decoder.expect("decoder");

    let row = decode(&decoder, &message(Some(b"\0\0\0\0\x07{\"a\":\"b\"}"))).expect("row");

    assert_eq!(row.get("a"), Some(&Value::Text("b".into())));
    assert_eq!(row.get("value").and_then(Value::to_text).as_deref(), Some(r#"{"a":"b"}"#));
}

#[test]
fn settings_that_cannot_work_are_named() {
    for (json, named) in [
        (serde_json::json!({ "fields": { "Key": "a" } }), "`fields.Key`"),
        (serde_json::json!({ "fields": { "a": "b..c" } }), "`fields.a`"),
        (serde_json::json!({ "format": "text", "fields": { "a": "b" } }), "`fields`"),
        (serde_json::json!({ "format": "avro" }), "`format: avro`"),
        (serde_json::json!({ "key_format": "protobuf" }), "`key_format: protobuf`"),
        (serde_json::json!({ "schema": { "text": "" } }), "`schema`"),
        (serde_json::json!({ "format": "avro", "schema": {} }), "`schema`"),
        (serde_json::json!({ "format": "avro", "schema": { "file": "nowhere.avsc" } }), "nowhere.avsc"),
        (serde_json::json!({ "format": "protobuf", "schema": { "text": "message" } }), "`schema`"),
    ] {
        let error = decoder(json).err().expect(named);
        assert!(error.message().contains(named), "{error}");
    }
}
