//! Bodies that `apache-avro` writes, read by us.

use std::collections::HashMap;

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Days, Decimal, Duration, Millis, Months, Schema, Uuid};
use proptest::prelude::*;
use serde_json::{Value as Tree, json};

use tidegate_model::{Json, Reason, Value as Cell};

use super::AvroSchema;
use crate::decode::fields::Fields;
use crate::decode::scratch;
use crate::decode::settings::{Field, Reading};

fn body(schema: &Tree, value: Value) -> Vec<u8> {
    let schema = Schema::parse(schema).expect("schema");
    let writer = GenericDatumWriter::builder(&schema).build().expect("writer");
    writer.write_value_to_vec(value).expect("value fits")
}

fn text(schema: &Tree, body: &[u8]) -> Result<String, String> {
    let schema = AvroSchema::compile(&schema.to_string(), &[]).expect("schema");
    written(&schema, body).map_err(|reason| reason.code.into_owned())
}

fn written(schema: &AvroSchema, body: &[u8]) -> Result<String, Reason> {
    let (text, _) = scratch::text(|out| schema.write(body, &Fields::default(), true, out))?;
    Ok(text.to_string())
}

#[test]
fn each_logical_type_is_written_as_people_write_it() {
    let fixed = |name: &str, size: usize| json!({ "type": "fixed", "name": name, "size": size });
    let with = |mut schema: Tree, logical: &str| {
        schema["logicalType"] = logical.into();
        schema
    };
    let of = |plain: &str, logical: &str| json!({ "type": plain, "logicalType": logical });
    let price = json!({ "type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2 });
    let mut wide = with(fixed("wide", 9), "decimal");
    wide["precision"] = 20.into();
    let id = Uuid::parse_str("12345678-9abc-def0-1234-56789abcdef0").expect("UUID");
    let duration = Duration::new(Months::new(1), Days::new(2), Millis::new(3));
    let micros = 1_640_995_200_123_456_i64;
    let cases = [
        (json!("bytes"), Value::Bytes(vec![0xff, 0xfe]), r#""//4=""#),
        (fixed("f", 2), Value::Fixed(2, vec![0xff, 0xfe]), r#""//4=""#),
        (price, Value::Decimal(Decimal::from(vec![0xfb, 0x2e])), "-12.34"),
        (wide, Value::Decimal(Decimal::from(vec![1, 0, 0, 0, 0, 0, 0, 0, 0])), "18446744073709551616"),
        (of("int", "date"), Value::Date(18_993), r#""2022-01-01""#),
        (of("int", "time-millis"), Value::TimeMillis(3_723_004), r#""01:02:03.004""#),
        (of("long", "time-micros"), Value::TimeMicros(3_723_000_004), r#""01:02:03.000004""#),
        (of("long", "time-micros"), Value::TimeMicros(-1), "-1"),
        (
            of("long", "timestamp-millis"),
            Value::TimestampMillis(micros / 1_000),
            r#""2022-01-01T00:00:00.123Z""#,
        ),
        (of("long", "timestamp-micros"), Value::TimestampMicros(micros), r#""2022-01-01T00:00:00.123456Z""#),
        (of("long", "timestamp-nanos"), Value::TimestampNanos(1), r#""1970-01-01T00:00:00.000000001Z""#),
        (of("long", "timestamp-millis"), Value::TimestampMillis(i64::MAX), "9223372036854775807"),
        (of("long", "local-timestamp-millis"), Value::LocalTimestampMillis(0), r#""1970-01-01T00:00:00""#),
        (
            of("long", "local-timestamp-micros"),
            Value::LocalTimestampMicros(1),
            r#""1970-01-01T00:00:00.000001""#,
        ),
        (of("string", "uuid"), Value::Uuid(id), r#""12345678-9abc-def0-1234-56789abcdef0""#),
        (with(fixed("u", 16), "uuid"), Value::Uuid(id), r#""12345678-9abc-def0-1234-56789abcdef0""#),
        (
            with(fixed("d", 12), "duration"),
            Value::Duration(duration),
            r#"{"months":1,"days":2,"milliseconds":3}"#,
        ),
        (json!("float"), Value::Float(0.1), "0.1"),
        (json!("double"), Value::Double(1e300), "1e+300"),
        (json!("double"), Value::Double(f64::NEG_INFINITY), r#""-Infinity""#),
        (json!("float"), Value::Float(f32::NAN), r#""NaN""#),
        (json!("long"), Value::Long(i64::MIN), "-9223372036854775808"),
    ];
    for (schema, value, expected) in cases {
        let written = text(&schema, &body(&schema, value)).expect("readable");
        assert_eq!(written, expected, "{schema}");
    }
}

#[test]
fn each_logical_type_stands_in_the_table_of_the_readme() {
    let readme = include_str!("../../README.md");
    let bytes = |bytes: &[u8]| [&[u8::try_from(2 * bytes.len()).expect("short")], bytes].concat();
    let on = |plain: &str, logical: &str| {
        let named = json!({ "type": plain, "logicalType": logical, "name": "n", "precision": 9, "scale": 2 });
        named.to_string()
    };
    let sized = |size: u64, logical: &str| {
        let mut schema: Tree = on("fixed", logical).parse().expect("JSON");
        schema["size"] = size.into();
        schema.to_string()
    };
    let long = |number: i64| body(&json!("long"), Value::Long(number));
    let id = 0x1234_5678_9abc_def0_1234_5678_9abc_def0_u128.to_be_bytes();
    let big = bytes(&[&bytes(&[0xfb, 0x2e])[..], &[4]].concat());
    let parts = vec![1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
    let cases = [
        ("decimal", on("bytes", "decimal"), bytes(&[0xfb, 0x2e])),
        ("decimal", sized(2, "decimal"), vec![0xfb, 0x2e]),
        ("big-decimal", on("bytes", "big-decimal"), big),
        ("uuid", on("bytes", "uuid"), bytes(&id)),
        ("uuid", sized(16, "uuid"), id.to_vec()),
        ("uuid", on("string", "uuid"), bytes(b"12345678-9abc-def0-1234-56789abcdef0")),
        ("date", on("int", "date"), long(18_993)),
        ("time-millis", on("int", "time-millis"), long(3_723_004)),
        ("time-micros", on("long", "time-micros"), long(3_723_004_000)),
        ("timestamp-millis", on("long", "timestamp-millis"), long(1_640_995_200_123)),
        ("timestamp-micros", on("long", "timestamp-micros"), long(1_640_995_200_123_000)),
        ("timestamp-nanos", on("long", "timestamp-nanos"), long(1_640_995_200_123_000_000)),
        ("local-timestamp-millis", on("long", "local-timestamp-millis"), long(0)),
        ("local-timestamp-micros", on("long", "local-timestamp-micros"), long(0)),
        ("local-timestamp-nanos", on("long", "local-timestamp-nanos"), long(0)),
        ("duration", sized(12, "duration"), parts),
    ];
    for (name, schema, body) in cases {
        let schema = AvroSchema::compile(&schema, &[]).expect(name);
        let json = written(&schema, &body).expect(name);
        let row = readme.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{name}`")));
        assert!(row.expect(name).ends_with(&format!("| `{json}` |")), "{name}: {json}");
    }
}

#[test]
fn a_record_may_hold_itself_and_name_its_neighbours_shortly() {
    let schema = json!({ "type": "record", "name": "shop.Node", "fields": [
        { "name": "kind", "type": { "type": "enum", "name": "Kind", "symbols": ["LEAF", "INNER"] } },
        { "name": "other", "type": "Kind" },
        { "name": "next", "type": ["null", "Node"] },
    ] });
    let leaf = |kind: &str, at| Value::Enum(at, kind.into());
    let node = |next: Value| {
        Value::Record(vec![
            ("kind".into(), leaf("LEAF", 0)),
            ("other".into(), leaf("INNER", 1)),
            ("next".into(), next),
        ])
    };
    let inner = node(Value::Union(0, Box::new(Value::Null)));
    let outer = node(Value::Union(1, Box::new(inner)));

    let written = text(&schema, &body(&schema, outer)).expect("readable");

    assert_eq!(
        written,
        r#"{"kind":"LEAF","other":"INNER","next":{"kind":"LEAF","other":"INNER","next":null}}"#
    );
}

#[test]
fn a_schema_may_use_types_of_other_schemas() {
    let money = r#"{"type":"record","name":"shop.Money","fields":[{"name":"cents","type":"long"}]}"#;
    let line = r#"{"type":"record","name":"shop.Line","fields":[{"name":"price","type":"shop.Money"}]}"#;
    let order = r#"{"type":"record","name":"shop.Order","fields":[
        {"name":"total","type":"Money"},{"name":"lines","type":{"type":"array","items":"shop.Line"}}]}"#;
    let references = [("shop.Money".to_owned(), money.to_owned()), ("shop.Line".to_owned(), line.to_owned())];
    let schema = AvroSchema::compile(order, &references).expect("schema");

    let out = written(&schema, &[10, 4, 2, 4, 0]).expect("readable");

    assert_eq!(out, r#"{"total":{"cents":5},"lines":[{"price":{"cents":1}},{"price":{"cents":2}}]}"#);
    let missing = AvroSchema::compile(order, &references[1..]).expect_err("a type is missing");
    assert_eq!(missing.code, "invalid_schema");
}

#[test]
fn bytes_of_another_schema_are_told_from_good_ones() {
    let record = json!({ "type": "record", "name": "R", "fields": [{ "name": "a", "type": "int" }] });
    let nulls = json!({ "type": "array", "items": "null" });
    let endless =
        json!({ "type": "record", "name": "L", "fields": [{ "name": "l", "type": ["L", "null"] }] });
    let billions = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let cases: [(&Tree, &[u8], &str); 8] = [
        (&record, &[], "truncated"),
        (&record, &[0x80], "truncated"),
        (&record, &[2, 2], "schema_mismatch"),
        (&record, &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "schema_mismatch"),
        (&record, &[0xff; 12], "schema_mismatch"),
        (&nulls, &billions, "schema_mismatch"),
        (&endless, &[0; 500], "too_deep"),
        (&json!("string"), &[1], "schema_mismatch"),
    ];
    for (schema, body, code) in cases {
        assert_eq!(text(schema, body).expect_err(code), code, "{schema} {body:?}");
    }
}

#[test]
fn names_that_java_reads_are_read_as_debezium_and_others_make_them() {
    let field = |name: &str| format!(r#"{{"name":"{name}","type":"int"}}"#);
    for (schema, expected) in [
        (
            format!(
                r#"{{"type":"record","name":"Value","namespace":"shop-prod.public.users","fields":[{}]}}"#,
                field("a")
            ),
            r#"{"a":1}"#,
        ),
        (
            format!(r#"{{"type":"record","name":"org.acme.Outer$Inner","fields":[{}]}}"#, field("a")),
            r#"{"a":1}"#,
        ),
        (
            format!(r#"{{"type":"record","name":"1st.place","fields":[{}]}}"#, field("user-id")),
            r#"{"user-id":1}"#,
        ),
        (format!(r#"{{"type":"record","name":"my-table","fields":[{}]}}"#, field("größe")), r#"{"größe":1}"#),
        (r#"{"type":"enum","name":"Z","symbols":["here","in-store"]}"#.to_owned(), r#""in-store""#),
        (
            format!(
                r#"/* made by a tool */ {{"type":"error","name":"E","fields":[{}]}} // end"#,
                field("a//b")
            ),
            r#"{"a//b":1}"#,
        ),
    ] {
        let schema = AvroSchema::compile(&schema, &[]).expect(&schema);
        assert_eq!(written(&schema, &[2]).expect("readable"), expected);
    }
}

#[test]
fn a_default_that_does_not_fit_its_type_rejects_no_message() {
    for (of_type, default) in [
        (r#"["int","null"]"#, r#""null""#),
        (r#""long""#, r#""0""#),
        (r#""string""#, "0"),
        (r#"{"type":"map","values":"int"}"#, "[]"),
        (r#"["long","null"]"#, "null"),
    ] {
        let schema = format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"n","type":{of_type},"default":{default}}}]}}"#
        );
        let schema = AvroSchema::compile(&schema, &[]).expect(&schema);
        written(&schema, &[0, 0][..if of_type.starts_with('[') { 2 } else { 1 }]).expect("readable");
    }
}

#[test]
fn a_logical_type_that_does_not_fit_is_the_type_below_it() {
    for (schema, body, expected) in [
        (r#"{"type":"string","logicalType":"timestamp-millis"}"#, &[2, b'a'][..], r#""a""#),
        (r#"{"type":"int","logicalType":"timestamp-millis"}"#, &[2], "1"),
        (r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":3}"#, &[2, 1], r#""AQ==""#),
        (r#"{"type":"bytes","logicalType":"decimal"}"#, &[2, 1], r#""AQ==""#),
        (r#"{"type":"long","logicalType":"made-up"}"#, &[2], "1"),
        (
            r#"{"type":{"type":"long","logicalType":"timestamp-millis"}}"#,
            &[2],
            r#""1970-01-01T00:00:00.001Z""#,
        ),
    ] {
        let compiled = AvroSchema::compile(schema, &[]).expect(schema);
        assert_eq!(written(&compiled, body).expect("readable"), expected, "{schema}");
    }
}

#[test]
fn names_are_looked_up_in_their_namespace_and_then_outside_of_any() {
    let schema = r#"{"type":"record","name":"shop.Order","fields":[
        {"name":"kind","type":{"type":"enum","name":"Kind","namespace":"","symbols":["A","B"]}},
        {"name":"again","type":"Kind"},
        {"name":"twice","type":{"type":"record","name":"Part","fields":[{"name":"x","type":"int"}]}},
        {"name":"other","type":{"type":"record","name":"Part","fields":[{"name":"y","type":"int"}]}},
        {"name":"last","type":"shop.Part"}]}"#;
    let schema = AvroSchema::compile(schema, &[]).expect("schema");
    let out = written(&schema, &[0, 2, 2, 4, 6]).expect("readable");
    assert_eq!(out, r#"{"kind":"A","again":"B","twice":{"x":1},"other":{"y":2},"last":{"y":3}}"#);
}

#[test]
fn a_schema_that_cannot_be_read_says_why() {
    for (schema, why) in [
        ("{", "not JSON at line 1"),
        ("7", "neither a name"),
        (r#"{"name":"R"}"#, "no `type`"),
        (r#"{"type":"record","name":"R"}"#, "no list of `fields`"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a"}]}"#, "the field `a` has no `type`"),
        (r#"{"type":"fixed","name":"F"}"#, "no `size`"),
        (r#""shop.Nothing""#, "`shop.Nothing`"),
    ] {
        let reason = AvroSchema::compile(schema, &[]).expect_err(schema);
        assert_eq!(reason.code, "invalid_schema");
        assert!(reason.message.contains(why), "{}", reason.message);
    }
}

#[test]
fn the_last_day_of_9999_is_a_time_and_not_a_number() {
    let last = 253_402_300_799_i64;
    for (logical, factor, expected) in [
        ("timestamp-millis", 1_000, r#""9999-12-31T23:59:59Z""#),
        ("timestamp-micros", 1_000_000, r#""9999-12-31T23:59:59Z""#),
        ("local-timestamp-millis", 1_000, r#""9999-12-31T23:59:59""#),
        ("local-timestamp-micros", 1_000_000, r#""9999-12-31T23:59:59""#),
    ] {
        let schema = json!({ "type": "long", "logicalType": logical });
        let body = body(&json!("long"), Value::Long(last * factor));
        assert_eq!(text(&schema, &body).expect("readable"), expected, "{logical}");
    }
    let midnight = json!({ "type": "int", "logicalType": "time-millis" });
    let body = body(&json!("int"), Value::Int(86_400_000));
    assert_eq!(text(&midnight, &body).expect("readable"), r#""24:00:00""#);
}

/// A schema, a value of it and the JSON that it means.
type Case = (Tree, Value, Tree);

fn scalar() -> impl Strategy<Value = Case> {
    prop_oneof![
        Just((json!("null"), Value::Null, Tree::Null)),
        any::<bool>().prop_map(|it| (json!("boolean"), Value::Boolean(it), json!(it))),
        any::<i32>().prop_map(|it| (json!("int"), Value::Int(it), json!(it))),
        any::<i64>().prop_map(|it| (json!("long"), Value::Long(it), json!(it))),
        any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(|it| (
            json!("double"),
            Value::Double(it),
            json!(it)
        )),
        any::<f32>().prop_filter("finite", |it| it.is_finite()).prop_map(|it| {
            // Of two shortest forms of a float, Rust and serde_json may choose differently.
            let shortest = serde_json::to_string(&it).expect("number");
            let shortest = serde_json::from_str(&shortest).expect("number");
            (json!("float"), Value::Float(it), shortest)
        }),
        any::<String>().prop_map(|it| (json!("string"), Value::String(it.clone()), json!(it))),
    ]
}

fn name() -> impl Strategy<Value = String> {
    any::<u64>().prop_map(|number| format!("n{number}"))
}

fn case() -> impl Strategy<Value = Case> {
    scalar().prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            (name(), prop::collection::vec(inner.clone(), 0..6)).prop_map(|(name, fields)| {
                let label = |at: usize| format!("f{at}");
                let schemas: Vec<Tree> = (fields.iter().enumerate())
                    .map(|(at, (schema, ..))| json!({ "name": label(at), "type": schema }))
                    .collect();
                let values = fields.iter().enumerate().map(|(at, (_, value, _))| (label(at), value.clone()));
                let trees = fields.iter().enumerate().map(|(at, (_, _, tree))| (label(at), tree.clone()));
                (
                    json!({ "type": "record", "name": name, "fields": schemas }),
                    Value::Record(values.collect()),
                    Tree::Object(trees.collect()),
                )
            }),
            (inner.clone(), 0..4_usize).prop_map(|((schema, value, tree), count)| (
                json!({ "type": "array", "items": schema }),
                Value::Array(vec![value; count]),
                Tree::Array(vec![tree; count]),
            )),
            (inner.clone(), any::<String>()).prop_map(|((schema, value, tree), key)| (
                json!({ "type": "map", "values": schema }),
                Value::Map(HashMap::from([(key.clone(), value)])),
                json!({ key: tree }),
            )),
            (name(), 0..3_u32).prop_map(|(name, at)| (
                json!({ "type": "enum", "name": name, "symbols": ["A", "B", "C"] }),
                Value::Enum(at, ["A", "B", "C"][at as usize].into()),
                json!(["A", "B", "C"][at as usize]),
            )),
            (inner, any::<bool>()).prop_filter_map("no union of unions", |((schema, value, tree), set)| {
                let union = json!(["null", schema]);
                (schema != json!("null") && !schema.is_array()).then(|| match set {
                    true => (union, Value::Union(1, Box::new(value)), tree),
                    false => (union, Value::Union(0, Box::new(Value::Null)), Tree::Null),
                })
            }),
        ]
    })
}

/// The ways to all values inside a value.
fn list_paths(tree: &Tree, here: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let inside: Vec<(String, &Tree)> = match tree {
        Tree::Object(members) => members.iter().map(|(name, tree)| (name.clone(), tree)).collect(),
        Tree::Array(items) => items.iter().enumerate().map(|(at, tree)| (at.to_string(), tree)).collect(),
        _ => Vec::new(),
    };
    for (step, tree) in inside {
        here.push(step);
        paths.push(here.clone());
        list_paths(tree, here, paths);
        here.pop();
    }
}

#[test]
fn the_parts_of_a_duration_can_be_fields() {
    let fixed = json!({ "type": "fixed", "name": "d", "size": 12, "logicalType": "duration" });
    let schema = json!({ "type": "record", "name": "R", "fields": [{ "name": "every", "type": fixed }] });
    let schema = AvroSchema::compile(&schema.to_string(), &[]).expect("schema");
    let steps = vec!["every".to_owned(), "days".to_owned()];
    let fields = Fields::new(&[("days".to_owned(), Field { steps, reading: Reading::Auto })].into());

    let (text, found) =
        scratch::text(|out| schema.write(&[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0], &fields, true, out))
            .expect("readable");

    let mut values = Vec::new();
    assert_eq!(fields.read(&text, &found, &mut values), []);
    assert_eq!(values, [Cell::Int(2)]);
}

#[test]
fn an_instant_is_a_timestamp_and_what_holds_one_is_not() {
    let millis = json!({ "type": "long", "logicalType": "timestamp-millis" });
    let maybe = json!(["null", millis]);
    let local = json!({ "type": "long", "logicalType": "local-timestamp-micros" });
    let all = json!({ "type": "array", "items": maybe });
    let schema = json!({ "type": "record", "name": "R", "fields": [
        { "name": "at", "type": maybe }, { "name": "local", "type": local }, { "name": "all", "type": all },
    ] });
    let schema = AvroSchema::compile(&schema.to_string(), &[]).expect("schema");
    let field = |name: &str, reading| {
        let steps = name.split('.').map(str::to_owned).collect();
        (format!("{name} as {reading:?}"), Field { steps, reading })
    };
    let fields = Fields::new(
        &[
            field("at", Reading::Auto),
            field("at", Reading::EpochMs),
            field("at", Reading::Text),
            field("local", Reading::Auto),
            field("all", Reading::Auto),
            field("all.0", Reading::Auto),
        ]
        .into(),
    );

    // 1 ms twice, in a union; 0 µs on a wall clock.
    let (text, found) =
        scratch::text(|out| schema.write(&[2, 2, 0, 2, 2, 2, 0], &fields, true, out)).expect("readable");

    let mut values = Vec::new();
    assert_eq!(fields.read(&text, &found, &mut values), []);
    let first: jiff::Timestamp = "1970-01-01T00:00:00.001Z".parse().expect("timestamp");
    let listed = Cell::Json(Json::trusted(r#"["1970-01-01T00:00:00.001Z"]"#));
    assert_eq!(
        values,
        [
            Cell::Timestamp(first),
            Cell::Timestamp(first),
            Cell::Text("1970-01-01T00:00:00.001Z".into()),
            Cell::Text("1970-01-01T00:00:00".into()),
            listed,
            Cell::Timestamp(first),
        ]
    );
}

#[test]
fn a_string_that_is_no_utf_8_is_told() {
    assert_eq!(text(&json!("string"), &[4, 0xc3, 0x28]).expect_err("not UTF-8"), "schema_mismatch");
}

proptest! {
    #[test]
    fn what_apache_avro_writes_arrives_value_by_value((schema, value, tree) in case()) {
        let body = body(&schema, value);

        let written = text(&schema, &body).expect("readable");

        prop_assert_eq!(serde_json::from_str::<Tree>(&written).expect("JSON"), tree);
    }

    #[test]
    fn fields_are_found_where_a_reader_of_the_text_finds_them((schema, value, tree) in case()) {
        let mut paths = vec![vec!["f0".to_owned(), "nowhere".to_owned()]];
        list_paths(&tree, &mut Vec::new(), &mut paths);
        let field = |steps| Field { steps, reading: Reading::Auto };
        let named = paths.into_iter().enumerate().map(|(at, steps)| (at.to_string(), field(steps)));
        let fields = Fields::new(&named.collect());
        let avro = AvroSchema::compile(&schema.to_string(), &[]).expect("schema");

        let written = scratch::text(|out| avro.write(&body(&schema, value), &fields, true, out));

        let (text, found) = written.expect("readable");
        let (mut marked, mut looked_up) = (Vec::new(), Vec::new());
        assert_eq!(fields.read(&text, &found, &mut marked), []);
        fields.find(&text, &mut looked_up).expect("values");
        // Only the schema says that a text is an instant.
        for value in &mut looked_up {
            if let Cell::Text(text) = value && let Ok(at) = text.parse() {
                *value = Cell::Timestamp(at);
            }
        }
        prop_assert_eq!(marked, looked_up);
    }

    #[test]
    fn no_bytes_make_the_reader_panic((schema, value, _) in case(), noise: Vec<u8>, cut: prop::sample::Index) {
        let schema_text = AvroSchema::compile(&schema.to_string(), &[]).expect("schema");
        let mut body = body(&schema, value);
        let check = |body: &[u8]| {
            if let Ok(out) = written(&schema_text, body) {
                prop_assert!(serde_json::from_str::<Tree>(&out).is_ok(), "{out}");
            }
            Ok(())
        };
        check(&noise)?;
        let at = cut.index(body.len() + 1);
        body.truncate(at);
        body.extend(&noise);
        check(&body)?;
    }
}
