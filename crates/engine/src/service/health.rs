//! Whether a sync needs attention, and why.

use serde::Serialize;
use tidegate_model::Ending;
use tidegate_model::store::{FailedRowGroup, PausedBy, StatusKind};

use super::runs::SyncStatus;

/// How a sync is doing: its open state, not the result of its last run alone. The order is
/// that of a list, with what needs a person first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It cannot run, or its last run failed.
    Broken,
    /// It runs, and left failed rows or an interrupted run behind.
    NeedsAttention,
    /// A person paused it.
    Paused,
    /// It never ran.
    New,
    /// It is a draft, which does not run.
    Draft,
    /// Nothing is wrong with it.
    Healthy,
}

impl Health {
    /// Returns the word used in JSON and in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Broken => "broken",
            Health::NeedsAttention => "needs_attention",
            Health::Paused => "paused",
            Health::New => "new",
            Health::Draft => "draft",
            Health::Healthy => "healthy",
        }
    }

    /// Returns whether a person has something to do.
    pub fn needs_a_person(self) -> bool {
        matches!(self, Health::Broken | Health::NeedsAttention)
    }
}

/// Returns how a sync is doing, and the sentence that says why.
pub(super) fn of(status: &SyncStatus, groups: &[FailedRowGroup]) -> (Health, Option<String>) {
    if let Some(pause) = &status.paused {
        return match &pause.by {
            PausedBy::System => (Health::Broken, Some(pause.why.clone())),
            PausedBy::Person(name) => (Health::Paused, Some(format!("Paused by {name}: {}", pause.why))),
        };
    }
    if !status.enabled {
        return (Health::Draft, None);
    }
    let Some(run) = &status.last_run else { return (Health::New, None) };
    if run.ending == Some(Ending::Failed) {
        let why = run.error.clone().unwrap_or_else(|| "The last run failed.".to_owned());
        return (Health::Broken, Some(why));
    }
    if let Some(group) = groups.iter().max_by_key(|group| group.rows) {
        return (Health::NeedsAttention, Some(failed_rows(status.failed_rows, group)));
    }
    if run.ending == Some(Ending::Interrupted) {
        let why = "The last run was interrupted. The next one continues from the checkpoint.";
        return (Health::NeedsAttention, Some(why.to_owned()));
    }
    (Health::Healthy, None)
}

/// The sentence about failed rows; `group` is the largest one.
fn failed_rows(rows: u64, group: &FailedRowGroup) -> String {
    let message = group.reason.message.trim_end_matches('.');
    match (group.status, rows) {
        (StatusKind::InDoubt, 1) => format!("1 row is in doubt: {message}"),
        (StatusKind::InDoubt, _) if group.rows == rows => format!("{rows} rows are in doubt: {message}"),
        (_, 1) => format!("1 row failed: {message}"),
        (_, _) if group.rows == rows => format!("{rows} rows failed: {message}"),
        (_, _) => format!("{rows} rows failed, the most frequent reason is: {message}"),
    }
}
