//! The rows with given keys.

use std::collections::BTreeMap;

use tidegate_model::{Error, Value};

use super::parameter::key_text;
use super::query::{SourceColumn, Table};
use super::reading::Step;

/// Keys in one statement of a lookup.
pub const LOOKUP_KEYS: usize = 10_000;

/// Returns the statements that find rows by their keys: one for many keys that are null in the same
/// columns.
pub fn lookups(table: &Table, key: &[String], values: &[Vec<Value>]) -> Result<Vec<Step>, Error> {
    let columns = key.iter().map(|name| table.find(name)).collect::<Result<Vec<_>, _>>()?;
    let mut alike: BTreeMap<Vec<bool>, Vec<Vec<Option<String>>>> = BTreeMap::new();
    for row in values {
        let text = |(value, column): (&Value, &&SourceColumn)| key_text(value, &column.shape);
        let texts: Vec<Option<String>> = row.iter().zip(&columns).map(text).collect();
        alike.entry(texts.iter().map(Option::is_none).collect()).or_default().push(texts);
    }
    let mut steps = Vec::new();
    for (nulls, keys) in alike {
        let sql = table.lookup(key, &nulls)?;
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
