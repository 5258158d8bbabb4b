//! Every column type with its extremes and with null: type, value and JSON.

use serde_json::json;
use tidegate_model::{ReadMode, Value};

use crate::databricks_server::{read, selection};
use crate::redshift_server::Cluster;

/// A type, a literal of it, and the JSON of its value; none if JSON has no such number.
const CASES: &[(&str, &str, &str)] = &[
    ("boolean", "TRUE", "true"),
    ("boolean", "FALSE", "false"),
    ("smallint", "CAST('-32768' AS SMALLINT)", "-32768"),
    ("integer", "CAST('2147483647' AS INTEGER)", "2147483647"),
    ("bigint", "CAST('-9223372036854775808' AS BIGINT)", "-9223372036854775808"),
    ("bigint", "CAST('9007199254740993' AS BIGINT)", "9007199254740993"),
    ("numeric(9,2)", "CAST('1.50' AS DECIMAL(9,2))", "1.50"),
    (
        "numeric(38,0)",
        "CAST('-99999999999999999999999999999999999999' AS DECIMAL(38,0))",
        "-99999999999999999999999999999999999999",
    ),
    (
        "numeric(38,37)",
        "CAST('-9.9999999999999999999999999999999999999' AS DECIMAL(38,37))",
        "-9.9999999999999999999999999999999999999",
    ),
    ("real", "CAST('0.1' AS REAL)", "0.1"),
    ("real", "CAST('16777217' AS REAL)", "16777216.0"),
    ("double precision", "CAST('0.1' AS FLOAT8)", "0.1"),
    ("double precision", "CAST('-1234567890123456.7' AS FLOAT8)", "-1234567890123456.8"),
    ("double precision", "CAST('2.2250738585072014e-308' AS FLOAT8)", "2.2250738585072014e-308"),
    ("double precision", "CAST('Infinity' AS FLOAT8)", ""),
    ("double precision", "CAST('NaN' AS FLOAT8)", ""),
    ("varchar(20)", "CAST('' AS VARCHAR(20))", "\"\""),
    ("varchar(65535)", "CAST('a\"b ''é'' 漢字 🙂' AS VARCHAR(MAX))", "\"a\\\"b 'é' 漢字 🙂\""),
    ("char(4)", "CAST('ab' AS CHAR(4))", "\"ab\""),
    ("date", "CAST('0001-01-01' AS DATE)", "\"0001-01-01\""),
    ("date", "CAST('9999-12-31' AS DATE)", "\"9999-12-31\""),
    ("date", "CAST('4713-01-01 BC' AS DATE)", "\"-004712-01-01\""),
    ("time", "CAST('00:00:00' AS TIME)", "\"00:00:00\""),
    ("time", "CAST('23:59:59.999999' AS TIME)", "\"23:59:59.999999\""),
    ("timetz", "CAST('13:14:15+02' AS TIMETZ)", "\"13:14:15+02\""),
    ("timestamp", "CAST('0001-01-01 00:00:00' AS TIMESTAMP)", "\"0001-01-01T00:00:00\""),
    ("timestamp", "CAST('2026-03-29 02:30:00.123456' AS TIMESTAMP)", "\"2026-03-29T02:30:00.123456\""),
    ("timestamp", "CAST('9999-12-31 23:59:59.999999' AS TIMESTAMP)", "\"9999-12-31T23:59:59.999999\""),
    (
        "timestamptz",
        "CAST('2026-03-29 02:30:00.123456+02' AS TIMESTAMPTZ)",
        "\"2026-03-29T00:30:00.123456Z\"",
    ),
    ("timestamptz", "CAST('294276-12-31 23:59:59+00' AS TIMESTAMPTZ)", "\"294276-12-31T23:59:59Z\""),
    (
        "super",
        "JSON_PARSE('{\"a\":[1,null],\"b\":9007199254740993}')",
        "{\"a\":[1,null],\"b\":9007199254740993}",
    ),
    ("super", "JSON_PARSE('null')", "null"),
    ("varbyte", "TO_VARBYTE('', 'hex')", "\"\""),
    ("varbyte", "TO_VARBYTE('00ff', 'hex')", "\"AP8=\""),
];

