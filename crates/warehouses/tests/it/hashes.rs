//! Hashes that warehouses make of rows: equal for rows that are read as the same values, and for no others.

use std::sync::Arc;

use futures_util::TryStreamExt;
use serde_json::json;
use tidegate_model::source::Hashed;
use tidegate_model::{Selection, Source, Value};

use crate::bigquery_server::Warehouse;
use crate::databricks_server::{Workspace, selection};
use crate::postgres_server::table;
use crate::redshift_server::Cluster;
use crate::snowflake_server::Account;

/// A type, and values of it that are nearly the same.
type Alike<'a> = &'a [(&'a str, &'a [&'a str])];

/// The values of each row without its hash, and its hash.
async fn hashed(
    source: &dyn Source,
    selected: &Selection,
    key: &str,
    what: Hashed<'_>,
) -> Vec<(Vec<Value>, String)> {
    let feed = source.hashed(selected, &[key.to_owned()], what, 100).await.expect("opened").expect("hashes");
    let batches: Vec<_> = feed.try_collect().await.expect("read");
    let rows = batches.into_iter().flat_map(|batch| batch.items);
    rows.map(|mut row| {
        let hash = row.values.pop().and_then(|hash| hash.to_text().map(|hash| hash.to_string()));
        (row.values, hash.expect("a hash"))
    })
    .collect()
}

fn shown(value: &Value) -> String {
    format!("{} {:?}", value.type_name(), value.to_text())
}

/// Compares each pair of values of a type, and those with a null.
async fn are_told_apart(
    source: &Arc<dyn Source>,
    id: &str,
    alike: Alike<'_>,
    cast: impl Fn(&str, &str) -> String,
) {
    for (type_name, values) in alike {
        let cell = |value: &&str| if *value == "NULL" { "NULL".to_owned() } else { (*value).to_owned() };
        let rows: Vec<String> = (values.iter().chain(["NULL"].iter()).chain(values.first()))
            .enumerate()
            .map(|(at, value)| format!("SELECT {at} AS {id}, {} AS v", cast(&cell(value), type_name)))
            .collect();
        let query = selection(json!({ "query": rows.join(" UNION ALL ") }));
        let described =
            source.describe(&query).await.unwrap_or_else(|error| panic!("{type_name}: {error:?}"));
        let query = source.narrow(&query, &[described.columns[1].name.clone()]).expect("narrowed");
        let column = source.describe(&query).await.expect("described").columns[0].name.clone();
        let read = hashed(source.as_ref(), &query, &column, Hashed::Rows).await;
        assert_eq!(read.len(), values.len() + 2, "{type_name}");
        for (one, other) in read.iter().flat_map(|one| read.iter().map(move |other| (one, other))) {
            let (left, right) = (shown(&one.0[0]), shown(&other.0[0]));
            assert_eq!(left == right, one.1 == other.1, "{type_name}: {left}, {right}");
        }
    }
}

/// Reads hashes of keys, of rows, and of the rows with given keys.
async fn are_one_hash_whatever_is_read(source: &Arc<dyn Source>, name: &str) {
    let selected = table(name);
    let id = source.describe(&selected).await.expect("described").columns[0].name.clone();
    let keys = hashed(source.as_ref(), &selected, &id, Hashed::Keys).await;
    assert!(keys.iter().all(|(values, _)| values.len() == 1), "{keys:?}");
    let rows = hashed(source.as_ref(), &selected, &id, Hashed::Rows).await;
    let hash_of = |rows: &[(Vec<Value>, String)], id: &str| {
        let row = rows.iter().find(|(values, _)| values[0].to_text().is_some_and(|text| &*text == id));
        row.map(|(_, hash)| hash.clone())
    };
    let wanted = [vec![rows[0].0[0].clone()], vec![Value::Int(9_999)]];
    let these = hashed(source.as_ref(), &selected, &id, Hashed::These(&wanted)).await;
    assert_eq!(these.len(), 1, "{these:?}");
    for id in ["1", "2", "3"] {
        assert!(hash_of(&keys, id).is_some() && hash_of(&keys, id) == hash_of(&rows, id), "{id}");
    }
    let first = these[0].0[0].to_text().expect("an id").to_string();
    assert_eq!(hash_of(&these, &first), hash_of(&rows, &first));
}

#[tokio::test]
async fn rows_of_redshift_have_one_hash_if_and_only_if_they_are_read_as_the_same() {
    let cluster = Cluster::new().await;
    let source = cluster.source();
    let alike: Alike<'_> = &[
        ("BIGINT", &["'1'", "'-1'", "'9223372036854775807'"]),
        ("REAL", &["'0.1'", "'0.10000001'", "'-0'", "'0'", "'NaN'", "'16777216'"]),
        (
            "FLOAT8",
            &[
                "'0.1'",
                "'0.10000000000000002'",
                "'0.3'",
                "'0.30000000000000004'",
                "'-0'",
                "'0'",
                "'1e-300'",
                "'NaN'",
                "'Infinity'",
                "'-Infinity'",
            ],
        ),
        ("DECIMAL(38,10)", &["'1'", "'1.0000000001'", "'-1'"]),
        ("BOOLEAN", &["'true'", "'false'"]),
        ("VARCHAR", &["''", "'-'", "'NULL'", "','", "'a'", "'A'", "' '", "'  '", "'é'"]),
        ("CHAR(4)", &["'ab'", "'AB'", "''"]),
        ("DATE", &["'2026-03-01'", "'0044-03-15 BC'", "'0044-03-15'"]),
        ("TIMESTAMP", &["'2026-03-01 12:00'", "'2026-03-01 12:00:00.000001'"]),
        ("TIMESTAMPTZ", &["'2026-03-01 12:00Z'", "'2026-03-01 12:00+01'", "'2026-03-01 12:00:00.000001Z'"]),
        ("TIME", &["'00:00'", "'00:00:00.000001'"]),
        ("SUPER", &["'{\"a\":1}'", "'{\"a\":\"1\"}'", "'null'", "'[]'"]),
    ];
    are_told_apart(&source, "id", alike, |value, type_name| format!("CAST({value} AS {type_name})")).await;
    cluster
        .run(
            "CREATE TABLE t AS SELECT n AS id, 'x' AS note, n / 7.0 AS share FROM generate_series(1, 9) AS n",
        )
        .await;
    are_one_hash_whatever_is_read(&source, "t").await;
}

#[tokio::test]
async fn rows_of_snowflake_have_one_hash_if_and_only_if_they_are_read_as_the_same() {
    let account = Account::new().await;
    let source = account.source();
    let alike: Alike<'_> = &[
        ("NUMBER(18,0)", &["'1'", "'-1'", "'999999999999999999'"]),
        ("NUMBER(38,10)", &["'1'", "'1.0000000001'"]),
        ("FLOAT", &["'0.1'", "'0.10000000000000002'", "'0.30000000000000004'", "'0.3'", "'1e-300'"]),
        ("BOOLEAN", &["'true'", "'false'"]),
        ("VARCHAR", &["''", "'-'", "'NULL'", "'a'", "'A'", "' '", "'  '", "'é'"]),
        ("DATE", &["'2026-03-01'", "'2026-03-02'"]),
        ("TIME", &["'00:00:00'", "'00:00:00.000001'"]),
        ("TIMESTAMP_NTZ", &["'2026-03-01 12:00:00'", "'2026-03-01 12:00:00.000001'"]),
    ];
    are_told_apart(&source, "id", alike, |value, type_name| format!("CAST({value} AS {type_name})")).await;
    let name = account.table("T");
    account
        .run(&format!("CREATE TABLE {name} (ID NUMBER(9,0), NOTE VARCHAR, RAW BINARY, DOC VARIANT)"))
        .await;
    account
        .run(&format!("INSERT INTO {name} SELECT column1, 'x', TO_BINARY('00ff', 'HEX'), PARSE_JSON('{{\"a\":1}}') FROM VALUES (1),(2),(3)"))
        .await;
    are_one_hash_whatever_is_read(&source, &name).await;
}

#[tokio::test]
async fn rows_of_databricks_have_one_hash_if_and_only_if_they_are_read_as_the_same() {
    let workspace = Workspace::new().await;
    let source = workspace.source();
    let alike: Alike<'_> = &[
        ("BIGINT", &["'1'", "'-1'", "'9223372036854775807'"]),
        ("FLOAT", &["'0.1'", "'0.10000001'"]),
        (
            "DOUBLE",
            &["'0.1'", "'0.10000000000000002'", "'0.30000000000000004'", "'0.3'", "'1e-300'", "'NaN'"],
        ),
        ("DECIMAL(38,10)", &["'1'", "'1.0000000001'"]),
        ("BOOLEAN", &["'true'", "'false'"]),
        ("STRING", &["''", "'-'", "'NULL'", "'a'", "'A'", "' '", "'é'"]),
        ("BINARY", &["'a'", "'b'", "''"]),
        ("DATE", &["'2026-03-01'", "'2026-03-02'"]),
        ("TIMESTAMP", &["'2026-03-01T12:00:00Z'", "'2026-03-01T12:00:00.000001Z'"]),
        ("TIMESTAMP_NTZ", &["'2026-03-01 12:00:00'", "'2026-03-01 12:00:00.000001'"]),
    ];
    are_told_apart(&source, "id", alike, |value, type_name| format!("CAST({value} AS {type_name})")).await;
    let name = workspace.table("t");
    workspace
        .run(&format!("CREATE TABLE {name} (id INT, note STRING, doc STRUCT<n: BIGINT, s: STRING>)"))
        .await;
    workspace
        .run(&format!(
            "INSERT INTO {name} SELECT CAST(id AS INT), 'x', named_struct('n', id, 's', 'a') FROM range(1, 4)"
        ))
        .await;
    are_one_hash_whatever_is_read(&source, &name).await;
}

