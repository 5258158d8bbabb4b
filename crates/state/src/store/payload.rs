//! Rows as text from which they can be sent again, value for value.

use std::sync::Arc;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Tree;
use tidegate_model::{Columns, Error, ErrorKind, Row, Value};

use super::statement::to_json;

/// A row as it is stored: each value as a tree of its own.
#[derive(Deserialize)]
struct Stored {
    columns: Arc<Columns>,
    values: Vec<Tree>,
}

/// The same, to be written.
#[derive(Serialize)]
struct Written<'a> {
    columns: &'a Columns,
    values: Vec<Cell<'a>>,
}

/// A value, to be written.
struct Cell<'a>(&'a Value);

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            // JSON has no NaN, and serde_json reads floats back with an error in the last place.
            Value::Float(number) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("float", &number.to_string())?;
                map.end()
            }
            value => value.serialize(serializer),
        }
    }
}

/// A row as text.
pub(super) fn row_to_text(row: &Row) -> Result<String, Error> {
    let values = row.values.iter().map(Cell).collect();
    to_json(&Written { columns: &row.columns, values }, "a row")
}

/// A row from its text.
pub(super) fn row_from_text(text: &str) -> Result<Row, Error> {
    let Stored { columns, values } = serde_json::from_str(text).map_err(|_| strange())?;
    let values = values.into_iter().map(value_from_tree).collect::<Result<Vec<Value>, Error>>()?;
    Ok(Row { columns, values })
}

/// A value as text.
pub(crate) fn value_to_text(value: &Value) -> Result<String, Error> {
    to_json(&Cell(value), "a value")
}

/// A value from its text.
pub(crate) fn value_from_text(text: &str) -> Result<Value, Error> {
    value_from_tree(serde_json::from_str(text).map_err(|_| strange())?)
}

fn value_from_tree(tree: Tree) -> Result<Value, Error> {
    match tree.get("float").and_then(Tree::as_str) {
        Some(number) => number.parse().map(Value::Float).map_err(|_| strange()),
        None => serde_json::from_value(tree).map_err(|_| strange()),
    }
}

/// Without the cause: it may quote the value.
fn strange() -> Error {
    Error::new(ErrorKind::Storage, "a stored row cannot be read")
        .hint("was it written by another version, or changed by hand? restore a copy of the data folder")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::civil;
    use tidegate_model::Json;

    use super::*;

    #[test]
    fn every_kind_of_value_comes_back_exact() {
        let values = vec![
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Float(-0.0),
            Value::Float(f64::INFINITY),
            Value::Float(5e-324),
            Value::Float(0.1 + 0.2),
            Value::Decimal("12345678901234567890.10".into()),
            Value::Text("nul \0 quote \" 日本".into()),
            Value::Json(Json::trusted(r#"{ "a" : 1.0000000000000000001 }"#)),
            Value::Bytes(Bytes::from_static(&[0, 255])),
            Value::Timestamp("2026-03-01T00:00:00.123456789Z".parse().expect("time")),
            Value::DateTime(civil::date(2026, 3, 1).at(1, 2, 3, 4)),
            Value::Date(civil::date(1969, 12, 31)),
            Value::Time(civil::time(23, 59, 59, 999_999_999)),
        ];
        let columns = Columns::new((0..values.len()).map(|at| format!("column {at}")));
        let row = Row { columns, values };

        let read = row_from_text(&row_to_text(&row).expect("text")).expect("row");

        assert_eq!(read, row);
        assert_eq!(read.hash(&mut Vec::new()), row.hash(&mut Vec::new()));
    }

    #[test]
    fn a_value_that_is_no_number_comes_back_as_such() {
        let text = value_to_text(&Value::Float(f64::NAN)).expect("text");
        assert!(matches!(value_from_text(&text), Ok(Value::Float(number)) if number.is_nan()));
    }

    #[test]
    fn text_that_is_no_row_is_an_error_without_its_content() {
        for text in ["", "{}", "[]", r#"{"columns":["secret"],"values":[{"int":"secret"}]}"#] {
            let error = row_from_text(text).expect_err("no row");
            assert!(!error.chain().contains("secret"), "{}", error.chain());
        }
    }
}
