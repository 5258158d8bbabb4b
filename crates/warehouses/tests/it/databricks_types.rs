//! Every column type with its extremes and with null: type, value and JSON.

use serde_json::json;
use tidegate_model::{DataType, ReadMode};

use crate::databricks_server::{Workspace, by, read, rows, selection};

/// A type, a literal of it, and the JSON of its value.
const CASES: &[(&str, &str, &str)] = &[
    ("BOOLEAN", "true", "true"),
    ("TINYINT", "CAST(-128 AS TINYINT)", "-128"),
    ("SMALLINT", "CAST(32767 AS SMALLINT)", "32767"),
    ("INT", "CAST(-2147483648 AS INT)", "-2147483648"),
    ("BIGINT", "9223372036854775807L", "9223372036854775807"),
    ("BIGINT", "9007199254740993L", "9007199254740993"),
    ("FLOAT", "CAST(0.1 AS FLOAT)", "0.1"),
    ("DOUBLE", "0.1D", "0.1"),
    ("DOUBLE", "-1234567890123456.7D", "-1234567890123456.8"),
    (
        "DECIMAL(38,10)",
        "CAST('-9999999999999999999999999999.9999999999' AS DECIMAL(38,10))",
        "-9999999999999999999999999999.9999999999",
    ),
    (
        "DECIMAL(38,0)",
        "CAST('12345678901234567890123456789012345678' AS DECIMAL(38,0))",
        "12345678901234567890123456789012345678",
    ),
    ("DECIMAL(9,2)", "CAST('1.50' AS DECIMAL(9,2))", "1.50"),
    ("STRING", "'a\\\\b \\'é\\' 漢字 🙂'", "\"a\\\\b 'é' 漢字 🙂\""),
    ("BINARY", "X'00FF'", "\"AP8=\""),
    ("DATE", "DATE'0001-01-01'", "\"0001-01-01\""),
    ("DATE", "DATE'9999-12-31'", "\"9999-12-31\""),
    ("TIMESTAMP", "TIMESTAMP'2026-03-29 02:30:00.123456+02:00'", "\"2026-03-29T00:30:00.123456Z\""),
    ("TIMESTAMP", "TIMESTAMP'0001-01-01 00:00:00Z'", "\"0001-01-01T00:00:00Z\""),
    ("TIMESTAMP", "TIMESTAMP'9999-12-31 23:59:59.999999Z'", "\"9999-12-31T23:59:59.999999Z\""),
    ("TIMESTAMP_NTZ", "TIMESTAMP_NTZ'2026-03-29 02:30:00.000001'", "\"2026-03-29T02:30:00.000001\""),
    ("ARRAY<STRING>", "array('a', NULL)", "[\"a\",null]"),
    ("MAP<STRING, INT>", "map('a', 1, 'b', NULL)", "{\"a\":1,\"b\":null}"),
    (
        "STRUCT<at: TIMESTAMP, total: DECIMAL(9,2), more: ARRAY<BIGINT>>",
        "named_struct('at', TIMESTAMP'2026-01-01 00:00:00.000001Z', 'total', CAST('0.10' AS DECIMAL(9,2)), 'more', array(9007199254740993L))",
        "{\"at\":\"2026-01-01T00:00:00.000001Z\",\"total\":0.10,\"more\":[9007199254740993]}",
    ),
];

#[tokio::test]
async fn every_value_of_every_type_arrives_digit_for_digit() {
    let workspace = Workspace::new().await;
    let columns: Vec<String> =
        CASES.iter().enumerate().map(|(at, (_, literal, _))| format!("{literal} AS c{at}")).collect();
    let query = format!("SELECT {}", columns.join(", "));
    let selected = selection(json!({ "query": query }));
    let source = workspace.source();

    let described = source.describe(&selected).await.unwrap();
    let batches = read(&*source, &selected, &ReadMode::Full).await.unwrap();

    let row = &batches[0].items[0];
    for (at, (type_name, literal, expected)) in CASES.iter().enumerate() {
        let column = &described.columns[at];
        assert_eq!(column.type_name, *type_name, "{literal}");
        assert!(column.data_type.holds(&row.values[at]), "{column}: {:?}", row.values[at]);
        let mut json = String::new();
        row.values[at].write_json(&mut json).unwrap();
        assert_eq!(json, *expected, "{literal}");
    }
}

