//! What the ledger keeps of a row that was not delivered.

use crate::{Columns, Json, Row, Text, Value, json};

/// A row that was not delivered, as far as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum KeptRow {
    /// The whole row: it can be sent again.
    Whole(Row),
    /// A row of which something could not be read, or was left out.
    Part(Box<RowPart>),
}

/// What is kept of a row of which something is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct RowPart {
    /// The values that are kept; none of input that is no row at all.
    pub row: Row,
    /// The names of the columns that were left out because they are large.
    pub cut: Vec<String>,
    /// The names of the columns that could not be read.
    pub unreadable: Vec<String>,
    /// The text of the whole input, or its beginning, if the source gave it.
    pub input: Option<Text>,
    /// The location at which the source may read it again.
    pub location: Option<Text>,
}

impl Default for RowPart {
    /// Nothing of a row.
    fn default() -> RowPart {
        let row = Row { columns: Columns::new([""; 0]), values: Vec::new() };
        RowPart { row, cut: Vec::new(), unreadable: Vec::new(), input: None, location: None }
    }
}

impl From<Row> for KeptRow {
    fn from(row: Row) -> KeptRow {
        KeptRow::Whole(row)
    }
}

impl KeptRow {
    /// Returns the values that are kept.
    pub fn row(&self) -> &Row {
        match self {
            KeptRow::Whole(row) => row,
            KeptRow::Part(part) => &part.row,
        }
    }

    /// Returns whether it is the whole row.
    pub fn is_whole(&self) -> bool {
        matches!(self, KeptRow::Whole(_))
    }

    /// Returns the text of the input, if it is kept.
    pub fn input(&self) -> Option<&Text> {
        match self {
            KeptRow::Whole(_) => None,
            KeptRow::Part(part) => part.input.as_ref(),
        }
    }

    /// Returns the location at which the source may read it again.
    pub fn location(&self) -> Option<&Text> {
        match self {
            KeptRow::Whole(_) => None,
            KeptRow::Part(part) => part.location.as_ref(),
        }
    }

    /// Returns about how many bytes it takes.
    pub fn bytes(&self) -> u64 {
        let values: u64 = self.row().values.iter().map(value_bytes).sum();
        values + self.input().map_or(0, |text| text.len() as u64)
    }

    /// Returns it as a JSON object, for people: before the values that are kept stand `cut` and
    /// `unreadable` with the names of those that are not, and `input`; after them stands `location`.
    /// A column with one of these names gives way.
    pub fn to_json(&self) -> Json {
        let part = match self {
            KeptRow::Whole(row) => return row.to_json(),
            KeptRow::Part(part) => part.as_ref(),
        };
        let names = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
        let (cut, unreadable) = (names(&part.cut), names(&part.unreadable));
        let first = [
            ("cut", cut.as_deref()),
            ("unreadable", unreadable.as_deref()),
            ("input", part.input.as_deref()),
        ];
        let last = [("location", part.location.as_deref())];
        let taken = |name: &str| first.iter().chain(&last).any(|(of, text)| *of == name && text.is_some());
        let text = |(name, text): &(&'static str, Option<&str>)| text.map(|text| (*name, quoted(text)));
        let columns = part.row.columns.names().iter().map(String::as_str).zip(&part.row.values);
        let columns = columns.filter(|(name, value)| !taken(name) && !matches!(value, Value::Absent));
        let columns = columns.map(|(name, value)| (name, written(value)));
        let members = first.iter().filter_map(text).chain(columns).chain(last.iter().filter_map(text));
        let members: Vec<String> = members.map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
        Json::trusted(format!("{{{}}}", members.join(",")))
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    json::write_string(text, &mut out);
    out
}

/// A value as JSON; null if it has no such form.
fn written(value: &Value) -> String {
    let mut out = String::new();
    match value.write_json(&mut out) {
        Ok(()) => out,
        Err(_) => "null".to_owned(),
    }
}

/// Returns about how many bytes a value takes as text.
pub fn value_bytes(value: &Value) -> u64 {
    let bytes = match value {
        Value::Text(text) | Value::Decimal(text) => text.len(),
        Value::Json(json) => json.as_str().len(),
        Value::Bytes(bytes) => bytes.len() * 4 / 3,
        _ => 16,
    };
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_named_like_a_remark_is_shown_as_the_column_that_it_is() {
        let row = |name: &str| Row { columns: Columns::new([name]), values: vec![Value::Text("x".into())] };
        for name in ["input", "cut", "unreadable", "location"] {
            let json = KeptRow::Whole(row(name)).to_json();
            assert_eq!(json.as_str(), format!(r#"{{"{name}":"x"}}"#));
        }
        let part = RowPart { row: row("cut"), cut: vec!["text".to_owned()], ..RowPart::default() };
        assert_eq!(KeptRow::Part(Box::new(part)).to_json().as_str(), r#"{"cut":"text"}"#);
    }

    #[test]
    fn what_is_missing_of_a_row_stands_before_its_values() {
        let part = RowPart {
            row: Row { columns: Columns::new(["id"]), values: vec![Value::Int(7)] },
            cut: vec!["a".to_owned(), "b".to_owned()],
            unreadable: vec!["at".to_owned()],
            input: Some("{torn".into()),
            location: Some("orders[0]@7".into()),
        };
        assert_eq!(
            KeptRow::Part(Box::new(part)).to_json().as_str(),
            r#"{"cut":"a, b","unreadable":"at","input":"{torn","id":7,"location":"orders[0]@7"}"#
        );
    }
}