/// Types that the PostgreSQL behind the double lacks.
const PLAYED: &str = "
These are read as documented; the PostgreSQL behind the emulator does not have them:

| type | here | asked for by |
|---|---|---|
| `GEOMETRY`, `GEOGRAPHY` | text | `ST_AsEWKT(…)` |
| `INTERVAL YEAR TO MONTH`, `INTERVAL DAY TO SECOND` | text | the column |
| `HLLSKETCH` | text | the column |
";

/// The page that shows what was read.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/redshift-types.md");

const HEAD: &str = "<!-- Written by a test: UPDATE=1 cargo nextest run -p tidegate-warehouses -E 'test(every_value_of_every_type_of_redshift)' -->

# The types of Redshift

Each line was read by the connector: the literal was selected through a cursor and arrived as text. The second
column is what the value is in Tidegate, the last one how it is written into a request. Decimals pass
through no float; only floats are listed as floats. `NULL` of every type is `null`.

The statements ran on PostgreSQL behind the emulator of the tests, which gives the types the numbers that
Amazon's client for Python knows them by; no Redshift of Amazon's was used.

| type | here | literal | in a request |
|---|---|---|---|
";

#[tokio::test]
async fn every_value_of_every_type_of_redshift_arrives_digit_for_digit_and_stands_in_the_reference() {
    let cluster = Cluster::new().await;
    let columns: Vec<String> =
        CASES.iter().enumerate().map(|(at, (_, literal, _))| format!("{literal} AS c{at}")).collect();
    let selected = selection(json!({ "query": format!("SELECT {}", columns.join(", ")) }));
    let source = cluster.source();

    let described = source.describe(&selected).await.unwrap();
    let batches = read(&*source, &selected, &ReadMode::Full).await.unwrap();

    let row = &batches[0].items[0];
    let mut page = HEAD.to_owned();
    for (at, (type_name, literal, expected)) in CASES.iter().enumerate() {
        let column = &described.columns[at];
        let value = &row.values[at];
        assert_eq!(column.type_name, *type_name, "{literal}");
        let is_text = matches!(value, Value::Text(_));
        assert!(
            is_text || column.data_type.holds(value),
            "{literal}: {value:?} is no {:?}",
            column.data_type
        );
        let mut shown = String::new();
        let shown = match value.write_json(&mut shown) {
            Ok(()) if matches!(value, Value::Float(_)) => {
                assert_eq!(shown.parse::<f64>(), expected.parse::<f64>(), "{literal}");
                format!("`{shown}`")
            }
            Ok(()) => {
                assert_eq!(shown, *expected, "{literal}");
                format!("`{shown}`")
            }
            Err(_) => {
                assert!(expected.is_empty(), "{literal}");
                "not a number of JSON: the row is rejected".to_owned()
            }
        };
        page.push_str(&format!("| `{type_name}` | {} | `{literal}` | {shown} |\n", column.data_type));
    }
    page.push_str(PLAYED);
    if std::env::var("UPDATE").is_ok_and(|update| update == "1") {
        std::fs::write(PAGE, page).unwrap();
    } else {
        assert_eq!(std::fs::read_to_string(PAGE).unwrap_or_default(), page, "UPDATE=1 rewrites it");
    }
}

#[tokio::test]
async fn null_is_null_in_every_type_of_redshift() {
    let cluster = Cluster::new().await;
    let columns: Vec<String> = (CASES.iter().enumerate())
        .map(|(at, (_, literal, _))| format!("CASE WHEN FALSE THEN {literal} END AS c{at}"))
        .collect();
    let selected = selection(json!({ "query": format!("SELECT {}", columns.join(", ")) }));
    let batches = read(&*cluster.source(), &selected, &ReadMode::Full).await.unwrap();
    assert!(batches[0].items[0].values.iter().all(Value::is_null), "{:?}", batches[0].items);
}
