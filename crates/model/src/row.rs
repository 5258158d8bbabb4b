//! Rows, as sources give them.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Json, RowHash, Value, json};

/// The column names of a feed, shared by all of its rows.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Columns {
    names: Vec<String>,
}

impl Columns {
    /// Creates columns in the order of the values.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Arc<Columns> {
        Arc::new(Columns { names: names.into_iter().map(Into::into).collect() })
    }

    /// Copies the names into a new `Arc`, so that threads do not contend for one reference count.
    pub fn apart(&self) -> Arc<Columns> {
        Arc::new(Columns { names: self.names.clone() })
    }

    /// Returns the names in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the index of a column: its exact name, else the only one that differs in
    /// case alone.
    pub fn position(&self, name: &str) -> Option<usize> {
        if let Some(exact) = self.names.iter().position(|column| column == name) {
            return Some(exact);
        }
        let mut alike = self.names.iter().enumerate().filter(|(_, column)| column.eq_ignore_ascii_case(name));
        match (alike.next(), alike.next()) {
            (Some((at, _)), None) => Some(at),
            _ => None,
        }
    }

    /// Returns the number of columns.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// One row: a shared column list and its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The names of the values.
    pub columns: Arc<Columns>,
    /// As many values as there are columns.
    pub values: Vec<Value>,
}

impl Row {
    /// Returns the value of a column, by its exact name, else by the only name that differs in case.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.columns.position(name).and_then(|at| self.values.get(at))
    }

    /// Returns the row in memory of its own. Its values are slices of what was read, all of which stays in
    /// memory with any of them: what is held for long is copied.
    #[must_use]
    pub fn copied(mut self) -> Row {
        for value in &mut self.values {
            match value {
                Value::Text(text) | Value::Decimal(text) => *text = text.to_string().into(),
                Value::Json(json) => *json = Json::trusted(json.as_str().to_owned()),
                Value::Bytes(bytes) => *bytes = Bytes::copy_from_slice(bytes),
                _ => {}
            }
        }
        self
    }

    /// Returns the hash of the whole row. Rows with the same values have the same one.
    pub fn hash(&self, scratch: &mut Vec<u8>) -> RowHash {
        RowHash::of_values(&self.values, scratch)
    }

    /// Returns the row as a JSON object, for people, without absent members. A value without a JSON
    /// form becomes null.
    pub fn to_json(&self) -> Json {
        let mut out = String::from("{");
        let members = self.columns.names().iter().zip(&self.values);
        for (name, value) in members.filter(|(_, value)| !matches!(value, Value::Absent)) {
            if out.len() > 1 {
                out.push(',');
            }
            json::write_string(name, &mut out);
            out.push(':');
            let before = out.len();
            if value.write_json(&mut out).is_err() {
                out.truncate(before);
                out.push_str("null");
            }
        }
        out.push('}');
        Json::trusted(out)
    }
}
