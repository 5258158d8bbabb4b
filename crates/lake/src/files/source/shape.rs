//! The columns of a selection, and where a file's own columns go among them.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_model::source::Column;
use tidegate_model::{Columns, DataType, Text, Value};

use super::encoding::single_bytes;
use super::settings::Encoding;

/// The described columns come first in every row; what only one file has follows.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The columns of the rows.
    pub columns: Arc<Columns>,
    /// For each column of the file, its index in a row.
    pub indexes: Vec<usize>,
}

impl Layout {
    /// Lays the columns of a file out among those of the selection.
    pub fn new(described: &Arc<Columns>, own: &[String]) -> Layout {
        if described.names() == own {
            return Layout { columns: Arc::clone(described), indexes: (0..own.len()).collect() };
        }
        let mut names = described.names().to_vec();
        let indexes = own
            .iter()
            .map(|name| {
                names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name.clone());
                    names.len() - 1
                })
            })
            .collect();
        Layout { columns: Columns::new(names), indexes }
    }

    /// Returns a row without values: all are absent.
    pub fn empty_row(&self) -> Vec<Value> {
        vec![Value::Absent; self.columns.len()]
    }
}

/// Adds columns that are not known yet. One that has other types in other files
/// gets a type that holds the values of all of them.
pub fn merge(known: &mut Vec<Column>, more: impl IntoIterator<Item = Column>) {
    for column in more {
        match known.iter_mut().find(|other| other.name == column.name) {
            None => known.push(column),
            Some(other) if other.data_type != column.data_type => {
                other.data_type = both(&other.data_type, &column.data_type);
                if !other.type_name.split(" or ").any(|name| name == column.type_name) {
                    other.type_name = format!("{} or {}", other.type_name, column.type_name);
                }
            }
            Some(_) => {}
        }
    }
}

/// The type of a column that has two.
fn both(one: &DataType, other: &DataType) -> DataType {
    let exact = |data_type: &DataType| matches!(data_type, DataType::Integer | DataType::Decimal { .. });
    if exact(one) && exact(other) { DataType::DECIMAL } else { DataType::Any }
}

/// Returns text for a report on a line that is no row.
pub fn excerpt(encoding: Encoding, bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(1_000)];
    match encoding {
        Encoding::Utf8 | Encoding::Utf16 => String::from_utf8_lossy(bytes).into_owned(),
        Encoding::Latin1 | Encoding::Windows1252 => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Returns the text of the bytes; UTF-16 was decoded before. `None` if there is none.
pub fn decoded(encoding: Encoding, bytes: Bytes) -> Option<Text> {
    match encoding {
        Encoding::Latin1 | Encoding::Windows1252 if !bytes.is_ascii() => {
            single_bytes(encoding, &bytes).map(Text::from)
        }
        _ => Text::try_from(bytes).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_with_other_types_in_other_files_holds_the_values_of_all() {
        let column = |data_type, type_name: &str| Column {
            name: "total".to_owned(),
            data_type,
            type_name: type_name.to_owned(),
        };
        let mut known = vec![column(DataType::Integer, "Int64")];
        merge(&mut known, [column(DataType::Integer, "Int32")]);
        assert_eq!(known[0].data_type, DataType::Integer);
        let cents = DataType::Decimal { precision: Some(9), scale: Some(2) };
        merge(&mut known, [column(cents, "Decimal128(9, 2)")]);
        assert_eq!(known, [column(DataType::DECIMAL, "Int64 or Decimal128(9, 2)")]);
        merge(&mut known, [column(DataType::Text, "Utf8"), column(DataType::Text, "Utf8")]);
        assert_eq!(known, [column(DataType::Any, "Int64 or Decimal128(9, 2) or Utf8")]);
    }
}
