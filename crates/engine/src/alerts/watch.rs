//! Looks at syncs, and opens and resolves alerts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_model::alert::{About, Alert, Trigger};
use tidegate_model::store::{FailedRowGroup, FailedRowGroupQuery, RunQuery, SyncState};
use tidegate_model::{Ending, Error, Run, SyncId};
use tidegate_project::{AlertRules, Schedule, SyncSpec};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use super::conditions::{self, Facts, Moved, State, watched};
use super::lock;
use crate::scheduler::rest;
use crate::service::Engine;
use crate::service::export::RETRY_FOR;

/// How often all syncs are looked at.
const LOOK: Duration = Duration::from_secs(30);
/// How long after a look the next one begins at the earliest.
const PAUSE: Duration = Duration::from_secs(1);
/// Runs that are looked at.
const RUNS: usize = 20;
/// Alerts that were resolved lately: if a process died meanwhile, their recovery is reported now.
const RESOLVED: usize = 50;

/// A sync that is looked at.
struct Watched<'a> {
    id: &'a SyncId,
    /// Its own rules.
    rules: AlertRules,
    retry_for: Duration,
    /// Whether its run has no end.
    follows: bool,
}

impl<'a> Watched<'a> {
    fn of(id: &'a SyncId, sync: &SyncSpec) -> Watched<'a> {
        let options = sync.options();
        let follows = match (&options.schedule, sync) {
            (Some(schedule), _) => *schedule == Schedule::Continuous,
            (None, SyncSpec::Export(_)) => true,
            (None, SyncSpec::Import(import)) => import.mode == tidegate_model::Mode::Stream,
        };
        Watched { id, rules: options.alert_rules, retry_for: options.retry_for, follows }
    }

    /// An export that a caller of an API asked for.
    fn requested(id: &'a SyncId) -> Watched<'a> {
        Watched { id, rules: AlertRules::default(), retry_for: RETRY_FOR, follows: true }
    }
}

impl Engine {
    /// Watches all syncs, and reports changes.
    pub(crate) async fn watch_alerts(self: Arc<Self>, stop: CancellationToken) {
        let mut all = true;
        while !stop.is_cancelled() {
            let fresh = self.watching.take_fresh();
            let looked = self.look(if all { None } else { Some(&fresh) }).await;
            let told = match looked {
                Ok(()) => self.send_due().await,
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                tracing::warn!(error = error.chain(), "alerts could not be looked at");
            }
            rest(PAUSE, &stop, &stop).await;
            all = tokio::select! {
                () = self.watching.ended.notified() => false,
                () = rest(LOOK, &stop, &stop) => true,
            };
        }
    }

    /// Looks at all syncs once, and sends what is due: for a program that ends.
    ///
    /// # Errors
    /// If the store cannot be read or written. A channel that cannot be reached is no error.
    pub async fn tell_alerts(&self) -> Result<(), Error> {
        if self.config.project.alerts.channels.is_empty() {
            return Ok(());
        }
        self.look(None).await?;
        self.send_due().await
    }

    /// Looks at these syncs, or at all.
    async fn look(&self, only: Option<&HashSet<SyncId>>) -> Result<(), Error> {
        let book = self.config.store.alert_book();
        let known = book.list(RESOLVED).await?;
        let states = self.config.store.sync_states().await?;
        let mut groups: HashMap<SyncId, Vec<FailedRowGroup>> = HashMap::new();
        let query = FailedRowGroupQuery {
            syncs: only.map(|only| only.iter().cloned().collect()),
            without_users: true,
            ..FailedRowGroupQuery::all_of(None)
        };
        for group in self.config.store.failed_row_groups(&query).await? {
            groups.entry(group.sync.clone()).or_default().push(group);
        }
        for (id, sync) in &self.config.project.syncs {
            if !sync.options().enabled || only.is_some_and(|only| !only.contains(id)) {
                continue;
            }
            let state = states.get(id).cloned().unwrap_or_default();
            let groups = groups.remove(id).unwrap_or_default();
            self.look_at(&Watched::of(id, sync), &state, &groups, &known).await?;
        }
        if only.is_none() {
            self.look_at_tokens(&known).await?;
            self.look_at_disk(&known).await?;
        }
        let requested = match self.requested_now().await {
            Ok(requested) => Some(requested),
            Err(error) => {
                tracing::debug!(error = error.chain(), "what was asked to be exported cannot be told");
                None
            }
        };
        for id in requested.iter().flatten().map(|(id, _)| id) {
            if only.is_some_and(|only| !only.contains(id)) {
                continue;
            }
            let state = states.get(id).cloned().unwrap_or_default();
            let groups = groups.remove(id).unwrap_or_default();
            self.look_at(&Watched::requested(id), &state, &groups, &known).await?;
        }
        for alert in known.iter().filter(|alert| alert.resolved_at.is_none()) {
            // What was asked for is gone only if it can be told.
            let is_left =
                |requested: &HashMap<SyncId, _>| !requested.contains_key(&SyncId::new(&alert.subject));
            if requested.as_ref().is_some_and(is_left) && self.is_gone(alert) {
                book.resolve(&alert.id, self.config.clock.now()).await?;
            }
        }
        let known = book.list(RESOLVED).await?;
        let open = known.iter().filter(|alert| alert.resolved_at.is_none()).count();
        // A number of syncs and channels at most.
        metrics::gauge!("tidegate_alerts_open").set(open as f64);
        for alert in &known {
            self.tell(alert).await?;
        }
        Ok(())
    }

    /// Whether what an alert is about is not in the project any more.
    fn is_gone(&self, alert: &Alert) -> bool {
        let project = &self.config.project;
        if alert.trigger == Trigger::Test {
            return true;
        }
        match alert.trigger.about() {
            About::Channel => !project.alerts.channels.contains_key(&alert.subject),
            // No part of the project.
            About::Token | About::Machine => false,
            About::Sync => {
                let sync = project.syncs.get(&SyncId::new(&alert.subject));
                sync.is_none_or(|sync| !sync.options().enabled)
            }
        }
    }

    async fn look_at(
        &self,
        watched: &Watched<'_>,
        state: &SyncState,
        groups: &[FailedRowGroup],
        known: &[Alert],
    ) -> Result<(), Error> {
        let Watched { id, rules, retry_for, follows } = *watched;
        let now = self.config.clock.now();
        let runs = self.config.store.runs(Some(id), RUNS).await?;
        let rules = rules.or(self.config.project.alerts.rules);
        let moved = self.moved(id, runs.first(), now);
        let (earlier_success, earlier_read) = self.earlier(id, &runs, rules, now).await?;
        let facts = Facts {
            now,
            state,
            runs: &runs,
            groups,
            moved: moved.as_ref(),
            rules,
            retry_for,
            follows,
            earlier_success,
            earlier_read,
            waiting: self.backlogs.waiting(id),
        };
        for (trigger, judged) in conditions::judge(&facts) {
            let open = known.iter().find(|alert| {
                alert.resolved_at.is_none() && alert.trigger == trigger && alert.subject == id.as_str()
            });
            self.change(id.as_str(), trigger, &judged, open, now).await?;
        }
        Ok(())
    }

    /// Opens, explains or resolves.
    pub(super) async fn change(
        &self,
        subject: &str,
        trigger: Trigger,
        judged: &State,
        open: Option<&Alert>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let book = self.config.store.alert_book();
        match (judged, open) {
            (State::Bad(summary), None) => {
                let alert = new_alert(subject, trigger, summary, now);
                if book.open(&alert).await? {
                    tracing::warn!(subject, %trigger, summary, "alert");
                }
            }
            (State::Bad(summary), Some(alert)) if alert.summary != *summary => {
                book.explain(&alert.id, summary).await?;
            }
            (State::Good, Some(alert)) => {
                if book.resolve(&alert.id, now).await? {
                    tracing::warn!(subject, %trigger, "alert is over");
                }
            }
            (State::Bad(_), Some(_)) | (State::Good, None) | (State::Unclear, _) => {}
        }
        Ok(())
    }

    /// Remembers how a run in progress has moved.
    fn moved(&self, id: &SyncId, run: Option<&Run>, now: Timestamp) -> Option<Moved> {
        let mut all = lock(&self.watching.moved);
        let known = all.remove(id);
        let run = run.filter(|run| run.ending.is_none())?;
        let moved = Moved::after(known, run, now);
        all.insert(id.clone(), moved.clone());
        Some(moved)
    }

    /// Returns when a run was completed, and when rows were read, before the last runs: asked only
    /// for a sync that ran so often in vain.
    async fn earlier(
        &self,
        id: &SyncId,
        runs: &[Run],
        rules: AlertRules,
        now: Timestamp,
    ) -> Result<(Option<Timestamp>, Option<Timestamp>), Error> {
        if runs.len() < RUNS {
            return Ok((None, None));
        }
        let mut success = None;
        let came_to_end = |run: &Run| matches!(run.ending, Some(Ending::Succeeded | Ending::Partial));
        if watched(rules.stale).is_some() && !runs.iter().any(came_to_end) {
            for ending in [Ending::Succeeded, Ending::Partial] {
                let query = RunQuery {
                    sync: Some(id.clone()),
                    ending: Some(ending),
                    limit: 1,
                    ..RunQuery::default()
                };
                let found = self.config.store.find_runs(&query).await?.pop();
                success = success.max(found.and_then(|run| run.finished_at));
            }
        }
        let mut read = None;
        if let Some(limit) = watched(rules.no_rows)
            && !runs.iter().any(|run| run.ending.is_none() || run.counts.read > 0)
        {
            /// Runs of a sync that runs each minute, in a week.
            const RUNS_MAX: usize = 10_000;
            let from = now.checked_sub(limit).ok();
            let query = RunQuery { sync: Some(id.clone()), from, limit: RUNS_MAX, ..RunQuery::default() };
            let found = self.config.store.find_runs(&query).await?;
            read = found.into_iter().find(|run| run.counts.read > 0).and_then(|run| run.finished_at);
        }
        Ok((success, read))
    }
}

/// Makes an alert. Its name sorts by the time of opening; only one about a state opens at a time.
pub(super) fn new_alert(subject: &str, trigger: Trigger, summary: &str, now: Timestamp) -> Alert {
    let state = xxh3_64(format!("{subject}/{trigger}").as_bytes());
    Alert {
        id: format!("{:014x}{state:016x}", now.as_microsecond()),
        subject: subject.to_owned(),
        trigger,
        summary: summary.to_owned(),
        opened_at: now,
        resolved_at: None,
    }
}
