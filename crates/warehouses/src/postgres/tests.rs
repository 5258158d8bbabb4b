//! What needs no server: names, statements, and bytes that are no values.

use proptest::prelude::*;
use tidegate_model::{Error, ErrorKind, Selection};
use tidegate_transport::arena::Arena;
use tidegate_transport::sql::incremental::PostgreSql;
use tidegate_transport::sql::table::Relation as _;
use tokio_postgres::types::Type;

use super::decode::Shape;
use super::query::{Relation, SourceColumn, Table};
use super::settings::PostgresSelection;

/// The statement for keys of two columns, the second null or not.
fn lookup(table: &Table, second_is_null: bool) -> String {
    let key = ["id".to_owned(), "name".to_owned()];
    super::lookup::condition(table, &key, &[false, second_is_null]).expect("both columns are there")
}

#[test]
fn a_key_that_holds_null_is_looked_up_with_is_null() {
    let int8 = "\"pg_catalog\".\"int8\"";
    assert_eq!(
        lookup(&orders(), true),
        format!(
            "\"name\" IS NULL AND (\"id\") IN (SELECT wanted.k0::{int8} FROM unnest($1::text[]) AS wanted(k0))"
        )
    );
    assert_eq!(
        lookup(&orders(), false),
        format!(
            "(\"id\", \"name\") IN (SELECT wanted.k0::{int8}, wanted.k1::\"pg_catalog\".\"text\" \
             FROM unnest($1::text[], $2::text[]) AS wanted(k0, k1))"
        )
    );
}

#[test]
fn a_narrowed_table_reads_its_columns_alone() {
    let narrowed = orders().narrowed(Some(&["name".to_owned(), "took".to_owned()])).expect("both are there");
    assert_eq!(
        narrowed.everything(),
        "SELECT \"name\", \"took\"::text AS \"took\" FROM \"public\".\"orders\" AS tidegate_rows"
    );
    assert!(orders().narrowed(Some(&["nam".to_owned()])).is_err());
}

fn orders() -> Table {
    let column = |name: &str, column_type: Type| SourceColumn {
        name: name.to_owned(),
        shape: Shape::of(&column_type),
        column_type,
        modifier: -1,
        granted: true,
    };
    let columns = vec![
        column("id", Type::INT8),
        column("at", Type::TIMESTAMPTZ),
        column("took", Type::INTERVAL),
        column("name", Type::TEXT),
    ];
    Table::new(PostgreSql, Relation::table("public.orders").unwrap(), columns, false).unwrap()
}

#[test]
fn names_are_read_as_they_are_written() {
    for (text, label, quoted) in [
        ("orders", "orders", "\"orders\""),
        ("public.Orders", "public.Orders", "\"public\".\"Orders\""),
        ("\"My.Schema\".\"a\"\"b\"", "\"My.Schema\".\"a\"\"b\"", "\"My.Schema\".\"a\"\"b\""),
        ("a b.c;d", "a b.c;d", "\"a b\".\"c;d\""),
    ] {
        let relation = Relation::table(text).expect(text);
        assert_eq!((relation.label().as_str(), relation.quoted().as_deref()), (label, Some(quoted)));
    }
    for text in ["", ".", "a.", "a.b.c", "\"a", "a\0"] {
        assert!(Relation::table(text).is_err(), "{text}");
    }
}

#[test]
fn a_type_without_a_form_of_ours_is_asked_for_as_text() {
    assert_eq!(
        orders().everything(),
        "SELECT \"id\", \"at\", \"took\"::text AS \"took\", \"name\" FROM \"public\".\"orders\" AS tidegate_rows"
    );
}

#[test]
fn a_cursor_read_is_bounded_by_the_servers_clock_and_compares_text_by_bytes() {
    let table = orders();
    let rows = table.cursor("AT", "UTC").unwrap().rows(true);
    assert!(
        rows.ends_with(
            "WHERE \"at\" >= $1::text::\"pg_catalog\".\"timestamptz\" AND \"at\" <= now() ORDER BY \"at\""
        ),
        "{rows}"
    );
    let rows = table.cursor("name", "UTC").unwrap().rows(false);
    assert!(
        rows.ends_with("WHERE \"name\" COLLATE \"C\" IS NOT NULL ORDER BY \"name\" COLLATE \"C\""),
        "{rows}"
    );
    assert!(table.cursor("name", "UTC").unwrap().not_due().is_none());
    assert_eq!(table.cursor("took", "UTC").err().map(|error: Error| error.kind()), Some(ErrorKind::Settings));
}

#[test]
fn a_selection_is_one_table_or_one_query() {
    let relation = |json: serde_json::Value| {
        let selection = Selection::new(json.as_object().unwrap().clone());
        selection.parse::<PostgresSelection>()?.relation()
    };
    let query = relation(serde_json::json!({ "query": " select 1 ; " })).unwrap();
    assert_eq!(query, Relation::Query("select 1".to_owned()));
    assert!(relation(serde_json::json!({ "query": " ; " })).is_err());
}

fn shapes() -> Vec<Shape> {
    let plain = [
        Type::BOOL,
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::OID,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::NUMERIC,
        Type::TEXT,
        Type::JSON,
        Type::JSONB,
        Type::BYTEA,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMP,
        Type::DATE,
        Type::TIME,
        Type::UUID,
        Type::INT4_ARRAY,
        Type::TEXT_ARRAY,
        Type::NUMERIC_ARRAY,
        Type::DATE_ARRAY,
    ];
    plain.iter().map(Shape::of).collect()
}

proptest! {
    #[test]
    fn bytes_that_are_no_value_are_refused_without_a_panic(cell in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut arena = Arena::default();
        for shape in shapes() {
            let _ = shape.decode(&cell, &mut arena);
        }
    }

    #[test]
    fn every_bit_pattern_of_a_time_is_told_or_refused(bits in any::<i64>()) {
        let mut arena = Arena::default();
        for shape in [Shape::Timestamptz, Shape::Timestamp, Shape::Time] {
            let _ = shape.decode(&bits.to_be_bytes(), &mut arena);
        }
        let _ = Shape::Date.decode(&bits.to_be_bytes()[..4], &mut arena);
    }
}
