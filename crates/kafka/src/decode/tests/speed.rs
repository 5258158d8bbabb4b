//! How fast messages become rows on one thread. No test asserts it:
//! `cargo test --release -p tidegate-kafka --lib speed -- --ignored --nocapture`

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::{NoHttp, message, settings};
use crate::decode::Decoder;

const ROWS: u32 = 1_000_000;

const JSON: &[u8] = br#"{"schema":"user_event_schema_v1","data":{"event_name":"purchase","user_id":"user_12345","event_timestamp":1640995200000,"properties":{"product_id":"prod_abc123","amount":29.99,"currency":"USD","quantity":2,"campaign":"spring-sale","referrer":"https://example.com/landing?source=mail","device":{"os":"ios","version":"17.4"}}}}"#;

fn measure(name: &str, json: serde_json::Value, payload: &[u8]) {
    let decoder = Decoder::new(&settings(json), None, Arc::new(NoHttp), Path::new(".")).expect("decoder");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let mut message = message(Some(payload));
    message.key = Some(b"user_12345");
    let start = Instant::now();
    runtime.block_on(async {
        for offset in 0..ROWS {
            message.offset = offset.into();
            let row = decoder.row(&message).await.expect("no registry").expect("row");
            std::hint::black_box(row);
        }
    });
    let rate = f64::from(ROWS) / start.elapsed().as_secs_f64();
    println!("{name}: {rate:.0} messages/s of {} bytes", payload.len());
}

fn fields() -> serde_json::Value {
    serde_json::json!({
        "name": "data.event_name",
        "user": "data.user_id",
        "time": { "path": "data.event_timestamp", "as": "epoch_ms" },
        "properties": "data.properties",
    })
}

#[test]
#[ignore = "a measurement"]
fn speed_of_json() {
    measure("JSON, four fields", serde_json::json!({ "fields": fields() }), JSON);
    measure("JSON, no fields", serde_json::json!({}), JSON);
}

#[test]
#[ignore = "a measurement"]
fn speed_of_avro() {
    let schema = serde_json::json!({ "type": "record", "name": "Envelope", "fields": [
        { "name": "schema", "type": "string" },
        { "name": "data", "type": { "type": "record", "name": "Data", "fields": [
            { "name": "event_name", "type": "string" },
            { "name": "user_id", "type": "string" },
            { "name": "event_timestamp", "type": { "type": "long", "logicalType": "timestamp-millis" } },
            { "name": "properties", "type": { "type": "record", "name": "Properties", "fields": [
                { "name": "product_id", "type": "string" },
                { "name": "amount", "type": "double" },
                { "name": "currency", "type": ["null", "string"] },
                { "name": "quantity", "type": "int" },
                { "name": "tags", "type": { "type": "array", "items": "string" } },
            ] } },
        ] } },
    ] });
    let mut body = Vec::new();
    let text = |words: &str| [&[(words.len() * 2) as u8], words.as_bytes()].concat();
    body.extend(text("user_event_schema_v1"));
    body.extend(text("purchase"));
    body.extend(text("user_12345"));
    body.extend([0x80, 0xa0, 0xeb, 0xa9, 0xc2, 0x5f]);
    body.extend(text("prod_abc123"));
    body.extend(29.99_f64.to_le_bytes());
    body.push(2);
    body.extend(text("USD"));
    body.extend([4, 4]);
    body.extend(text("spring"));
    body.extend(text("sale"));
    body.push(0);
    let mut fields = fields();
    fields["time"]["as"] = "iso".into();
    let settings =
        serde_json::json!({ "format": "avro", "schema": { "text": schema.to_string() }, "fields": fields });
    measure("Avro, four fields", settings, &body);
}

#[test]
#[ignore = "a measurement"]
fn speed_of_protobuf() {
    let text = r#"syntax = "proto3";
        message Envelope { string schema = 1; Data data = 2; }
        message Data { string event_name = 1; string user_id = 2; int64 event_timestamp = 3; Properties properties = 4; }
        message Properties { string product_id = 1; double amount = 2; string currency = 3; int32 quantity = 4; repeated string tags = 5; }"#;
    let text_field = |number: u8, words: &[u8]| [&[number << 3 | 2, words.len() as u8], words].concat();
    let mut properties = text_field(1, b"prod_abc123");
    properties.push(2 << 3 | 1);
    properties.extend(29.99_f64.to_le_bytes());
    properties.extend(text_field(3, b"USD"));
    properties.extend([4 << 3, 2]);
    properties.extend(text_field(5, b"spring"));
    properties.extend(text_field(5, b"sale"));
    let mut data = text_field(1, b"purchase");
    data.extend(text_field(2, b"user_12345"));
    data.extend([3 << 3, 0x80, 0xb0, 0xf5, 0xd4, 0xe1, 0x2f]);
    data.extend(text_field(4, &properties));
    let mut body = text_field(1, b"user_event_schema_v1");
    body.extend(text_field(2, &data));
    let settings =
        serde_json::json!({ "format": "protobuf", "schema": { "text": text }, "fields": fields() });
    measure("Protobuf, four fields", settings, &body);
}
