//! The rows with given keys.

use std::collections::BTreeMap;

use tidegate_model::{Error, Value};
use tidegate_transport::sql::quote;

use super::parameter::key_text;
use super::query::{SourceColumn, Table};
use super::reading::Step;

/// Keys in one statement of a lookup.
pub const LOOKUP_KEYS: usize = 10_000;

/// Returns the statements that find rows by their keys: one for many keys that are null in the same
/// columns.
pub fn lookups(table: &Table, key: &[String], values: &[Vec<Value>]) -> Result<Vec<Step>, Error> {
    lookups_by(table, key, values, |condition| format!("{} WHERE {condition}", table.everything()))
}

/// The same by statements that `write` makes of the condition of each.
pub fn lookups_by(
    table: &Table,
    key: &[String],
    values: &[Vec<Value>],
    write: impl Fn(&str) -> String,
) -> Result<Vec<Step>, Error> {
    let columns = key.iter().map(|name| table.find(name)).collect::<Result<Vec<_>, _>>()?;
    let mut alike: BTreeMap<Vec<bool>, Vec<Vec<Option<String>>>> = BTreeMap::new();
    for row in values {
        let text = |(value, column): (&Value, &&SourceColumn)| key_text(value, &column.shape);
        let texts: Vec<Option<String>> = row.iter().zip(&columns).map(text).collect();
        alike.entry(texts.iter().map(Option::is_none).collect()).or_default().push(texts);
    }
    let mut steps = Vec::new();
    for (nulls, keys) in alike {
        let sql = write(&condition(table, key, &nulls)?);
        for chunk in keys.chunks(LOOKUP_KEYS) {
            let array = |at: usize| -> Vec<Option<String>> {
                chunk.iter().map(|key| key.get(at).cloned().flatten()).collect()
            };
            let present = (0..key.len()).filter(|at| nulls.get(*at) == Some(&false));
            steps.push(Step {
                sql: sql.clone(),
                parameters: present.map(|at| Box::new(array(at)) as _).collect(),
            });
        }
    }
    Ok(steps)
}

/// Returns the condition for the rows whose `key` columns are null if `nulls` says so, and otherwise
/// have the values in as many text arrays.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Missing`] for a column that is not there.
pub fn condition(table: &Table, key: &[String], nulls: &[bool]) -> Result<String, Error> {
    let mut conditions = Vec::with_capacity(key.len());
    let (mut names, mut casts) = (Vec::with_capacity(key.len()), Vec::with_capacity(key.len()));
    for (name, is_null) in key.iter().zip(nulls) {
        let column = table.find(name)?;
        let (expression, cast) = column.compared();
        if *is_null {
            conditions.push(format!("{} IS NULL", quote(&column.name)));
        } else {
            casts.push(format!("wanted.k{}::{cast}", names.len()));
            names.push(expression);
        }
    }
    if !names.is_empty() {
        let of = |text: fn(usize) -> String| (0..names.len()).map(text).collect::<Vec<_>>().join(", ");
        conditions.push(format!(
            "({}) IN (SELECT {} FROM unnest({}) AS wanted({}))",
            names.join(", "),
            casts.join(", "),
            of(|at| format!("${}::text[]", at + 1)),
            of(|at| format!("k{at}")),
        ));
    }
    Ok(conditions.join(" AND "))
}
