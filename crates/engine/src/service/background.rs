//! Runs that a request starts: they continue after the request, and end with the process.

use std::sync::Arc;
use std::time::Duration;

use tidegate_model::{Cause, Error, Progress, Run, SyncId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Engine;
use super::retry::{RetryFilter, RetryResult};
use super::runs::RunMode;
use crate::pipeline::wait;
use crate::scheduler::STOP_LONGEST;

/// What was started, and what stops it.
#[derive(Default)]
pub(crate) struct Background {
    tasks: TaskTracker,
    stop: CancellationToken,
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
    /// Starts a run of a sync.
    ///
    /// # Errors
    /// If the run cannot begin: there is no such sync, it is paused by a person, it is running,
    /// or one of its ends cannot be opened.
    pub async fn start_run(self: &Arc<Self>, id: &SyncId) -> Result<Started<Run>, Error> {
        let (open, claim) = self.ready(id, Cause::Manual).await?;
        let (engine, stop) = (self.clone(), self.background.stop.child_token());
        Ok(Started(self.background.tasks.spawn(async move {
            let progress = watch::Sender::new(Progress::default());
            let run = engine.run_open(&open, &claim, RunMode::Once, Cause::Manual, stop, progress).await;
            claim.release().await;
            run
        })))
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
