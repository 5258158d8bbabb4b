//! What is known of a sync besides its configuration.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Checkpoint, ObjectKind, RunFailure, Systems, Wait};

/// What is known of a sync besides its configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SyncState {
    /// Set while the sync is paused. A sync paused by [`PausedBy::System`] is still retried.
    pub paused: Option<Pause>,
    /// The kind of object of its first run; it cannot change after that.
    pub object: Option<ObjectKind>,
    /// The position after the last committed batch.
    pub checkpoint: Option<Checkpoint>,
    /// The systems that its checkpoint and everything else that is remembered are about.
    pub systems: Option<Systems>,
    /// Whether the last read completed, so that the next one starts over.
    pub complete: bool,
    /// When `tidegate serve` runs it next, if it has a schedule.
    pub next_run: Option<NextRun>,
    /// Set while its run sends nothing because the destination asked for it.
    pub wait: Option<Wait>,
}

/// When a scheduled sync runs next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextRun {
    /// The schedule that this was planned by, as people read it.
    pub schedule: String,
    /// When the run is due.
    pub at: Timestamp,
}

/// Why a sync is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pause {
    /// Tidegate itself, or the person who asked for it.
    pub by: PausedBy,
    /// The sentence to act on.
    pub why: String,
    /// Since when.
    pub at: Timestamp,
    /// What kind of failure it was, if Tidegate paused it after one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RunFailure>,
}

impl Pause {
    /// Returns a pause after no failure.
    pub fn new(by: PausedBy, why: impl Into<String>, at: Timestamp) -> Pause {
        Pause { by, why: why.into(), at, failure: None }
    }
}

/// Who paused a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// Tidegate, because the next run would probably fail too. `tidegate serve` keeps retrying at
    /// long intervals. A run that ends as succeeded or partial removes the pause, as does a
    /// delivery of a continuous run.
    System,
    /// Tidegate, because the state of the sync was put back from an older copy, and rows that were sent since
    /// could count twice. Only `tidegate resume` resumes the sync.
    Restored,
    /// A person, by name. Only `tidegate resume` resumes the sync.
    Person(String),
}

impl fmt::Display for PausedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PausedBy::System | PausedBy::Restored => "Tidegate",
            PausedBy::Person(name) => name,
        })
    }
}
