//! Members of a payload as cells: one pass over the text, no copy where it has
//! no escapes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cell::{Cell, ColumnType, TableColumn};

/// Fills the cells of the columns that the payload has members for. `cells`
/// belong to `columns` one by one.
///
/// A member of another type than its column's leaves its cell as it is, and so
/// does everything after the place where the text is no JSON.
pub(super) fn fill<'a>(payload: &'a str, columns: &[TableColumn], cells: &mut [Cell<'a>]) {
    // What was understood before an error stays.
    let _ = serde_json::Deserializer::from_str(payload).deserialize_map(Members { columns, cells });
}

struct Members<'o, 'a> {
    columns: &'o [TableColumn],
    cells: &'o mut [Cell<'a>],
}

impl<'a> Visitor<'a> for Members<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut members: M) -> Result<(), M::Error> {
        let mut next = 0;
        while let Some(found) = members.next_key_seed(Name { columns: self.columns, next })? {
            match found.and_then(|at| Some((at, self.columns.get(at)?.kind, self.cells.get_mut(at)?))) {
                Some((at, kind, cell)) => {
                    next = at + 1;
                    members.next_value_seed(Member { kind, cell })?;
                }
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Returns the index of the column that a member belongs to.
struct Name<'o> {
    columns: &'o [TableColumn],
    /// Where to look first: payloads keep an order.
    next: usize,
}

impl<'a> DeserializeSeed<'a> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, name: D) -> Result<Option<usize>, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        if self.columns.get(self.next).is_some_and(|column| column.name == name) {
            return Ok(Some(self.next));
        }
        Ok(self.columns.iter().position(|column| column.name == name))
    }
}

/// The value of a member that has a column.
struct Member<'o, 'a> {
    kind: ColumnType,
    cell: &'o mut Cell<'a>,
}

impl<'a> DeserializeSeed<'a> for Member<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'a> Member<'_, 'a> {
    fn put<E>(self, kind: ColumnType, cell: Cell<'a>) -> Result<(), E> {
        if self.kind == kind {
            *self.cell = cell;
        }
        Ok(())
    }
}

impl<'a> Visitor<'a> for Member<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<(), E> {
        self.put(ColumnType::Text, Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.put(ColumnType::Text, Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<(), E> {
        self.put(ColumnType::Bool, Cell::Bool(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.put(ColumnType::Int, Cell::Int(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.put(ColumnType::Int, Cell::Int(number)),
            Err(_) => Ok(()),
        }
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut items: S) -> Result<(), S::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<M: MapAccess<'a>>(self, mut members: M) -> Result<(), M::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
