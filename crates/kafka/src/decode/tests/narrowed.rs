//! What nothing asks for rejects no message.

use prost_reflect::prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::json;

use super::*;

fn only(settings: serde_json::Value, columns: &[&str]) -> Decoder {
    let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    decoder(settings).expect("decoder").with_only(&columns)
}

/// A field of bytes as Protobuf writes it.
fn field(tag: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(tag, WireType::LengthDelimited, &mut out);
    encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

const SHOP_PROTO: &str = r#"syntax = "proto3"; package shop;
    message Order {
        message Buyer { string id = 1; string note = 2; }
        string id = 1; Buyer buyer = 2; string note = 3; Buyer other = 4;
        oneof paid { string card = 5; string cash = 6; }
        repeated Buyer all = 7;
    }"#;

#[test]
fn a_protobuf_field_that_nothing_maps_may_hold_anything() {
    let settings = json!({
        "format": "protobuf", "schema": { "text": SHOP_PROTO },
        "fields": { "id": "id", "buyer": "buyer.id", "card": "card" },
    });
    let buyer = [field(1, b"ann"), field(2, b"\xff")].concat();
    // A text that is none, a message that is none, and the same inside a message that is needed.
    let body =
        [field(1, b"o1"), field(2, &buyer), field(3, b"\xff"), field(4, b"\x0a\x05x"), field(7, b"\x07")]
            .concat();
    let message = message(Some(&body));
    assert_eq!(
        decode(&decoder(settings.clone()).expect("decoder"), &message).expect_err("whole").code,
        "schema_mismatch"
    );
    let row = decode(&only(settings.clone(), &["id", "buyer", "card"]), &message).expect("a row");
    assert_eq!(row.columns.names(), ["id", "buyer", "card"]);
    assert_eq!(row.values[..2], [Value::Text("o1".into()), Value::Text("ann".into())]);

    // The last member of a `oneof` counts, though only the other one is mapped.
    let body = [field(5, b"1234"), field(6, b"coins")].concat();
    let row = decode(&only(settings, &["id", "buyer", "card"]), &super::message(Some(&body))).expect("a row");
    assert_eq!(row.get("card"), Some(&Value::Absent));
}

#[test]
fn what_is_needed_of_a_protobuf_message_is_the_same_as_of_the_whole() {
    let fields = json!({ "id": "id", "buyer": "buyer", "first": "all.0.id", "note": "other.note" });
    let settings = json!({ "format": "protobuf", "schema": { "text": SHOP_PROTO }, "fields": fields });
    let buyer = |id: &str, note: &str| [field(1, id.as_bytes()), field(2, note.as_bytes())].concat();
    let body = [
        field(2, &buyer("ann", "a")),
        field(7, &buyer("x", "")),
        field(7, &buyer("y", "")),
        field(4, &buyer("bob", "b")),
        field(3, b"unmapped"),
        // Parts of one message are merged.
        field(2, &field(2, b"later")),
        field(1, b"o1"),
    ]
    .concat();
    let message = message(Some(&body));
    let whole = decode(&decoder(settings.clone()).expect("decoder"), &message).expect("a row");
    let names = ["id", "buyer", "first", "note", "key", "offset"];
    let narrowed = decode(&only(settings, &names), &message).expect("a row");
    assert_eq!(narrowed.columns.names(), names);
    for name in names {
        assert_eq!(narrowed.get(name), whole.get(name), "{name}");
    }
    assert_eq!(narrowed.get("note"), Some(&Value::Text("b".into())));
}

#[test]
fn an_avro_field_that_nothing_maps_may_hold_anything() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"note","type":"string"},
        {"name":"kind","type":{"type":"enum","name":"K","symbols":["A"]}},
        {"name":"inner","type":{"type":"record","name":"I","fields":[
            {"name":"text","type":"string"},{"name":"n","type":"long"}]}},
        {"name":"id","type":"string"}]}"#;
    let settings = json!({
        "format": "avro", "schema": { "text": schema }, "fields": { "id": "id", "n": "inner.n" },
    });
    let body = b"\x02\xff\x08\x02\xfe\x0e\x04o1";
    let message = message(Some(body));
    decode(&decoder(settings.clone()).expect("decoder"), &message).expect_err("an enum has no such symbol");
    let row = decode(&only(settings, &["id", "n"]), &message).expect("a row");
    assert_eq!(row.values, [Value::Text("o1".into()), Value::Int(7)]);
}

#[test]
fn a_json_member_that_nothing_maps_may_hold_anything() {
    let settings = json!({ "fields": { "id": "id", "note": "note" } });
    let row = |body: &[u8], names: &[&str]| {
        let decoder = only(settings.clone(), names);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(decoder.row(&message(Some(body)))).expect("no registry")
    };
    let body = b"{\"id\":\"u1\",\"other\":\"\xff\",\"half\":\"\\ud800\",\"big\":1e400}";
    assert_eq!(row(body, &["id", "note"]).expect("a row").values, [Value::Text("u1".into()), Value::Absent]);
    // What is mapped is not altered without a word.
    let damaged = row(b"{\"id\":\"u1\",\"note\":\"\xff\"}", &["id", "note"]).expect_err("no text");
    assert_eq!((&*damaged.reason.code, &damaged.unreadable[..]), ("invalid_json", &[1][..]));
    assert_eq!(damaged.row.get("id"), Some(&Value::Text("u1".into())));
    // And without a field of the value, the value is not looked at.
    let decoder = only(json!({ "key_format": "json" }), &["topic", "tombstone"]);
    let row = decode(&decoder, &message(Some(b"{torn"))).expect("a row");
    assert_eq!(row.values, [Value::Text("shop".into()), Value::Bool(false)]);
    assert_eq!(decode(&decoder, &message(None)).expect("a row").get("tombstone"), Some(&Value::Bool(true)));
}

#[test]
fn a_message_that_cannot_be_decoded_keeps_its_key_and_headers_although_nothing_maps_them() {
    let settings = json!({ "key_format": "json", "fields": { "id": "id" } });
    let decoder = only(settings.clone(), &["id", "offset"]);
    let mut message = message(Some(b"{torn"));
    message.key = Some(b"17");
    message.headers = vec![("trace", Some(b"t1"))];

    let torn = damaged(&decoder, &message);
    assert_eq!(torn.row.columns.names(), ["id", "offset", "key", "headers"]);
    assert_eq!(torn.unreadable, [0], "the columns that are asked for stay in their places");
    assert_eq!(torn.row.get("key"), Some(&Value::Int(17)));
    assert_eq!(torn.row.get("headers").and_then(Value::to_text).as_deref(), Some(r#"{"trace":"t1"}"#));

    message.key = Some(b"{half");
    let torn = damaged(&decoder, &message);
    assert_eq!(torn.row.get("key"), Some(&Value::Bytes(Bytes::from_static(b"{half"))));
    assert_eq!(torn.unreadable, [0], "a key that nothing maps is no reason");

    let asked_for = damaged(&only(settings, &["headers", "id"]), &message);
    assert_eq!(asked_for.row.columns.names(), ["headers", "id", "key"]);
    message.payload = Some(br#"{"id":1}"#);
    assert_eq!(decode(&decoder, &message).expect("a row").columns.names(), ["id", "offset"]);
}
