//! Running syncs, and what is known of their runs.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::store::{Pause, PausedBy, RowEntry, RowQuery, SyncState};
use tidegate_model::{
    Cause, Checkpoint, Claim, ConnectionId, Error, ErrorKind, ExportRequest, Idempotency, Lag, ObjectKind,
    Progress, Run, SyncId, Wait,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::measures;
use super::plan_id::PlanId;
use crate::pipeline::wait;
use crate::pipeline::{self, ChangeTracking, ConfirmedRows, Export, Import, Input, Parts};
use crate::scheduler::due;
use tidegate_project::SyncSpec;

/// A sync, its last run and its failed rows.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SyncStatus {
    /// Its name.
    pub sync: SyncId,
    /// What its rows become.
    pub object: &'static str,
    /// Source → platform.
    pub route: String,
    /// Set while the sync is paused; a pause by `system` is still retried.
    pub paused: Option<Pause>,
    /// Set while its run sends nothing because the destination asked for it.
    pub wait: Option<Wait>,
    /// Its last run.
    pub last_run: Option<Run>,
    /// Rows that were rejected or are in doubt and still open.
    pub failed_rows: u64,
    /// How many items it has not committed, by partition; empty if it reads no stream, or the stream
    /// cannot be asked.
    pub lag: Vec<Lag>,
    /// Whether it runs on its schedule; otherwise it is a draft.
    pub enabled: bool,
    /// Next scheduled run; `null` if continuous, unscheduled or a draft.
    pub next_run_at: Option<Timestamp>,
    /// Whether its run is due and has not begun: others take their turn, or `tidegate serve` does
    /// not run.
    pub waiting: bool,
    /// The people to ask about it.
    pub contacts: Vec<String>,
    /// Labels from the project file.
    pub labels: BTreeMap<String, String>,
}

/// A sync with both of its ends opened.
pub(crate) enum OpenSync {
    /// Rows to a platform.
    Import(Box<Import>),
    /// Events to a sink.
    Export(Box<Export>),
}

impl OpenSync {
    /// Returns what its rows become.
    pub(super) fn object(&self) -> ObjectKind {
        match self {
            OpenSync::Import(import) => import.platform.object().kind,
            OpenSync::Export(_) => ObjectKind::Event,
        }
    }
}

/// How a run goes about its sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// Sends what is there now and was not sent.
    Once,
    /// The same, on the schedule of the sync: a run that completes says when the next one is due.
    Scheduled,
    /// The same, also beyond the limits of the sync: a person has said so.
    Confirmed,
    /// The same, beyond the limits of the sync up to what a person was shown and has confirmed.
    Shown(ConfirmedRows),
    /// Sends all rows, also those that were sent before.
    Full {
        /// Whether a person has said so: beyond the limits of the sync, and if rows that are sent again
        /// count twice.
        confirmed: bool,
    },
    /// Sends what a plan said, or nothing.
    Planned(PlanId),
    /// Sends what is there and what comes, until it is stopped.
    Follow,
}

impl RunMode {
    /// Whether the limits of the sync count.
    pub(super) fn is_limited(self) -> bool {
        matches!(
            self,
            RunMode::Once
                | RunMode::Scheduled
                | RunMode::Shown(_)
                | RunMode::Full { confirmed: false }
                | RunMode::Follow
        )
    }

    /// Returns what a person has confirmed of the run, if that has limits of its own.
    pub(super) fn confirmed(self) -> Option<ConfirmedRows> {
        match self {
            RunMode::Shown(rows) => Some(rows),
            _ => None,
        }
    }
}

/// Checks that a run may send all rows once more.
///
/// # Errors
/// If the sync does not remember its rows by a cursor or a comparison, and if rows that are sent again
/// count twice and no person has said that this is meant.
fn may_be_full(import: &Import, confirmed: bool) -> Result<(), Error> {
    let sync = &import.sync;
    match import.tracking {
        ChangeTracking::Cursor { .. } | ChangeTracking::Mirror => {}
        ChangeTracking::Full => {
            return Err(Error::settings(format!(
                "`{sync}` has `mode: full`: each of its runs sends all rows"
            ))
            .hint("run it without `--full`"));
        }
        ChangeTracking::Checkpoint => {
            return Err(Error::settings(format!(
                "`{sync}` continues after what it has read, and `--full` is for syncs with a cursor and for mirrors"
            ))
            .hint(format!("run `tidegate reset {sync}`: its next run starts from the beginning")));
        }
    }
    if import.platform.object().idempotency != Idempotency::Idempotent && !confirmed {
        return Err(Error::new(
            ErrorKind::Unconfirmed,
            format!(
                "skipped: the run would send every row of `{sync}` again, and what was sent before may \
                 count twice; nothing was sent"
            ),
        )
        .hint(format!("run `tidegate run {sync} --full --yes` if that is meant")));
    }
    Ok(())
}

