//! Reports that a run waits because the destination asked for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tidegate_model::store::RunLedger;
use tidegate_model::{Clock, ConnectionId, Progress, RunId, Wait};
use tokio::sync::watch;

use crate::pipeline::deliver::rate_limiter::RateLimiter;
use crate::pipeline::wait;

/// How often a run is checked.
const LOOK: Duration = Duration::from_millis(500);
/// Shorter waits are part of sending at a rate, and over before they are read.
const WORTH_TELLING: SignedDuration = SignedDuration::from_secs(5);

/// Notes in the store and in the progress of a run when its connection asked it to wait, and when
/// that is over.
pub(crate) struct AskedToWait {
    pub(crate) connection: ConnectionId,
    pub(crate) rate_limiter: Arc<RateLimiter>,
    pub(crate) run: RunId,
    pub(crate) store: Arc<dyn RunLedger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) progress: watch::Sender<Progress>,
}

impl AskedToWait {
    /// Watches until the run ends.
    pub(crate) async fn watch(self) -> Infallible {
        let mut noted: Option<Wait> = None;
        loop {
            self.rate_limiter.share_closing().await;
            let wait = self.wait(noted.as_ref());
            if wait != noted {
                self.progress.send_modify(|progress| progress.wait.clone_from(&wait));
                // It is information for people: a failure does not end the run.
                if let Err(error) = self.store.note_wait(&self.run, wait.clone()).await {
                    tracing::debug!(run = %self.run, error = error.chain(), "a wait could not be noted");
                }
                noted = wait;
            }
            wait::span(LOOK).await;
        }
    }

    /// Returns the wait if it is long enough to report, or if it was reported and is not over.
    fn wait(&self, noted: Option<&Wait>) -> Option<Wait> {
        let until = self.rate_limiter.closed_until()?;
        let told = noted.is_some_and(|noted| noted.until == until);
        let worth = until.duration_since(self.clock.now()) >= WORTH_TELLING;
        (told || worth).then(|| Wait { connection: self.connection.clone(), until })
    }
}