#[tokio::test]
async fn rows_of_bigquery_have_one_hash_if_and_only_if_they_are_read_as_the_same() {
    let warehouse = Warehouse::new().await;
    let source = warehouse.source();
    let alike: Alike<'_> = &[
        ("INT64", &["'1'", "'-1'", "'9223372036854775807'"]),
        ("FLOAT64", &["'0.1'", "'0.10000000000000002'", "'0.30000000000000004'", "'0.3'", "'1e-300'"]),
        ("NUMERIC", &["'1'", "'1.000000001'"]),
        ("BOOL", &["'true'", "'false'"]),
        ("STRING", &["''", "'-'", "'NULL'", "'a'", "'A'", "' '", "'é'"]),
        ("BYTES", &["'a'", "'b'", "''"]),
        ("DATE", &["'2026-03-01'", "'2026-03-02'"]),
        ("DATETIME", &["'2026-03-01 12:00:00'", "'2026-03-01 12:00:00.000001'"]),
        ("TIME", &["'00:00:00'", "'00:00:00.000001'"]),
        ("TIMESTAMP", &["'2026-03-01 12:00:00+00'", "'2026-03-01 12:00:00.000001+00'"]),
    ];
    are_told_apart(&source, "id", alike, |value, type_name| format!("CAST({value} AS {type_name})")).await;
    let name = format!("`{}`", warehouse.table("t"));
    warehouse.run(&format!("CREATE TABLE {name} (id INT64, tags ARRAY<STRING>, doc STRUCT<n INT64>)")).await;
    warehouse
        .run(&format!(
            "INSERT INTO {name} SELECT id, ['a', 'b'], STRUCT(id AS n) FROM UNNEST([1, 2, 3]) AS id"
        ))
        .await;
    are_one_hash_whatever_is_read(&source, &name).await;
}
