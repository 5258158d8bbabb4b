//! Every column type with its extremes and with null: type, value and JSON.

use serde_json::json;
use tidegate_model::{DataType, ReadMode, Value};

use crate::databricks_server::{by, read, rows, selection};
use crate::snowflake_server::Account;
use crate::types::{Case, Page};

const CASES: &[Case] = &[
    ("BOOLEAN", "TRUE", "true"),
    ("BOOLEAN", "FALSE", "false"),
    ("NUMBER(38,0)", "'9223372036854775807'::NUMBER(38,0)", "9223372036854775807"),
    ("NUMBER(38,0)", "'9007199254740993'::NUMBER(38,0)", "9007199254740993"),
    ("NUMBER(9,2)", "'1.50'::NUMBER(9,2)", "1.50"),
    (
        "NUMBER(38,37)",
        "'-9.9999999999999999999999999999999999999'::NUMBER(38,37)",
        "-9.9999999999999999999999999999999999999",
    ),
    (
        "NUMBER(38,10)",
        "'-9999999999999999999999999999.9999999999'::NUMBER(38,10)",
        "-9999999999999999999999999999.9999999999",
    ),
    ("FLOAT", "0.1::FLOAT", "0.1"),
    ("FLOAT", "'-1234567890123456.7'::FLOAT", "-1234567890123456.8"),
    ("FLOAT", "'2.2250738585072014e-308'::FLOAT", "2.2250738585072014e-308"),
    ("FLOAT", "'inf'::FLOAT", ""),
    ("FLOAT", "'NaN'::FLOAT", ""),
    ("VARCHAR", "''", "\"\""),
    ("VARCHAR", "'a\"b ''é'' 漢字 🙂'", "\"a\\\"b 'é' 漢字 🙂\""),
    ("BINARY", "TO_BINARY('', 'HEX')", "\"\""),
    ("BINARY", "TO_BINARY('00FF', 'HEX')", "\"AP8=\""),
    ("DATE", "'0001-01-01'::DATE", "\"0001-01-01\""),
    ("DATE", "'2024-02-29'::DATE", "\"2024-02-29\""),
    ("DATE", "'9999-12-31'::DATE", "\"9999-12-31\""),
    ("TIME", "'00:00:00'::TIME", "\"00:00:00\""),
    ("TIME", "'23:59:59.999999'::TIME", "\"23:59:59.999999\""),
    ("TIMESTAMP_NTZ", "'0001-01-01 00:00:00'::TIMESTAMP_NTZ", "\"0001-01-01T00:00:00\""),
    (
        "TIMESTAMP_NTZ",
        "'2026-03-29 02:30:00.123456789'::TIMESTAMP_NTZ(9)",
        "\"2026-03-29T02:30:00.123456789\"",
    ),
    ("TIMESTAMP_NTZ", "'1969-12-31 23:59:59.5'::TIMESTAMP_NTZ(9)", "\"1969-12-31T23:59:59.5\""),
    ("TIMESTAMP_NTZ", "'9999-12-31 23:59:59.999999'::TIMESTAMP_NTZ", "\"9999-12-31T23:59:59.999999\""),
    (
        "TIMESTAMP_LTZ",
        "'2026-03-29 02:30:00.123456 +02:00'::TIMESTAMP_LTZ",
        "\"2026-03-29T00:30:00.123456Z\"",
    ),
    ("TIMESTAMP_LTZ", "'0001-01-01 00:00:00 +00:00'::TIMESTAMP_LTZ", "\"0001-01-01T00:00:00Z\""),
    (
        "TIMESTAMP_LTZ",
        "'9999-12-31 23:59:59.999999 +00:00'::TIMESTAMP_LTZ",
        "\"9999-12-31T23:59:59.999999Z\"",
    ),
    (
        "VARIANT",
        "PARSE_JSON('{\"a\": [1, null], \"b\": 9007199254740993}')",
        "{\"a\":[1,null],\"b\":9007199254740993}",
    ),
];

/// Cells as the documentation has them, of types and of digits that the engine of the double lacks; a test
/// of `cell.rs` reads them.
const PLAYED: &str = "
These are decoded as documented, in unit tests; the engine keeps 64 bits of a whole number, no
offsets, no nanoseconds of `TIME` and `TIMESTAMP_LTZ`, and has the other types not at all:

| type | here | cell of an answer | in a request |
|---|---|---|---|
| `NUMBER(38,0)` | decimal(38,0) | `-99999999999999999999999999999999999999` | `-99999999999999999999999999999999999999` |
| `TIMESTAMP_LTZ` | timestamp | `2021-03-19T17:06:59.000000001+00:00` | `\"2021-03-19T17:06:59.000000001Z\"` |
| `TIMESTAMP_TZ` | timestamp | `2021-03-19T09:06:59.000000000-08:00` | `\"2021-03-19T17:06:59Z\"` |
| `OBJECT`, `MAP` | JSON object | asked for by `TO_JSON(TO_VARIANT(…))` | |
| `ARRAY`, `VECTOR` | JSON array | asked for by `TO_JSON(TO_VARIANT(…))` | |
| `GEOGRAPHY`, `GEOMETRY` | other | asked for by `ST_ASEWKT(…)` | text |
| `DECFLOAT`, `UUID`, … | other | asked for by `CAST(… AS VARCHAR)` | text |
";

