//! The brake of runs that remove much: `limits` in the project file.

use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::{Ending, Error, ErrorKind, Progress, SyncId};
use tidegate_project::Limit;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::runs::RunMode;

/// A limit of a sync, and a run that would go beyond it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExceededLimit {
    /// The limit as the project file has it, such as `removed: 1000`.
    pub limit: String,
    /// The rows that the limit allows.
    pub allowed: u64,
    /// The rows that the run would send.
    pub rows: u64,
}

impl ExceededLimit {
    /// Returns what is exceeded by a run that deletes this many users.
    pub(super) fn by_deletions(limit: Option<Limit>, rows: u64) -> Option<ExceededLimit> {
        let limit = limit?;
        // A sync of deletions does not know how many users there are, so it has no share.
        let allowed = limit.rows(0);
        (rows > allowed).then(|| ExceededLimit { limit: format!("removed: {limit}"), allowed, rows })
    }
}

impl Engine {
    /// Refuses a run that would remove more than the limits of its sync allow, before anything
    /// is sent: the run is made against a recorder first.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if it would, [`ErrorKind::Settings`] if the run has no end, and
    /// whatever keeps the number from being known.
    pub(super) async fn brake(
        &self,
        id: &SyncId,
        mode: RunMode,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let removed = self.import_spec(id)?.limits.removed;
        if removed.is_none() || mode == RunMode::Confirmed {
            return Ok(());
        }
        if mode == RunMode::Follow {
            return Err(Error::settings(format!(
                "`limits` counts the rows of one run, and `{id}` is one run without end"
            ))
            .hint("give the sync a schedule such as `{ every: 15m }`, or remove `limits`"));
        }
        let progress = watch::Sender::new(Progress::default());
        let run = self.dry_run(id, 0, stop.child_token(), progress).await?.run;
        if !matches!(run.ending, Some(Ending::Succeeded | Ending::Partial)) {
            let why = run.error.unwrap_or_else(|| "it was stopped".to_owned());
            let message = format!("the rows that `{id}` would delete could not be counted: {why}");
            return Err(Error::new(ErrorKind::Unavailable, message).hint("run it again: nothing was sent"));
        }
        match ExceededLimit::by_deletions(removed, run.counts.delivered) {
            None => Ok(()),
            Some(ExceededLimit { limit, allowed, rows }) => Err(Error::new(
                ErrorKind::Denied,
                format!(
                    "skipped: the run would delete {rows} users, and `limits: {{ {limit} }}` allows {allowed}; \
                     nothing was sent"
                ),
            )
            .hint(format!(
                "look at `tidegate plan {id}`, then run `tidegate run {id} --yes` or raise the limit"
            ))),
        }
    }
}