impl Engine {
    /// Runs a sync once.
    ///
    /// A sync that Tidegate paused is tried again; one that a person
    /// paused is not.
    ///
    /// # Errors
    /// If the run could not begin, for example because it would delete more than `limits` of the
    /// sync allows. A run that failed later says so itself.
    pub async fn run(
        &self,
        id: &SyncId,
        cause: Cause,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Run, Error> {
        self.run_in_mode(id, RunMode::Once, cause, stop, progress).await
    }

    /// Runs a sync in one of these ways.
    ///
    /// # Errors
    /// As [`Engine::run`], and if a plan does not hold any more.
    pub async fn run_in_mode(
        &self,
        id: &SyncId,
        mode: RunMode,
        cause: Cause,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Run, Error> {
        let (open, claim) = self.ready(id, cause).await?;
        let run = async {
            self.may_run(&open, claim.sync(), mode, &stop).await?;
            self.run_open(&open, &claim, mode, cause, stop, progress).await
        };
        let run = run.await;
        claim.release().await;
        run
    }

    /// Checks that a sync may run in this mode.
    ///
    /// # Errors
    /// If a plan does not hold any more, or the mode is not for such a sync.
    pub(super) async fn may_run(
        &self,
        open: &OpenSync,
        id: &SyncId,
        mode: RunMode,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        match (mode, open) {
            (RunMode::Planned(plan), OpenSync::Import(_)) => self.as_planned(id, &plan, stop).await,
            (RunMode::Full { confirmed }, OpenSync::Import(import)) => may_be_full(import, confirmed),
            (RunMode::Planned(_) | RunMode::Full { .. }, OpenSync::Export(_)) => {
                Err(Error::settings(format!("`{id}` is an export: it sends each event once"))
                    .hint("run it without `--plan` and `--full`"))
            }
            _ => Ok(()),
        }
    }

    /// Runs what is opened.
    pub(crate) async fn run_open(
        &self,
        open: &OpenSync,
        claim: &Claim,
        mode: RunMode,
        cause: Cause,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Run, Error> {
        let ended = self.run_ends(open, claim, mode, cause, stop, progress).await;
        if let Ok(run) = &ended {
            measures::run_ended(run);
        }
        self.watching.run_ended(claim.sync());
        ended
    }

    async fn run_ends(
        &self,
        open: &OpenSync,
        claim: &Claim,
        mode: RunMode,
        cause: Cause,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Run, Error> {
        let parts = match mode {
            RunMode::Scheduled => Parts { next_run: self.next_run_after(claim.sync()), ..self.parts(claim) },
            _ => self.parts(claim),
        };
        match open {
            OpenSync::Import(import) => {
                if let Err(error) = self.brake(claim.sync(), mode, &stop).await {
                    self.note_failure(claim, import.platform.object().kind, cause, &error).await;
                    return Err(error);
                }
                let mut import = (**import).clone();
                if !mode.is_limited() {
                    import.limits = None;
                }
                import.confirmed = mode.confirmed();
                let import = &import;
                let input = match mode {
                    RunMode::Follow if import.follows() => Input::Following,
                    RunMode::Full { .. } => Input::Everything,
                    _ => Input::Changes,
                };
                pipeline::run(import, &parts, cause, input, stop, progress).await
            }
            OpenSync::Export(export) => {
                let follow = mode == RunMode::Follow;
                pipeline::run_export(export, &parts, cause, follow, stop, progress).await
            }
        }
    }

    /// Returns every sync of the project with its state, then the exports that callers of APIs asked for.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn status(&self) -> Result<Vec<SyncStatus>, Error> {
        let store = &self.config.store;
        let (mut states, mut last_runs) = (store.sync_states().await?, store.last_runs().await?);
        let failed_rows = store.failed_row_counts().await?;
        let mut statuses = Vec::new();
        for (id, sync) in &self.config.project.syncs {
            let state = states.remove(id).unwrap_or_default();
            let failed = failed_rows.get(id).copied().unwrap_or_default();
            let lag = self.lag(sync, state.checkpoint.as_ref()).await;
            statuses.push(self.status_of(id, sync, state, last_runs.remove(id), failed, lag));
        }
        let mut requested: Vec<_> = self.requested_known().await.into_iter().collect();
        requested.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (id, (connection, request)) in requested {
            statuses.push(self.status_of_requested(id, &connection, &request).await?);
        }
        Ok(statuses)
    }

    /// Puts together what is known of an export that a caller of an API asked for.
    async fn status_of_requested(
        &self,
        id: SyncId,
        connection: &ConnectionId,
        request: &ExportRequest,
    ) -> Result<SyncStatus, Error> {
        let last_run = self.config.store.runs(Some(&id), 1).await?.pop();
        let state = self.config.store.sync_state(&id).await?;
        let runs = last_run.as_ref().is_some_and(|run| run.ending.is_none());
        let now = self.config.clock.now();
        Ok(SyncStatus {
            object: "events",
            route: format!("{connection} → {}", request.kind),
            paused: state.paused,
            wait: state.wait.filter(|wait| runs && wait.until > now),
            last_run,
            failed_rows: self.config.store.failed_row_totals(&id).await?.rows,
            lag: Vec::new(),
            enabled: true,
            waiting: false,
            next_run_at: None,
            contacts: Vec::new(),
            labels: BTreeMap::new(),
            sync: id,
        })
    }

    /// Puts together what is known of one sync.
    pub(super) fn status_of(
        &self,
        id: &SyncId,
        sync: &SyncSpec,
        state: SyncState,
        last_run: Option<Run>,
        failed_rows: u64,
        lag: Vec<Lag>,
    ) -> SyncStatus {
        let options = sync.options();
        let now = self.config.clock.now();
        let next = options.schedule.as_ref().and_then(|schedule| due::next(schedule, &state, now));
        let runs = last_run.as_ref().is_some_and(|run| run.ending.is_none());
        SyncStatus {
            enabled: options.enabled,
            waiting: options.enabled
                && state.paused.is_none()
                && !runs
                && state.next_run.is_some()
                && next.is_some_and(|next| next <= now),
            // What is overdue is due now.
            next_run_at: next.filter(|_| options.enabled).map(|next| next.max(now)),
            contacts: options.contacts.clone(),
            labels: options.labels.clone(),
            sync: id.clone(),
            object: match sync {
                SyncSpec::Import(import) => import.destination.object.as_str(),
                SyncSpec::Export(_) => "events",
            },
            route: format!("{} → {}", sync.source(), sync.destination()),
            lag,
            wait: state.wait.filter(|wait| runs && wait.until > now),
            paused: state.paused,
            last_run,
            failed_rows,
        }
    }

    /// How far behind its stream a sync is. Nothing if the stream cannot be
    /// asked: `status` shows what is known, `check` what is wrong.
    pub(crate) async fn lag(&self, sync: &SyncSpec, after: Option<&Checkpoint>) -> Vec<Lag> {
        let asked = match sync {
            SyncSpec::Import(import) => {
                let selection = self.selection(import).await;
                let source = self.source(&import.source.connection, true).await;
                match source.and_then(|source| Ok((source, selection?.0))) {
                    Ok((source, selection)) => source.lag(&selection, after).await,
                    Err(error) => Err(error),
                }
            }
            SyncSpec::Export(export) => {
                self.config.log.lag(&super::export::stream_of(&export.source.connection), after).await
            }
        };
        asked.unwrap_or_else(|error| {
            // The sync itself says what is wrong; this is asked again and again.
            tracing::debug!(error = error.chain(), "how far a stream is could not be found out");
            Vec::new()
        })
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn runs(&self, id: Option<&SyncId>, limit: usize) -> Result<Vec<Run>, Error> {
        self.config.store.runs(id, limit).await
    }

    /// Returns row statuses, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn rows(&self, query: &RowQuery) -> Result<Vec<RowEntry>, Error> {
        self.config.store.rows(query).await
    }

    /// Keeps a sync from running until it is resumed.
    ///
    /// # Errors
    /// If there is no such sync, or the store cannot be written.
    pub async fn pause(&self, id: &SyncId, by: &str, why: &str) -> Result<(), Error> {
        self.sync(id)?;
        let pause = Pause::new(PausedBy::Person(by.to_owned()), why, self.config.clock.now());
        self.config.store.set_paused(id, Some(pause)).await
    }

    /// Waits until the last run of a sync has ended, for at most `patience`. Returns whether it has.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn has_ended(&self, id: &SyncId, patience: Duration) -> Result<bool, Error> {
        const PACE: Duration = Duration::from_millis(200);
        let mut waited = Duration::ZERO;
        loop {
            let last = self.runs(Some(id), 1).await?;
            if last.first().is_none_or(|run| run.ending.is_some()) {
                return Ok(true);
            }
            if waited >= patience {
                return Ok(false);
            }
            wait::span(PACE).await;
            waited += PACE;
        }
    }

    /// Lets a sync run again.
    ///
    /// # Errors
    /// As [`Engine::pause`].
    pub async fn resume(&self, id: &SyncId) -> Result<(), Error> {
        self.sync(id)?;
        self.config.store.set_paused(id, None).await
    }

    /// Resets a sync, so that its next run reads from the beginning.
    ///
    /// # Errors
    /// If there is no such sync, the process that runs it does not begin in time, or the store
    /// cannot be written.
    pub async fn reset(&self, id: &SyncId) -> Result<(), Error> {
        self.reset_unless(id, &self.background.stop).await
    }

    /// Resets a sync, as [`Engine::reset`] does. When `stop` fires, the process that runs the sync is
    /// no longer asked for it.
    ///
    /// # Errors
    /// As [`Engine::reset`].
    pub async fn reset_unless(&self, id: &SyncId, stop: &CancellationToken) -> Result<(), Error> {
        self.sync(id)?;
        let claim = match self.claim(id).await {
            Ok(claim) => claim,
            Err(error) if error.kind() == ErrorKind::Held => {
                return self.ask_for_reset(id, error, stop).await;
            }
            Err(error) => return Err(error),
        };
        let done = self.config.store.reset(&claim).await;
        claim.release().await;
        done
    }
}
