//! The columns of a selection, and where a file's own columns go among them.

use std::sync::Arc;

use tidegate_model::source::Column;
use tidegate_model::{Columns, Text, Value};

/// The described columns come first in every row; what only one file has follows.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The columns of the rows.
    pub columns: Arc<Columns>,
    /// For each column of the file, its place in a row.
    pub places: Vec<usize>,
}

impl Layout {
    /// Lays the columns of a file out among those of the selection.
    pub fn new(described: &Arc<Columns>, own: &[String]) -> Layout {
        if described.names() == own {
            return Layout { columns: Arc::clone(described), places: (0..own.len()).collect() };
        }
        let mut names = described.names().to_vec();
        let places = own
            .iter()
            .map(|name| {
                names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name.clone());
                    names.len() - 1
                })
            })
            .collect();
        Layout { columns: Columns::new(names), places }
    }

    /// A row without values.
    pub fn empty_row(&self) -> Vec<Value> {
        vec![Value::Null; self.columns.len()]
    }
}

/// Adds columns that are not known yet.
pub fn merge(known: &mut Vec<Column>, more: impl IntoIterator<Item = Column>) {
    for column in more {
        if !known.iter().any(|other| other.name == column.name) {
            known.push(column);
        }
    }
}

/// Text for a report on a line that is no row.
pub fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(1_000)]).into_owned()
}

/// Text that is valid UTF-8.
pub fn text(bytes: bytes::Bytes) -> Option<Text> {
    Text::try_from(bytes).ok()
}
