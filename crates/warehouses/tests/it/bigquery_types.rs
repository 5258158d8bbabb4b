//! Every column type with its extremes and with null: type, value and JSON.

use serde_json::json;
use tidegate_model::Value;

use crate::bigquery_server::Warehouse;
use crate::databricks_server::{by, read, rows, selection};
use crate::types::{Case, Page};

/// A type, a literal of it, and how it stands in a request.
pub const CASES: &[Case] = &[
    ("BOOL", "true", "true"),
    ("BOOL", "false", "false"),
    ("INT64", "CAST('-9223372036854775808' AS INT64)", "-9223372036854775808"),
    ("INT64", "9223372036854775807", "9223372036854775807"),
    ("INT64", "9007199254740993", "9007199254740993"),
    ("FLOAT64", "CAST('0.1' AS FLOAT64)", "0.1"),
    ("FLOAT64", "CAST('-1234567890123456.7' AS FLOAT64)", "-1234567890123456.8"),
    ("FLOAT64", "CAST('1e-300' AS FLOAT64)", "1e-300"),
    ("FLOAT64", "CAST('NaN' AS FLOAT64)", ""),
    ("FLOAT64", "CAST('-inf' AS FLOAT64)", ""),
    (
        "NUMERIC",
        "NUMERIC '-99999999999999999999999999999.999999999'",
        "-99999999999999999999999999999.999999999",
    ),
    ("NUMERIC", "NUMERIC '0.000000001'", "0.000000001"),
    ("NUMERIC", "NUMERIC '1.50'", "1.5"),
    ("BIGNUMERIC", "BIGNUMERIC '12345678901234567890.123456789'", "12345678901234567890.123456789"),
    ("STRING", "''", "\"\""),
    ("STRING", "'a\\\\b \\'é\\' 漢字 🙂'", "\"a\\\\b 'é' 漢字 🙂\""),
    ("BYTES", "b''", "\"\""),
    ("BYTES", "FROM_HEX('00ff')", "\"AP8=\""),
    ("DATE", "DATE '0001-01-01'", "\"0001-01-01\""),
    ("DATE", "DATE '2024-02-29'", "\"2024-02-29\""),
    ("DATE", "DATE '9999-12-31'", "\"9999-12-31\""),
    ("TIME", "TIME '00:00:00'", "\"00:00:00\""),
    ("TIME", "TIME '23:59:59.999999'", "\"23:59:59.999999\""),
    ("DATETIME", "DATETIME '0001-01-01 00:00:00'", "\"0001-01-01T00:00:00\""),
    ("DATETIME", "DATETIME '2026-03-29 02:30:00.000001'", "\"2026-03-29T02:30:00.000001\""),
    ("DATETIME", "DATETIME '9999-12-31 23:59:59.999999'", "\"9999-12-31T23:59:59.999999\""),
    ("TIMESTAMP", "TIMESTAMP '0001-01-01 00:00:00Z'", "\"0001-01-01T00:00:00Z\""),
    ("TIMESTAMP", "TIMESTAMP '1969-12-31 23:59:59.999999Z'", "\"1969-12-31T23:59:59.999999Z\""),
    ("TIMESTAMP", "TIMESTAMP '2026-03-29 02:30:00.123456+02:00'", "\"2026-03-29T00:30:00.123456Z\""),
    ("TIMESTAMP", "TIMESTAMP '9999-12-31 23:59:59.999999Z'", "\"9999-12-31T23:59:59.999999Z\""),
    ("JSON", "JSON '{\"a\": [1, null], \"b\": \"é\"}'", "{\"a\":[1,null],\"b\":\"é\"}"),
    ("ARRAY<STRING>", "['a', 'b']", "[\"a\",\"b\"]"),
    ("ARRAY<NUMERIC>", "[NUMERIC '99999999999999999999999999999.1']", "[99999999999999999999999999999.1]"),
    (
        "STRUCT<at TIMESTAMP, total NUMERIC, more ARRAY<INT64>>",
        "STRUCT(TIMESTAMP '2026-01-01 00:00:00.000001Z' AS at, NUMERIC '0.1' AS total, [9007199254740993] AS more)",
        "{\"at\":\"2026-01-01T00:00:00.000001Z\",\"total\":0.1,\"more\":[9007199254740993]}",
    ),
    (
        "ARRAY<STRUCT<id INT64, of STRUCT<day DATE>>>",
        "[STRUCT(1 AS id, STRUCT(DATE '2026-01-01' AS day) AS of)]",
        "[{\"id\":1,\"of\":{\"day\":\"2026-01-01\"}}]",
    ),
    (
        "RANGE<DATE>",
        "RANGE(DATE '2024-01-01', DATE '2024-12-31')",
        "{\"start\":\"2024-01-01\",\"end\":\"2024-12-31\"}",
    ),
    ("RANGE<DATE>", "RANGE(DATE '2024-01-01', NULL)", "{\"start\":\"2024-01-01\",\"end\":null}"),
    (
        "RANGE<TIMESTAMP>",
        "RANGE(TIMESTAMP '2026-01-01 00:00:00.000001Z', NULL)",
        "{\"start\":\"2026-01-01T00:00:00.000001Z\",\"end\":null}",
    ),
    ("INTERVAL", "INTERVAL 1 DAY", "\"0-0 1 0:0:0\""),
    ("GEOGRAPHY", "ST_GEOGPOINT(1, 2)", "\"POINT(1 2)\""),
];

