//! The deduplication index: ids of recently logged events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Event, RowHash, Value};
use tokio::sync::watch;

/// How many ids fit into one half of the index: with more, the window gets shorter.
const IDS_MAX: usize = 1_000_000;

/// The state of an append, for the appends that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    UnderWay,
    Landed,
}

/// The ids of one stream with the time they were logged: of events in flight,
/// of this window, of the window before.
pub(super) struct DedupIndex {
    window: SignedDuration,
    since: Timestamp,
    young: HashMap<RowHash, Timestamp>,
    old: HashMap<RowHash, Timestamp>,
    flying: HashMap<RowHash, watch::Receiver<Flight>>,
}

/// An append, split into new events and duplicates.
pub(super) struct SplitAppend {
    /// The indexes of the events to write.
    pub(super) fresh: Vec<usize>,
    /// How many were logged before, or are being logged.
    pub(super) duplicates: u64,
    /// Ends the flight of the fresh ones.
    pub(super) landing: Landing,
    /// The appends that write some of the others at this moment.
    pub(super) others: Others,
}

impl DedupIndex {
    pub(super) fn new(window: SignedDuration, now: Timestamp) -> DedupIndex {
        DedupIndex { window, since: now, young: HashMap::new(), old: HashMap::new(), flying: HashMap::new() }
    }

    /// Notes that an event is in the log.
    pub(super) fn know(&mut self, id: RowHash, logged_at: Timestamp) {
        self.young.insert(id, logged_at);
    }

    fn knows(&self, id: &RowHash, now: Timestamp) -> bool {
        let logged_at = self.young.get(id).or_else(|| self.old.get(id));
        logged_at.is_some_and(|at| now.duration_since(*at) <= self.window)
    }

    fn rotate(&mut self, now: Timestamp) {
        if now.duration_since(self.since) >= self.window || self.young.len() >= IDS_MAX {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
    }

    /// Splits an append. An event that another append is writing at this moment
    /// does not count as durable before that one has ended.
    pub(super) fn split(this: &Arc<Mutex<DedupIndex>>, ids: &[RowHash], now: Timestamp) -> SplitAppend {
        let mut dedup = this.lock().unwrap_or_else(PoisonError::into_inner);
        dedup.rotate(now);
        let (ended, flight) = watch::channel(Flight::UnderWay);
        let mut fresh = Vec::with_capacity(ids.len());
        let mut others = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            if dedup.knows(id, now) {
                continue;
            }
            match dedup.flying.get(id) {
                // A duplicate inside this append is written with the first one.
                Some(other) if other.same_channel(&flight) => {}
                Some(other) => others.push(other.clone()),
                None => {
                    dedup.flying.insert(*id, flight.clone());
                    fresh.push(at);
                }
            }
        }
        let flying = fresh.iter().map(|at| ids[*at]).collect();
        let duplicates = (ids.len() - fresh.len()) as u64;
        let landing = Landing { dedup: Arc::clone(this), flying, logged_at: now, ended };
        SplitAppend { fresh, duplicates, landing, others: Others(others) }
    }
}

/// Appends that write the same events.
pub(super) struct Others(Vec<watch::Receiver<Flight>>);

impl Others {
    /// Waits for them. Returns whether all of them landed.
    pub(super) async fn landed(self) -> bool {
        for mut flight in self.0 {
            if flight.wait_for(|flight| *flight == Flight::Landed).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// The fresh events of an append in flight. Dropped before it lands, it removes
/// their ids: whether they were logged is unknown.
pub(super) struct Landing {
    dedup: Arc<Mutex<DedupIndex>>,
    flying: Vec<RowHash>,
    logged_at: Timestamp,
    ended: watch::Sender<Flight>,
}

impl Landing {
    /// Notes which of the fresh events are durable, by their order.
    pub(super) fn land(mut self, durable: impl Iterator<Item = bool>) {
        let mut all = true;
        let mut dedup = self.dedup.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, durable) in self.flying.drain(..).zip(durable) {
            dedup.flying.remove(&id);
            all &= durable;
            if durable {
                dedup.know(id, self.logged_at);
            }
        }
        drop(dedup);
        if all {
            self.ended.send_replace(Flight::Landed);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut dedup = self.dedup.lock().unwrap_or_else(PoisonError::into_inner);
        for id in self.flying.drain(..) {
            dedup.flying.remove(&id);
        }
    }
}

/// Returns the key of an event in the index.
pub(super) fn id_of(event: &Event, scratch: &mut Vec<u8>) -> RowHash {
    RowHash::of_values([&Value::Text(event.id.clone())], scratch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u128]) -> Vec<RowHash> {
        numbers.iter().map(|number| RowHash(*number)).collect()
    }

    fn dedup() -> Arc<Mutex<DedupIndex>> {
        let window = SignedDuration::from_mins(10);
        Arc::new(Mutex::new(DedupIndex::new(window, Timestamp::UNIX_EPOCH)))
    }

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).expect("timestamp")
    }

    fn split(dedup: &Arc<Mutex<DedupIndex>>, numbers: &[u128], at: i64) -> SplitAppend {
        DedupIndex::split(dedup, &ids(numbers), minute(at))
    }

    #[test]
    fn an_event_is_fresh_until_it_has_landed_and_again_after_the_window() {
        let dedup = dedup();
        let first = split(&dedup, &[1, 2, 1], 0);
        assert_eq!((first.fresh, first.duplicates), (vec![0, 1], 1));
        first.landing.land([true, false].into_iter());
        let second = split(&dedup, &[1, 2], 0);
        assert_eq!((second.fresh, second.duplicates), (vec![1], 1));
        // Interrupted: unknown.
        drop(second.landing);
        assert_eq!(split(&dedup, &[1, 2], 9).fresh, [1]);
        split(&dedup, &[3], 9).landing.land([true].into_iter());
        assert_eq!(split(&dedup, &[1, 3], 10).fresh, [0; 0]);
        assert_eq!(split(&dedup, &[1, 3], 11).fresh, [0]);
        assert_eq!(split(&dedup, &[1, 3], 20).fresh, [0, 1]);
    }

    #[tokio::test]
    async fn a_duplicate_of_an_event_in_flight_waits_for_its_end() {
        let dedup = dedup();
        let first = split(&dedup, &[1], 0);
        let second = split(&dedup, &[1, 2], 0);
        assert_eq!(second.fresh, [1]);
        first.landing.land([true].into_iter());
        assert!(second.others.landed().await);

        let first = split(&dedup, &[3], 0);
        let second = split(&dedup, &[3], 0);
        drop(first);
        assert!(!second.others.landed().await);
    }
}
