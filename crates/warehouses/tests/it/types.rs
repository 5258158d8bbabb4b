//! Every column type with its extremes and with null: type, value and JSON, of each warehouse, as a page of
//! the reference.

use serde_json::json;
use tidegate_model::{DataType, ReadMode, Row, Source, Value};

use crate::databricks_server::{read, selection};

/// A type, a literal of it, and the JSON of its value; none if JSON has no such number.
pub type Case = (&'static str, &'static str, &'static str);

/// A JSON text of a number that is longer than this is shown by its value.
const SHOWN_MAX: usize = 60;

/// A page of the reference.
pub struct Page {
    /// The name of its file.
    pub file: &'static str,
    /// The text before the table, and the head of the table.
    pub head: &'static str,
    /// The text after the table.
    pub tail: &'static str,
    /// The lines of the table.
    pub cases: &'static [Case],
}

impl Page {
    /// Reads every literal, and compares the page with what was read. `UPDATE=1` writes it.
    pub async fn prove(&self, source: &dyn Source) {
        let columns =
            (self.cases.iter().enumerate()).map(|(at, (_, literal, _))| format!("{literal} AS C{at}"));
        let selected =
            selection(json!({ "query": format!("SELECT {}", columns.collect::<Vec<_>>().join(", ")) }));
        let described = source.describe(&selected).await.expect("columns");
        let row = only(source, &selected).await;
        let mut page = self.head.to_owned();
        for (at, (type_name, literal, expected)) in self.cases.iter().enumerate() {
            let (column, value) = (&described.columns[at], &row.values[at]);
            assert_eq!(column.type_name, *type_name, "{literal}");
            assert!(column.data_type.holds(value), "{column}: {value:?}");
            assert_eq!(matches!(value, Value::Float(_)), column.data_type == DataType::Float, "{literal}");
            let shown = shown(value, expected, literal);
            page.push_str(&format!("| `{type_name}` | {} | `{literal}` | {shown} |\n", column.data_type));
        }
        page.push_str(self.tail);
        let path = format!("{}/../../docs/reference/{}", env!("CARGO_MANIFEST_DIR"), self.file);
        if std::env::var("UPDATE").is_ok_and(|update| update == "1") {
            std::fs::write(path, page).expect("written");
        } else {
            assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), page, "UPDATE=1 rewrites it");
        }
    }

    /// Reads null of every type. `null` makes one of a literal.
    pub async fn nulls(&self, source: &dyn Source, null: impl Fn(&str) -> String) -> Row {
        let columns = (self.cases.iter().enumerate())
            .map(|(at, (_, literal, _))| format!("{} AS C{at}", null(literal)));
        let selected =
            selection(json!({ "query": format!("SELECT {}", columns.collect::<Vec<_>>().join(", ")) }));
        only(source, &selected).await
    }
}

async fn only(source: &dyn Source, selected: &tidegate_model::Selection) -> Row {
    let batches = read(source, selected, &ReadMode::Full).await.expect("rows");
    let malformed: Vec<_> = batches[0].malformed.iter().map(|one| &one.reason.message).collect();
    assert_eq!(malformed, Vec::<&String>::new());
    batches[0].items[0].clone()
}

/// Returns how a value stands in a request, which has to be as expected.
fn shown(value: &Value, expected: &str, literal: &str) -> String {
    let mut json = String::new();
    let written = value.write_json(&mut json);
    if expected.is_empty() {
        assert_eq!(written.expect_err("no number of JSON").code, "not_a_number", "{literal}");
        return "rejected: JSON has no such number".to_owned();
    }
    written.expect("JSON");
    match value {
        Value::Float(float) if json.len() > SHOWN_MAX => {
            assert_eq!(expected.parse(), Ok(*float), "{literal}");
            assert_eq!(json.parse(), Ok(*float), "{literal}");
            format!("`{float:e}`, with all of its digits")
        }
        _ => {
            assert_eq!(json, expected, "{literal}");
            format!("`{json}`")
        }
    }
}
