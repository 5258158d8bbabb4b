//! Any bytes as messages, and any text as schemas: a row or a reason, and JSON in every row.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use indexmap::IndexMap;
use tidegate_model::{Http, HttpFailure, Text, Value};

use super::Decoder;
use super::settings::{Field, Format, FormatSettings, Reading, SchemaSource};
use crate::message::Message;

const AVRO: &str = r#"{"type":"record","name":"order","fields":[
  {"name":"user","type":["null","string"]},
  {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
  {"name":"total","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
  {"name":"kind","type":{"type":"enum","name":"kind","symbols":["a","b"]}},
  {"name":"id","type":{"type":"fixed","name":"id","size":16}},
  {"name":"lines","type":{"type":"array","items":{"type":"record","name":"line","fields":[
    {"name":"price","type":"double"},{"name":"next","type":["null","line"]}]}}},
  {"name":"more","type":{"type":"map","values":["null","int","float","boolean","bytes"]}}]}"#;

const PROTOBUF: &str = r#"syntax = "proto3";
import "google/protobuf/timestamp.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/any.proto";
message Order {
  string user = 1;
  google.protobuf.Timestamp at = 2;
  repeated sint64 numbers = 3;
  map<string, Order> orders = 4;
  google.protobuf.Struct more = 5;
  google.protobuf.Any any = 6;
  oneof price { double amount = 7; bytes raw = 8; fixed32 cents = 9; }
  enum Kind { NONE = 0; GIFT = 1; }
  Kind kind = 10;
}"#;

/// Schemas come with the settings here.
struct NoHttp;

#[async_trait]
impl Http for NoHttp {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        Err(HttpFailure::ResponseLost("no network".to_owned()))
    }
}

fn decoder(format: Format, schema: Option<&str>) -> Option<Decoder> {
    let field = |path: &str, reading| {
        let steps = path.split('.').map(str::to_owned).collect();
        (path.to_owned(), Field { steps, reading })
    };
    let fields = IndexMap::from([
        field("user", Reading::Auto),
        field("at", Reading::Iso),
        field("lines.0.price", Reading::EpochMs),
        field("more", Reading::Json),
    ]);
    let settings = FormatSettings {
        format,
        schema: schema.map(|text| SchemaSource { text: Some(text.to_owned()), ..SchemaSource::default() }),
        fields,
        ..FormatSettings::default()
    };
    Decoder::new(&settings, None, Arc::new(NoHttp), Path::new("/nonexistent")).ok()
}

static DECODERS: LazyLock<[Decoder; 4]> = LazyLock::new(|| {
    [
        (Format::Avro, Some(AVRO)),
        (Format::Protobuf, Some(PROTOBUF)),
        (Format::Json, None),
        (Format::JsonSchema, None),
    ]
    .map(|(format, schema)| decoder(format, schema).expect("a decoder"))
});

static TOPIC: Text = Text::from_static("shop");

/// Decodes `data`: its first byte chooses the format, or that the text up to a zero byte is a schema.
///
/// # Panics
/// If a row holds JSON that is none, and if a decoder panics itself.
pub fn message(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    if let Some(known) = DECODERS.get(usize::from(*choice)) {
        return decode(known, data);
    }
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (schema, payload) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(schema) = std::str::from_utf8(schema) else { return };
    let format = if choice % 2 == 0 { Format::Avro } else { Format::Protobuf };
    if let Some(found) = decoder(format, Some(schema)) {
        decode(&found, payload);
    }
}

fn decode(decoder: &Decoder, payload: &[u8]) {
    let message = Message {
        topic: &TOPIC,
        partition: 0,
        offset: 0,
        timestamp: None,
        key: Some(payload),
        payload: Some(payload),
        headers: vec![("h", Some(payload))],
    };
    let Some(Ok(read)) = decoder.row(&message).now_or_never() else { return };
    let row = read.unwrap_or_else(|damaged| damaged.row);
    for value in &row.values {
        if let Value::Json(json) = value {
            let parsed = serde_json::from_str::<serde::de::IgnoredAny>(json.as_str());
            assert!(parsed.is_ok(), "no JSON: {}", json.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_testkit::mangle::mangled;

    use super::*;

    #[test]
    fn no_message_and_no_schema_makes_a_decoder_panic() {
        let schema =
            |choice: u8, text: &str, payload: &[u8]| [&[choice], text.as_bytes(), &[0], payload].concat();
        let avro = b"\x00\x02\x04u1\x80\xa0\xc4\xf0\xb4f\x04\x04\xd2\x00ABCDEFGHIJKLMNOP\x02\0\0\0\0\0\0\x24\x40\0\0\x02\x04k1\x02\x0e\0";
        let protobuf = b"\x01\x0a\x02u1\x12\x06\x08\x80\xa0\xc4\xf0\x06\x1a\x02\x01\x02\x50\x01";
        let json = b"\x02{\"user\":\"u1\",\"at\":\"2026-01-02T03:04:05Z\",\"more\":\"{}\"}";
        let seeds: [&[u8]; 6] = [
            avro,
            protobuf,
            json,
            b"\x03\0\0\0\0\x01{\"user\":1}",
            &schema(4, AVRO, &avro[1..]),
            &schema(5, PROTOBUF, &protobuf[1..]),
        ];
        mangled(&seeds, 3_000, message);
    }
}
