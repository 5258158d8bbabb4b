//! The dry run: the real run against a recorder.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::{Cause, Error, Progress, Run, SyncId, Unshared};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::dry_run::{DryRun, PlannedRequest, PlannedRequests, Recorder, Rejection};
use crate::pipeline::{self, Input, Parts, RateLimiters};

/// What a run would do, found by running it against a recorder.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Plan {
    /// The sync.
    pub sync: SyncId,
    /// The run as it would be recorded in the ledger.
    pub run: Run,
    /// The requests of each kind, such as `POST /users/track`.
    pub requests: BTreeMap<String, PlannedRequests>,
    /// The first requests, exactly as they would be sent.
    pub first: Vec<PlannedRequest>,
    /// Why rows would be rejected before they are sent, most frequent first.
    pub rejections: Vec<Rejection>,
}

impl Engine {
    /// Returns what a run would do, found by the code of the run, without doing it. `requests` is how
    /// many of the first requests are kept. Imports only.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn plan(
        &self,
        id: &SyncId,
        requests: usize,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Plan, Error> {
        let recorder = Recorder::keeping(self, id, requests).await?;
        let import = self.import(id, Some(recorder.clone())).await?;
        let dry_run = Arc::new(DryRun::over(self.config.store.clone()));
        let parts = Parts {
            store: dry_run.clone(),
            clock: self.config.clock.clone(),
            rate_limiters: Arc::new(RateLimiters::unlimited()),
            lease: Unshared::lease(id),
        };
        let run = pipeline::run(&import, &parts, Cause::Manual, Input::Changes, stop, progress).await?;
        let (requests, first) = recorder.take();
        Ok(Plan { sync: id.clone(), run, requests, first, rejections: dry_run.rejections() })
    }
}
