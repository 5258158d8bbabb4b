//! The cloud-ingestion contract, row by row.

use jiff::tz::TimeZone;
use tidegate_model::mapping::Target;
use tidegate_model::{Columns, Mapping, Reason, Row, RowHash, Value};

use super::super::contract::CONTRACT;
use super::*;

fn target(object: ObjectKind) -> Target {
    Target {
        sync: tidegate_model::SyncId::new("s"),
        object,
        key: Vec::new(),
        cursor: None,
        cursor_column: None,
        time_zone: TimeZone::UTC,
        absent: tidegate_model::mapping::Absent::default(),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn contract(object: ObjectKind, names: &[&str], values: &[Value]) -> Result<Record, Reason> {
    let columns = Columns::new(names.iter().copied());
    let mapping = Mapping::contract(&CONTRACT, &target(object), &columns).expect("the contract");
    let row = Row { columns, values: values.to_vec() };
    mapping.apply(&row, RowHash(1), RowHash(2))
}

#[test]
fn the_contract_reads_its_columns_in_any_case() {
    let at = Value::Timestamp("2026-01-01T00:00:00Z".parse().expect("time"));
    let payload = text(r#"{"name":"rented","properties":{"movie":"x"}}"#);
    let record =
        contract(ObjectKind::Event, &["updated_at", "external_id", "payload"], &[at, text("u"), payload])
            .expect("a record");
    let Body::Event { name, time, properties, .. } = record.body else { panic!("an event") };
    assert_eq!(&*name, "rented");
    assert_eq!(time.expect("time").to_string(), "2026-01-01T00:00:00Z", "UPDATED_AT is the default time");
    assert_eq!(properties.as_str(), r#"{"movie":"x"}"#);
}

#[test]
fn the_contract_rejects_what_the_vendor_rejects() {
    let names = ["UPDATED_AT", "EXTERNAL_ID", "EMAIL", "PAYLOAD"];
    let of = |id: &str, email: &str, payload: Value| {
        contract(ObjectKind::User, &names, &[Value::Int(0), text(id), text(email), payload])
    };
    assert!(of("u", "", text(r#"{"a":null}"#)).is_ok());
    assert_eq!(of("u", "e@f.g", text("{}")).expect_err("two").code, "two_identifiers");
    assert_eq!(of("", "", text("{}")).expect_err("none").code, "no_identifier");
    assert_eq!(of("u", "", text("{a}")).expect_err("no JSON").code, "invalid_json");
    assert_eq!(of("u", "", text("[1]")).expect_err("no object").code, "not_an_object");
    assert_eq!(
        of("u", "", text(r#"{"external_id":"x"}"#)).expect_err("identifier").code,
        "identifier_in_payload"
    );
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000_000));
    assert_eq!(of("u", "", text(&large)).expect_err("large").message, "Payload was greater than 1MB");
    let many: Vec<String> = (0..251).map(|n| format!("\"a{n}\":1")).collect();
    assert_eq!(
        of("u", "", text(&format!("{{{}}}", many.join(",")))).expect_err("many").code,
        "too_many_attributes"
    );
}

#[test]
fn the_contract_removes_catalog_items_and_refuses_payloads_of_deletions() {
    let names = ["UPDATED_AT", "ID", "PAYLOAD", "DELETED"];
    let of = |deleted: Value| {
        contract(
            ObjectKind::CatalogItem,
            &names,
            &[Value::Int(0), text("i"), text(r#"{"price":1}"#), deleted],
        )
    };
    assert_eq!(of(Value::Bool(true)).expect("a record").body, Body::CatalogRemoval { id: "i".into() });
    assert!(matches!(of(Value::Bool(false)).expect("a record").body, Body::CatalogItem { .. }));
    let columns = Columns::new(["UPDATED_AT", "EXTERNAL_ID", "PAYLOAD"]);
    let error = Mapping::contract(&CONTRACT, &target(ObjectKind::Deletion), &columns).expect_err("payload");
    assert!(error.message().contains("must not have a column PAYLOAD"), "{error}");
}
