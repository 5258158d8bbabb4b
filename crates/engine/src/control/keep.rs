//! Keeps syncs running as their schedules say: what `tidegate serve` does
//! besides answering.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::store::Claim;
use tidegate_model::{Cause, ConnectionId, Counts, Ending, Error, ExportRequest, Lag, Run, SyncId};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::export::requested_id;
use super::runs::{Pass, Work};
use crate::flow::wait;
use crate::project::{Schedule, SyncSpec};

/// How often it is looked whether a person paused or resumed a sync.
const LOOK: Duration = Duration::from_secs(1);
/// How often a sync is tried that was paused because something must be mended.
const MENDED: Duration = Duration::from_secs(60);
/// The longest wait after a run that failed.
const FAILED_MAX: Duration = Duration::from_secs(60);
/// How often lag is measured.
const LAG: Duration = Duration::from_secs(15);
/// How often events beyond their retention are removed.
const TRIM: Duration = Duration::from_secs(3_600);

/// Which sync is kept running.
#[derive(Clone)]
pub(super) enum Kept {
    /// One of the project.
    Written(SyncId, Schedule),
    /// An export that a caller of a connection's API asked for.
    Requested(ConnectionId, Box<ExportRequest>),
}

impl Kept {
    pub(super) fn id(&self) -> SyncId {
        match self {
            Kept::Written(id, _) => id.clone(),
            Kept::Requested(connection, request) => requested_id(connection, &request.name),
        }
    }

    fn schedule(&self) -> Schedule {
        match self {
            Kept::Written(_, schedule) => *schedule,
            Kept::Requested(..) => Schedule::Continuous,
        }
    }
}

impl Engine {
    /// Runs every sync that has a schedule, and what is asked for meanwhile.
    /// Returns after `stop` fired and every run has ended.
    pub async fn keep(self: &Arc<Self>, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for (id, sync) in &self.config.project.syncs {
            if let Some(schedule) = self.schedule(sync).await {
                tasks.spawn(self.clone().keep_one(
                    Kept::Written(id.clone(), schedule),
                    stop.clone(),
                    CancellationToken::new(),
                ));
            }
        }
        tasks.spawn(self.clone().keep_requested(stop.clone()));
        tasks.spawn(self.clone().keep_log(stop.clone()));
        tasks.spawn(self.clone().keep_measuring(stop));
        while let Some(ended) = tasks.join_next().await {
            if let Err(fault) = ended {
                tracing::error!(%fault, "a sync is no longer kept running: a fault of this program");
            }
        }
    }

    /// When a sync runs by itself.
    async fn schedule(&self, sync: &SyncSpec) -> Option<Schedule> {
        if let (None, SyncSpec::Import(import)) = (sync.schedule(), sync) {
            // Opening does no I/O.
            let source = self.source(&import.from.connection, true).await.ok()?;
            return source.follows().then_some(Schedule::Continuous);
        }
        sync.schedule()
    }

    /// Runs one sync again and again. `gone` says that it is no longer wanted.
    /// Where it is switched off, an export is brought to its end once more.
    pub(super) async fn keep_one(
        self: Arc<Self>,
        kept: Kept,
        stop: CancellationToken,
        gone: CancellationToken,
    ) {
        let id = kept.id();
        let mut failures = 0;
        // Whether it was on when it was looked at last.
        let mut on = false;
        while !stop.is_cancelled() && !gone.is_cancelled() {
            if self.paused(&id).await.is_some_and(|by| by != "tidegate") {
                if on && failures == 0 {
                    self.last_run(&kept, &stop).await;
                }
                on = false;
                rest(LOOK, &stop, &gone).await;
                continue;
            }
            on = true;
            if let Schedule::Every(span) = kept.schedule() {
                let due = self.due(&id, span).await;
                if !due.is_zero() {
                    rest(due.min(LOOK), &stop, &gone).await;
                    continue;
                }
            }
            let ended = self.one_pass(&kept, &stop, &gone).await;
            let failed = match &ended {
                Ok(run) => run.ending == Some(Ending::Failed),
                Err(_) => true,
            };
            if !failed {
                failures = 0;
                continue;
            }
            let moved = ended.as_ref().is_ok_and(|run| run.counts.delivered > 0);
            failures = if moved { 1 } else { failures + 1 };
            let why = match ended {
                Ok(run) => run.error.unwrap_or_default(),
                Err(error) => format!("{}. Next: {}", error.chain(), error.next_step()),
            };
            let pause = match self.paused(&id).await {
                Some(_) => MENDED,
                None => wait::backoff(failures).min(FAILED_MAX),
            };
            tracing::warn!(sync = %id, why, again_in = ?pause, "the sync stands still");
            rest(pause, &stop, &gone).await;
        }
        if on && failures == 0 && !stop.is_cancelled() {
            self.last_run(&kept, &stop).await;
        }
    }

