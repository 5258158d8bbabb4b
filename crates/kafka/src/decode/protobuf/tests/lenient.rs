//! What has no form in Protobuf's JSON mapping, and what Confluent's clients know without being told.

use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, MapKey, MessageDescriptor, Value};
use serde_json::json;

use super::{ProtobufSchema, body, tree};
use crate::decode::wire::Indexes;

const LOOSE: &str = r#"syntax = "proto3"; package shop;
    import "google/protobuf/any.proto";
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/duration.proto";
    import "google/protobuf/struct.proto";
    message Loose {
        enum Kind { NONE = 0; SOME = 1; }
        string id = 1;
        google.protobuf.Any any = 2;
        google.protobuf.Timestamp at = 3;
        google.protobuf.Duration every = 4;
        google.protobuf.Value free = 5;
        repeated google.protobuf.Timestamp all = 6;
        map<string, google.protobuf.Timestamp> named = 7;
        Kind kind = 8;
        double ratio = 9;
        bytes raw = 10;
        optional int64 count = 11;
    }"#;

fn inner(descriptor: &MessageDescriptor, name: &str, fields: &[(&str, Value)]) -> Value {
    let field = descriptor.get_field_by_name(name).expect("a field");
    let mut message = DynamicMessage::new(field.kind().as_message().expect("a message").clone());
    for (name, value) in fields {
        message.set_field_by_name(name, value.clone());
    }
    Value::Message(message)
}

#[test]
fn one_field_without_a_json_form_rejects_no_message() {
    let schema = ProtobufSchema::compile(LOOSE, &[]).expect("schema");
    let descriptor = schema.message(&Indexes::Top(0)).expect("message");
    let at = |seconds| inner(&descriptor, "at", &[("seconds", Value::I64(seconds))]);
    let url = |url: &str| ("type_url", Value::String(url.into()));
    let late = 253_402_300_800_i64;
    let named = Value::Map([(MapKey::String("x".into()), at(late))].into());
    let cases = [
        ("any", inner(&descriptor, "any", &[]), json!({})),
        (
            "any",
            inner(
                &descriptor,
                "any",
                &[url("type.googleapis.com/other.Thing"), ("value", Value::Bytes(vec![8, 1].into()))],
            ),
            json!({ "@type": "type.googleapis.com/other.Thing", "value": "CAE=" }),
        ),
        ("at", at(late), json!({ "seconds": late, "nanos": 0 })),
        ("at", at(late - 1), json!("9999-12-31T23:59:59Z")),
        (
            "every",
            inner(&descriptor, "every", &[("seconds", Value::I64(315_576_000_001))]),
            json!({ "seconds": 315_576_000_001_i64, "nanos": 0 }),
        ),
        (
            "free",
            inner(&descriptor, "free", &[("number_value", Value::F64(f64::NAN))]),
            json!({ "number_value": "NaN" }),
        ),
        (
            "all",
            Value::List(vec![at(0), at(late)]),
            json!(["1970-01-01T00:00:00Z", { "seconds": late, "nanos": 0 }]),
        ),
        ("named", named, json!({ "x": { "seconds": late, "nanos": 0 } })),
    ];
    for (name, value, expected) in cases {
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name("id", Value::String("u\"1".into()));
        message.set_field_by_name("kind", Value::EnumNumber(1));
        message.set_field_by_name("ratio", Value::F64(f64::INFINITY));
        message.set_field_by_name("raw", Value::Bytes(vec![0xff].into()));
        message.set_field_by_name(name, value);

        let tree = tree(&schema, &Indexes::Top(0), &message.encode_to_vec());

        assert_eq!(tree[name], expected, "{name}");
        assert_eq!(tree["id"], "u\"1");
        assert_eq!(tree["kind"], "SOME");
        assert_eq!(tree["ratio"], "Infinity");
        assert_eq!(tree["raw"], "/w==");
        assert_eq!(tree.get("count"), None, "optional and unset");
    }
}

#[test]
fn a_message_reads_the_same_whether_a_neighbour_has_no_json_form() {
    let schema = ProtobufSchema::compile(LOOSE, &[]).expect("schema");
    let mut bytes =
        body(&schema, &Indexes::Top(0), &json!({ "id": "u1", "at": "2026-11-01T10:00:00Z", "count": "7" }));
    let strict = tree(&schema, &Indexes::Top(0), &bytes);
    // An `Any` without anything in it.
    bytes.extend([2 << 3 | 2, 0]);

    let mut lenient = tree(&schema, &Indexes::Top(0), &bytes);

    assert_eq!(lenient.as_object_mut().expect("an object").remove("any"), Some(json!({})));
    assert_eq!(lenient, strict);
}

#[test]
fn google_types_are_known_without_a_reference() {
    for (file, of_type) in [
        ("money", "Money"),
        ("date", "Date"),
        ("latlng", "LatLng"),
        ("timeofday", "TimeOfDay"),
        ("dayofweek", "DayOfWeek"),
        ("decimal", "Decimal"),
        ("postal_address", "PostalAddress"),
        ("datetime", "DateTime"),
        ("calendar_period", "CalendarPeriod"),
        ("color", "Color"),
        ("expr", "Expr"),
        ("fraction", "Fraction"),
        ("interval", "Interval"),
        ("localized_text", "LocalizedText"),
        ("month", "Month"),
        ("phone_number", "PhoneNumber"),
        ("quaternion", "Quaternion"),
    ] {
        let text = format!(
            r#"syntax = "proto3"; import "google/type/{file}.proto"; message M {{ string id = 1; google.type.{of_type} it = 2; }}"#
        );
        let schema = ProtobufSchema::compile(&text, &[]).expect(file);
        assert_eq!(tree(&schema, &Indexes::Top(0), &[10, 2, b'u', b'1'])["id"], "u1");
    }
}
