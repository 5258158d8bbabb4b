//! Hashes that the server makes of rows: equal for equal rows, and for no others.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use tidegate_model::source::Hashed;
use tidegate_model::{Source, Value};

use crate::postgres_server::{Database, table};

/// Values of each type that are nearly the same.
const ALIKE: &[(&str, &[&str])] = &[
    ("int8", &["1", "-1", "NULL", "9223372036854775807"]),
    ("float4", &["0.1", "0.10000001", "'-0'", "0", "'NaN'"]),
    ("float8", &["0.1", "0.1 + 1.3877787807814457e-17", "'-0'", "0", "1e-300", "'Infinity'", "NULL"]),
    ("numeric", &["1", "1.0", "1.00", "1e30", "'NaN'", "1.000000000000000000000000000001"]),
    ("boolean", &["true", "false", "NULL"]),
    (
        "text",
        &["''", "NULL", "'NULL'", "','", "'\"'", "'\"\"'", "'\\'", "'\\\\'", "'a,b'", "'(a)'", "' '", "'  '"],
    ),
    ("char(4)", &["'ab'", "'AB'", "''", "NULL"]),
    ("citext", &["'a'", "'A'"]),
    ("date", &["'2026-03-01'", "'infinity'", "'-infinity'", "'0044-03-15 BC'", "'0044-03-15'"]),
    (
        "timestamp",
        &["'2026-03-01 12:00'", "'2026-03-01 12:00:00.000001'", "'infinity'", "'9999-12-31 24:00'"],
    ),
    ("timestamptz", &["'2026-03-01 12:00Z'", "'2026-03-01 12:00+01'", "'2026-03-01 12:00:00.000001Z'"]),
    ("time", &["'24:00'", "'00:00'", "'00:00:00.000001'"]),
    ("timetz", &["'12:00+01'", "'12:00+02'", "'11:00Z'"]),
    ("interval", &["'1 day'", "'24 hours'", "'30 days'", "'1 month'", "'-1 day'"]),
    ("json", &["'{\"a\":1}'", "'{\"a\": 1}'", "'{\"a\":1.0}'", "'null'", "NULL"]),
    ("jsonb", &["'{\"a\":1}'", "'{\"a\": 1.0}'", "'{\"a\": \"1\"}'", "'null'", "NULL"]),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'"]),
    ("bytea", &["'\\x00'", "'\\x0000'", "''", "NULL", "'\\x5c'"]),
    ("inet", &["'10.1.2.3/8'", "'10.1.2.3'", "'10.1.2.3/32'"]),
    ("bit varying", &["'1'", "'01'", "'10'"]),
    ("int4range", &["'[1,5)'", "'(1,5)'", "'empty'", "NULL"]),
    ("point", &["'(0.1,1)'", "'(0.1,1.0000000000000002)'"]),
    ("money", &["'1.00'", "'1.01'", "'-1.00'"]),
    ("text[]", &["'{}'", "'{NULL}'", "'{\"NULL\"}'", "'{\"\"}'", "'{a,b}'", "'{\"a,b\"}'", "NULL"]),
    ("float8[]", &["'{0.1}'", "'{0.10000000000000002}'"]),
    ("mood", &["'sad'", "'happy'"]),
    ("pair", &["ROW(1, 'a b')", "ROW(1, NULL)", "ROW(1, '')", "ROW(NULL, '1')"]),
];

/// The hash of each row, and its value, by its id.
async fn hashes(source: &dyn Source, column: &str) -> BTreeMap<String, (Value, String)> {
    let selection = table("public.alike");
    let selection = source.narrow(&selection, &["id".to_owned(), column.to_owned()]).unwrap_or(selection);
    let key = ["id".to_owned()];
    let feed = source.hashed(&selection, &key, Hashed::Rows, 100).await.expect("opened").expect("hashes");
    let batches: Vec<_> = feed.try_collect().await.expect("read");
    let rows = batches.into_iter().flat_map(|batch| batch.items);
    rows.map(|row| (text(&row.values[0]), (row.values[2].clone(), text(&row.values[1])))).collect()
}

fn text(value: &Value) -> String {
    format!("{} {:?}", value.type_name(), value.to_text().map(|text| text.to_string()))
}

