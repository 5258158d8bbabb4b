//! Rows as text from which they can be sent again, value for value.

use std::ops::Range;
use std::sync::Arc;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Tree;
use tidegate_model::{Columns, Error, ErrorKind, KeptRow, Row, RowPart, Text, Value, json};

use super::statement::to_json;

/// How the text of a whole row begins.
const WHOLE: &str = r#"{"whole":"#;

/// A kept row as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored<Row, Part> {
    Whole(Row),
    Part(Part),
}

/// A row as it is read: each value as a tree of its own.
#[derive(Deserialize)]
struct ReadRow {
    columns: Arc<Columns>,
    values: Vec<Tree>,
}

/// The same, to be written.
#[derive(Serialize)]
struct WrittenRow<'a> {
    columns: &'a Columns,
    values: Vec<Cell<'a>>,
}

/// A part of a row, as it is read.
#[derive(Deserialize)]
struct ReadPart {
    row: ReadRow,
    #[serde(default)]
    cut: Vec<String>,
    #[serde(default)]
    unreadable: Vec<String>,
    input: Option<String>,
    location: Option<String>,
}

/// The same, to be written.
#[derive(Serialize)]
struct WrittenPart<'a> {
    row: WrittenRow<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    cut: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    unreadable: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
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

/// Writes kept rows as text, one behind the other. All rows of a source have the same columns, which are written
/// as text once.
#[derive(Default)]
pub(super) struct RowTexts {
    columns: Option<(Arc<Columns>, String)>,
    written: Vec<u8>,
}

impl RowTexts {
    /// Writes a kept row. Returns where its text is.
    pub(super) fn write(&mut self, row: &KeptRow) -> Result<Range<usize>, Error> {
        let start = self.written.len();
        match row {
            KeptRow::Whole(row) => self.whole(row)?,
            KeptRow::Part(part) => {
                let RowPart { row, cut, unreadable, input, location } = part.as_ref();
                let (input, location) = (input.as_deref(), location.as_deref());
                let part = WrittenPart { row: written(row), cut, unreadable, input, location };
                serde_json::to_writer(&mut self.written, &Stored::<(), _>::Part(part)).map_err(unwritable)?;
            }
        }
        Ok(start..self.written.len())
    }

    /// Returns all that was written. The text of each row is a slice of it.
    pub(super) fn finish(self) -> Result<Text, Error> {
        Text::try_from(self.written).map_err(unwritable)
    }

