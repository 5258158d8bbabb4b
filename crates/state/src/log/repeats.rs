//! Which events were logged lately.

use xxhash_rust::xxh3::xxh3_128;

/// The memory is divided by hash, so that growing moves a small part of it at a time.
const SHARDS: usize = 64;
const EMPTY: Seen = Seen(0);

/// An event that was logged: 96 bits of hash over its id and the second it was
/// logged in.
///
/// A new event is taken for one that is remembered with a probability of 2⁻⁹⁶
/// for each: with ten million of them once in 10²² events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen(pub(super) u128);

impl Seen {
    /// The event with this id, logged in this second.
    pub(super) fn new(id: &str, second: u32) -> Seen {
        Seen((xxh3_128(id.as_bytes()) & !u128::from(u32::MAX)) | u128::from(second.max(1)))
    }

    /// The second it was logged in.
    pub(super) fn second(self) -> u32 {
        self.0 as u32
    }

    fn hash(self) -> u128 {
        self.0 >> 32
    }

    fn shard(self) -> usize {
        (self.0 >> 122) as usize
    }

    /// Where it belongs among `places`; rises with the hash.
    fn home(self, places: usize) -> usize {
        let below_shard = (self.0 >> 58) as u64;
        ((u128::from(below_shard) * places as u128) >> 64) as usize
    }
}

/// The ids of a window of time: 18 to 21 bytes each.
pub(super) struct Repeats {
    window_seconds: u32,
    shards: Vec<Shard>,
}

impl Repeats {
    /// Remembers for this long.
    pub(super) fn new(window_seconds: u32) -> Repeats {
        Repeats { window_seconds, shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    /// Remembers an event; `false` where it is remembered already.
    pub(super) fn insert(&mut self, seen: Seen) -> bool {
        self.shards[seen.shard()].insert(seen, self.window_seconds)
    }

    /// Forgets an event that was not logged after all.
    pub(super) fn forget(&mut self, seen: Seen) {
        self.shards[seen.shard()].forget(seen);
    }

    /// The bytes it takes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.slots.capacity() * size_of::<Seen>()).sum()
    }
}

/// Sorted by hash, with gaps: each entry stands at its home or as little behind
/// it as the order allows. So a search ends at the first greater one, and growing
/// is one pass in order.
#[derive(Default)]
struct Shard {
    slots: Vec<Seen>,
    places: usize,
    used: usize,
}

impl Shard {
    /// Where the entry is, or where it belongs.
    fn find(&self, seen: Seen) -> Result<usize, usize> {
        let mut at = seen.home(self.places);
        while let Some(&slot) = self.slots.get(at) {
            if slot == EMPTY || slot.hash() > seen.hash() {
                return Err(at);
            }
            if slot.hash() == seen.hash() {
                return Ok(at);
            }
            at += 1;
        }
        Err(at)
    }

    fn insert(&mut self, seen: Seen, window_seconds: u32) -> bool {
        if let Ok(at) = self.find(seen) {
            let known = self.slots[at].second().saturating_add(window_seconds) >= seen.second();
            if !known {
                self.slots[at] = seen;
            }
            return !known;
        }
        if self.used >= self.places / 8 * 7 {
            self.make_room(seen.second().saturating_sub(window_seconds));
        }
        let (Ok(at) | Err(at)) = self.find(seen);
        match self.slots[at..].iter().position(|slot| *slot == EMPTY) {
            Some(gap) => self.slots.copy_within(at..at + gap, at + 1),
            None => {
                self.slots.push(EMPTY);
                let end = self.slots.len() - 1;
                self.slots.copy_within(at..end, at + 1);
            }
        }
        self.slots[at] = seen;
        self.used += 1;
        true
    }

    fn forget(&mut self, seen: Seen) {
        if let Ok(at) = self.find(seen) {
            // An entry that has run out: its place is reused or swept up later.
            self.slots[at] = Seen((seen.0 & !u128::from(u32::MAX)) | 1);
        }
    }

    /// Drops what was logged before `oldest` and spreads the rest over an eighth more.
    fn make_room(&mut self, oldest: u32) {
        let live = |slot: &&Seen| **slot != EMPTY && slot.second() >= oldest;
        self.used = self.slots.iter().filter(live).count();
        let places = (self.used / 7 + 1) * 9;
        let mut slots = Vec::with_capacity(places + places / 64 + 8);
        for &slot in self.slots.iter().filter(live) {
            let home = slot.home(places);
            if slots.len() < home {
                slots.resize(home, EMPTY);
            }
            slots.push(slot);
        }
        if slots.len() < places {
            slots.resize(places, EMPTY);
        }
        (self.slots, self.places) = (slots, places);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const DAY: u32 = 86_400;

    #[test]
    fn a_million_events_take_at_most_twenty_one_bytes_each() {
        let mut repeats = Repeats::new(DAY);
        for id in 0..1_000_000 {
            assert!(repeats.insert(Seen::new(&format!("event-{id}"), 1_000_000)));
        }
        assert!(repeats.bytes() <= 21_000_000, "{}", repeats.bytes());
        for id in 0..1_000_000 {
            assert!(!repeats.insert(Seen::new(&format!("event-{id}"), 1_000_000 + DAY)));
        }
    }

    #[test]
    fn what_has_left_the_window_leaves_the_memory() {
        let mut repeats = Repeats::new(DAY);
        for day in 1..20 {
            for id in 0..50_000 {
                assert!(repeats.insert(Seen::new(&format!("{day}-{id}"), day * 2 * DAY)));
            }
        }
        assert!(repeats.bytes() <= 50_000 * 45, "{}", repeats.bytes());
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_map(
            steps in proptest::collection::vec((0_u16..600, 0_u32..40, proptest::bool::weighted(0.1)), 0..3_000),
        ) {
            let mut repeats = Repeats::new(1_000);
            let mut map = HashMap::new();
            let mut now = 5_000;
            for (id, passed, forget) in steps {
                now += passed;
                let seen = Seen::new(&id.to_string(), now);
                if forget {
                    repeats.forget(seen);
                    map.remove(&id);
                    continue;
                }
                let known = map.get(&id).is_some_and(|logged| now - logged <= 1_000);
                if !known {
                    map.insert(id, now);
                }
                prop_assert_eq!(repeats.insert(seen), !known);
            }
        }
    }
}
