//! Partitions of a result: rows of texts, found at once and read one by one.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tidegate_model::Error;

use super::errors;

/// A partition: the text of an answer, and where in it each row stands.
pub struct Part {
    body: Bytes,
    rows: Vec<Range<usize>>,
}

#[derive(Deserialize)]
struct Rows<'a> {
    #[serde(borrow, default)]
    data: Option<Vec<&'a RawValue>>,
}

impl Part {
    /// Finds the rows of an answer.
    ///
    /// # Errors
    /// If the answer has not the documented form.
    pub fn new(body: Bytes) -> Result<Part, Error> {
        let found: Rows<'_> =
            serde_json::from_slice(&body).map_err(|_| errors::unreadable("a partition of a result"))?;
        let begin = body.as_ptr().addr();
        let place = |row: &RawValue| {
            let at = row.get().as_ptr().addr() - begin;
            at..at + row.get().len()
        };
        let rows = found.data.unwrap_or_default().into_iter().map(place).collect();
        Ok(Part { body, rows })
    }

    /// Returns how many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the cells of a row.
    ///
    /// # Errors
    /// If there is no such row, or it has not the documented form.
    pub fn row(&self, at: usize) -> Result<Vec<Cell<'_>>, Error> {
        let text = self.rows.get(at).and_then(|row| self.body.get(row.clone())).unwrap_or_default();
        serde_json::from_slice(text).map_err(|_| errors::unreadable("a row of a result"))
    }

    /// Returns the texts of all rows, for small results.
    ///
    /// # Errors
    /// If a row has not the documented form.
    pub fn texts(&self) -> Result<Vec<Vec<Option<String>>>, Error> {
        let owned =
            |cells: Vec<Cell<'_>>| cells.into_iter().map(|cell| cell.0.map(Cow::into_owned)).collect();
        (0..self.len()).map(|at| self.row(at).map(owned)).collect()
    }
}

/// A cell: a text, or nothing for null. Numbers and truth values that are not in quotes are texts, too.
#[derive(Debug, PartialEq, Eq)]
pub struct Cell<'a>(pub Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Cell<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cell<'a>, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cell<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or null")
            }
            fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
                Ok(Cell(None))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cell<'de>, E> {
                Ok(Cell(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Cell<'de>, E> {
                Ok(Cell(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Cell<'de>, E> {
                Ok(Cell(Some(Cow::Borrowed(if value { "true" } else { "false" }))))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Cell<'de>, E> {
                Ok(Cell(Some(Cow::Owned(value.to_string()))))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Cell<'de>, E> {
                Ok(Cell(Some(Cow::Owned(value.to_string()))))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_wherever_the_answer_has_them() {
        for body in [
            r#"{"data":[["1",null,"a\"é\n"],["2","null",true]]}"#,
            r#"{"resultSetMetaData":{"numRows":2,"rowType":[{"name":"data"}]}, "data" : [ ["1",null,"a\"\u00e9\n"] , ["2","null",true] ],"code":"090001"}"#,
        ] {
            let part = Part::new(Bytes::from(body)).unwrap();
            let rows = part.texts().unwrap();
            let text = |text: &str| Some(text.to_owned());
            let first = vec![text("1"), None, text("a\"é\n")];
            assert_eq!(rows, [first, vec![text("2"), text("null"), text("true")]], "{body}");
        }
        assert_eq!(Part::new(Bytes::from("{}")).unwrap().len(), 0);
        assert!(Part::new(Bytes::from("{\"data\":[[\"1\"]")).is_err());
    }
}