#[tokio::test]
async fn null_is_null_in_every_type() {
    let workspace = Workspace::new().await;
    let columns: Vec<String> = CASES
        .iter()
        .enumerate()
        .map(|(at, (_, literal, _))| format!("nullif({literal}, {literal}) AS c{at}"))
        .collect();
    // Maps have no equality.
    let columns: Vec<String> = columns.into_iter().filter(|column| !column.contains("map(")).collect();
    let selected = selection(json!({ "query": format!("SELECT {}", columns.join(", ")) }));
    let batches = read(&*workspace.source(), &selected, &ReadMode::Full).await.unwrap();
    assert!(batches[0].items[0].values.iter().all(tidegate_model::Value::is_null), "{:?}", batches[0].items);
}

/// A variant and an interval have no type in Arrow that says what they are.
#[tokio::test]
async fn variants_arrive_as_json_and_intervals_as_text() {
    let workspace = Workspace::new().await;
    let query = "SELECT parse_json('{\"a\": [1, null], \"b\": 9007199254740993}') AS v, \
                 CAST(NULL AS VOID) AS n, INTERVAL '1-2' YEAR TO MONTH AS i";
    let selected = selection(json!({ "query": query }));
    let source = workspace.source();
    let described = source.describe(&selected).await.unwrap();
    let types: Vec<&DataType> = described.columns.iter().map(|column| &column.data_type).collect();
    assert_eq!(types, [&DataType::Json, &DataType::Other, &DataType::Other]);
    let batches = read(&*source, &selected, &ReadMode::Full).await.unwrap();
    let expected = r#"{"v":{"a":[1,null],"b":9007199254740993},"n":null,"i":"INTERVAL '1-2' YEAR TO MONTH"}"#;
    assert_eq!(rows(&batches), [expected]);
}

/// Each cursor type: ties, nulls first, and rows that are not due by the warehouse's clock.
#[tokio::test]
async fn rows_that_are_not_due_are_counted_and_left_for_later() {
    let workspace = Workspace::new().await;
    for (now, far, what) in [
        ("current_timestamp()", "timestampadd(DAY, 3, current_timestamp())", "timestamp"),
        ("current_date()", "date_add(current_date(), 3)", "date"),
        ("CAST(1.5 AS DOUBLE)", "double('Infinity')", "double"),
    ] {
        let query = format!(
            "SELECT 1 AS id, {now} AS c UNION ALL SELECT 2, {now} UNION ALL SELECT 3, NULL UNION ALL SELECT 4, {far}"
        );
        let table = workspace.table(what);
        workspace.run(&format!("CREATE TABLE {table} AS {query}")).await;
        let selected = selection(json!({ "table": table }));
        let source = workspace.source();
        let batches = read(&*source, &selected, &by("c", None)).await.unwrap();
        let ids: Vec<String> = batches
            .iter()
            .flat_map(|batch| &batch.items)
            .filter_map(|row| row.get("id")?.to_text().map(|id| id.to_string()))
            .collect();
        assert_eq!(ids.first().map(String::as_str), Some("3"), "{what}");
        assert_eq!(ids.len(), 3, "{what}: {ids:?}");
        assert_eq!(batches.iter().map(|batch| batch.not_due).sum::<u64>(), 1, "{what}");
        let from = batches.iter().flat_map(|batch| &batch.items).last().and_then(|row| row.get("c").cloned());
        let again = read(&*source, &selected, &by("c", from)).await.unwrap();
        assert_eq!(rows(&again).len(), 3, "{what}: ties and nulls are read again");
    }
}
