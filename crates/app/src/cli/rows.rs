//! Which rows and events are shown.

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::complete;

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// The connection that receives them [default: all, or the only one with --last].
    #[arg(add = ArgValueCandidates::new(complete::connections))]
    pub(crate) stream: Option<String>,
    /// Show the latest N events, one a line, instead of counting.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<usize>,
    /// Only events of this kind; `*` stands for any text.
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
}

/// What rows are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupBy {
    /// The reason, for each sync.
    Reason,
    /// The sync.
    Sync,
    /// The user.
    User,
    /// The day in UTC.
    Day,
}

/// Reads a number of rows to list.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected 1 or more".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}

/// Which rows to list.
#[derive(Debug, Args)]
pub(crate) struct Rows {
    /// Only rows of this sync.
    #[arg(long, add = ArgValueCandidates::new(complete::syncs))]
    pub(crate) sync: Option<String>,
    /// Only rows of this run.
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
    /// Only rows of this user or catalog item.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Only rejected rows, including those delivered since.
    #[arg(long, conflicts_with_all = ["in_doubt", "delivered"])]
    pub(crate) rejected: bool,
    /// Only rows in doubt.
    #[arg(long, conflicts_with = "delivered")]
    pub(crate) in_doubt: bool,
    /// Only delivered rows.
    #[arg(long)]
    pub(crate) delivered: bool,
    /// Only failed rows that are still open: neither delivered since nor dismissed.
    #[arg(long, conflicts_with = "delivered")]
    pub(crate) open: bool,
    /// Only failed rows that were dismissed, with the note.
    #[arg(long, conflicts_with_all = ["delivered", "open", "by"])]
    pub(crate) dismissed: bool,
    /// Only rows since this time: `7d`, `yesterday`, `2026-01-31`, `2026-01-31T12:00:00Z`.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only rows before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Count the rows in groups instead of listing them.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) by: Option<GroupBy>,
    /// The maximum number of rows to list.
    #[arg(long, value_name = "N", default_value = "50", value_parser = at_least_one)]
    pub(crate) limit: usize,
}
