//! One sync that is run again and again: when it is due, when it was resumed, when it may work again.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tidegate_model::store::PausedBy;
use tidegate_model::{Ending, Error, ErrorKind, Run, SyncId};
use tidegate_project::Schedule;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::scheduled::ScheduledSync;
use super::{LOOK, rest};
use crate::pipeline::wait;
use crate::service::Engine;

/// How often the clock is looked at while a sync waits for its time: it may be set.
const IDLE: Duration = Duration::from_secs(30);
/// How often the plan of such a sync is read again: another process may have changed it.
const REREAD: Duration = Duration::from_secs(600);
/// How soon a paused sync is tried again; the wait doubles each time.
const RECHECK_FIRST: Duration = Duration::from_secs(10);
/// The longest of these waits.
const RECHECK_LONGEST: Duration = Duration::from_secs(60);

/// The runs of one sync, one after the other.
pub(super) struct Rounds {
    pub(super) engine: Arc<Engine>,
    pub(super) scheduled: ScheduledSync,
    pub(super) id: SyncId,
    pub(super) schedule: Schedule,
    /// Fires when the process stops.
    pub(super) stop: CancellationToken,
    /// Fires when the sync is no longer wanted.
    pub(super) gone: CancellationToken,
    /// Runs that failed, one after the other.
    failures: u32,
    /// Why it fails, logged once for as long as it stays the same.
    pub(super) reported: String,
    /// Whether it was on when it was looked at last.
    is_on: bool,
}

impl Rounds {
    /// Creates those of a sync that was not run yet.
    pub(super) fn new(
        engine: Arc<Engine>,
        scheduled: ScheduledSync,
        stop: CancellationToken,
        gone: CancellationToken,
    ) -> Rounds {
        let (id, schedule) = (scheduled.id(), scheduled.schedule());
        let (failures, reported, is_on) = (0, String::new(), false);
        Rounds { engine, scheduled, id, schedule, stop, gone, failures, reported, is_on }
    }

    /// Runs the sync until it is no longer wanted. If it is switched off, an export is brought to its end
    /// once more.
    pub(super) async fn run(mut self) {
        let engine = Arc::clone(&self.engine);
        // The turn of a run that is due.
        let mut turn: Option<SemaphorePermit<'_>> = None;
        while !self.is_over() {
            let Ok(state) = engine.config.store.sync_state(&self.id).await else {
                self.rest(LOOK).await;
                continue;
            };
            if state.paused.as_ref().is_some_and(|pause| pause.by != PausedBy::System) {
                turn = None;
                if self.is_on && self.failures == 0 {
                    self.last_run().await;
                }
                self.is_on = false;
                self.wait_for_resume().await;
                continue;
            }
            self.is_on = true;
            if self.schedule != Schedule::Continuous {
                let due = engine.until_due(&self.id, &self.schedule, &state).await;
                if !due.is_zero() {
                    turn = None;
                    // Its state is looked at again when it is due.
                    self.rest_until_due(due).await;
                    continue;
                }
                if turn.is_none() {
                    // Looked at again then: another process may have run it meanwhile.
                    turn = self.turn(&engine.turns).await;
                    continue;
                }
            }
            let ended = self.run_once().await;
            turn = None;
            self.after(ended).await;
        }
        // One that was changed or removed in the project has no last run: it would go by what no longer holds.
        let is_requested = matches!(self.scheduled, ScheduledSync::Requested(..));
        if is_requested && self.is_on && self.failures == 0 && !self.stop.is_cancelled() {
            self.last_run().await;
        }
    }

    /// Waits after a run, by how it ended.
    async fn after(&mut self, ended: Result<Run, Error>) {
        let id = &self.id;
        let (why, moved) = match ended {
            Ok(run) if run.ending == Some(Ending::Failed) => {
                (run.error.unwrap_or_default(), run.counts.delivered > 0)
            }
            Ok(_) => {
                log_recovery(id, &mut self.reported);
                self.failures = 0;
                if self.schedule == Schedule::Continuous {
                    // It ended on its own: its source does not follow, or is gone.
                    self.rest(LOOK).await;
                }
                return;
            }
            Err(error) if error.kind() == ErrorKind::Held => {
                // Another process runs it; it is taken over when that one is done or gone.
                tracing::debug!(sync = %id, "the sync is held by another process");
                return self.rest(LOOK).await;
            }
            Err(error) => (format!("{}. Next: {}", error.chain(), error.next_step()), false),
        };
        self.failures = if moved { 1 } else { self.failures + 1 };
        if self.reported == why && !moved {
            tracing::debug!(sync = %id, why, "sync still failing");
        } else {
            tracing::warn!(sync = %id, why, "sync failed; retrying automatically");
            self.reported = why;
        }
        let delay = match &self.schedule {
            Schedule::Continuous if self.engine.paused(id).await.is_none() => wait::backoff(self.failures),
            Schedule::Every(span) => recheck_delay(self.failures).min(*span),
            Schedule::Continuous | Schedule::Cron(_) => recheck_delay(self.failures),
        };
        self.wait_for_recheck(delay).await;
    }

    /// Whether no more runs are wanted.
    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.gone.is_cancelled()
    }

    async fn rest(&self, span: Duration) {
        rest(span, &self.stop, &self.gone).await;
    }

    /// Waits until a time that is `due` away, or until the sync is paused: its events until then
    /// are exported once more. All syncs that wait share one question to the store.
    async fn rest_until_due(&self, due: Duration) {
        let (clock, span) = (&self.engine.config.clock, due.min(REREAD));
        let at = clock.now().saturating_add(SignedDuration::try_from(span).unwrap_or_default());
        let Ok(at) = at else { return };
        while !self.is_over() {
            match Duration::try_from(at.duration_since(clock.now())) {
                // A clock that was set back has its plan made again.
                Ok(left) if !left.is_zero() && left <= span => self.rest(left.min(IDLE)).await,
                _ => return,
            }
            if self.engine.seen_paused(&self.id).await.is_some() {
                return;
            }
        }
    }

    /// Waits while the sync is paused by a person.
    async fn wait_for_resume(&self) {
        loop {
            self.rest(LOOK).await;
            let resumed = self.engine.seen_paused(&self.id).await.is_none_or(|by| by == PausedBy::System);
            if resumed || self.is_over() {
                return;
            }
        }
    }

    /// Waits before a sync that failed is tried again, or until a person resumes it.
    async fn wait_for_recheck(&self, span: Duration) {
        let resumed = async {
            if self.engine.paused(&self.id).await.is_none() {
                return std::future::pending().await;
            }
            wait::span(LOOK).await;
            while self.engine.seen_paused(&self.id).await.is_some() {
                wait::span(LOOK).await;
            }
        };
        tokio::select! {
            () = resumed => {}
            () = self.rest(span) => {}
        }
    }

    /// Waits for the turn of a scheduled run; `None` if it is no longer wanted.
    async fn turn<'a>(&self, turns: &'a Semaphore) -> Option<SemaphorePermit<'a>> {
        tokio::select! {
            turn = turns.acquire() => turn.ok(),
            () = self.stop.cancelled() => None,
            () = self.gone.cancelled() => None,
        }
    }
}

/// Returns how long to wait before a paused sync is tried again.
fn recheck_delay(failures: u32) -> Duration {
    RECHECK_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RECHECK_LONGEST)
}

/// Logs recovery if a failure was logged before.
pub(super) fn log_recovery(id: &SyncId, reported: &mut String) {
    if !std::mem::take(reported).is_empty() {
        tracing::info!(sync = %id, "sync recovered");
    }
}
