//! One execution of a sync.

use std::fmt;
use std::ops::AddAssign;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Compared, ConnectionId, Error, ErrorKind, RunId, SyncId};

/// Why a run started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A person asked for it.
    Manual,
    /// It was due.
    Schedule,
    /// A person asked for rejected or doubtful rows to be sent again.
    Retry,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every row was delivered.
    Succeeded,
    /// It was completed; some rows were rejected or are in doubt.
    Partial,
    /// It could not be completed.
    Failed,
    /// It was stopped, or its process died.
    Interrupted,
}

impl Ending {
    /// Returns the word in tables and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Ending::Succeeded => "succeeded",
            Ending::Partial => "partial",
            Ending::Failed => "failed",
            Ending::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The number of rows by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Counts {
    /// Rows read from the source.
    pub read: u64,
    /// Rows that were read again and skipped, since they were committed before.
    pub skipped: u64,
    /// Rows that have changed since they were committed and are not sent again
    /// (`changed: ignore`).
    pub ignored: u64,
    /// Rows that took effect.
    pub delivered: u64,
    /// Rows that were not acceptable.
    pub rejected: u64,
    /// Rows that may or may not have taken effect.
    pub in_doubt: u64,
    /// Rows that are not due: their cursor is in the future of the source's clock.
    pub not_due: u64,
    /// Deliveries that returned a receipt. Requests that failed as a whole are not counted.
    pub requests: u64,
    /// Requests that were sent again.
    pub retries: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.read += other.read;
        self.skipped += other.skipped;
        self.ignored += other.ignored;
        self.delivered += other.delivered;
        self.rejected += other.rejected;
        self.in_doubt += other.in_doubt;
        self.not_due += other.not_due;
        self.requests += other.requests;
        self.retries += other.retries;
    }
}

/// A run that sends nothing for now, since the other side asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wait {
    /// The connection that asked.
    pub connection: ConnectionId,
    /// When it takes requests again.
    pub until: Timestamp,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.until.strftime("%F %T UTC");
        write!(f, "`{}` asks to wait until {until}: nothing is sent before", self.connection)
    }
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The counts so far.
    pub counts: Counts,
    /// Set while it waits because it was asked to.
    pub wait: Option<Wait>,
}

/// One execution of a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// The sync.
    pub sync: SyncId,
    /// Why it started.
    pub cause: Cause,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended, if it did.
    pub finished_at: Option<Timestamp>,
    /// How it ended, if it did.
    pub ending: Option<Ending>,
    /// The counts so far.
    pub counts: Counts,
    /// How the source differed from what was committed before, with `mode: mirror`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
    /// What ended it, for people: sentence and next step.
    pub error: Option<String>,
    /// What kind of failure that was, and where; not there if an earlier version ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RunFailure>,
}

/// What kind of failure ended a run, and through which connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunFailure {
    /// The kind: `settings`, `denied`, `missing`, `unconfirmed` (a person has to confirm the run),
    /// `throttled`, `unavailable`, `too_large`, `rejected`, `unexpected`, `storage`, `held` or `internal`.
    #[schemars(with = "String")]
    pub kind: ErrorKind,
    /// The connection through which it failed, if one is known to be at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionId>,
}

impl From<&Error> for RunFailure {
    fn from(error: &Error) -> RunFailure {
        RunFailure { kind: error.kind(), connection: error.connection().cloned() }
    }
}
