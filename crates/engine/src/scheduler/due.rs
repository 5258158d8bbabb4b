//! When a scheduled sync runs next.
//!
//! Only a scheduled run that was completed moves that time: after one that failed or was
//! stopped the sync stays due, and retries and runs by hand change nothing.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::store::{NextRun, SyncState};
use tidegate_model::{Error, Run, SyncId};

use super::LOOK;
use crate::pipeline::NextRunAfter;
use crate::service::Engine;
use tidegate_project::Schedule;

/// Returns when a sync runs next; `None` if it runs all the time, or if no time matches.
///
/// What was planned under another schedule does not count, nor does what a clock planned that was
/// far ahead: a run that began now would have an earlier next one.
pub(crate) fn next(schedule: &Schedule, state: &SyncState, now: Timestamp) -> Option<Timestamp> {
    match &state.next_run {
        Some(planned) if planned.schedule == schedule.to_string() => {
            let latest = schedule.due(Some(now), now);
            Some(match latest {
                Some(latest) if planned.at.duration_since(latest) > SKEW => latest,
                _ => planned.at,
            })
        }
        _ => schedule.due(None, now),
    }
}

/// Returns the plan after a run that was completed.
fn after(schedule: &Schedule, run: &Run, now: Timestamp) -> NextRun {
    // A pattern that no time matches any more is never due.
    let at = schedule.due(Some(run.started_at), now).unwrap_or(Timestamp::MAX);
    NextRun { schedule: schedule.to_string(), at }
}

/// How far the clocks of machines that share a store may differ.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

impl Engine {
    /// Returns when a scheduled sync runs next. A new time is stored, so that one that
    /// passes while no `serve` runs is made up for.
    async fn planned(&self, id: &SyncId, schedule: &Schedule, state: &SyncState) -> Result<Timestamp, Error> {
        let at = next(schedule, state, self.config.clock.now()).unwrap_or(Timestamp::MAX);
        let is_plan = |plan: &NextRun| plan.at == at && plan.schedule == schedule.to_string();
        let known = state.next_run.as_ref().is_some_and(is_plan);
        if !known {
            self.config.store.plan_run(id, NextRun { schedule: schedule.to_string(), at }).await?;
        }
        Ok(at)
    }

    /// Returns what says when a sync of the project runs after a run on its schedule, if it has one.
    pub(crate) fn next_run_after(&self, id: &SyncId) -> Option<NextRunAfter> {
        let schedule = self.config.project.syncs.get(id)?.schedule()?.clone();
        Some(Arc::new(move |run, now| after(&schedule, run, now)))
    }

    /// Returns how long until the next run of a sync is due.
    pub(super) async fn until_due(&self, id: &SyncId, schedule: &Schedule, state: &SyncState) -> Duration {
        let Ok(at) = self.planned(id, schedule, state).await else { return LOOK };
        Duration::try_from(at.duration_since(self.config.clock.now())).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::{Cause, Counts, Ending, RunId};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn a_plan_counts_until_its_schedule_is_another_one() {
        let (now, planned) = (at("2026-03-05T09:00:00Z"), at("2026-03-05T06:00:00Z"));
        let daily = Schedule::Every(Duration::from_secs(86_400));
        let state = |schedule: &Schedule| SyncState {
            next_run: Some(NextRun { schedule: schedule.to_string(), at: planned }),
            ..SyncState::default()
        };
        assert_eq!(next(&daily, &state(&daily), now), Some(planned), "overdue");
        assert_eq!(next(&daily, &SyncState::default(), now), Some(now), "it never ran");
        let hourly = Schedule::Every(Duration::from_secs(3_600));
        assert_eq!(next(&hourly, &state(&daily), now), Some(now));
        assert_eq!(next(&Schedule::Continuous, &state(&daily), now), None);
        let ahead = planned - SignedDuration::from_hours(24 * 100);
        let a_day = SignedDuration::from_hours(24);
        assert_eq!(
            next(&daily, &state(&daily), ahead),
            Some(ahead + a_day),
            "planned by a clock that was ahead"
        );
        let behind = planned - a_day - SignedDuration::from_secs(20);
        assert_eq!(next(&daily, &state(&daily), behind), Some(planned), "clocks of machines differ a little");
    }

    #[test]
    fn the_next_run_counts_from_the_beginning_of_the_last() {
        let run = Run {
            id: RunId::new("r"),
            sync: SyncId::new("s"),
            cause: Cause::Schedule,
            started_at: at("2026-03-05T09:00:00Z"),
            finished_at: None,
            ending: Some(Ending::Partial),
            counts: Counts::default(),
            compared: None,
            error: None,
            failure: None,
        };
        let hourly = Schedule::Every(Duration::from_secs(3_600));
        assert_eq!(after(&hourly, &run, at("2026-03-05T09:50:00Z")).at, at("2026-03-05T10:00:00Z"));
    }
}
