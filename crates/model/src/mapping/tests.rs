use std::sync::Arc;

use jiff::tz::TimeZone;

use super::{Absent, Mapping, MappingSpec, Target};
use crate::{
    Body, Columns, ErrorKind, Identity, Json, ObjectKind, Purchase, Reason, Record, Row, RowHash, SyncId,
    Value,
};

fn target(object: ObjectKind) -> Target {
    Target {
        sync: SyncId::new("s"),
        object,
        key: Vec::new(),
        cursor: None,
        cursor_column: None,
        time_zone: TimeZone::UTC,
        absent: Absent::Skip,
    }
}

fn spec(text: &str) -> MappingSpec {
    serde_json::from_str(text).expect("mapping")
}

fn row(columns: &Arc<Columns>, values: &[Value]) -> Row {
    Row { columns: columns.clone(), values: values.to_vec() }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn record(mapping: &Mapping, row: &Row) -> Result<Record, Reason> {
    mapping.apply(row, RowHash(1), RowHash(2))
}

#[test]
fn an_event_takes_columns_constants_paths_and_the_rest() {
    let columns = Columns::new(["id", "customer", "at", "total", "data"]);
    let spec = spec(
        r#"{"external_id":"customer","name":{"value":"order_placed"},"timestamp":"at",
            "properties":{"fields":{"plan":{"column":"data","path":"user.plans.1"}},"rest":true,"except":["data"]}}"#,
    );
    let mapping = Mapping::compile(&spec, &target(ObjectKind::Event), &columns).expect("compiles");
    let data = Json::parse(r#"{"user":{"plans":["free","pro"]}}"#.into()).expect("json");
    let row = row(
        &columns,
        &[
            Value::Int(7),
            text("u1"),
            text("2026-01-02T03:04:05.123456789Z"),
            Value::Decimal("9.90".into()),
            Value::Json(data),
        ],
    );
    let record = record(&mapping, &row).expect("a record");
    assert_eq!(record.identity, Identity::ExternalId("u1".into()));
    let Body::Event { name, time, properties, .. } = record.body else { panic!("an event") };
    assert_eq!(&*name, "order_placed");
    assert_eq!(time.expect("time").to_string(), "2026-01-02T03:04:05.123456789Z");
    assert_eq!(properties.as_str(), r#"{"plan":"pro","id":7,"total":9.90}"#);
}

#[test]
fn a_json_column_alone_is_passed_on_untouched() {
    let columns = Columns::new(["u", "n", "data"]);
    let mapping = Mapping::compile(
        &spec(r#"{"external_id":"u","name":"n","properties":{"json":"data"}}"#),
        &target(ObjectKind::Event),
        &columns,
    )
    .expect("compiles");
    let raw = r#"{ "a" : 1.10 }"#;
    let row = row(&columns, &[text("u"), text("n"), Value::Json(Json::trusted(raw))]);
    let Body::Event { properties, .. } = record(&mapping, &row).expect("a record").body else {
        panic!("an event")
    };
    assert_eq!(properties.as_str(), raw);
}

#[test]
fn members_of_a_json_column_and_columns_come_together() {
    let columns = Columns::new(["u", "data", "plan"]);
    let mapping = Mapping::compile(
        &spec(r#"{"external_id":"u","attributes":{"json":"data","columns":["plan"]}}"#),
        &target(ObjectKind::User),
        &columns,
    )
    .expect("compiles");
    for (data, expected) in [(r#"{"a":1}"#, r#"{"a":1,"plan":"pro"}"#), ("{ }", r#"{"plan":"pro"}"#)] {
        let row = row(&columns, &[text("u"), text(data), text("pro")]);
        let Body::User { attributes } = record(&mapping, &row).expect("a record").body else {
            panic!("a user")
        };
        assert_eq!(attributes.as_str(), expected);
    }
}

#[test]
fn a_row_needs_exactly_one_identifier_and_email_beats_phone() {
    let columns = Columns::new(["x", "e", "p"]);
    let mapping = Mapping::compile(
        &spec(r#"{"external_id":"x","email":"e","phone":"p"}"#),
        &target(ObjectKind::User),
        &columns,
    )
    .expect("compiles");
    let of = |x: &str, e: &str, p: &str| record(&mapping, &row(&columns, &[text(x), text(e), text(p)]));
    assert_eq!(of("", "a@b.c", "+1").expect("a record").identity, Identity::Email("a@b.c".into()));
    assert_eq!(of("", "", "+1").expect("a record").identity, Identity::Phone("+1".into()));
    assert_eq!(of("", "", "").expect_err("none").code, "no_identifier");
    let two = of("u", "a@b.c", "").expect_err("two");
    assert_eq!(two.code, "two_identifiers");
    assert!(two.message.contains("external_id, email"), "{}", two.message);
}

#[test]
fn values_that_do_not_fit_are_named() {
    let columns = Columns::new(["u", "p", "c", "q", "t"]);
    let mapping = Mapping::compile(
        &spec(r#"{"external_id":"u","product_id":{"value":"x"},"currency":"c","price":"p","quantity":"q","timestamp":"t"}"#),
        &target(ObjectKind::Purchase),
        &columns,
    )
    .expect("compiles");
    let of = |p: Value, c: &str, q: Value, t: Value| {
        record(&mapping, &row(&columns, &[text("u"), p, text(c), q, t]))
    };
    let fine = of(text("1.50"), "usd", Value::Null, Value::Int(1_700_000_000)).expect("a record");
    let Body::Purchase(bought) = fine.body else { panic!("a purchase") };
    let Purchase { price, currency, quantity, time, .. } = *bought;
    assert_eq!((&*price, &*currency, quantity), ("1.50", "USD", 1));
    assert_eq!(time.expect("time").as_second(), 1_700_000_000);
    assert_eq!(of(text("1,50"), "USD", Value::Null, Value::Null).expect_err("comma").code, "not_a_number");
    assert_eq!(of(text("1"), "Euro", Value::Null, Value::Null).expect_err("euro").code, "not_a_currency");
    assert_eq!(of(text("1"), "EUR", Value::Int(0), Value::Null).expect_err("zero").code, "not_a_quantity");
    let half = of(text("1"), "EUR", Value::Decimal("2.5".into()), Value::Null);
    assert_eq!(half.expect_err("half").code, "not_a_quantity");
    let two = of(text("1"), "EUR", Value::Decimal("2.0".into()), Value::Int(1_700_000_000)).expect("two");
    let Body::Purchase(two) = two.body else { panic!("a purchase") };
    assert_eq!(two.quantity, 2, "as a float column has it");
    let time = of(text("1"), "EUR", Value::Null, text("yesterday")).expect_err("time");
    assert!(time.message.starts_with("`t` is not a time in ISO 8601, such as"), "{}", time.message);
}

#[test]
fn a_missing_column_is_named_with_the_nearest_one() {
    let columns = Columns::new(["customer_id", "name"]);
    let error =
        Mapping::compile(&spec(r#"{"external_id":"custmer_id"}"#), &target(ObjectKind::User), &columns)
            .expect_err("no such column");
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert_eq!(error.message(), "the source has no column `custmer_id`, which `mapping.external_id` names");
    assert!(error.next_step().starts_with("did you mean `customer_id`? Correct the name, or add"));
}

#[test]
fn a_mapping_is_checked_against_the_object() {
    let columns = Columns::new(["u"]);
    let compile = |text: &str, object| {
        Mapping::compile(&spec(text), &target(object), &columns)
            .expect_err("does not compile")
            .message()
            .to_owned()
    };
    assert_eq!(
        compile(r#"{"external_id":"u"}"#, ObjectKind::Event),
        "`mapping.name` is required for the object `event`"
    );
    assert_eq!(
        compile(r#"{"external_id":"u","price":"u"}"#, ObjectKind::User),
        "`mapping.price` does not apply to the object `user`"
    );
    assert_eq!(compile("{}", ObjectKind::Deletion), "`mapping` names no identifier of the user");
}

#[test]
fn a_column_that_nothing_uses_makes_no_new_version_of_a_row() {
    let columns = Columns::new(["id", "user", "at", "other"]);
    let target =
        Target { key: vec!["id".into()], cursor_column: Some("at".into()), ..target(ObjectKind::User) };
    let mapping = Mapping::compile(&spec(r#"{"external_id":"user"}"#), &target, &columns).expect("compiles");
    let version = |values: [i64; 4]| {
        let row = row(&columns, &values.map(Value::Int));
        mapping.version_of(&row, &mut Vec::new())
    };
    assert_eq!(version([1, 2, 3, 4]), version([1, 2, 3, 5]));
    for changed in [[9, 2, 3, 4], [1, 9, 3, 4], [1, 2, 9, 4]] {
        assert_ne!(version([1, 2, 3, 4]), version(changed), "{changed:?}");
    }
}

#[test]
fn members_are_a_json_column_a_list_of_columns_or_a_constant() {
    let columns = Columns::new(["u", "data", "plan"]);
    let attributes = |form: &str, data: Value| {
        let spec = spec(&format!(r#"{{"external_id":"u","attributes":{form}}}"#));
        let mapping = Mapping::compile(&spec, &target(ObjectKind::User), &columns).expect("compiles");
        match record(&mapping, &row(&columns, &[text("ada"), data, text("free")]))?.body {
            Body::User { attributes } => Ok(attributes.as_str().to_owned()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(attributes(r#""data""#, text(r#"{"a":1}"#)), Ok(r#"{"a":1}"#.to_owned()));
    assert_eq!(attributes(r#""data""#, Value::Null), Ok("{}".to_owned()));
    assert_eq!(attributes(r#"["plan","u"]"#, Value::Null), Ok(r#"{"plan":"free","u":"ada"}"#.to_owned()));
    assert_eq!(attributes(r#"{"value":{"n":1,"s":"x"}}"#, Value::Null), Ok(r#"{"n":1,"s":"x"}"#.to_owned()));
    let scalar: Reason = attributes(r#""data""#, Value::Int(7)).expect_err("a number is no object");
    assert_eq!(scalar.code, "not_json");
    assert!(scalar.message.contains("write `[data]`"), "{}", scalar.message);
}

#[test]
fn every_misfit_of_a_mapping_is_named_at_once() {
    let misfits = super::misfits(&["price", "alias_name"], ObjectKind::Event);
    let told: Vec<&str> = misfits.iter().map(|misfit| misfit.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "`mapping.price` does not apply to the object `event`",
            "`mapping.name` is required for the object `event`",
            "`mapping.alias_name` and `mapping.alias_label` belong together",
        ]
    );
}

#[test]
fn a_narrowed_mapping_makes_the_same_record_from_the_columns_that_it_needs() {
    let columns = Columns::new(["id", "unused", "at", "customer", "secret", "total", "data"]);
    let spec = spec(
        r#"{"external_id":"customer","name":{"value":"bought"},"timestamp":"at",
            "properties":{"fields":{"plan":{"column":"data","path":"plan"}},"rest":true,"except":["unused","secret"]}}"#,
    );
    let target = Target { key: vec!["id".to_owned()], ..target(ObjectKind::Event) };
    let mapping = Mapping::compile(&spec, &target, &columns).expect("compiles");
    let values = [
        Value::Int(7),
        text("u"),
        text("2026-01-02T03:04:05Z"),
        text("u1"),
        text("s"),
        Value::Decimal("9.90".into()),
        Value::Json(Json::trusted(r#"{"plan":"pro"}"#)),
    ];
    let whole = row(&columns, &values);
    let places = mapping.needed().expect("rows have a key").to_vec();
    assert_eq!(places, [0, 2, 3, 5, 6]);
    let narrow = Row {
        columns: Columns::new(places.iter().map(|&at| columns.names()[at].as_str())),
        values: places.iter().map(|&at| values[at].clone()).collect(),
    };
    let narrowed = mapping.narrowed(&places);
    assert_eq!(record(&narrowed, &narrow).expect("a record"), record(&mapping, &whole).expect("a record"));
    let names = |mapping: &Mapping, row: &Row| {
        let version = mapping.version_of(row, &mut Vec::new());
        (version, mapping.key_of(row, version, &mut Vec::new()), mapping.key_text(row))
    };
    assert_eq!(names(&narrowed, &narrow), names(&mapping, &whole), "the row is still known");
}

#[test]
fn a_row_without_a_key_is_told_apart_by_all_of_its_columns() {
    let columns = Columns::new(["id", "unused"]);
    let spec = spec(r#"{"external_id":"id"}"#);
    let mapping = Mapping::compile(&spec, &target(ObjectKind::User), &columns).expect("compiles");
    assert_eq!(mapping.needed(), None);
}

#[test]
fn columns_that_come_after_the_mapping_was_made_belong_to_the_rest() {
    let known = Columns::new(["id", "secret"]);
    let spec = spec(r#"{"external_id":"id","attributes":{"rest":true,"except":["secret"]}}"#);
    let mapping = Mapping::compile(&spec, &target(ObjectKind::User), &known).expect("compiles");
    let longer = Columns::new(["id", "secret", "late"]);
    let attributes = |row: &Row| match record(&mapping, row).expect("a record").body {
        Body::User { attributes } => attributes.as_str().to_owned(),
        body => panic!("{body:?}"),
    };
    assert_eq!(attributes(&row(&known, &[text("u"), text("x")])), "{}");
    assert_eq!(attributes(&row(&longer, &[text("u"), text("x"), Value::Int(5)])), r#"{"late":5}"#);
    // And they make another version of the row.
    let keyed =
        Mapping::compile(&spec, &Target { key: vec!["id".into()], ..target(ObjectKind::User) }, &known);
    let keyed = keyed.expect("compiles");
    let version =
        |late| keyed.version_of(&row(&longer, &[text("u"), text("x"), Value::Int(late)]), &mut Vec::new());
    assert_ne!(version(5), version(6));
}

#[test]
fn json_that_readers_refuse_is_rejected_before_it_is_sent() {
    let columns = Columns::new(["id", "value"]);
    let mapping =
        |text: &str| Mapping::compile(&spec(text), &target(ObjectKind::User), &columns).expect("compiles");
    let member = mapping(r#"{"external_id":"id","attributes":{"columns":["value"]}}"#);
    let spread = mapping(r#"{"external_id":"id","attributes":{"json":"value"}}"#);
    let json = |text: &'static str| Value::Json(Json::trusted(text));
    for (mapping, value, code) in [
        (&member, json(r#"{"t":"\ud800"}"#), "invalid_json"),
        (&member, json(r#"["\udc00"]"#), "invalid_json"),
        (&member, json(r#"{"a":1e400}"#), "number_too_large"),
        (&member, Value::Decimal("1E400".into()), "number_too_large"),
        (&spread, json(r#"{"t":"\ud800"}"#), "invalid_json"),
        (&spread, json(r#"{"a":[-1e999]}"#), "number_too_large"),
    ] {
        let reason = record(mapping, &row(&columns, &[text("u"), value.clone()])).expect_err("no record");
        assert_eq!(reason.code, code, "{value:?}");
        assert!(reason.message.contains("`value`"), "{}", reason.message);
    }
    // What the mapping leaves out rejects nothing.
    let without = mapping(r#"{"external_id":"id"}"#);
    assert!(record(&without, &row(&columns, &[text("u"), json(r#"{"t":"\ud800"}"#)])).is_ok());
}

#[test]
fn a_member_that_a_row_lacks_is_left_out_and_a_written_null_is_sent() {
    let columns = Columns::new(["id", "plan", "city", "data", "later"]);
    let mapping = |absent| {
        let spec = spec(
            r#"{ "external_id": "id", "attributes": { "columns": ["plan", "city"], "rest": true,
                 "fields": { "street": { "column": "data", "path": "home.street" } } } }"#,
        );
        let known = Columns::new(["id", "plan", "city", "data"]);
        Mapping::compile(&spec, &Target { absent, ..target(ObjectKind::User) }, &known).expect("compiles")
    };
    let sent = |absent, values: &[Value]| match record(&mapping(absent), &row(&columns, values))
        .expect("a record")
        .body
    {
        Body::User { attributes } => attributes.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    let json = |json: &'static str| Value::Json(Json::trusted(json));
    let lacking = [text("u"), Value::Null, Value::Absent, json(r#"{"home":{}}"#), Value::Absent];
    assert_eq!(sent(Absent::Skip, &lacking), r#"{"plan":null}"#);
    assert_eq!(sent(Absent::Null, &lacking), r#"{"plan":null,"city":null,"street":null,"later":null}"#);
    let written =
        [text("u"), Value::Absent, text("Rome"), json(r#"{"home":{"street":null}}"#), Value::Int(1)];
    assert_eq!(sent(Absent::Skip, &written), r#"{"city":"Rome","street":null,"later":1}"#);
    // A JSON column that is null was written as null, for all that it could hold.
    assert_eq!(
        sent(Absent::Skip, &[text("u"), Value::Null, Value::Null, Value::Null]),
        r#"{"plan":null,"city":null,"street":null}"#
    );
}

#[test]
fn an_event_whose_mapped_time_is_empty_is_not_sent_with_the_time_of_sending() {
    let columns = Columns::new(["u", "at"]);
    let mapped = spec(r#"{"external_id":"u","name":{"value":"e"},"timestamp":"at"}"#);
    let by_cursor = spec(r#"{"external_id":"u","name":{"value":"e"}}"#);
    let cursor = Target { cursor: Some("at".to_owned()), ..target(ObjectKind::Event) };
    for empty in [Value::Null, Value::Absent, text("")] {
        let row = row(&columns, &[text("u1"), empty]);
        let apply = |spec: &MappingSpec, target: &Target| {
            record(&Mapping::compile(spec, target, &columns).expect("compiles"), &row)
        };
        let reason = apply(&mapped, &target(ObjectKind::Event)).expect_err("no time");
        assert_eq!(reason.code, "no_timestamp");
        assert!(reason.message.starts_with("`at` is empty"), "{}", reason.message);
        assert!(apply(&by_cursor, &cursor).is_ok(), "the default is no promise");
    }
}

#[test]
fn a_header_that_was_read_as_one_cell_is_told_with_its_delimiter() {
    for (header, delimiter) in [("id;customer", ";"), ("id\tcustomer", "\\t"), ("id|customer", "|")] {
        let mapping = spec(r#"{"external_id":"customer"}"#);
        let error = Mapping::compile(&mapping, &target(ObjectKind::User), &Columns::new([header]))
            .expect_err("no such column");
        assert!(error.next_step().contains(&format!("`delimiter: \"{delimiter}\"`")), "{error:?}");
    }
}
