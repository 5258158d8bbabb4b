//! The state of a cursor between runs, and whether it still fits its column.

use std::cmp::Ordering;

use tidegate_model::source::Column;
use tidegate_model::{Checkpoint, DataType, Error, ErrorKind, Position, Selection, SyncId, Value};
use xxhash_rust::xxh3::xxh3_128;

use crate::pipeline::read::epoch::EpochUnit;
use crate::pipeline::read::lookback::LookbackRule;
use crate::pipeline::read::mirror_state::is_of_mirror;

/// How new rows are found.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeTracking {
    /// Every row, every time.
    Full,
    /// Rows after the last checkpoint, by a column.
    Cursor {
        /// The column.
        column: Column,
        /// Its index among the columns.
        at: usize,
        /// How far before the checkpoint late rows are looked for.
        lookback: LookbackRule,
        /// What the cursor runs over.
        origin: CursorOrigin,
    },
    /// The source keeps its own checkpoint.
    Checkpoint,
    /// All rows are compared with those that were committed.
    Mirror,
}

impl ChangeTracking {
    /// Returns it with the columns whose values name a row.
    pub(crate) fn by_key(self, key: &[String]) -> ChangeTracking {
        match self {
            ChangeTracking::Cursor { column, at, lookback, origin } => {
                ChangeTracking::Cursor { column, at, lookback, origin: origin.by_key(key) }
            }
            other => other,
        }
    }
}

/// What a cursor runs over: its checkpoint says nothing about other rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CursorOrigin {
    /// The column.
    pub column: String,
    /// The table, as it is written; none for a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Hash of the query, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The columns whose values name a row, none if the whole row does; `None` if an earlier version
    /// has not noted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<String>>,
}

impl CursorOrigin {
    /// Returns what a cursor over this column of a selection runs over.
    pub fn of(column: &str, selection: &Selection) -> CursorOrigin {
        let text = |name: &'static str| selection.members().get(name).and_then(serde_json::Value::as_str);
        // Another line break or indent is no other query.
        let query = text("query").map(|sql| sql.split_whitespace().collect::<Vec<_>>().join(" "));
        CursorOrigin {
            column: column.to_owned(),
            table: text("table").map(str::to_owned),
            query: query.map(|sql| format!("{:032x}", xxh3_128(sql.as_bytes()))),
            key: None,
        }
    }

    /// Returns it with the columns whose values name a row.
    pub fn by_key(self, key: &[String]) -> CursorOrigin {
        CursorOrigin { key: Some(key.to_vec()), ..self }
    }

    /// Returns what is different from `before`, in words; `None` if nothing is.
    fn changed_since(&self, before: &CursorOrigin) -> Option<String> {
        let mut changes = Vec::new();
        if self.column != before.column {
            changes.push(format!("`cursor` was `{}` and is `{}`", before.column, self.column));
        }
        match (&before.table, &self.table) {
            (Some(before), Some(table)) if before != table => {
                changes.push(format!("`table` was `{before}` and is `{table}`"));
            }
            (Some(before), None) => changes.push(format!("a query took the place of the table `{before}`")),
            (None, Some(table)) => changes.push(format!("the table `{table}` took the place of a query")),
            _ if self.query != before.query => changes.push("`query` was changed".to_owned()),
            _ => {}
        }
        (!changes.is_empty()).then(|| changes.join(", and "))
    }
}

/// The state of a cursor, stored as its checkpoint.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct CursorState {
    pub(crate) cursor: Position,
    /// The value from which on every committed row is remembered. It moves with the cursor
    /// and never back: a wider lookback must not show rows that were forgotten.
    #[serde(default)]
    pub(crate) low: Option<Value>,
    /// What a number counts since 1970, the finest unit that was seen. Once it is
    /// known it stays, so that the lookback of a sync does not change from run to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<EpochUnit>,
    /// What the cursor ran over, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<CursorOrigin>,
}

impl CursorState {
    /// A cursor that has no checkpoint yet.
    pub(crate) fn at(cursor: Value) -> CursorState {
        CursorState { epoch: EpochUnit::of(&cursor), cursor: Position(cursor), low: None, origin: None }
    }

