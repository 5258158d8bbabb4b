//! How long something has been waiting in the streams that syncs follow, as far as this process has watched.
//!
//! An item that was there at one look and is not committed at a later one has waited at least as long as
//! the time between them. No item has to be read for that.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Lag, SyncId};

use super::lock;

/// How long an item may wait, beyond the time for which a destination gathers items, before its sync is
/// behind.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);

/// What waits, by sync.
#[derive(Debug, Default)]
pub(crate) struct Backlogs(Mutex<HashMap<SyncId, Backlog>>);

/// Since when something has been waiting before a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Its stream was not looked at, or did not answer.
    Unknown,
    /// Nothing waits.
    Nothing,
    /// What was there at this time is not all committed yet.
    Since(Timestamp),
}

#[derive(Debug, Default)]
struct Backlog {
    /// Whether the stream answered at the last look.
    answered: bool,
    /// How many items wait.
    waiting: u64,
    /// By partition: items before this position were there at this time.
    marks: HashMap<String, (u64, Timestamp)>,
    /// How long the destination gathers items before it writes them.
    gathers: SignedDuration,
}

/// A sync that does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    /// How many items wait.
    pub(super) waiting: u64,
    /// How long one of them has waited at least.
    pub(super) lasts: SignedDuration,
}

impl Backlogs {
    /// Notes for how long the destination of a sync gathers items before it writes them.
    pub(crate) fn gathers(&self, sync: &SyncId, linger: Duration) {
        let linger = SignedDuration::try_from(linger).unwrap_or(SignedDuration::MAX);
        lock(&self.0).entry(sync.clone()).or_default().gathers = linger;
    }

    /// Notes what waits now. Partitions in which at most `slack` items wait keep up.
    pub(crate) fn look(&self, sync: &SyncId, lags: &[Lag], slack: u64, now: Timestamp) {
        let mut all = lock(&self.0);
        let backlog = all.entry(sync.clone()).or_default();
        let behind = || lags.iter().filter(|lag| lag.behind > slack);
        let marked = |lag: &Lag| match backlog.marks.get(&lag.partition) {
            Some(&(position, at)) if lag.position < position => (position, at),
            _ => (lag.end, now),
        };
        let marks = behind().map(|lag| (lag.partition.clone(), marked(lag))).collect();
        backlog.waiting = behind().map(|lag| lag.behind).sum();
        backlog.answered = !lags.is_empty();
        backlog.marks = marks;
    }

    /// Forgets what waits for a sync that does not run.
    pub(crate) fn forget(&self, sync: &SyncId) {
        if let Some(backlog) = lock(&self.0).get_mut(sync) {
            (backlog.waiting, backlog.marks, backlog.answered) = (0, HashMap::new(), false);
        }
    }

    /// Returns since when the item that has waited for longest has been waiting.
    pub(crate) fn waiting(&self, sync: &SyncId) -> Waiting {
        let all = lock(&self.0);
        let Some(backlog) = all.get(sync).filter(|backlog| backlog.answered) else { return Waiting::Unknown };
        let oldest = backlog.marks.values().map(|(_, at)| *at).min();
        oldest.map_or(Waiting::Nothing, Waiting::Since)
    }

    /// Returns by how much a sync is behind; `None` if it keeps up.
    pub(super) fn behind(&self, sync: &SyncId, now: Timestamp) -> Option<Behind> {
        let all = lock(&self.0);
        let backlog = all.get(sync)?;
        let oldest = backlog.marks.values().map(|(_, at)| *at).min()?;
        let lasts = now.duration_since(oldest);
        let patience = PATIENCE.saturating_add(backlog.gathers);
        (lasts > patience).then_some(Behind { waiting: backlog.waiting, lasts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(position: u64, end: u64) -> Lag {
        Lag {
            partition: "orders[0]".to_owned(),
            position,
            end,
            behind: end - position,
            last_seen: None,
            per_minute: None,
            trouble: None,
        }
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).expect("a time")
    }

    #[test]
    fn a_sync_is_behind_when_one_item_has_waited_for_over_a_quarter_of_an_hour() {
        let (backlogs, sync) = (Backlogs::default(), SyncId::new("s"));
        backlogs.look(&sync, &[lag(10, 30)], 0, at(0));
        backlogs.look(&sync, &[lag(29, 900)], 0, at(15));
        assert_eq!((backlogs.behind(&sync, at(15)), backlogs.waiting(&sync)), (None, Waiting::Since(at(0))));
        let behind = backlogs.behind(&sync, at(16)).expect("it is behind");
        assert_eq!((behind.waiting, behind.lasts.as_secs()), (871, 16 * 60));
        backlogs.look(&sync, &[lag(30, 900)], 0, at(16));
        assert_eq!(backlogs.behind(&sync, at(30)), None, "all of the first look is committed");
        assert!(backlogs.behind(&sync, at(32)).is_some());
        backlogs.look(&sync, &[lag(900, 900)], 0, at(33));
        assert_eq!((backlogs.behind(&sync, at(90)), backlogs.waiting(&sync)), (None, Waiting::Nothing));
        backlogs.look(&sync, &[], 0, at(34));
        assert_eq!(backlogs.waiting(&sync), Waiting::Unknown, "the stream did not answer");
    }

    #[test]
    fn a_busy_stream_that_keeps_up_is_not_behind_and_neither_is_one_whose_destination_gathers() {
        let (backlogs, sync) = (Backlogs::default(), SyncId::new("s"));
        for minute in 0_i64..60 {
            let end = 100 + minute.unsigned_abs() * 50;
            backlogs.look(&sync, &[lag(end - 80, end)], 0, at(minute));
            assert_eq!(backlogs.behind(&sync, at(minute)), None);
        }
        let slow = SyncId::new("slow");
        backlogs.gathers(&slow, Duration::from_secs(3_600));
        backlogs.look(&slow, &[lag(0, 5)], 0, at(0));
        assert_eq!(backlogs.behind(&slow, at(70)), None);
        assert!(backlogs.behind(&slow, at(76)).is_some());
        backlogs.forget(&slow);
        assert_eq!(backlogs.behind(&slow, at(76)), None);
        backlogs.look(&sync, &[lag(9, 10)], 1, at(0));
        assert_eq!(backlogs.behind(&sync, at(99)), None, "the mark of a transaction is no item");
    }
}