const HEAD: &str = "<!-- Written by a test: UPDATE=1 cargo nextest run -p tidegate-warehouses -E 'test(every_value_of_every_type_of_snowflake)' -->

# The types of Snowflake

Each line was read by the connector: the literal was selected through the SQL API and arrived as text, in
the formats that each request asks for. The second column is what the value is in Tidegate, the last one
how it is written into a request. Decimals pass through no float; only floats are listed as floats. `NULL`
of every type is `null`.

The statements ran on fakesnow, an engine that speaks Snowflake's SQL on DuckDB, behind the emulator of the
tests; no Snowflake account was used. How many digits of a `FLOAT` Snowflake itself prints is not
documented: if the last digit matters, use `NUMBER`.

| type | here | literal | in a request |
|---|---|---|---|
";

const PAGE: Page = Page { file: "snowflake-types.md", head: HEAD, tail: PLAYED, cases: CASES };

#[tokio::test]
async fn every_value_of_every_type_of_snowflake_arrives_digit_for_digit_and_stands_in_the_reference() {
    PAGE.prove(&*Account::new().await.source()).await;
}

#[tokio::test]
async fn null_is_null_in_every_type_of_snowflake() {
    let account = Account::new().await;
    let row = PAGE.nulls(&*account.source(), |literal| format!("CASE WHEN FALSE THEN {literal} END")).await;
    assert!(row.values.iter().all(Value::is_null), "{row:?}");
}

/// Each cursor type: ties, nulls first, and rows that are not due by Snowflake's clock.
#[tokio::test]
async fn rows_of_snowflake_that_are_not_due_are_counted_and_left_for_later() {
    let account = Account::new().await;
    for (column, now, far) in [
        ("TIMESTAMP_LTZ(9)", "CURRENT_TIMESTAMP()", "DATEADD(DAY, 3, CURRENT_TIMESTAMP())"),
        ("TIMESTAMP_NTZ(9)", "SYSDATE()", "DATEADD(DAY, 3, SYSDATE())"),
        ("DATE", "CURRENT_DATE()", "DATEADD(DAY, 3, CURRENT_DATE())"),
        ("FLOAT", "1.5::FLOAT", "'inf'::FLOAT"),
    ] {
        let table = account.table(&format!("T_{}", column.replace(['(', ')'], "_")));
        account.run(&format!("CREATE TABLE {table} (ID NUMBER(9,0), C {column})")).await;
        let rows_of = format!(
            "SELECT 1, {now} UNION ALL SELECT 2, {now} UNION ALL SELECT 3, NULL UNION ALL SELECT 4, {far}"
        );
        account.run(&format!("INSERT INTO {table} {rows_of}")).await;
        let selected = selection(json!({ "table": table }));
        let source = account.source();
        let batches = read(&*source, &selected, &by("C", None)).await.unwrap();
        let ids: Vec<String> = (batches.iter().flat_map(|batch| &batch.items))
            .filter_map(|row| row.get("ID")?.to_text().map(|id| id.to_string()))
            .collect();
        assert_eq!(ids.first().map(String::as_str), Some("3"), "{column}");
        assert_eq!(ids.len(), 3, "{column}: {ids:?}");
        assert_eq!(batches.iter().map(|batch| batch.not_due).sum::<u64>(), 1, "{column}");
        let from = batches.iter().flat_map(|batch| &batch.items).last().and_then(|row| row.get("C").cloned());
        let again = read(&*source, &selected, &by("C", from)).await.unwrap();
        assert_eq!(rows(&again).len(), 3, "{column}: ties and nulls are read again");
    }
}

/// The engine has one type for all documents, so that it is asked for each is what can be seen.
#[tokio::test]
async fn a_number_of_38_digits_is_a_decimal_by_type_and_a_variant_is_json() {
    let account = Account::new().await;
    let query = "SELECT 1::NUMBER(38,0) AS N, PARSE_JSON('[1]') AS V, PARSE_JSON('null') AS J";
    let selected = selection(json!({ "query": query }));
    let source = account.source();
    let described = source.describe(&selected).await.unwrap();
    let types: Vec<&DataType> = described.columns.iter().map(|column| &column.data_type).collect();
    let number = DataType::Decimal { precision: Some(38), scale: Some(0) };
    assert_eq!(types, [&number, &DataType::Json, &DataType::Json]);
    let batches = read(&*source, &selected, &ReadMode::Full).await.unwrap();
    assert_eq!(rows(&batches), [r#"{"N":1,"V":[1],"J":null}"#]);
}
