//! One run of a scheduled sync, under its lease.
//!
//! The end of the run and the time of the next are stored together: a process that ends in between would
//! leave the sync due, and everything would be sent again.

use tidegate_model::store::PausedBy;
use tidegate_model::{Cause, Claim, Error, ErrorKind, Progress, Run, SyncId};
use tidegate_project::Schedule;
use tokio::sync::watch;

use super::LOOK;
use super::rounds::{Rounds, log_recovery};
use super::scheduled::ScheduledSync;
use crate::pipeline::wait;
use crate::service::runs::{OpenSync, RunMode};

impl Rounds {
    /// Runs the sync once; the run ends early if the sync is switched off.
    pub(super) async fn run_once(&mut self) -> Result<Run, Error> {
        let (open, claim) = self.open(false).await?;
        if self.schedule != Schedule::Continuous {
            // Another process may have run it while this one waited for it.
            let state = match self.engine.config.store.sync_state(&self.id).await {
                Ok(state) => state,
                Err(error) => {
                    claim.release().await;
                    return Err(error);
                }
            };
            if !self.engine.until_due(&self.id, &self.schedule, &state).await.is_zero() {
                claim.release().await;
                return Err(Error::new(ErrorKind::Held, "another process has run the sync"));
            }
        }
        let ended = self.run_held(&open, &claim).await;
        self.engine.do_requested_work(&claim, &self.stop).await;
        claim.release().await;
        ended
    }

    async fn run_held(&mut self, open: &OpenSync, claim: &Claim) -> Result<Run, Error> {
        let (engine, id, reported) = (&self.engine, &self.id, &mut self.reported);
        let halt = self.stop.child_token();
        let mode = match self.schedule {
            Schedule::Continuous => RunMode::Follow,
            Schedule::Every(_) | Schedule::Cron(_) => RunMode::Scheduled,
        };
        let progress = progress();
        let mut moved = progress.subscribe();
        let run = engine.run_open(open, claim, mode, Cause::Schedule, halt.clone(), progress);
        // Beside the run, which continues while the store is asked.
        let interrupted = async {
            loop {
                wait::span(LOOK).await;
                // One that follows would never reach the request; it continues afterwards.
                if engine.seen_paused(id).await.is_some_and(|by| by != PausedBy::System)
                    || (mode == RunMode::Follow && engine.is_asked_for_work(claim).await)
                {
                    return;
                }
            }
        };
        tokio::pin!(run, interrupted);
        loop {
            tokio::select! {
                ended = &mut run => return ended,
                // A run that ends without being stopped finishes with what it began with.
                () = self.gone.cancelled(), if mode == RunMode::Follow => break,
                // A run that follows does not end to say so.
                true = delivers(&mut moved), if !reported.is_empty() => log_recovery(id, reported),
                () = &mut interrupted => break,
            }
        }
        halt.cancel();
        run.await
    }

    /// Brings an export to its end: what came in before it was switched off arrives.
    pub(super) async fn last_run(&self) {
        let is_import = |id: &SyncId| self.engine.sync(id).is_ok_and(|sync| sync.as_import().is_some());
        if matches!(&self.scheduled, ScheduledSync::Configured(id, _) if is_import(id)) {
            return;
        }
        let last = async {
            let (open, claim) = self.open(true).await?;
            let run = match open {
                OpenSync::Import(_) => None,
                export @ OpenSync::Export(_) => {
                    let (once, stop) = (RunMode::Once, self.stop.child_token());
                    Some(self.engine.run_open(&export, &claim, once, Cause::Schedule, stop, progress()).await)
                }
            };
            claim.release().await;
            run.transpose().map(|_| ())
        };
        if let Err(error) = last.await {
            tracing::warn!(sync = %self.id, error = error.chain(), "the last run could not begin");
        }
    }

    async fn open(&self, last: bool) -> Result<(OpenSync, Claim), Error> {
        match &self.scheduled {
            ScheduledSync::Configured(id, _) if last => self.engine.ready_for_last_run(id).await,
            ScheduledSync::Configured(id, _) => self.engine.ready(id, Cause::Schedule).await,
            ScheduledSync::Requested(connection, request) => {
                self.engine.ready_requested(connection, request).await
            }
        }
    }
}

/// Waits until something was delivered. Returns whether it was.
async fn delivers(moved: &mut watch::Receiver<Progress>) -> bool {
    moved.wait_for(|progress| progress.counts.delivered > 0).await.is_ok()
}

fn progress() -> watch::Sender<Progress> {
    watch::Sender::new(Progress::default())
}