    /// Returns the state with what the cursor runs over.
    pub(crate) fn over(self, origin: &CursorOrigin) -> CursorState {
        CursorState { origin: Some(origin.clone()), ..self }
    }

    /// Returns the lowest cursor value that the next run looks at again; `None`
    /// if it looks at all of them.
    ///
    /// # Errors
    /// If the cursor has no lookback.
    pub(crate) fn low(&self, lookback: &LookbackRule) -> Result<Option<Value>, Error> {
        let back = lookback.low(&self.cursor, self.epoch)?;
        Ok(match (&self.low, back) {
            (Some(low), Some(back)) if low.compare(&back) != Some(Ordering::Greater) => Some(back),
            (Some(low), _) => Some(low.clone()),
            (None, back) => back,
        })
    }

    /// Moves on to `value` if that is higher.
    ///
    /// # Errors
    /// If the cursor has no lookback there. It stays where it was.
    pub(crate) fn advance(&mut self, value: &Value, lookback: &LookbackRule) -> Result<(), Error> {
        let mut next = self.clone();
        next.cursor.advance(value);
        next.epoch = next.epoch.max(EpochUnit::of(value));
        next.low = next.low(lookback)?;
        *self = next;
        Ok(())
    }

    /// Returns the state as a checkpoint.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint(serde_json::json!(self))
    }
}

/// Returns the cursor of a checkpoint; `None` if no cursor made it.
pub(crate) fn cursor_of(checkpoint: &Checkpoint) -> Option<Value> {
    serde_json::from_value::<CursorState>(checkpoint.0.clone()).ok().map(|state| state.cursor.0)
}

/// Reads the state of a cursor from a checkpoint, if changes are tracked by a cursor.
///
/// # Errors
/// As [`confirmed_cursor_state_of`], and if the cursor ran over another column, table or query.
pub(crate) fn cursor_state_of(
    sync: &SyncId,
    tracking: &ChangeTracking,
    checkpoint: Option<&Checkpoint>,
) -> Result<Option<CursorState>, Error> {
    let cursor_state = confirmed_cursor_state_of(sync, tracking, checkpoint)?;
    if let (Some(CursorState { origin: Some(before), .. }), ChangeTracking::Cursor { origin, .. }) =
        (&cursor_state, tracking)
        && let Some(changes) = origin.changed_since(before)
    {
        return Err(Error::new(
            ErrorKind::Unconfirmed,
            format!("{changes} since the last run of `{sync}`: rows below its checkpoint would never be read"),
        )
        .hint(format!(
            "undo the change; or run `tidegate reset {sync}` to read from the beginning: all rows are sent again; or run `tidegate run {sync} --yes` to continue at the checkpoint, without the rows below it"
        )));
    }
    Ok(cursor_state)
}

/// Reads the state of a cursor from a checkpoint, whatever column, table or query it ran over.
///
/// # Errors
/// If another way to track changes made the checkpoint, or a cursor of another type.
pub(crate) fn confirmed_cursor_state_of(
    sync: &SyncId,
    tracking: &ChangeTracking,
    checkpoint: Option<&Checkpoint>,
) -> Result<Option<CursorState>, Error> {
    let Some(checkpoint) = checkpoint else { return Ok(None) };
    let cursor_state = serde_json::from_value::<CursorState>(checkpoint.0.clone());
    let column = match tracking {
        ChangeTracking::Cursor { column, .. } => column,
        // What is remembered of a cursor or a mirror is no unfinished read.
        ChangeTracking::Full | ChangeTracking::Checkpoint
            if cursor_state.is_ok() || is_of_mirror(checkpoint) =>
        {
            return Err(changed(format!("`{sync}` ran with another `mode` before"), sync));
        }
        ChangeTracking::Full | ChangeTracking::Checkpoint | ChangeTracking::Mirror => return Ok(None),
    };
    let cursor_state = cursor_state.map_err(|_| {
        let what = "was not made by a cursor: its `mode` or `cursor` was changed";
        changed(format!("the checkpoint of `{sync}` {what}"), sync)
    })?;
    if !fits(&cursor_state.cursor.0, &column.data_type) {
        return Err(misfit(sync, &column.name, &column.type_name, &cursor_state.cursor));
    }
    Ok(Some(cursor_state))
}

