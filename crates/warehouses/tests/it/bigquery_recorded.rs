//! Answers of BigQuery itself, as the authors of bqemulator recorded them (Apache-2.0): the same queries
//! through the connector give the same rows.
//!
//! The suite has a few of them, rewritten. `TIDEGATE_TEST_BIGQUERY_RECORDED` names a file with all, one JSON
//! object a line: `query`, `rows`, `error`.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil};
use serde_json::{Value, json};
use tidegate_model::{ReadMode, Row};

use crate::bigquery_server::Warehouse;
use crate::databricks_server::{read, selection};

/// Queries and what BigQuery answered: texts for times, decimals and bytes.
const RECORDED: &[(&str, &str)] = &[
    ("SELECT 10 / 4 AS x", r#"[{"x": 2.5}]"#),
    ("SELECT [1, 2, 3] AS a", r#"[{"a": [1, 2, 3]}]"#),
    (
        "SELECT BIGNUMERIC '12345678901234567890.123456789' AS n",
        r#"[{"n": "12345678901234567890.123456789"}]"#,
    ),
    ("SELECT NUMERIC '123.4560' AS n", r#"[{"n": "123.456"}]"#),
    ("SELECT b'hello' AS b", r#"[{"b": "aGVsbG8="}]"#),
    ("SELECT DATETIME '2024-01-15 12:34:56.789' AS d", r#"[{"d": "2024-01-15T12:34:56.789000"}]"#),
    ("SELECT TIME '12:34:56' AS t", r#"[{"t": "12:34:56"}]"#),
    ("SELECT TIMESTAMP '2024-01-15 09:30:00+02:00' AS t", r#"[{"t": "2024-01-15T07:30:00+00:00"}]"#),
    ("SELECT TRIM(CAST(NULL AS STRING)) AS result", r#"[{"result": null}]"#),
    (
        "SELECT RANGE(DATE '2024-01-01', DATE '2024-12-31') AS r",
        r#"[{"r": {"start": "2024-01-01", "end": "2024-12-31"}}]"#,
    ),
    (
        "SELECT GENERATE_DATE_ARRAY(DATE '2024-01-01', DATE '2024-01-03', INTERVAL 1 DAY) AS a",
        r#"[{"a": ["2024-01-01", "2024-01-02", "2024-01-03"]}]"#,
    ),
    (
        "SELECT PARSE_JSON('{\"coordinates\": [3, 4], \"type\": \"Point\"}') AS j",
        r#"[{"j": "{\"coordinates\": [3, 4], \"type\": \"Point\"}"}]"#,
    ),
    (
        "SELECT STRUCT('Alice' AS name, 30 AS age) AS profile",
        r#"[{"profile": {"name": "Alice", "age": 30}}]"#,
    ),
    ("SELECT n FROM UNNEST(GENERATE_ARRAY(1, 5)) AS n WHERE n > 100", "[]"),
];

/// Returns whether a value of ours is the recorded one, which has texts for what JSON has no type for.
fn is_same(recorded: &Value, ours: &Value) -> bool {
    match (recorded, ours) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| is_same(one, other)))
        }
        (Value::Number(one), Value::Number(other)) => {
            one == other
                || one
                    .as_f64()
                    .zip(other.as_f64())
                    .is_some_and(|(one, other)| (one - other).abs() <= 1e-9 * one.abs())
        }
        (Value::String(one), Value::String(other)) => one == other || is_same_time(one, other),
        (Value::String(one), Value::Number(other)) => {
            let plain = |text: &str| {
                if text.contains('.') {
                    text.trim_end_matches('0').trim_end_matches('.').to_owned()
                } else {
                    text.to_owned()
                }
            };
            plain(one) == plain(&other.to_string())
        }
        (Value::String(text), other) => {
            serde_json::from_str::<Value>(text).is_ok_and(|one| is_same(&one, other))
        }
        (one, other) => one == other,
    }
}

fn is_same_time(one: &str, other: &str) -> bool {
    let moment = |text: &str| text.parse::<Timestamp>().ok();
    let wall = |text: &str| text.parse::<civil::DateTime>().ok();
    let clock = |text: &str| text.parse::<civil::Time>().ok();
    (moment(one).is_some() && moment(one) == moment(other))
        || (moment(one).is_none() && wall(one).is_some() && wall(one) == wall(other))
        || (clock(one).is_some() && clock(one) == clock(other))
}

async fn answered(warehouse: &Warehouse, query: &str) -> Result<Vec<Value>, tidegate_model::Error> {
    let batches = read(&*warehouse.source(), &selection(json!({ "query": query })), &ReadMode::Full).await?;
    assert!(batches.iter().all(|batch| batch.malformed.is_empty()), "{query}: {:?}", batches[0].malformed);
    let rows = batches.iter().flat_map(|batch| &batch.items);
    // A decimal is compared digit for digit.
    let json = |row: &Row| {
        let mut json: Value = serde_json::from_str(row.to_json().as_str()).expect("JSON");
        for (name, value) in row.columns.names().iter().zip(&row.values) {
            if let tidegate_model::Value::Decimal(digits) = value {
                json[name.as_str()] = Value::String(digits.to_string());
            }
        }
        json
    };
    Ok(rows.map(json).collect())
}

#[tokio::test]
async fn answers_that_were_recorded_from_bigquery_are_read_as_the_same_values() {
    let warehouse = Warehouse::new().await;
    for (query, expected) in RECORDED {
        let expected: Vec<Value> = serde_json::from_str(expected).unwrap();
        let found = answered(&warehouse, query).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        let same = expected.len() == found.len()
            && expected.iter().zip(&found).all(|(one, other)| is_same(one, other));
        assert!(same, "{query}: {found:?}");
    }
}

/// By hand, over all of them: prints how many are the same.
#[tokio::test]
async fn all_answers_that_were_recorded_are_compared_where_their_file_is() {
    let Ok(path) = std::env::var("TIDEGATE_TEST_BIGQUERY_RECORDED") else { return };
    let warehouse = Warehouse::new().await;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in std::fs::read_to_string(path).expect("a file").lines() {
        // Python writes NaN, which is no JSON.
        let Ok(case) = serde_json::from_str::<Value>(line) else { continue };
        let query = case["query"].as_str().unwrap_or_default();
        let is_plain =
            case["kind"] == "sql" && case["setup_sql"].is_null() && !query.contains(['$', '@', '?']);
        if !is_plain || case["rows"].as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        let expected = case["rows"].as_array().expect("rows");
        let verdict = match answered(&warehouse, query).await {
            Err(error) => {
                eprintln!("refused: {}: {query}", error.chain());
                "refused"
            }
            Ok(found)
                if expected.len() == found.len()
                    && expected.iter().zip(&found).all(|(one, other)| is_same(one, other)) =>
            {
                "same"
            }
            Ok(found) => {
                eprintln!("different: {query}: {} and {}", json!(expected), json!(found));
                "different"
            }
        };
        *counts.entry(verdict).or_default() += 1;
    }
    eprintln!("{counts:?}");
}