#[tokio::test]
async fn two_rows_have_one_hash_if_and_only_if_they_have_the_same_values() {
    let database = Database::new().await;
    let columns: Vec<String> =
        ALIKE.iter().enumerate().map(|(at, (type_name, _))| format!("c{at} {type_name}")).collect();
    database
        .run(&format!(
            "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('sad', 'happy');
             CREATE TYPE pair AS (a int, b text);
             CREATE TABLE alike (id int PRIMARY KEY, {});
             INSERT INTO alike (id) SELECT generate_series(1, 12)",
            columns.join(", ")
        ))
        .await;
    let source = database.source();
    for (at, (type_name, values)) in ALIKE.iter().enumerate() {
        let column = format!("c{at}");
        let mut states = Vec::new();
        for state in 0..values.len() {
            let cases: Vec<String> = (values.iter().enumerate())
                .map(|(at, value)| format!("WHEN {at} THEN ({value})::{type_name}"))
                .collect();
            let chosen = format!("CASE (id + {state}) % {} {} END", values.len(), cases.join(" "));
            database.run(&format!("UPDATE alike SET {column} = {chosen}")).await;
            states.push(hashes(source.as_ref(), &column).await);
        }
        for (id, one) in states.iter().flatten() {
            for other in states.iter().filter_map(|state| state.get(id)) {
                assert_eq!(one.0 == other.0, one.1 == other.1, "{type_name}: {one:?}, {other:?}");
            }
        }
    }
    // Whatever the server is set to.
    let column = |name: &str| {
        let at = ALIKE.iter().position(|(type_name, _)| *type_name == name).expect("a type");
        format!("c{at}")
    };
    let types = ["float8", "float4", "timestamptz", "date", "interval", "bytea", "point"];
    let mut before = Vec::new();
    for name in types {
        before.push(hashes(source.as_ref(), &column(name)).await);
    }
    database
        .run(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET DateStyle = ''SQL, DMY''', current_database());
             EXECUTE format('ALTER DATABASE %I SET IntervalStyle = iso_8601', current_database());
             EXECUTE format('ALTER DATABASE %I SET TimeZone = ''Asia/Tokyo''', current_database());
             EXECUTE format('ALTER DATABASE %I SET extra_float_digits = 0', current_database());
             EXECUTE format('ALTER DATABASE %I SET bytea_output = escape', current_database()); END $$",
        )
        .await;
    let source = database.source();
    for (name, before) in types.iter().zip(before) {
        assert_eq!(hashes(source.as_ref(), &column(name)).await, before, "{name}");
    }
}

#[tokio::test]
async fn rows_are_found_by_hash_only_in_tables_with_a_unique_key() {
    let database = Database::new().await;
    database
        .run(
            "CREATE TABLE keyed (id int PRIMARY KEY, email text UNIQUE, code text NOT NULL UNIQUE);
             INSERT INTO keyed VALUES (1, 'a', 'x'), (2, NULL, 'y'), (3, 'c', 'z');
             CREATE VIEW shown AS SELECT * FROM keyed",
        )
        .await;
    let source = database.source();
    let read = async |selected: &str, key: &str, what: Hashed<'_>| {
        let feed = source.hashed(&table(selected), &[key.to_owned()], what, 100).await?;
        let batches: Vec<_> = feed.expect("hashes").try_collect().await?;
        Ok::<_, tidegate_model::Error>(batches.into_iter().flat_map(|batch| batch.items).collect::<Vec<_>>())
    };
    let keys = read("public.keyed", "code", Hashed::Keys).await.expect("read");
    assert_eq!(keys.iter().map(|row| row.values.len()).collect::<Vec<_>>(), [2, 2, 2]);
    let rows = read("public.keyed", "code", Hashed::Rows).await.expect("read");
    let wanted = [vec![Value::Text("x".into())], vec![Value::Text("gone".into())]];
    let these = read("public.keyed", "code", Hashed::These(&wanted)).await.expect("read");
    assert_eq!(these.iter().map(|row| row.values.clone()).collect::<Vec<_>>(), [rows[0].values.clone()]);
    assert_eq!(keys[0].values.last(), rows[0].values.last(), "one hash, whatever is read of the row");
    for (selected, key) in [("public.keyed", "email"), ("public.shown", "id")] {
        let error = read(selected, key, Hashed::Keys).await.expect_err("no unique key");
        assert!(error.message().contains("`compare: hashes` compares rows by a unique key"), "{error}");
        assert!(error.next_step().contains("write `compare: rows`"), "{error}");
    }
}