fn changed(what: String, sync: &SyncId) -> Error {
    Error::settings(what)
        .hint(format!("undo the change, or run `tidegate reset {sync}` to read from the beginning"))
}

/// The cursor is of another type than the checkpoint: rows would be missed, or all sent
/// again.
pub(crate) fn misfit(sync: &SyncId, column: &str, now: &str, position: &Position) -> Error {
    Error::new(
        ErrorKind::Settings,
        format!(
            "the cursor `{column}` is now {now}, but the checkpoint of `{sync}` is {}",
            position.0.type_name()
        ),
    )
    .hint(format!(
        "change the type back, or run `tidegate reset {sync}` to read from the beginning: all rows are sent again"
    ))
}

/// Returns whether a cursor value compares with the values of a column of this type.
pub(crate) fn fits(value: &Value, data_type: &DataType) -> bool {
    // A number that was wider before compares with the numbers that are there now.
    let narrowed = matches!((data_type, value), (DataType::Integer, Value::Decimal(_)));
    narrowed || data_type.holds(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_checkpoint_fits_only_columns_that_compare_with_it() {
        let at = "2026-01-01T00:00:00Z".parse().expect("a time");
        let wall = "2026-01-01T00:00:00".parse().expect("a time");
        let number = DataType::Decimal { precision: Some(38), scale: Some(0) };
        for (value, good) in [
            (Value::Int(1), vec![DataType::Integer, number.clone(), DataType::DECIMAL]),
            (Value::Decimal("1".into()), vec![DataType::Integer, number.clone(), DataType::DECIMAL]),
            (Value::Float(1.0), vec![DataType::Float]),
            (Value::Text("a".into()), vec![DataType::Text, DataType::Uuid]),
            (Value::Timestamp(at), vec![DataType::Timestamp]),
            (Value::DateTime(wall), vec![DataType::DateTime]),
            (Value::Date(wall.date()), vec![DataType::Date]),
        ] {
            for data_type in [
                DataType::Integer,
                number.clone(),
                DataType::DECIMAL,
                DataType::Float,
                DataType::Text,
                DataType::Uuid,
                DataType::Timestamp,
                DataType::DateTime,
                DataType::Date,
            ] {
                assert_eq!(fits(&value, &data_type), good.contains(&data_type), "{value:?} in {data_type}");
            }
        }
    }

    #[test]
    fn the_unit_of_a_number_stays_and_only_becomes_finer() {
        let rule = LookbackRule::SinceEpoch(Duration::from_secs(60));
        let mut cursor_state = CursorState::at(Value::Int(3));
        assert_eq!(cursor_state.low(&rule).expect("no lookback yet"), None, "everything is read again");
        for (value, unit, low) in [
            (1_764_410_400, EpochUnit::Seconds, 1_764_410_340),
            (99_999_999_999, EpochUnit::Seconds, 99_999_999_939),
            (1_764_410_400_000, EpochUnit::Milliseconds, 1_764_410_340_000),
            (1_764_410_400_001, EpochUnit::Milliseconds, 1_764_410_340_001),
        ] {
            cursor_state.advance(&Value::Int(value), &rule).expect("a lookback");
            // It goes through storage as text.
            let text = cursor_state.checkpoint().0.to_string();
            cursor_state = serde_json::from_str(&text).expect("a checkpoint");
            assert_eq!(
                (cursor_state.epoch, cursor_state.low.clone()),
                (Some(unit), Some(Value::Int(low))),
                "{value}"
            );
        }
    }

    #[test]
    fn a_checkpoint_does_not_move_to_a_value_without_a_lookback() {
        let mut cursor_state = CursorState::at(Value::Decimal("5".into()));
        let beyond = Value::Decimal("9".repeat(40).into());
        cursor_state.advance(&beyond, &LookbackRule::Number).expect_err("40 digits");
        assert_eq!(cursor_state.cursor.0, Value::Decimal("5".into()));
    }
}
