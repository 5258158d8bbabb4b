//! Where a cursor stands between runs, and whether it still fits its column.

use std::cmp::Ordering;

use tidegate_model::source::Column;
use tidegate_model::{Checkpoint, Error, ErrorKind, Overlap, Position, SyncId, Value};

/// How new rows are found.
#[derive(Clone, Debug, PartialEq)]
pub enum Detection {
    /// Every row, every time.
    Full,
    /// Rows behind the last place, by a column.
    Cursor {
        /// The column.
        column: Column,
        /// Its place among the columns.
        at: usize,
        /// How far back late rows are looked for.
        overlap: Overlap,
    },
    /// The source keeps its own place.
    Place,
}

/// Where a cursor stands: its checkpoint.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Place {
    pub(crate) cursor: Position,
    /// From where on every settled row is remembered. It moves with the cursor
    /// and never back: a wider overlap must not show rows that were forgotten.
    #[serde(default)]
    pub(crate) low: Option<Value>,
}

impl Place {
    /// A cursor that has not been settled anywhere before.
    pub(crate) fn at(cursor: Value) -> Place {
        Place { cursor: Position(cursor), low: None }
    }

    /// The lowest cursor value that the next run looks at again.
    pub(crate) fn low(&self, overlap: Overlap) -> Value {
        let back = self.cursor.back(overlap);
        match &self.low {
            Some(low) if low.compare(&back) == Some(Ordering::Greater) => low.clone(),
            _ => back,
        }
    }

    /// Moves on to `value` if that is higher.
    pub(crate) fn advance(&mut self, value: &Value, overlap: Overlap) {
        self.cursor.advance(value);
        self.low = Some(self.low(overlap));
    }

    /// The place as a checkpoint.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint(serde_json::json!(self))
    }
}

/// The place that a checkpoint holds, where changes are detected by a cursor.
///
/// # Errors
/// Where the checkpoint was not made by a cursor, or by one of another type.
pub(crate) fn place_of(
    sync: &SyncId,
    detection: &Detection,
    checkpoint: Option<&Checkpoint>,
) -> Result<Option<Place>, Error> {
    let (Detection::Cursor { column, .. }, Some(Checkpoint(place))) = (detection, checkpoint) else {
        return Ok(None);
    };
    let place: Place = serde_json::from_value(place.clone()).map_err(|cause| {
        Error::new(
            ErrorKind::Settings,
            format!("the place of `{sync}` was not made by a cursor: its `detect` was changed"),
        )
        .hint(format!("undo the change, or run `tidegate reset {sync}` to read from the beginning"))
        .caused_by(cause)
    })?;
    if !fits(&place.cursor.0, &column.type_name) {
        return Err(misfit(sync, &column.name, &column.type_name, &place.cursor));
    }
    Ok(Some(place))
}

/// The cursor is of another type than the place: rows would be missed, or all sent again.
pub(crate) fn misfit(sync: &SyncId, column: &str, now: &str, place: &Position) -> Error {
    Error::new(
        ErrorKind::Settings,
        format!(
            "the cursor `{column}` is now {now}, but the place where `{sync}` stands is {}",
            place.0.type_name()
        ),
    )
    .hint(format!(
        "change the type back, or run `tidegate reset {sync}` to read from the beginning: all rows are sent again"
    ))
}

/// Whether a column of this type can hold the value; where the type's name says
/// nothing certain, the rows will show.
fn fits(value: &Value, type_name: &str) -> bool {
    let type_name = type_name.to_ascii_lowercase();
    let is = |names: &[&str]| names.iter().any(|name| type_name.starts_with(name));
    let zoneless = type_name.contains("without time zone");
    match value {
        Value::Int(_) | Value::Decimal(_) => {
            !is(&["text", "char", "varchar", "uuid", "time", "date", "float", "double", "real"])
        }
        Value::Float(_) => !is(&[
            "text", "char", "varchar", "uuid", "time", "date", "int", "bigint", "smallint", "numeric",
            "decimal",
        ]),
        Value::Text(_) => !is(&[
            "int", "bigint", "smallint", "numeric", "decimal", "float", "double", "real", "time", "date",
        ]),
        Value::Timestamp(_) => is(&["timestamp", "datetime"]) && !zoneless,
        Value::DateTime(_) => is(&["timestamp", "datetime"]) && !type_name.contains("with time zone"),
        Value::Date(_) => type_name == "date",
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_fits_only_columns_that_compare_with_it() {
        let at = "2026-01-01T00:00:00Z".parse().expect("a time");
        let wall = "2026-01-01T00:00:00".parse().expect("a time");
        for (value, good, bad) in [
            (
                Value::Int(1),
                vec!["bigint", "int4", "numeric(10,2)"],
                vec!["text", "timestamp with time zone", "double precision"],
            ),
            (Value::Float(1.0), vec!["double precision", "FLOAT64"], vec!["integer", "character varying(9)"]),
            (Value::Text("a".into()), vec!["text", "character varying(9)", "uuid"], vec!["bigint", "date"]),
            (
                Value::Timestamp(at),
                vec!["timestamp with time zone", "timestamp(3) with time zone", "TIMESTAMP"],
                vec!["bigint", "timestamp without time zone", "date"],
            ),
            (
                Value::DateTime(wall),
                vec!["timestamp without time zone", "DATETIME"],
                vec!["text", "timestamp with time zone"],
            ),
        ] {
            for name in good {
                assert!(fits(&value, name), "{value:?} in {name}");
            }
            for name in bad {
                assert!(!fits(&value, name), "{value:?} in {name}");
            }
        }
    }
}
