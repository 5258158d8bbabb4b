//! The scheduler: runs syncs as their schedules say, while `tidegate serve` answers
//! requests.

pub(crate) mod due;
mod keeper;
mod maintenance;
mod requested;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tidegate_model::store::{PausedBy, SyncState};
use tidegate_model::{
    Cause, Claim, ConnectionId, Ending, Error, ErrorKind, ExportRequest, Mode, Progress, Run, SyncId,
};
use tokio::sync::{SemaphorePermit, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::pipeline::wait;
use crate::service::Engine;
use crate::service::export::requested_id;
use crate::service::runs::{OpenSync, RunMode};

use keeper::Keeper;
use tidegate_project::{ConnectionSpec, Project, Schedule, SyncSpec};

/// How often to poll for a manual pause or resume.
const LOOK: Duration = Duration::from_secs(1);
/// How often the clock is looked at while a sync waits for its time: it may be set.
const IDLE: Duration = Duration::from_secs(30);
/// How often the plan of such a sync is read again: another process may have changed it.
const REREAD: Duration = Duration::from_secs(600);
/// How soon a paused sync is tried again; the wait doubles each time.
const RECHECK_FIRST: Duration = Duration::from_secs(10);
/// The longest of these waits.
const RECHECK_LONGEST: Duration = Duration::from_secs(60);
/// How long runs may take to end when the process stops; then they are cut off, and the
/// next process continues as after a crash.
pub(crate) const STOP_LONGEST: Duration = Duration::from_secs(8);

/// A sync that the scheduler runs.
#[derive(Clone)]
enum ScheduledSync {
    /// One of the project.
    Configured(SyncId, Schedule),
    /// An export that a caller of a connection's API asked for.
    Requested(ConnectionId, Box<ExportRequest>),
}

impl ScheduledSync {
    fn id(&self) -> SyncId {
        match self {
            ScheduledSync::Configured(id, _) => id.clone(),
            ScheduledSync::Requested(connection, request) => requested_id(connection, &request.name),
        }
    }

    fn schedule(&self) -> Schedule {
        match self {
            ScheduledSync::Configured(_, schedule) => schedule.clone(),
            ScheduledSync::Requested(..) => Schedule::Continuous,
        }
    }
}

/// Returns when a sync runs. One that follows a stream runs without a schedule, too; whether its source
/// can be opened is found by the run.
fn schedule_of(sync: &SyncSpec) -> Option<Schedule> {
    let follows = sync.as_import().is_some_and(|import| import.mode == Mode::Stream);
    sync.schedule().cloned().or_else(|| follows.then_some(Schedule::Continuous))
}

/// What a scheduled run works by: if it changes, the sync is run by the new version.
#[derive(Clone, PartialEq)]
struct Way {
    schedule: Schedule,
    sync: SyncSpec,
    connections: [Option<ConnectionSpec>; 2],
    key_days: Option<u32>,
}

impl Way {
    fn of(project: &Project, sync: &SyncSpec, schedule: Schedule) -> Way {
        let connection = |id| project.connections.get(id).cloned();
        Way {
            schedule,
            sync: sync.without_people(),
            connections: [connection(sync.source()), connection(sync.destination())],
            key_days: project.retention.key_days,
        }
    }
}

/// Runs every sync that has a schedule, and what is asked for meanwhile, by the version of the project
/// that is the latest. Returns after `stop` fired and every run has ended.
pub(crate) async fn run(mut engines: watch::Receiver<Arc<Engine>>, stop: CancellationToken) {
    let mut syncs = Keeper::new();
    let mut beside: Option<JoinHandle<()>> = None;
    let requested = tokio::spawn(requested::run(engines.clone(), stop.clone()));
    loop {
        let engine = engines.borrow_and_update().clone();
        syncs.keep(engine.ways(), |id, way, gone| {
            let scheduled = ScheduledSync::Configured(id.clone(), way.schedule.clone());
            engine.clone().run_scheduled(scheduled, stop.clone(), gone)
        });
        let latest = stop.child_token();
        let (work, before) = (engine.clone().work_beside(latest.clone()), beside.take());
        beside = Some(tokio::spawn(async move {
            keeper::ended(before).await;
            work.await;
        }));
        let changed = tokio::select! {
            () = stop.cancelled() => false,
            changed = engines.changed() => changed.is_ok(),
        };
        if !changed {
            stop.cancelled().await;
            break;
        }
        latest.cancel();
    }
    let all = async {
        syncs.all_ended().await;
        keeper::ended(beside).await;
        keeper::ended(Some(requested)).await;
    };
    let is_late = tokio::select! {
        () = all => false,
        () = wait::span(STOP_LONGEST) => true,
    };
    if is_late {
        tracing::warn!("runs that did not stop in time are cut off");
        syncs.cut_off();
    }
}

impl Engine {
    /// Does what is to be done beside the syncs: trims the log, measures, watches for alerts.
    async fn work_beside(self: Arc<Self>, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().keep_log_trimmed(stop.clone()));
        tasks.spawn(self.clone().measure_lag(stop.clone()));
        tasks.spawn(self.watch_alerts(stop));
        all_ended(&mut tasks).await;
    }

    /// Returns the syncs that the scheduler runs, and when they run.
    pub fn scheduled_syncs(&self) -> Vec<(SyncId, Schedule)> {
        let enabled = self.config.project.syncs.iter().filter(|(_, sync)| sync.options().enabled);
        enabled.filter_map(|(id, sync)| Some((id.clone(), schedule_of(sync)?))).collect()
    }

    /// Returns what each of these syncs works by.
    fn ways(&self) -> HashMap<SyncId, Way> {
        let project = &self.config.project;
        let scheduled = self.scheduled_syncs().into_iter();
        scheduled
            .filter_map(|(id, schedule)| {
                let way = Way::of(project, project.syncs.get(&id)?, schedule);
                Some((id, way))
            })
            .collect()
    }

    /// Runs one sync again and again. `gone` says that it is no longer wanted.
    /// If it is switched off, an export is brought to its end once more.
    async fn run_scheduled(
        self: Arc<Self>,
        scheduled: ScheduledSync,
        stop: CancellationToken,
        gone: CancellationToken,
    ) {
        let id = scheduled.id();
        let schedule = scheduled.schedule();
        let mut failures: u32 = 0;
        // Why it fails, logged once for as long as it stays the same.
        let mut reported = String::new();
        // Whether it was on when it was looked at last.
        let mut on = false;
        // The turn of a run that is due.
        let mut turn: Option<SemaphorePermit<'_>> = None;
        while !stop.is_cancelled() && !gone.is_cancelled() {
            let Ok(state) = self.config.store.sync_state(&id).await else {
                rest(LOOK, &stop, &gone).await;
                continue;
            };
            if state.paused.as_ref().is_some_and(|pause| pause.by != PausedBy::System) {
                turn = None;
                if on && failures == 0 {
                    self.last_run(&scheduled, &stop).await;
                }
                on = false;
                self.wait_for_resume(&id, &stop, &gone).await;
                continue;
            }
            on = true;
            if schedule != Schedule::Continuous {
                let due = self.until_due(&id, &schedule, &state).await;
                if !due.is_zero() {
                    turn = None;
                    // Its state is looked at again when it is due.
                    self.rest_until_due(&id, due, &stop, &gone).await;
                    continue;
                }
                if turn.is_none() {
                    // Looked at again then: another process may have run it meanwhile.
                    turn = self.turn(&stop, &gone).await;
                    continue;
                }
            }
            let ended = self.run_once(&scheduled, &mut reported, &stop, &gone).await;
            turn = None;
            if ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::Held) {
                // Another process runs it; it is taken over when that one is done or gone.
                tracing::debug!(sync = %id, "the sync is held by another process");
                rest(LOOK, &stop, &gone).await;
                continue;
            }
            let failed = match &ended {
                Ok(run) => run.ending == Some(Ending::Failed),
                Err(_) => true,
            };
            if !failed {
                log_recovery(&id, &mut reported);
                failures = 0;
                if schedule == Schedule::Continuous {
                    // It ended on its own: its source does not follow, or is gone.
                    rest(LOOK, &stop, &gone).await;
                }
                continue;
            }
            let moved = ended.as_ref().is_ok_and(|run| run.counts.delivered > 0);
            failures = if moved { 1 } else { failures + 1 };
            let why = match ended {
                Ok(run) => run.error.unwrap_or_default(),
                Err(error) => format!("{}. Next: {}", error.chain(), error.next_step()),
            };
            if reported == why && !moved {
                tracing::debug!(sync = %id, why, "sync still failing");
            } else {
                tracing::warn!(sync = %id, why, "sync failed; retrying automatically");
                reported = why;
            }
            let delay = match &schedule {
                Schedule::Continuous if self.paused(&id).await.is_none() => wait::backoff(failures),
                Schedule::Every(span) => recheck_delay(failures).min(*span),
                Schedule::Continuous | Schedule::Cron(_) => recheck_delay(failures),
            };
            self.wait_for_recheck(&id, delay, &stop, &gone).await;
        }
        // One that was changed or removed in the project has no last run: it would go by what no longer holds.
        let is_requested = matches!(scheduled, ScheduledSync::Requested(..));
        if is_requested && on && failures == 0 && !stop.is_cancelled() {
            self.last_run(&scheduled, &stop).await;
        }
    }

    /// Waits until a time that is `due` away, or until the sync is paused: its events until then
    /// are exported once more. All syncs that wait share one question to the store.
    async fn rest_until_due(
        &self,
        id: &SyncId,
        due: Duration,
        stop: &CancellationToken,
        gone: &CancellationToken,
    ) {
        let (clock, span) = (&self.config.clock, due.min(REREAD));
        let at = clock.now().saturating_add(SignedDuration::try_from(span).unwrap_or_default());
        let Ok(at) = at else { return };
        while !stop.is_cancelled() && !gone.is_cancelled() {
            match Duration::try_from(at.duration_since(clock.now())) {
                // A clock that was set back has its plan made again.
                Ok(left) if !left.is_zero() && left <= span => rest(left.min(IDLE), stop, gone).await,
                _ => return,
            }
            if self.seen_paused(id).await.is_some() {
                return;
            }
        }
    }

    /// Waits while a sync is paused by a person.
    async fn wait_for_resume(&self, id: &SyncId, stop: &CancellationToken, gone: &CancellationToken) {
        loop {
            rest(LOOK, stop, gone).await;
            let resumed = self.seen_paused(id).await.is_none_or(|by| by == PausedBy::System);
            if resumed || stop.is_cancelled() || gone.is_cancelled() {
                return;
            }
        }
    }

    /// Waits before a sync that failed is tried again, or until a person resumes it.
    async fn wait_for_recheck(
        &self,
        id: &SyncId,
        span: Duration,
        stop: &CancellationToken,
        gone: &CancellationToken,
    ) {
        let resumed = async {
            if self.paused(id).await.is_none() {
                return std::future::pending().await;
            }
            wait::span(LOOK).await;
            while self.seen_paused(id).await.is_some() {
                wait::span(LOOK).await;
            }
        };
        tokio::select! {
            () = resumed => {}
            () = rest(span, stop, gone) => {}
        }
    }

    /// Waits for the turn of a scheduled run; `None` if it is no longer wanted.
    async fn turn(&self, stop: &CancellationToken, gone: &CancellationToken) -> Option<SemaphorePermit<'_>> {
        tokio::select! {
            turn = self.turns.acquire() => turn.ok(),
            () = stop.cancelled() => None,
            () = gone.cancelled() => None,
        }
    }

    /// Stores when a sync runs next. Until that is done the sync would run again.
    async fn plan_after(&self, schedule: &Schedule, run: &Run, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let next = due::after(schedule, run, self.config.clock.now());
            match self.config.store.plan_run(&run.sync, next).await {
                Ok(()) => return,
                Err(error) => {
                    let (sync, trouble) = (&run.sync, error.chain());
                    tracing::warn!(%sync, trouble, "the time of the next run could not be stored");
                    rest(LOOK, stop, stop).await;
                }
            }
        }
    }

    /// Brings an export to its end: what came in before it was switched off arrives.
    async fn last_run(&self, scheduled: &ScheduledSync, stop: &CancellationToken) {
        let is_import = |id: &SyncId| self.sync(id).is_ok_and(|sync| sync.as_import().is_some());
        if matches!(scheduled, ScheduledSync::Configured(id, _) if is_import(id)) {
            return;
        }
        let last = async {
            let (open, claim) = self.open_scheduled(scheduled, true).await?;
            let run = match open {
                OpenSync::Import(_) => None,
                export @ OpenSync::Export(_) => {
                    let (once, stop) = (RunMode::Once, stop.child_token());
                    Some(self.run_open(&export, &claim, once, Cause::Schedule, stop, progress()).await)
                }
            };
            claim.release().await;
            run.transpose().map(|_| ())
        };
        if let Err(error) = last.await {
            tracing::warn!(sync = %scheduled.id(), error = error.chain(), "the last run could not begin");
        }
    }

    /// One run of a sync; it ends early where the sync is switched off.
    async fn run_once(
        &self,
        scheduled: &ScheduledSync,
        reported: &mut String,
        stop: &CancellationToken,
        gone: &CancellationToken,
    ) -> Result<Run, Error> {
        let schedule = scheduled.schedule();
        let (open, claim) = self.open_scheduled(scheduled, false).await?;
        if schedule != Schedule::Continuous {
            // Another process may have run it while this one waited for it.
            let state = self.config.store.sync_state(claim.sync()).await.unwrap_or_default();
            if !self.until_due(claim.sync(), &schedule, &state).await.is_zero() {
                claim.release().await;
                return Err(Error::new(ErrorKind::Held, "another process has run the sync"));
            }
        }
        let ended = self.run_held(scheduled, &open, &claim, reported, stop, gone).await;
        if let Ok(run) = &ended
            && matches!(run.ending, Some(Ending::Succeeded | Ending::Partial))
            && schedule != Schedule::Continuous
        {
            // While it is held, so that no other process takes it for due.
            self.plan_after(&schedule, run, stop).await;
        }
        self.do_requested_work(&claim, stop).await;
        claim.release().await;
        ended
    }

    async fn run_held(
        &self,
        scheduled: &ScheduledSync,
        open: &OpenSync,
        claim: &Claim,
        reported: &mut String,
        stop: &CancellationToken,
        gone: &CancellationToken,
    ) -> Result<Run, Error> {
        let id = claim.sync();
        let halt = stop.child_token();
        let mode = match scheduled.schedule() {
            Schedule::Continuous => RunMode::Follow,
            Schedule::Every(_) | Schedule::Cron(_) => RunMode::Once,
        };
        let progress = progress();
        let mut moved = progress.subscribe();
        let run = self.run_open(open, claim, mode, Cause::Schedule, halt.clone(), progress);
        // Beside the run, which continues while the store is asked.
        let interrupted = async {
            loop {
                wait::span(LOOK).await;
                // One that follows would never reach the request; it continues afterwards.
                if self.seen_paused(id).await.is_some_and(|by| by != PausedBy::System)
                    || (mode == RunMode::Follow && self.is_asked_for_work(id).await)
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
                () = gone.cancelled(), if mode == RunMode::Follow => break,
                // A run that follows does not end to say so.
                true = delivers(&mut moved), if !reported.is_empty() => log_recovery(id, reported),
                () = &mut interrupted => break,
            }
        }
        halt.cancel();
        run.await
    }

    async fn open_scheduled(
        &self,
        scheduled: &ScheduledSync,
        last: bool,
    ) -> Result<(OpenSync, Claim), Error> {
        match scheduled {
            ScheduledSync::Configured(id, _) if last => self.ready_for_last_run(id).await,
            ScheduledSync::Configured(id, _) => self.ready(id, Cause::Schedule).await,
            ScheduledSync::Requested(connection, request) => self.ready_requested(connection, request).await,
        }
    }

    /// Returns what paused a sync, if anything did. What cannot be read counts as not paused:
    /// the run itself will say what is wrong.
    async fn paused(&self, id: &SyncId) -> Option<PausedBy> {
        let state = self.config.store.sync_state(id).await.ok()?;
        state.paused.map(|pause| pause.by)
    }

    /// The same for those who look again and again: the answer is up to half a second old.
    async fn seen_paused(&self, id: &SyncId) -> Option<PausedBy> {
        self.pauses.of(id, &*self.config.store).await
    }

    /// Returns how long until the next run of a sync is due.
    async fn until_due(&self, id: &SyncId, schedule: &Schedule, state: &SyncState) -> Duration {
        let Ok(at) = self.planned(id, schedule, state).await else { return LOOK };
        Duration::try_from(at.duration_since(self.config.clock.now())).unwrap_or(Duration::ZERO)
    }
}

/// Waits until all of them have ended.
async fn all_ended(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(fault) = ended {
            tracing::error!(%fault, "work beside the syncs has ended: a fault of this program");
        }
    }
}

/// Returns how long to wait before a paused sync is tried again.
fn recheck_delay(failures: u32) -> Duration {
    RECHECK_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RECHECK_LONGEST)
}

/// Waits until something was delivered. Returns whether it was.
async fn delivers(moved: &mut watch::Receiver<Progress>) -> bool {
    moved.wait_for(|progress| progress.counts.delivered > 0).await.is_ok()
}

/// Logs recovery if a failure was logged before.
fn log_recovery(id: &SyncId, reported: &mut String) {
    if !std::mem::take(reported).is_empty() {
        tracing::info!(sync = %id, "sync recovered");
    }
}

fn progress() -> watch::Sender<Progress> {
    watch::Sender::new(Progress::default())
}

/// Waits, unless one of them fires first.
pub(crate) async fn rest(span: Duration, stop: &CancellationToken, gone: &CancellationToken) {
    tokio::select! {
        () = wait::span(span) => {}
        () = stop.cancelled() => {}
        () = gone.cancelled() => {}
    }
}