    /// As `Stored::Whole` is written.
    fn whole(&mut self, row: &Row) -> Result<(), Error> {
        let known = self.columns.take().filter(|(columns, _)| Arc::ptr_eq(columns, &row.columns));
        let (_, columns) = match known {
            Some(known) => self.columns.insert(known),
            None => {
                let text = to_json(&*row.columns, "columns")?;
                self.columns.insert((Arc::clone(&row.columns), text))
            }
        };
        let out = &mut self.written;
        out.extend_from_slice(WHOLE.as_bytes());
        out.extend_from_slice(br#"{"columns":"#);
        out.extend_from_slice(columns.as_bytes());
        out.extend_from_slice(br#","values":["#);
        for (at, value) in row.values.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_cell(value, out)?;
        }
        out.extend_from_slice(b"]}}");
        Ok(())
    }
}

/// Appends a value as [`Cell`] is written. Written by serde, rows were 15 % of the processor time of a run that
/// rejects each of them (`make bench WHAT=failed-rows`).
fn write_cell(value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    let (kind, text) = match value {
        Value::Null => {
            out.extend_from_slice(br#""null""#);
            return Ok(());
        }
        Value::Text(text) => (r#"{"text":"#, &**text),
        Value::Decimal(digits) => (r#"{"decimal":"#, &**digits),
        Value::Json(json) => (r#"{"json":"#, json.as_str()),
        value => return serde_json::to_writer(out, &Cell(value)).map_err(unwritable),
    };
    out.extend_from_slice(kind.as_bytes());
    json::write_bytes(text.as_bytes(), out);
    out.push(b'}');
    Ok(())
}

fn unwritable(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("a row has no JSON form").caused_by(cause)
}

/// A kept row from its text.
pub(super) fn row_from_text(text: &str) -> Result<KeptRow, Error> {
    let stored: Stored<ReadRow, ReadPart> = serde_json::from_str(text).map_err(|_| strange())?;
    Ok(match stored {
        Stored::Whole(row) => KeptRow::Whole(read(row)?),
        Stored::Part(ReadPart { row, cut, unreadable, input, location }) => {
            let (input, location) = (input.map(Text::from), location.map(Text::from));
            KeptRow::Part(Box::new(RowPart { row: read(row)?, cut, unreadable, input, location }))
        }
    })
}

/// Returns whether the text is that of a whole row.
pub(super) fn is_whole(text: &str) -> bool {
    text.starts_with(WHOLE)
}

fn written(row: &Row) -> WrittenRow<'_> {
    WrittenRow { columns: &row.columns, values: row.values.iter().map(Cell).collect() }
}

fn read(ReadRow { columns, values }: ReadRow) -> Result<Row, Error> {
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

    fn row_to_text(row: &KeptRow) -> Result<Text, Error> {
        let mut texts = RowTexts::default();
        texts.write(row)?;
        texts.finish()
    }

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
        for value in values.iter().chain([&Value::Absent]) {
            let mut written = Vec::new();
            write_cell(value, &mut written).expect("text");
            assert_eq!(written, serde_json::to_vec(&Cell(value)).expect("text"), "as serde writes it");
        }
        let columns = Columns::new((0..values.len()).map(|at| format!("column {at}")));
        let row = Row { columns, values };

        let read = row_from_text(&row_to_text(&row.clone().into()).expect("text")).expect("row");

        assert_eq!(read.row().hash(&mut Vec::new()), row.hash(&mut Vec::new()));
        assert_eq!(read, KeptRow::Whole(row));
    }

    #[test]
    fn what_is_kept_of_a_row_comes_back_as_what_it_was() {
        let row = Row { columns: Columns::new(["input"]), values: vec![Value::Text("{torn".into())] };
        let part = RowPart {
            row: row.clone(),
            cut: vec!["text".to_owned()],
            unreadable: vec!["at".to_owned()],
            input: Some("{torn".into()),
            location: Some("orders[0]@7".into()),
        };
        let parts = [part, RowPart { row: row.clone(), ..RowPart::default() }, RowPart::default()];
        let parts = parts.into_iter().map(|part| KeptRow::Part(Box::new(part)));
        for kept in parts.chain([KeptRow::Whole(row)]) {
            let text = row_to_text(&kept).expect("text");
            assert_eq!(is_whole(&text), kept.is_whole(), "{text}");
            assert_eq!(row_from_text(&text).expect("read"), kept, "{text}");
        }
    }

    #[test]
    fn each_row_has_its_own_columns_though_others_were_written_before_it() {
        let row = |names: &[&str]| {
            let columns = Columns::new(names.iter().copied());
            KeptRow::Whole(Row {
                columns,
                values: names.iter().map(|name| Value::Text((*name).into())).collect(),
            })
        };
        let mut texts = RowTexts::default();
        let (one, other) = (row(&["id", "say \"hi\""]), row(&["email"]));
        let rows = [&one, &one, &other, &one, &row(&[])];
        let written = rows.map(|row| (row, texts.write(row).expect("text")));
        let texts = texts.finish().expect("text");
        for (row, at) in written {
            assert_eq!(row_from_text(&texts[at]).expect("read"), *row);
        }
    }

    #[test]
    fn a_value_that_is_no_number_comes_back_as_such() {
        let text = value_to_text(&Value::Float(f64::NAN)).expect("text");
        assert!(matches!(value_from_text(&text), Ok(Value::Float(number)) if number.is_nan()));
    }

    #[test]
    fn text_that_is_no_row_is_an_error_without_its_content() {
        for text in ["", "{}", "[]", r#"{"whole":{"columns":["secret"],"values":[{"int":"secret"}]}}"#] {
            let error = row_from_text(text).expect_err("no row");
            assert!(!error.chain().contains("secret"), "{}", error.chain());
        }
    }
}
