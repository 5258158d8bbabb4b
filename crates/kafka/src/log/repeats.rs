//! Which events were logged lately, known by their ids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Event, Fingerprint, Value};
use tokio::sync::watch;

/// How many ids are known exactly: with more, the window gets shorter.
const IDS_MAX: usize = 1_000_000;

/// How an append ended, for those who wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    UnderWay,
    Landed,
}

/// The ids of one stream, with the moment they were logged: those on their way,
/// those of this window, those of the window before.
pub(super) struct Repeats {
    window: SignedDuration,
    since: Timestamp,
    young: HashMap<Fingerprint, Timestamp>,
    old: HashMap<Fingerprint, Timestamp>,
    flying: HashMap<Fingerprint, watch::Receiver<Flight>>,
}

/// An append, split.
pub(super) struct Admitted {
    /// The places of the events to write.
    pub(super) fresh: Vec<usize>,
    /// How many were logged before, or are being logged.
    pub(super) repeated: u64,
    /// Ends the flight of the fresh ones.
    pub(super) landing: Landing,
    /// The appends that write some of the others at this moment.
    pub(super) others: Others,
}

impl Repeats {
    pub(super) fn new(window: SignedDuration, now: Timestamp) -> Repeats {
        Repeats { window, since: now, young: HashMap::new(), old: HashMap::new(), flying: HashMap::new() }
    }

    /// Notes that an event is in the log.
    pub(super) fn know(&mut self, id: Fingerprint, logged_at: Timestamp) {
        self.young.insert(id, logged_at);
    }

    fn knows(&self, id: &Fingerprint, now: Timestamp) -> bool {
        let logged_at = self.young.get(id).or_else(|| self.old.get(id));
        logged_at.is_some_and(|at| now.duration_since(*at) <= self.window)
    }

    fn turn(&mut self, now: Timestamp) {
        if now.duration_since(self.since) >= self.window || self.young.len() >= IDS_MAX {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
    }

    /// Splits an append. An event that another append is writing at this moment
    /// is not called durable before that one has ended.
    pub(super) fn admit(this: &Arc<Mutex<Repeats>>, ids: &[Fingerprint], now: Timestamp) -> Admitted {
        let mut repeats = this.lock().unwrap_or_else(PoisonError::into_inner);
        repeats.turn(now);
        let (ended, flight) = watch::channel(Flight::UnderWay);
        let mut fresh = Vec::with_capacity(ids.len());
        let mut others = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            if repeats.knows(id, now) {
                continue;
            }
            match repeats.flying.get(id) {
                // A repetition inside of this append travels with the first one.
                Some(other) if other.same_channel(&flight) => {}
                Some(other) => others.push(other.clone()),
                None => {
                    repeats.flying.insert(*id, flight.clone());
                    fresh.push(at);
                }
            }
        }
        let flying = fresh.iter().map(|at| ids[*at]).collect();
        let repeated = (ids.len() - fresh.len()) as u64;
        let landing = Landing { repeats: Arc::clone(this), flying, logged_at: now, ended };
        Admitted { fresh, repeated, landing, others: Others(others) }
    }
}

/// Appends that write the same events.
pub(super) struct Others(Vec<watch::Receiver<Flight>>);

impl Others {
    /// Waits for them; whether all of them landed.
    pub(super) async fn landed(self) -> bool {
        for mut flight in self.0 {
            if flight.wait_for(|flight| *flight == Flight::Landed).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// The flight of an append's fresh events. Dropped before it lands, it sets
/// their ids free: nobody knows whether they were logged.
pub(super) struct Landing {
    repeats: Arc<Mutex<Repeats>>,
    flying: Vec<Fingerprint>,
    logged_at: Timestamp,
    ended: watch::Sender<Flight>,
}

impl Landing {
    /// Notes which of the fresh events are durable, by their order.
    pub(super) fn land(mut self, durable: impl Iterator<Item = bool>) {
        let mut all = true;
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, durable) in self.flying.drain(..).zip(durable) {
            repeats.flying.remove(&id);
            all &= durable;
            if durable {
                repeats.know(id, self.logged_at);
            }
        }
        drop(repeats);
        if all {
            self.ended.send_replace(Flight::Landed);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        for id in self.flying.drain(..) {
            repeats.flying.remove(&id);
        }
    }
}

/// What an event is known by.
pub(super) fn id_of(event: &Event, scratch: &mut Vec<u8>) -> Fingerprint {
    Fingerprint::of_values([&Value::Text(event.id.clone())], scratch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u128]) -> Vec<Fingerprint> {
        numbers.iter().map(|number| Fingerprint(*number)).collect()
    }

    fn repeats() -> Arc<Mutex<Repeats>> {
        let window = SignedDuration::from_mins(10);
        Arc::new(Mutex::new(Repeats::new(window, Timestamp::UNIX_EPOCH)))
    }

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).expect("timestamp")
    }

    fn admit(repeats: &Arc<Mutex<Repeats>>, numbers: &[u128], at: i64) -> Admitted {
        Repeats::admit(repeats, &ids(numbers), minute(at))
    }

    #[test]
    fn an_event_is_fresh_until_it_has_landed_and_again_after_the_window() {
        let repeats = repeats();
        let first = admit(&repeats, &[1, 2, 1], 0);
        assert_eq!((first.fresh, first.repeated), (vec![0, 1], 1));
        first.landing.land([true, false].into_iter());
        let second = admit(&repeats, &[1, 2], 0);
        assert_eq!((second.fresh, second.repeated), (vec![1], 1));
        // Cut short: nobody knows.
        drop(second.landing);
        assert_eq!(admit(&repeats, &[1, 2], 9).fresh, [1]);
        admit(&repeats, &[3], 9).landing.land([true].into_iter());
        assert_eq!(admit(&repeats, &[1, 3], 10).fresh, [0; 0]);
        assert_eq!(admit(&repeats, &[1, 3], 11).fresh, [0]);
        assert_eq!(admit(&repeats, &[1, 3], 20).fresh, [0, 1]);
    }

    #[tokio::test]
    async fn who_repeats_what_is_under_way_waits_for_its_end() {
        let repeats = repeats();
        let first = admit(&repeats, &[1], 0);
        let second = admit(&repeats, &[1, 2], 0);
        assert_eq!(second.fresh, [1]);
        first.landing.land([true].into_iter());
        assert!(second.others.landed().await);

        let first = admit(&repeats, &[3], 0);
        let second = admit(&repeats, &[3], 0);
        drop(first);
        assert!(!second.others.landed().await);
    }
}
