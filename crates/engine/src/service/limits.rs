//! The brake of runs that remove much: `limits` in the project file.

use tidegate_model::{Ending, Error, ErrorKind, Mode, Progress, SyncId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::runs::RunMode;
use crate::pipeline::ExceededLimit;

impl Engine {
    /// Refuses a run that would remove more than the limits of its sync allow, before anything
    /// is sent: the run is made against a recorder first.
    ///
    /// # Errors
    /// [`ErrorKind::Unconfirmed`] if it would, [`ErrorKind::Settings`] if the run has no end, and
    /// whatever keeps the number from being known.
    pub(super) async fn brake(
        &self,
        id: &SyncId,
        mode: RunMode,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let sync = self.import_spec(id)?;
        // A mirror counts in its run, when it has compared all rows.
        let removed = sync.limits.removed.filter(|_| sync.mode != Mode::Mirror);
        if removed.is_none() || !mode.is_limited() {
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
        match ExceededLimit::by_deletions(removed, run.counts.delivered, mode.confirmed()) {
            None => Ok(()),
            Some(exceeded) => Err(exceeded.error(id)),
        }
    }
}
