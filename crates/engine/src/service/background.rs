//! Runs that a request starts: they continue after the request, and end with the process.

use std::sync::Arc;
use std::time::Duration;

use tidegate_model::store::RunQuery;
use tidegate_model::{Cause, Claim, Error, Progress, Run, RunId, SyncId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Engine;
use super::dbt::Waiting;
use super::retry::{RetryFilter, RetryResult};
use super::runs::{OpenSync, RunMode};
use crate::pipeline::wait;
use crate::scheduler::STOP_LONGEST;

/// What was started, and what stops it.
#[derive(Default)]
pub(crate) struct Background {
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    /// Syncs that run again as soon as they can.
    pub(super) waiting: Waiting,
}

/// A run that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BegunRun {
    /// It has begun, and is found by this id.
    Run(RunId),
    /// Its limits are being checked. It will be the first run of its sync after this one.
    Waiting {
        /// The run before; `None` if it will be the first.
        after: Option<RunId>,
    },
}

/// Work that was started and continues in the background.
pub struct Started<T>(JoinHandle<Result<T, Error>>);

impl<T> Started<T> {
    /// Waits for the result for some time. Returns `None` if it takes longer; the work continues.
    ///
    /// # Errors
    /// The error with which the work ended.
    pub async fn wait(self, patience: Duration) -> Result<Option<T>, Error> {
        match tokio::time::timeout(patience, self.0).await {
            Err(_) => Ok(None),
            Ok(Ok(ended)) => ended.map(Some),
            Ok(Err(fault)) => {
                Err(Error::internal("the run ended by a fault of this program").caused_by(fault))
            }
        }
    }
}

impl Engine {
    /// Starts a run of a sync in one of these ways. A run that may not be made, such as that of a plan that does
    /// not hold any more, is in the list of runs with its reason.
    ///
    /// # Errors
    /// If the run cannot begin: there is no such sync, it is paused by a person, it is running,
    /// or one of its ends cannot be opened.
    pub async fn start_run(self: &Arc<Self>, id: &SyncId, mode: RunMode) -> Result<Started<Run>, Error> {
        let (open, claim) = self.ready(id, Cause::Manual).await?;
        Ok(self.spawn_run(open, claim, mode))
    }

    /// Starts a run of a sync, and waits for its id: for at most `patience`, since a run whose limits are
    /// checked first has none until then.
    ///
    /// # Errors
    /// As [`Engine::start_run`], and if the run ended without an id: its limits keep it from sending.
    pub async fn begin_run(self: &Arc<Self>, id: &SyncId, patience: Duration) -> Result<BegunRun, Error> {
        const LOOK: Duration = Duration::from_millis(20);
        let (open, claim) = self.ready(id, Cause::Manual).await?;
        let before = match self.newest_run(id).await {
            Ok(before) => before,
            Err(error) => {
                claim.release().await;
                return Err(error);
            }
        };
        let started = self.spawn_run(open, claim, RunMode::Once);
        let mut waited = Duration::ZERO;
        loop {
            // While the run holds the sync, a newer run than the last one can only be itself.
            let newest = self.newest_run(id).await?;
            if started.0.is_finished() {
                let ended = started.wait(patience).await?;
                return Ok(ended.map_or(BegunRun::Waiting { after: before }, |run| BegunRun::Run(run.id)));
            }
            match newest {
                Some(run) if before.as_ref() != Some(&run) => return Ok(BegunRun::Run(run)),
                _ if waited >= patience => return Ok(BegunRun::Waiting { after: before }),
                _ => {}
            }
            wait::span(LOOK).await;
            waited += LOOK;
        }
    }

    /// Returns the first run of a sync after another one, or its first run.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn first_run_after(&self, id: &SyncId, before: Option<&RunId>) -> Result<Option<Run>, Error> {
        /// Runs that are looked through.
        const RUNS: usize = 500;
        let before = match before {
            Some(run) => self.find_run(run).await?,
            None => None,
        };
        let from = before.as_ref().map(|run| run.started_at);
        let query = RunQuery { sync: Some(id.clone()), from, limit: RUNS, ..RunQuery::default() };
        let newest_first = self.find_runs(&query).await?;
        let newer = newest_first.into_iter().take_while(|run| before.as_ref().is_none_or(|b| b.id != run.id));
        Ok(newer.last())
    }

    async fn newest_run(&self, id: &SyncId) -> Result<Option<RunId>, Error> {
        Ok(self.config.store.runs(Some(id), 1).await?.pop().map(|run| run.id))
    }

    fn spawn_run(self: &Arc<Self>, open: OpenSync, claim: Claim, mode: RunMode) -> Started<Run> {
        let (engine, stop) = (self.clone(), self.background.stop.child_token());
        Started(self.background.tasks.spawn(async move {
            let progress = watch::Sender::new(Progress::default());
            let run = match engine.may_run(&open, claim.sync(), mode, &stop).await {
                Ok(()) => engine.run_open(&open, &claim, mode, Cause::Manual, stop, progress).await,
                Err(error) => {
                    // Whoever asked for it may be gone: the list of runs says why there is none.
                    engine.note_refusal(&claim, open.object(), Cause::Manual, &error).await;
                    Err(error)
                }
            };
            claim.release().await;
            run
        }))
    }

    /// Starts to send failed rows again, as [`Engine::retry`] does.
    ///
    /// # Errors
    /// If there is no such sync, or it is an export.
    pub fn start_retry(
        self: &Arc<Self>,
        id: &SyncId,
        filter: RetryFilter,
    ) -> Result<Started<RetryResult>, Error> {
        self.import_spec(id)?;
        let (engine, stop, id) = (self.clone(), self.background.stop.child_token(), id.clone());
        Ok(Started(self.background.tasks.spawn(async move {
            engine.retry(&id, &filter, stop, watch::Sender::new(Progress::default())).await
        })))
    }

    /// Stops what was started by requests, and waits until it has ended.
    pub async fn stop_background(&self) {
        self.background.stop.cancel();
        self.background.tasks.close();
        tokio::select! {
            () = self.background.tasks.wait() => {}
            () = wait::span(STOP_LONGEST) => tracing::warn!("runs that did not stop in time are cut off"),
        }
    }
}
