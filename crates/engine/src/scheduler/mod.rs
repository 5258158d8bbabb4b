//! The scheduler: runs syncs as their schedules say, while `tidegate serve` answers
//! requests.
//!
//! [`run`] keeps [`Rounds`] going for each sync that has a schedule, and [`requested`] for each export that the
//! caller of an API asked for. [`due`] says when a run is due, and [`one_run`] makes one.

pub(crate) mod due;
mod keeper;
mod maintenance;
mod one_run;
mod requested;
mod rounds;
mod scheduled;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::SyncId;
use tidegate_project::Schedule;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::pipeline::wait;
use crate::service::Engine;

use keeper::Keeper;
use rounds::Rounds;
use scheduled::{ScheduledSync, Way, schedule_of};

/// How often to poll for a manual pause or resume.
const LOOK: Duration = Duration::from_secs(1);
/// How long runs may take to end when the process stops; then they are cut off, and the
/// next process continues as after a crash.
pub(crate) const STOP_LONGEST: Duration = Duration::from_secs(8);

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
            Rounds::new(engine.clone(), scheduled, stop.clone(), gone).run()
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
}

/// Waits until all of them have ended.
async fn all_ended(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(fault) = ended {
            tracing::error!(%fault, "work beside the syncs has ended: a fault of this program");
        }
    }
}

/// Waits, unless one of them fires first.
pub(crate) async fn rest(span: Duration, stop: &CancellationToken, gone: &CancellationToken) {
    tokio::select! {
        () = wait::span(span) => {}
        () = stop.cancelled() => {}
        () = gone.cancelled() => {}
    }
}
