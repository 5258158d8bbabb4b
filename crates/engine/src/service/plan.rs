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
use crate::pipeline::{self, ExceededLimit, Import, Input, Parts, RateLimiters};

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
    /// The limit that the run would exceed; it would then send nothing.
    pub exceeds: Option<ExceededLimit>,
    /// What the platform does with such objects that a plan cannot see in advance.
    pub caveats: Vec<Caveat>,
    /// What reading cost, as a sentence, if the source counts it: a run costs as much.
    pub cost: Option<String>,
}

/// Something to know before objects are sent.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Caveat {
    /// What the platform does.
    pub message: String,
    /// What to do about it.
    pub next_step: String,
}

/// A run that sent nothing.
pub(super) struct Dry {
    import: Import,
    pub(super) run: Run,
    recorder: Arc<Recorder>,
    store: Arc<DryRun>,
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
        let Dry { import, run, recorder, store } = self.dry_run(id, requests, stop, progress).await?;
        let (requests, first) = recorder.take();
        let limits = self.import_spec(id)?.limits;
        let exceeds = match &run.compared {
            Some(compared) => ExceededLimit::by_mirror(&limits, import.removal.is_some(), compared),
            None => ExceededLimit::by_deletions(limits.removed, run.counts.delivered),
        };
        let caveats = import.platform.caveats().iter();
        let caveats = caveats.map(|(message, next_step)| Caveat {
            message: (*message).to_owned(),
            next_step: (*next_step).to_owned(),
        });
        Ok(Plan {
            sync: id.clone(),
            requests,
            first,
            rejections: store.rejections(),
            exceeds,
            caveats: caveats.collect(),
            cost: import.source.cost(),
            run,
        })
    }

    /// Makes a run of what is there now, against a recorder that keeps a number of requests.
    pub(super) async fn dry_run(
        &self,
        id: &SyncId,
        requests: usize,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Dry, Error> {
        let recorder = Recorder::keeping(self, id, requests).await?;
        let mut import = self.import(id, Some(recorder.clone())).await?;
        // What is beyond a limit is shown, not refused.
        import.limits = None;
        let dry_run = Arc::new(DryRun::over(self.config.store.clone()));
        let parts = Parts {
            store: dry_run.clone(),
            clock: self.config.clock.clone(),
            rate_limiters: Arc::new(RateLimiters::unlimited()),
            lease: Unshared::lease(id),
        };
        let run = pipeline::run(&import, &parts, Cause::Manual, Input::Changes, stop, progress).await?;
        Ok(Dry { import, run, recorder, store: dry_run })
    }
}
