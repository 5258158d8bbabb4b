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
    /// Whether all rows were counted; `false` if there are more than 200,000, of which the newest were.
    complete: bool,
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

/// Prints groups. `rows_max` is how many rows were counted at most; `none` says that there are none.
pub(super) fn print(by: GroupBy, grouped: &Grouped, rows_max: usize, none: &str, out: Output) {
    if out != Output::Text {
        output::listing(out, grouped, &grouped.groups);
        return;
    }
    if !grouped.complete {
        note(format!(
            "only the newest {} are counted; `--since` and `--sync` narrow them",
            counted(rows_max as u64, "row")
        ));
    }
    if grouped.groups.is_empty() {
        note(none);
        return;
    }
    output::table(&table(by, &grouped.groups));
    note(counted(grouped.total, "row"));
}

/// Groups while they are counted, so that rows are not kept.
pub(super) struct Grouping {
    by: GroupBy,
    found: HashMap<(String, Option<String>), Group>,
}

impl Grouping {
    /// Creates a grouping without rows.
    pub(super) fn new(by: GroupBy) -> Grouping {
        Grouping { by, found: HashMap::new() }
    }

    /// Counts a row. One without a reason is in no group by reason.
    pub(super) fn add(&mut self, entry: &RowEntry) {
        let (name, sync, message) = match self.by {
            GroupBy::Reason => {
                let Some(reason) = &entry.reason else { return };
                (reason.code.to_string(), Some(entry.sync.to_string()), Some(reason.message.clone()))
            }
            GroupBy::Sync => (entry.sync.to_string(), None, None),
            GroupBy::User => (entry.user.clone(), None, None),
            GroupBy::Day => (entry.at.strftime("%Y-%m-%d").to_string(), None, None),
        };
        let group = self.found.entry((name.clone(), sync.clone())).or_insert_with(|| Group {
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

    /// Returns the groups in their order; `complete` says whether all rows were counted.
    pub(super) fn finish(self, complete: bool) -> Grouped {
        let mut groups: Vec<Group> = self.found.into_values().collect();
        match self.by {
            GroupBy::Day => groups.sort_by(|a, b| b.name.cmp(&a.name)),
            _ => groups.sort_by(|a, b| (b.rows, &a.name, &a.sync).cmp(&(a.rows, &b.name, &b.sync))),
        }
        Grouped { total: groups.iter().map(|group| group.rows).sum(), groups, complete }
    }
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
