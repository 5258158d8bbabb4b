//! Rows in groups: by reason, sync, user or day.

use std::collections::HashMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::store::RowEntry;

use crate::cli::{GroupBy, Output};
use crate::output::table::{Table, numeric, sentence, word};
use crate::output::{self, counted, moment, note, number};

/// Examples of each group.
const EXAMPLES: usize = 3;

/// What `rows --by` counts.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Grouped {
    /// The groups, most rows first; days newest first.
    groups: Vec<Group>,
    /// The number of rows in all groups.
    total: u64,
}

/// Rows that have the same reason, sync, user or day.
#[derive(Debug, Serialize, JsonSchema)]
struct Group {
    /// The reason code, the sync, the user or the day (UTC).
    name: String,
    /// The sync, for groups by reason.
    sync: Option<String>,
    /// The sentence of one of the rows, for groups by reason.
    message: Option<String>,
    /// The number of rows.
    rows: u64,
    /// When the status of the newest of them was committed.
    last_at: Timestamp,
    /// Keys, or users, of the newest of them.
    examples: Vec<String>,
}

/// Prints rows in groups. Rows without a reason are in none by reason.
pub(super) fn print(by: GroupBy, entries: &[RowEntry], out: Output) {
    let grouped = group(by, entries);
    if out != Output::Text {
        output::listing(out, &grouped, &grouped.groups);
        return;
    }
    if grouped.groups.is_empty() {
        note("no rows");
        return;
    }
    output::table(&table(by, &grouped.groups));
    note(counted(grouped.total, "row"));
}

fn group(by: GroupBy, entries: &[RowEntry]) -> Grouped {
    let mut found: HashMap<(String, Option<String>), Group> = HashMap::new();
    for entry in entries {
        let (name, sync, message) = match by {
            GroupBy::Reason => {
                let Some(reason) = &entry.reason else { continue };
                (reason.code.to_string(), Some(entry.sync.to_string()), Some(reason.message.clone()))
            }
            GroupBy::Sync => (entry.sync.to_string(), None, None),
            GroupBy::User => (entry.user.clone(), None, None),
            GroupBy::Day => (entry.at.strftime("%Y-%m-%d").to_string(), None, None),
        };
        let group = found.entry((name.clone(), sync.clone())).or_insert_with(|| Group {
            name,
            sync,
            message,
            rows: 0,
            last_at: entry.at,
            examples: Vec::new(),
        });
        group.rows += 1;
        group.last_at = group.last_at.max(entry.at);
        let example = if entry.key.is_empty() { &entry.user } else { &entry.key };
        if group.examples.len() < EXAMPLES && !example.is_empty() && !group.examples.contains(example) {
            group.examples.push(example.clone());
        }
    }
    let mut groups: Vec<Group> = found.into_values().collect();
    match by {
        GroupBy::Day => groups.sort_by(|a, b| b.name.cmp(&a.name)),
        _ => groups.sort_by(|a, b| (b.rows, &a.name, &a.sync).cmp(&(a.rows, &b.name, &b.sync))),
    }
    Grouped { total: groups.iter().map(|group| group.rows).sum(), groups }
}

fn table(by: GroupBy, groups: &[Group]) -> Table {
    let name = match by {
        GroupBy::Reason => "reason",
        GroupBy::Sync => "sync",
        GroupBy::User => "user",
        GroupBy::Day => "day",
    };
    let mut table = Table::new([
        numeric("rows"),
        word(name),
        word(if by == GroupBy::Reason { "sync" } else { "" }),
        word("last").optional(),
        word("for example").optional(),
        sentence("message"),
    ]);
    for group in groups {
        table.row([
            number(group.rows).into(),
            if group.name.is_empty() { "(none)" } else { &group.name }.into(),
            group.sync.clone().unwrap_or_default().into(),
            moment(group.last_at).into(),
            group.examples.join(", ").into(),
            group.message.clone().unwrap_or_default().into(),
        ]);
    }
    table
}
