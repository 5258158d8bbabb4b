//! Every column type with its extremes and with null: type, value and JSON.

use serde_json::json;
use tidegate_model::{DataType, ReadMode, Value};

use crate::databricks_server::{Workspace, by, read, rows, selection};
use crate::types::{Case, Page};

const CASES: &[Case] = &[
    ("BOOLEAN", "true", "true"),
    ("BOOLEAN", "false", "false"),
    ("TINYINT", "CAST(-128 AS TINYINT)", "-128"),
    ("TINYINT", "CAST(127 AS TINYINT)", "127"),
    ("SMALLINT", "CAST(-32768 AS SMALLINT)", "-32768"),
    ("SMALLINT", "CAST(32767 AS SMALLINT)", "32767"),
    ("INT", "CAST(-2147483648 AS INT)", "-2147483648"),
    ("INT", "2147483647", "2147483647"),
    ("BIGINT", "CAST('-9223372036854775808' AS BIGINT)", "-9223372036854775808"),
    ("BIGINT", "9223372036854775807L", "9223372036854775807"),
    ("BIGINT", "9007199254740993L", "9007199254740993"),
    ("FLOAT", "CAST(0.1 AS FLOAT)", "0.1"),
    ("FLOAT", "CAST('3.4028235E38' AS FLOAT)", "340282350000000000000000000000000000000"),
    ("FLOAT", "CAST('NaN' AS FLOAT)", ""),
    ("DOUBLE", "0.1D", "0.1"),
    ("DOUBLE", "-1234567890123456.7D", "-1234567890123456.8"),
    ("DOUBLE", "-0.0D", "-0"),
    ("DOUBLE", "double('Infinity')", ""),
    ("DOUBLE", "double('NaN')", ""),
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
    (
        "DECIMAL(38,38)",
        "CAST('0.00000000000000000000000000000000000001' AS DECIMAL(38,38))",
        "0.00000000000000000000000000000000000001",
    ),
    ("DECIMAL(9,2)", "CAST('1.50' AS DECIMAL(9,2))", "1.50"),
    ("STRING", "''", "\"\""),
    ("STRING", "'a\\\\b \\'é\\' 漢字 🙂'", "\"a\\\\b 'é' 漢字 🙂\""),
    ("BINARY", "X''", "\"\""),
    ("BINARY", "X'00FF'", "\"AP8=\""),
    ("DATE", "DATE'0001-01-01'", "\"0001-01-01\""),
    ("DATE", "DATE'2024-02-29'", "\"2024-02-29\""),
    ("DATE", "DATE'9999-12-31'", "\"9999-12-31\""),
    ("TIMESTAMP", "TIMESTAMP'0001-01-01 00:00:00Z'", "\"0001-01-01T00:00:00Z\""),
    ("TIMESTAMP", "TIMESTAMP'2026-03-29 02:30:00.123456+02:00'", "\"2026-03-29T00:30:00.123456Z\""),
    ("TIMESTAMP", "TIMESTAMP'9999-12-31 23:59:59.999999Z'", "\"9999-12-31T23:59:59.999999Z\""),
    ("TIMESTAMP_NTZ", "TIMESTAMP_NTZ'0001-01-01 00:00:00'", "\"0001-01-01T00:00:00\""),
    ("TIMESTAMP_NTZ", "TIMESTAMP_NTZ'2026-03-29 02:30:00.000001'", "\"2026-03-29T02:30:00.000001\""),
    ("TIMESTAMP_NTZ", "TIMESTAMP_NTZ'9999-12-31 23:59:59.999999'", "\"9999-12-31T23:59:59.999999\""),
    ("ARRAY<STRING>", "array('a', NULL)", "[\"a\",null]"),
    (
        "ARRAY<DECIMAL(38,2)>",
        "array(CAST('999999999999999999999999999999999999.10' AS DECIMAL(38,2)))",
        "[999999999999999999999999999999999999.10]",
    ),
    ("MAP<STRING, INT>", "map('a', 1, 'b', NULL)", "{\"a\":1,\"b\":null}"),
    ("MAP<STRING, ARRAY<BIGINT>>", "map('a', array(9223372036854775807L))", "{\"a\":[9223372036854775807]}"),
    (
        "STRUCT<at: TIMESTAMP, total: DECIMAL(9,2), more: ARRAY<BIGINT>>",
        "named_struct('at', TIMESTAMP'2026-01-01 00:00:00.000001Z', 'total', CAST('0.10' AS DECIMAL(9,2)), 'more', array(9007199254740993L))",
        "{\"at\":\"2026-01-01T00:00:00.000001Z\",\"total\":0.10,\"more\":[9007199254740993]}",
    ),
    (
        "VARIANT",
        "parse_json('{\"a\": [1, null], \"b\": 9007199254740993}')",
        "{\"a\":[1,null],\"b\":9007199254740993}",
    ),
    ("INTERVAL YEAR TO MONTH", "INTERVAL '1-2' YEAR TO MONTH", "\"INTERVAL '1-2' YEAR TO MONTH\""),
];

const HEAD: &str = "<!-- Written by a test: UPDATE=1 cargo nextest run -p tidegate-warehouses -E 'test(every_value_of_every_type)' -->

# The types of Databricks

Each line was read by the connector: the literal was selected through the Statement Execution API and
arrived as Arrow. The second column is what the value is in Tidegate, the last one how it is written into
a request. Decimals and 64-bit integers pass through no float; only floats are listed as floats. `NULL` of
every type is `null`.

The statements ran on Sail, an engine that speaks the SQL of Spark, behind the emulator of the tests; no
Databricks account was used. `GEOMETRY`, `GEOGRAPHY`, `CHAR(n)`, `VARCHAR(n)`, day-time intervals and
columns with a collation are read as [the connector's page](../../crates/warehouses/src/databricks/README.md)
says, by the documentation alone: Sail has no such columns.

| type | here | literal | in a request |
|---|---|---|---|
";

const PAGE: Page = Page { file: "databricks-types.md", head: HEAD, tail: "", cases: CASES };

#[tokio::test]
async fn every_value_of_every_type_arrives_digit_for_digit_and_stands_in_the_reference() {
    PAGE.prove(&*Workspace::new().await.source()).await;
}

#[tokio::test]
async fn null_is_null_in_every_type() {
    let workspace = Workspace::new().await;
    let row = PAGE.nulls(&*workspace.source(), |literal| format!("CASE WHEN false THEN {literal} END")).await;
    assert!(row.values.iter().all(Value::is_null), "{row:?}");
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
