//! Schemas of an edition, read as `protoc` reads them.

use prost_reflect::prost::encoding::encode_varint;
use serde_json::json;

use super::{ProtobufSchema, tree};
use crate::decode::protobuf::editions::plain;
use crate::decode::wire::Indexes;

const SHOP: &str = r#"
    // edition = "2022" was before this
    edition = "2023";
    package shop;
    option features.enum_type = CLOSED;
    option java_package = "shop";
    message Order {
        reserved 9, 10;
        reserved gone, "old";
        enum State { option features.enum_type = OPEN; NEW = 3 [deprecated = true]; PAID = 4; }
        string user_id = 1 [features.utf8_validation = NONE, deprecated = true];
        int32 count = 2 [default = 5];
        repeated int32 packed = 3;
        repeated int32 loose = 4 [features.repeated_field_encoding = EXPANDED];
        map<string, Line> lines = 5;
        State state = 6;
        oneof way { string street = 7; Line box = 8 [json_name = "b"]; }
        message Line { string sku = 1; }
        extensions 100 to max [declaration = { number: 100, full_name: ".a.b", type: "int32" }];
    }"#;

#[test]
fn a_message_of_an_edition_is_read() {
    let schema = ProtobufSchema::compile(SHOP, &[]).expect("schema");
    let mut bytes = vec![10, 2, b'u', b'1', 16, 0, 26, 2, 1, 2, 32, 7, 32, 8];
    bytes.extend([42, 8, 10, 1, b'k', 18, 3, 10, 1, b'x', 48, 4, 66, 0]);
    assert_eq!(
        tree(&schema, &Indexes::Top(0), &bytes),
        json!({ "user_id": "u1", "count": 0, "packed": [1, 2], "loose": [7, 8],
                "lines": { "k": { "sku": "x" } }, "state": "PAID", "box": {} })
    );
    // Each field has presence, so what was not sent is absent.
    assert_eq!(tree(&schema, &Indexes::Top(0), &[]), json!({ "packed": [], "loose": [], "lines": {} }));
}

#[test]
fn fields_without_presence_are_always_there() {
    let text = r#"edition = "2024"; option features.field_presence = IMPLICIT;
        import option "other.proto";
        export message M {
            string id = 1;
            int64 count = 2 [features.field_presence = EXPLICIT, default = 7];
            local message Inner { option features.field_presence = EXPLICIT; int32 a = 1; }
            Inner inner = 3;
        }"#;
    let schema = ProtobufSchema::compile(text, &[]).expect("schema");
    let mut bytes = vec![26, 0];
    assert_eq!(tree(&schema, &Indexes::Top(0), &bytes), json!({ "id": "", "inner": {} }));
    bytes.push(16);
    encode_varint(0, &mut bytes);
    assert_eq!(tree(&schema, &Indexes::Top(0), &bytes), json!({ "id": "", "count": 0, "inner": {} }));
}

#[test]
fn other_texts_stay_as_they_are_and_groups_are_told() {
    for text in [
        "",
        "edition",
        "syntax = \"proto3\"; message M { string edition = 1; }",
        "// edition = \"2023\";\nsyntax = \"proto2\";",
    ] {
        assert_eq!(plain(text).as_deref(), Ok(text));
    }
    let group = "edition = \"2023\"; message M { M m = 1 [features.message_encoding = DELIMITED]; }";
    let reason = ProtobufSchema::compile(group, &[]).expect_err("not supported");
    assert!(reason.message.contains("DELIMITED"), "{}", reason.message);
    // Torn ones are an error of the compiler, not an endless loop.
    for text in [
        "edition =",
        "edition = \"2023\"; message M {",
        "edition = \"2023\"; message M { string a = 1 [",
        "edition = \"2023\"; option x = {",
    ] {
        let reason = ProtobufSchema::compile(text, &[]).expect_err(text);
        assert_eq!(reason.code, "invalid_schema", "{text}");
    }
}

#[test]
fn an_import_may_have_an_edition_of_its_own() {
    let money = r#"edition = "2023"; package shop; message Money { int64 cents = 1; }"#;
    let order = r#"syntax = "proto3"; import "money.proto"; message Order { shop.Money total = 1; }"#;
    let references = [("money.proto".to_owned(), money.to_owned())];
    let schema = ProtobufSchema::compile(order, &references).expect("schema");
    assert_eq!(tree(&schema, &Indexes::Top(0), &[10, 2, 8, 5]), json!({ "total": { "cents": 5 } }));

    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("money.proto"), money).expect("file");
    std::fs::write(folder.path().join("order.proto"), order).expect("file");
    let schema =
        ProtobufSchema::given(Some(&folder.path().join("order.proto")), order, None).expect("schema");
    assert_eq!(tree(&schema, &Indexes::Top(0), &[10, 2, 8, 5]), json!({ "total": { "cents": 5 } }));
}
