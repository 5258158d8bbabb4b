//! The dry run: the real run against a recorder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::{Cause, Compared, Ending, Error, ErrorKind, Progress, Rate, Run, SyncId, Unshared};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::dry_run::{DryRun, Rejection};
use super::metered::Metered;
use super::plan_id::{PlanId, WouldSend};
use super::recorder::{PlannedRequest, PlannedRequests, Recorder};
use crate::pipeline::{
    self, ChangeTracking, ConfirmedRows, ExceededLimit, Import, Input, Parts, RateLimiters,
};
use tidegate_project::ImportSpec;

/// What a run would do, found by running it against a recorder.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Plan {
    /// The sync.
    pub sync: SyncId,
    /// The id under which `run --plan` does it; `null` if the plan did not come to its end.
    pub id: Option<PlanId>,
    /// The run as it would be recorded in the ledger.
    pub run: Run,
    /// The rows by what happened to them since they were sent, if the sync remembers its rows.
    pub rows: Option<PlannedRows>,
    /// The requests of each kind, such as `POST /users/track`.
    pub requests: BTreeMap<String, PlannedRequests>,
    /// How long the requests take, if the platform has a documented rate.
    pub pace: Option<Pace>,
    /// What the vendor bills for it, if it bills what is sent.
    pub billed: Option<Billed>,
    /// The first requests of each kind, exactly as they would be sent.
    pub first: Vec<PlannedRequest>,
    /// Why rows would be rejected before they are sent, most frequent first.
    pub rejections: Vec<Rejection>,
    /// The limit that the run would exceed; it would then send nothing.
    pub exceeds: Option<ExceededLimit>,
    /// Whether a run stops until a person confirms it, for a reason that `caveats` begins with.
    #[serde(skip)]
    pub stops: bool,
    /// Why a run would stop unless a person confirms it, and what the platform does with such objects that a plan
    /// cannot see in advance.
    pub caveats: Vec<Caveat>,
    /// What reading cost, as a sentence, if the source counts it: a run costs as much.
    pub cost: Option<String>,
}

impl Plan {
    /// Returns what a person confirms who was shown this plan.
    pub fn confirmed(&self) -> ConfirmedRows {
        match self.run.compared {
            Some(Compared { added, changed, removed, .. }) => ConfirmedRows { added, changed, removed },
            // A sync of deletions removes each row that it sends.
            None => ConfirmedRows { removed: self.run.counts.delivered, ..ConfirmedRows::default() },
        }
    }
}

/// Rows by what happened to them since they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlannedRows {
    /// Rows that were not sent before.
    pub added: u64,
    /// Rows that have other values than those that were sent.
    pub changed: u64,
    /// Rows that the source no longer has, with `mode: mirror`; a cursor cannot see them.
    pub removed: Option<u64>,
    /// Rows that were read and are as they were sent.
    pub unchanged: u64,
}

/// How long requests take at the documented rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pace {
    /// Requests that may be sent …
    pub requests: u32,
    /// … in this many seconds.
    pub per_seconds: u64,
    /// The seconds that all requests take at this rate, at least.
    pub takes_seconds: u64,
}

/// What a vendor bills, by its published rules; a contract may count in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Billed {
    /// The unit, for example `data point`.
    pub unit: &'static str,
    /// How many of them.
    pub units: u64,
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
    /// The settings of the sync that decide what is sent.
    settings: String,
    /// What the vendor bills for what would be sent.
    units: Arc<AtomicU64>,
}

impl Dry {
    /// The name of what it would have sent; `None` if it did not come to its end.
    fn id(&self) -> Option<PlanId> {
        let ended = matches!(self.run.ending, Some(Ending::Succeeded | Ending::Partial));
        ended.then(|| self.store.tally().id(&self.settings))
    }

    fn rows(&self, sent: WouldSend) -> Option<PlannedRows> {
        if let Some(compared) = self.run.compared {
            return Some(PlannedRows {
                added: compared.added,
                changed: compared.changed,
                removed: Some(compared.removed),
                unchanged: compared.unchanged,
            });
        }
        let remembers = matches!(self.import.tracking, ChangeTracking::Cursor { .. });
        remembers.then(|| PlannedRows {
            added: sent.added,
            changed: sent.changed + self.run.counts.ignored,
            removed: None,
            unchanged: self.run.counts.skipped,
        })
    }

    fn pace(&self, requests: u64) -> Option<Pace> {
        let own = self.import.platform.limits();
        let rate = own.rate?;
        let removal = self.import.removal.as_ref().map(|removal| removal.platform.limits());
        // Deletions go to another address, with a limit of its own.
        let removed = self.store.tally().id("").rows.removed;
        let deletions = removal.filter(|removal| removal.bucket != own.bucket);
        let deletions = deletions.map(|limits| (limits, removed.div_ceil(limits.max_items.max(1) as u64)));
        let (slower, count) = match deletions {
            Some((limits, count)) => (limits.rate.map(|rate| takes(rate, count)), count.min(requests)),
            None => (None, 0),
        };
        let takes = takes(rate, requests - count) + slower.unwrap_or_default();
        Some(Pace {
            requests: rate.requests,
            per_seconds: rate.per.as_secs(),
            takes_seconds: takes.as_secs(),
        })
    }
}

