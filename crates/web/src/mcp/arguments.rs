//! What each tool takes. The comments are read by agents.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::Ending;
use tidegate_model::store::StatusKind;

/// Which part of the syncs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Syncs {
    /// The `next` of the page before.
    pub(super) after: Option<String>,
    /// At most this many: 20 if it is left out, 100 at most.
    pub(super) limit: Option<u32>,
}

/// One sync.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneSync {
    /// The name of the sync, as list_syncs has it.
    pub(super) sync: String,
}

/// Which runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Runs {
    /// Of one sync; all if it is left out.
    pub(super) sync: Option<String>,
    /// With one ending.
    pub(super) ending: Option<Ending>,
    /// The `next` of the page before.
    pub(super) after: Option<String>,
    /// At most this many: 20 if it is left out, 100 at most.
    pub(super) limit: Option<u32>,
}

/// One run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneRun {
    /// The id of the run.
    pub(super) run: String,
}

/// Which groups of failed rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Groups {
    /// Of one sync; all if it is left out.
    pub(super) sync: Option<String>,
    /// The `next` of the page before.
    pub(super) after: Option<String>,
    /// At most this many: 20 if it is left out, 100 at most.
    pub(super) limit: Option<u32>,
}

/// Which failed rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FailedRows {
    /// Of one sync; all if it is left out.
    pub(super) sync: Option<String>,
    /// Of one user.
    pub(super) user: Option<String>,
    /// With one reason code, as list_failed_row_groups has it.
    pub(super) reason: Option<String>,
    /// `rejected`, or `in_doubt`.
    pub(super) status: Option<StatusKind>,
    /// The `next` of the page before.
    pub(super) after: Option<String>,
    /// At most this many: 20 if it is left out, 100 at most.
    pub(super) limit: Option<u32>,
}

/// One user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    /// An identifier, as syncs and events have it.
    pub(super) user: String,
    /// At most this many entries: 20 if it is left out, 100 at most.
    pub(super) limit: Option<u32>,
}

/// A run to start.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    /// The name of the sync.
    pub(super) sync: String,
    /// The id of the plan, as plan_sync has it: the run sends what the plan said, also beyond the limits of the sync,
    /// or nothing. It needs a token of an admin. Show the plan to a person first.
    pub(super) plan: Option<String>,
    /// Seconds to wait for the end of the run: 30 if it is left out, 50 at most. The run continues after them.
    pub(super) wait_seconds: Option<u32>,
}

/// A sync to pause.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pause {
    /// The name of the sync.
    pub(super) sync: String,
    /// Why, for the people who see that it is paused.
    pub(super) why: String,
}

/// Failed rows to send again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    /// The name of the sync.
    pub(super) sync: String,
    /// Only rows of this user.
    pub(super) user: Option<String>,
    /// Only rows with this reason code.
    pub(super) reason: Option<String>,
    /// Only the row of this id.
    pub(super) row: Option<String>,
    /// Seconds to wait for the end of the run: 30 if it is left out, 50 at most.
    pub(super) wait_seconds: Option<u32>,
}
