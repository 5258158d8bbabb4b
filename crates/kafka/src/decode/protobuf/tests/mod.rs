//! Bodies that `prost-reflect` writes from JSON, and what a registry may hold.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use prost_reflect::DynamicMessage;
use prost_reflect::prost::{Message as _, encoding::encode_varint};
use serde_json::{Value as Tree, json};

use super::ProtobufSchema;
use crate::decode::wire::Indexes;

mod editions;
mod lenient;

const MONEY: &str = r#"syntax = "proto3"; package shop;
    import "confluent/meta.proto";
    message Money { int64 cents = 1 [(confluent.field_meta).doc = "exact"]; string currency = 2; }"#;

const ORDER: &str = r#"syntax = "proto3"; package shop;
    import "shop/money.proto";
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/wrappers.proto";
    import "google/protobuf/struct.proto";
    message Other { bool here = 1; }
    message Order {
        enum State { NEW = 0; PAID = 1; }
        message Line { string sku = 1; message MessagePart { uint64 big_number = 1; } MessagePart part = 2; }
        string user_id = 1;
        Money total = 2;
        repeated Line lines = 3;
        State state = 4;
        google.protobuf.Timestamp ordered_at = 5;
        google.protobuf.StringValue note = 6;
        google.protobuf.Struct extra = 7;
        map<string, int32> counts = 8;
        oneof way { string street = 9; bytes box = 10; }
        optional double weight = 11;
        float ratio = 12;
    }"#;

fn references() -> Vec<(String, String)> {
    vec![("shop/money.proto".into(), MONEY.into())]
}

fn order() -> ProtobufSchema {
    ProtobufSchema::compile(ORDER, &references()).expect("schema")
}

fn body(schema: &ProtobufSchema, indexes: &Indexes, json: &Tree) -> Vec<u8> {
    let descriptor = schema.message(indexes).expect("message");
    DynamicMessage::deserialize(descriptor, json).expect("fits").encode_to_vec()
}

fn tree(schema: &ProtobufSchema, indexes: &Indexes, body: &[u8]) -> Tree {
    let mut out = Vec::new();
    schema.write(indexes, body, None, &mut out).expect("readable");
    serde_json::from_slice(&out).expect("JSON")
}

#[test]
fn fields_keep_their_names_and_numbers_their_digits() {
    let schema = order();
    let sent = json!({
        "userId": "u1",
        "total": { "cents": "9007199254740993", "currency": "EUR" },
        "lines": [{ "sku": "a", "part": { "bigNumber": "18446744073709551615" } }],
        "state": "PAID", "orderedAt": "2022-01-01T00:00:00.25Z", "note": "hi",
        "extra": { "deep": [1, null] }, "counts": { "x": 1 }, "box": "//4=", "ratio": 0.1,
    });
    let body = body(&schema, &Indexes::Top(1), &sent);

    let mut out = Vec::new();
    schema.write(&Indexes::Top(1), &body, None, &mut out).expect("readable");
    let out = String::from_utf8(out).expect("UTF-8");

    assert!(out.contains(r#""cents":9007199254740993,"#), "{out}");
    assert!(out.contains(r#""big_number":18446744073709551615"#), "{out}");
    let tree: Tree = serde_json::from_str(&out).expect("JSON");
    assert_eq!(tree["user_id"], "u1");
    assert_eq!(tree["ordered_at"], "2022-01-01T00:00:00.250Z");
    assert_eq!(tree["note"], "hi");
    assert_eq!(tree["state"], "PAID");
    assert_eq!(tree["box"], "//4=");
    assert_eq!(tree["extra"]["deep"], json!([1.0, null]));
    assert_eq!(tree["counts"], json!({ "x": 1 }));
    assert_eq!(tree["ratio"], 0.1);
    assert_eq!(tree.get("weight"), None, "optional and unset");
    assert_eq!(tree.get("street"), None, "another one of the oneof is set");
}

#[test]
fn message_indexes_lead_to_nested_messages() {
    let schema = order();
    let part = Indexes::Nested(vec![1, 0, 0]);
    let bytes = body(&schema, &part, &json!({ "bigNumber": 7 }));
    assert_eq!(tree(&schema, &part, &bytes), json!({ "big_number": 7 }));

    assert_eq!(tree(&schema, &Indexes::Top(0), &[8, 1]), json!({ "here": true }));
    for nowhere in [Indexes::Top(2), Indexes::Nested(vec![1, 0, 5])] {
        let reason = schema.write(&nowhere, &[], None, &mut Vec::new()).expect_err("no such message");
        assert_eq!(reason.code, "schema_mismatch");
    }
}

#[test]
fn a_registry_may_hold_descriptors_in_base64() {
    let schema = order();
    let main = STANDARD.encode(schema.file.file_descriptor_proto().encode_to_vec());
    let money = schema.file.parent_pool().get_file_by_name("shop/money.proto").expect("imported");
    let money = STANDARD.encode(money.file_descriptor_proto().encode_to_vec());

    let again = ProtobufSchema::compile(&main, &[("shop/money.proto".into(), money)]).expect("schema");

    let bytes = body(&schema, &Indexes::Top(1), &json!({ "userId": "u1" }));
    assert_eq!(tree(&again, &Indexes::Top(1), &bytes), tree(&schema, &Indexes::Top(1), &bytes));
}

#[test]
fn what_does_not_compile_is_told() {
    for text in ["message", "syntax = \"proto3\"; import \"missing.proto\";", "AAAA"] {
        let reason = ProtobufSchema::compile(text, &[]).expect_err(text);
        assert_eq!(reason.code, "invalid_schema", "{text}");
    }
}

#[test]
fn a_file_brings_its_imports_and_a_name_chooses_the_message() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::create_dir(folder.path().join("shop")).expect("folder");
    std::fs::write(folder.path().join("shop/money.proto"), MONEY).expect("file");
    std::fs::write(folder.path().join("order.proto"), ORDER).expect("file");
    let path = folder.path().join("order.proto");

    let named = ProtobufSchema::given(Some(&path), ORDER, Some("shop.Money")).expect("schema");
    assert_eq!(named.default.expect("message").full_name(), "shop.Money");

    let error = ProtobufSchema::given(Some(&path), ORDER, Some("shop.Nothing")).expect_err("no such message");
    assert!(error.message().contains("shop.Nothing"), "{error}");
    assert!(error.next_step().contains("shop.Order"), "{}", error.next_step());
}

#[test]
fn deep_and_broken_bodies_are_reasons() {
    let text = r#"syntax = "proto3"; message Node { Node next = 1; string name = 2; }"#;
    let schema = ProtobufSchema::compile(text, &[]).expect("schema");
    let mut deep = Vec::new();
    for _ in 0..200 {
        let mut outer = vec![10];
        encode_varint(deep.len() as u64, &mut outer);
        outer.extend(&deep);
        deep = outer;
    }
    for body in [deep.as_slice(), &[10, 5], &[18, 1, 0xff], &[0xff; 20]] {
        let reason = schema.write(&Indexes::None, body, None, &mut Vec::new()).expect_err("broken");
        assert_eq!(reason.code, "schema_mismatch", "{}", reason.message);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(noise: Vec<u8>, place in 0..5_u32) {
        thread_local! { static ORDER: ProtobufSchema = order(); }
        ORDER.with(|schema| {
            let mut out = Vec::new();
            let written = schema.write(&Indexes::Top(place), &noise, None, &mut out);
            prop_assert!(written.is_err() || serde_json::from_slice::<Tree>(&out).is_ok());
            Ok(())
        })?;
    }
}