/// Returns how long a number of requests takes: the first ones are sent at once.
fn takes(rate: Rate, requests: u64) -> Duration {
    let each = rate.per.as_secs_f64() / f64::from(rate.requests.max(1));
    Duration::from_secs_f64(requests.saturating_sub(u64::from(rate.requests)) as f64 * each)
}

impl Engine {
    /// Returns what a run would do, found by the code of the run, without doing it. `requests` is how
    /// many of the first requests of each kind are kept. Imports only.
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
        let sync = self.import_spec(id)?;
        let dry = self.dry_run(id, requests, stop, progress).await?;
        let plan = dry.id();
        let (requests, first) = dry.recorder.take();
        let state = self.config.store.sync_state(id).await?;
        let exceeds = match &dry.run.compared {
            Some(compared) => {
                let vanished = pipeline::vanished(&dry.import, state.checkpoint.as_ref()).await?;
                let on_removed = pipeline::on_removed(&dry.import);
                ExceededLimit::by_mirror(&sync.limits, on_removed, compared, &vanished, None)
            }
            None => ExceededLimit::by_deletions(sync.limits.removed, dry.run.counts.delivered, None),
        };
        // What sends nothing meets nothing at the platform.
        let caveats = dry.import.platform.caveats().iter().filter(|_| dry.run.counts.delivered > 0);
        let caveats = caveats.map(|(message, next_step)| Caveat {
            message: (*message).to_owned(),
            next_step: (*next_step).to_owned(),
        });
        // A run without `--yes` stops there.
        let stops = dry
            .import
            .continues(&state)
            .err()
            .map(|error| Caveat { message: error.chain(), next_step: error.next_step().to_owned() });
        let is_stopped = stops.is_some();
        let caveats = stops.into_iter().chain(caveats);
        Ok(Plan {
            sync: id.clone(),
            id: plan,
            rows: dry.rows(plan.map(|plan| plan.rows).unwrap_or_default()),
            billed: dry
                .import
                .platform
                .billing_unit()
                .map(|unit| Billed { unit, units: dry.units.load(Ordering::Relaxed) }),
            pace: dry.pace(requests.values().map(|kind| kind.count).sum()),
            requests,
            first,
            rejections: dry.store.rejections(),
            exceeds,
            stops: is_stopped,
            caveats: caveats.collect(),
            cost: dry.import.source.cost(),
            run: dry.run,
        })
    }

    /// Checks that a run would send what a plan said, right before it does.
    ///
    /// # Errors
    /// [`ErrorKind::Unconfirmed`] if it would send anything else, and whatever keeps that from being known.
    pub(super) async fn as_planned(
        &self,
        id: &SyncId,
        plan: &PlanId,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let progress = watch::Sender::new(Progress::default());
        let dry = self.dry_run(id, 0, stop.child_token(), progress).await?;
        let Some(now) = dry.id() else {
            let why = dry.run.error.unwrap_or_else(|| "it was stopped".to_owned());
            let message = format!("what `{id}` would send could not be compared with its plan: {why}");
            return Err(Error::new(ErrorKind::Unavailable, message).hint("run it again: nothing was sent"));
        };
        if now == *plan {
            return Ok(());
        }
        let message =
            format!("the plan of `{id}` would send {}, {}: nothing was sent", plan.rows, plan.differs(&now));
        Err(Error::new(ErrorKind::Unconfirmed, message)
            .hint(format!("look at `tidegate plan {id}`, and run the plan that it names")))
    }

    /// Makes a run of what is there now, against a recorder that keeps a number of requests.
    pub(super) async fn dry_run(
        &self,
        id: &SyncId,
        requests: usize,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Dry, Error> {
        let ImportSpec { mode, primary_key, changed, removed, destination, mapping, absent, .. } =
            self.import_spec(id)?;
        let target = self.resolved(&destination.target).await?;
        let (connection, object, target) = (&destination.connection, destination.object, target.members());
        let to = (connection, object, target);
        let settings = format!("{:?}", (mode, primary_key, changed, removed, to, mapping, absent));
        let recorder = Recorder::keeping(self, id, requests).await?;
        let mut import = self.import(id, Some(recorder.clone())).await?;
        let units = Arc::new(AtomicU64::new(0));
        import.platform = Metered::over(import.platform, &units);
        if let Some(removal) = &mut import.removal {
            removal.platform = Metered::over(Arc::clone(&removal.platform), &units);
        }
        // What is beyond a limit is shown, not refused.
        import.limits = None;
        let dry_run = Arc::new(DryRun::over(self.config.run_store.clone()));
        let parts = Parts {
            store: dry_run.clone(),
            clock: self.config.clock.clone(),
            rate_limiters: Arc::new(RateLimiters::unlimited()),
            lease: Unshared::lease(id),
            next_run: None,
        };
        let run = pipeline::run(&import, &parts, Cause::Manual, Input::Changes, stop, progress).await?;
        Ok(Dry { import, run, recorder, store: dry_run, settings, units })
    }
}