const HEAD: &str = "<!-- Written by a test: UPDATE=1 cargo nextest run -p tidegate-warehouses -E 'test(every_value_of_every_type)' -->

# The types of BigQuery

Each line was read by the connector: the literal was selected by a query job and arrived as a page of its
result. The second column is what the value is in Tidegate, the last one how it is written into a request.
Decimals and 64-bit integers pass through no float; only floats are listed as floats. `NULL` of every type is
`null`, except of an `ARRAY`, which is empty: BigQuery makes no difference between them in a result.

The queries ran on local-bigquery, an emulator on DuckDB, behind the emulator of the tests; no Google account was
used. The texts of an `INTERVAL` and of a `GEOGRAPHY` are those of the emulator here.

| type | here | literal | in a request |
|---|---|---|---|
";

const PAGE: Page = Page { file: "bigquery-types.md", head: HEAD, tail: "", cases: CASES };

#[tokio::test]
async fn every_value_of_every_type_of_bigquery_arrives_digit_for_digit_and_stands_in_the_reference() {
    PAGE.prove(&*Warehouse::new().await.source()).await;
}

#[tokio::test]
async fn null_is_null_in_every_type_of_bigquery_and_an_empty_list_in_an_array() {
    let warehouse = Warehouse::new().await;
    let row = PAGE.nulls(&*warehouse.source(), |literal| format!("IF(false, {literal}, NULL)")).await;
    for ((type_name, ..), value) in CASES.iter().zip(&row.values) {
        let is_empty = matches!(value, Value::Json(json) if json.as_str() == "[]");
        assert!(value.is_null() || (type_name.starts_with("ARRAY") && is_empty), "{type_name}: {value:?}");
    }
}

/// Each cursor type: ties, nulls first, and rows that are not due by the server's clock.
#[tokio::test]
async fn rows_that_are_not_due_in_bigquery_are_counted_and_left_for_later() {
    let warehouse = Warehouse::new().await;
    for (now, far, what, late) in [
        ("CURRENT_TIMESTAMP()", "TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 3 DAY)", "timestamps", 1),
        (
            "DATETIME_SUB(CURRENT_DATETIME(), INTERVAL 3 DAY)",
            "DATETIME_ADD(CURRENT_DATETIME(), INTERVAL 3 DAY)",
            "datetimes",
            1,
        ),
        ("DATE_SUB(CURRENT_DATE(), INTERVAL 1 DAY)", "DATE_ADD(CURRENT_DATE(), INTERVAL 3 DAY)", "dates", 1),
        ("CAST(1.5 AS FLOAT64)", "CAST('inf' AS FLOAT64)", "floats", 1),
        ("NUMERIC '1.5'", "NUMERIC '2'", "numerics", 0),
        ("'a'", "'é'", "texts", 0),
    ] {
        let table = warehouse.table(what);
        let query = format!(
            "SELECT 1 AS id, {now} AS c UNION ALL SELECT 2, {now} UNION ALL SELECT 3, NULL UNION ALL SELECT 4, {far}"
        );
        warehouse.run(&format!("CREATE TABLE `{table}` AS {query}")).await;
        let selected = selection(json!({ "table": table }));
        let source = warehouse.source();
        let batches = read(&*source, &selected, &by("c", None)).await.unwrap();
        let ids: Vec<String> = batches
            .iter()
            .flat_map(|batch| &batch.items)
            .filter_map(|row| row.get("id")?.to_text().map(|id| id.to_string()))
            .collect();
        assert_eq!(ids.first().map(String::as_str), Some("3"), "{what}");
        assert_eq!(ids.len(), 4 - late, "{what}: {ids:?}");
        assert_eq!(batches.iter().map(|batch| batch.not_due).sum::<u64>(), late as u64, "{what}");
        let all = batches.iter().flat_map(|batch| &batch.items);
        let from = all.clone().find(|row| row.get("id").is_some_and(|id| *id == Value::Int(1)));
        let from = from.and_then(|row| row.get("c").cloned());
        let again = read(&*source, &selected, &by("c", from)).await.unwrap();
        assert_eq!(rows(&again).len(), 4 - late, "{what}: ties and nulls are read again");
    }
}