    /// Brings an export to its end: what came in before it was switched off arrives.
    async fn last_run(&self, kept: &Kept, stop: &CancellationToken) {
        let last = async {
            let (work, _claim) = self.open_kept(kept, true).await?;
            if matches!(work, Work::Export(_)) {
                self.do_work(&work, Pass::Once, Cause::Schedule, stop.child_token(), progress()).await?;
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = last.await {
            tracing::warn!(sync = %kept.id(), error = error.chain(), "the last run could not begin");
        }
    }

    /// One run of a sync; it ends early where the sync is switched off.
    async fn one_pass(
        &self,
        kept: &Kept,
        stop: &CancellationToken,
        gone: &CancellationToken,
    ) -> Result<Run, Error> {
        let id = kept.id();
        let (work, _claim) = self.open_kept(kept, false).await?;
        let halt = stop.child_token();
        let pass = match kept.schedule() {
            Schedule::Continuous => Pass::Follow,
            Schedule::Every(_) => Pass::Once,
        };
        let run = self.do_work(&work, pass, Cause::Schedule, halt.clone(), progress());
        tokio::pin!(run);
        loop {
            tokio::select! {
                ended = &mut run => return ended,
                () = gone.cancelled() => break,
                () = wait::span(LOOK) => {
                    if self.paused(&id).await.is_some_and(|by| by != "tidegate") {
                        break;
                    }
                }
            }
        }
        halt.cancel();
        run.await
    }

    async fn open_kept(&self, kept: &Kept, last: bool) -> Result<(Work, Claim), Error> {
        match kept {
            Kept::Written(id, _) if last => self.ready_for_the_last(id).await,
            Kept::Written(id, _) => self.ready(id).await,
            Kept::Requested(connection, request) => {
                let claim = self.claim(&kept.id()).await?;
                Ok((Work::Export(Box::new(self.requested_export(connection, request)?)), claim))
            }
        }
    }

    /// Removes events beyond their retention.
    async fn keep_log(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let kept = SignedDuration::from_hours(24 * i64::from(self.config.log_days));
            let before = self.config.clock.now().saturating_sub(kept).unwrap_or(Timestamp::MIN);
            if let Err(error) = self.config.log.trim(before).await {
                tracing::warn!(error = error.chain(), "old events could not be removed");
            }
            rest(TRIM, &stop, &stop).await;
        }
    }

    /// Measures how far behind their streams syncs are.
    async fn keep_measuring(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            for (id, sync) in &self.config.project.syncs {
                let state = self.config.store.sync_state(id).await.unwrap_or_default();
                let paused = metrics::gauge!("tidegate_sync_paused", "sync" => id.to_string());
                paused.set(f64::from(u8::from(state.paused.is_some())));
                for lag in self.lag(sync, state.checkpoint.as_ref()).await {
                    measure(id, &lag);
                }
            }
            rest(LAG, &stop, &stop).await;
        }
    }

    /// Who paused a sync, if somebody did. What cannot be read counts as not paused:
    /// the run itself will say what is wrong.
    async fn paused(&self, id: &SyncId) -> Option<String> {
        let state = self.config.store.sync_state(id).await.ok()?;
        state.paused.map(|pause| pause.by)
    }

    /// How long until the next run of a sync that runs every `span`.
    async fn due(&self, id: &SyncId, span: Duration) -> Duration {
        let last = self.config.store.runs(Some(id), 1).await.unwrap_or_default().pop();
        let Some(last) = last else { return Duration::ZERO };
        let since = self.config.clock.now().duration_since(last.started_at);
        span.saturating_sub(Duration::try_from(since).unwrap_or(Duration::ZERO))
    }
}

fn measure(id: &SyncId, lag: &Lag) {
    let labels = [("sync", id.to_string()), ("partition", lag.partition.clone())];
    // Beyond 2^53 a gauge is not exact any more, and nobody minds.
    metrics::gauge!("tidegate_lag_items", &labels).set(lag.behind as f64);
    metrics::gauge!("tidegate_position", &labels).set(lag.position as f64);
    if let Some(seen) = lag.last_seen {
        metrics::gauge!("tidegate_last_seen_timestamp_seconds", &labels).set(seen.as_second() as f64);
    }
    if let Some(rate) = lag.per_minute {
        metrics::gauge!("tidegate_items_per_minute", &labels).set(rate as f64);
    }
}

fn progress() -> watch::Sender<Counts> {
    watch::Sender::new(Counts::default())
}

/// Waits, unless one of them fires first.
async fn rest(span: Duration, stop: &CancellationToken, gone: &CancellationToken) {
    tokio::select! {
        () = wait::span(span) => {}
        () = stop.cancelled() => {}
        () = gone.cancelled() => {}
    }
}
