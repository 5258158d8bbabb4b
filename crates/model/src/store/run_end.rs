//! How a run ends.

use jiff::Timestamp;

use super::NextRun;
use crate::{Ending, RunFailure};

/// How a run ends.
#[derive(Clone, Debug)]
pub struct RunEnd {
    /// How it ended.
    pub ending: Ending,
    /// Why it ended early, as people read it.
    pub error: Option<String>,
    /// What kind of failure that was: kept with the run, and with a pause that it sets or explains.
    pub failure: Option<RunFailure>,
    /// Whether the read completed: intents of earlier runs are removed.
    pub complete: bool,
    /// Whether the sync is paused, or a pause that Tidegate set is lifted; one that a person set stays.
    pub pause: PauseChange,
    /// When its sync runs next; `None` leaves that as it is.
    pub next_run: Option<NextRun>,
    /// When it ended.
    pub at: Timestamp,
}

impl RunEnd {
    /// Returns an ending without an error that leaves everything else as it is.
    pub fn new(ending: Ending, at: Timestamp) -> RunEnd {
        RunEnd {
            ending,
            error: None,
            failure: None,
            complete: false,
            pause: PauseChange::Keep,
            next_run: None,
            at,
        }
    }
}

/// What a run does to the pause of its sync. A pause that a person set is never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PauseChange {
    /// Leaves it as it is.
    Keep,
    /// Pauses the sync in the name of Tidegate, for this reason.
    Set(String),
    /// Replaces the reason of a pause that Tidegate set, if there is one.
    Explain(String),
    /// Removes a pause that Tidegate set.
    Lift,
}
