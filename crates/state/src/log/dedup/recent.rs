//! The ids that were logged last, in memory.

use std::hint;
use std::mem;

use xxhash_rust::xxh3::xxh3_128;

/// The memory is divided by hash, so that growing moves a small part of it at a time.
const SHARDS: usize = 64;
const EMPTY: Seen = Seen(0);
const SECOND: u128 = u32::MAX as u128;
/// How many entries after its home one is read ahead: that is in the next cache
/// line, and most searches end before.
const NEAR: usize = 6;

/// 96 bits of hash over an event's id.
///
/// A new event is mistaken for one that is remembered with a probability of 2⁻⁹⁶
/// for each: with ten million of them once in 10²² events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::log) struct Id(u128);

impl Id {
    /// The least that there is.
    pub(super) const LEAST: Id = Id(0);
    /// The greatest that there is.
    pub(super) const GREATEST: Id = Id(!SECOND);

    /// Returns the id of this text.
    pub(in crate::log) fn of(text: &str) -> Id {
        Id(xxh3_128(text.as_bytes()) & !SECOND)
    }

    /// Returns the hash as bytes, for a filter.
    pub(super) fn bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes.copy_from_slice(&self.0.to_be_bytes()[..12]);
        bytes
    }

    /// Returns where this id lies between two others, from 0 to 1.
    pub(super) fn between(self, low: Id, high: Id) -> f64 {
        let width = (high.0 >> 64) as u64 - (low.0 >> 64) as u64;
        let above = ((self.0 >> 64) as u64).saturating_sub((low.0 >> 64) as u64);
        if width == 0 { 0.5 } else { above as f64 / width as f64 }
    }

    fn shard(self) -> usize {
        (self.0 >> 122) as usize
    }

    /// Returns its home among `homes`; it increases with the hash.
    fn home(self, homes: usize) -> usize {
        let below_shard = (self.0 >> 58) as u64;
        ((u128::from(below_shard) * homes as u128) >> 64) as usize
    }
}

/// An event that was logged: the hash of its id and the second it was logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Seen(pub(in crate::log) u128);

impl Seen {
    /// The event with this id, logged in this second.
    pub(in crate::log) fn new(id: Id, second: u32) -> Seen {
        Seen(id.0 | u128::from(second.max(1)))
    }

    /// The second it was logged in.
    pub(in crate::log) fn second(self) -> u32 {
        self.0 as u32
    }

    /// Returns its id.
    pub(super) fn id(self) -> Id {
        Id(self.0 & !SECOND)
    }
}

/// The ids of a window of time, with 22 to 24 bytes each.
pub(super) struct RecentIds {
    window_seconds: u32,
    shards: Vec<Shard>,
}

impl RecentIds {
    /// Creates an empty one that forgets after this long.
    pub(super) fn new(window_seconds: u32) -> RecentIds {
        RecentIds { window_seconds, shards: (0..SHARDS).map(Shard::new).collect() }
    }

    /// Returns about how many ids it holds; some may have left the window.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.used).sum()
    }

    /// Reads where these events are going to be looked for. No read waits for the
    /// one before it, so the memory answers many in the time of one; inserting event
    /// after event waits for it each time.
    pub(super) fn fetch(&self, ids: &[Id]) {
        let read = ids.iter().fold(0, |read, &id| read ^ self.shards[id.shard()].near(id));
        hint::black_box(read);
    }

    /// Remembers an event; `false` if it is remembered already.
    pub(super) fn insert(&mut self, seen: Seen) -> bool {
        self.shards[seen.id().shard()].insert(seen, self.window_seconds)
    }

    /// Returns the event with this id.
    pub(super) fn get(&self, id: Id) -> Option<Seen> {
        let shard = &self.shards[id.shard()];
        shard.find(id).ok().map(|at| shard.slots[at])
    }

    /// Forgets an event that was not logged after all.
    pub(super) fn forget(&mut self, id: Id) {
        self.shards[id.shard()].forget(id);
    }

    /// Returns all events, sorted by the hashes of their ids.
    pub(super) fn sorted(&self) -> impl Iterator<Item = Seen> + '_ {
        self.shards.iter().flat_map(|shard| shard.slots.iter().copied()).filter(|slot| *slot != EMPTY)
    }

    /// Returns the bytes that it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.slots.capacity() * size_of::<Seen>()).sum()
    }
}

/// Sorted by hash, with gaps: each entry is at its home or as little after
/// it as the order allows. So a search ends at the first greater one, and growing
/// is one pass in order.
struct Shard {
    slots: Vec<Seen>,
    homes: usize,
    used: usize,
    /// The fewest homes that it has. It grows by half, and the shards start with different numbers: so
    /// they grow one after the other, and all of them together are always about equally full.
    fewest: usize,
}

impl Shard {
    fn new(number: usize) -> Shard {
        Shard { slots: Vec::new(), homes: 0, used: 0, fewest: SHARDS + number / 2 }
    }

    /// Reads the entries near the home of an event.
    fn near(&self, id: Id) -> u32 {
        let home = id.home(self.homes);
        let at = |slot| self.slots.get(slot).map_or(0, |slot: &Seen| slot.second());
        at(home) ^ at(home + NEAR)
    }

    /// Where the entry is, or where it belongs.
    fn find(&self, id: Id) -> Result<usize, usize> {
        let mut at = id.home(self.homes);
        while let Some(&slot) = self.slots.get(at) {
            if slot.id() == id {
                return Ok(at);
            }
            if slot == EMPTY || slot.id() > id {
                break;
            }
            at += 1;
        }
        Err(at)
    }

    fn insert(&mut self, seen: Seen, window_seconds: u32) -> bool {
        let mut found = self.find(seen.id());
        if let Ok(at) = found {
            let known = self.slots[at].second().saturating_add(window_seconds) >= seen.second();
            if !known {
                self.slots[at] = seen;
            }
            return !known;
        }
        if self.used >= most_of(self.homes) {
            self.make_room(seen.second().saturating_sub(window_seconds));
            found = self.find(seen.id());
        }
        self.used += 1;
        let (Ok(at) | Err(at)) = found;
        let mut moved = seen;
        for slot in &mut self.slots[at..] {
            mem::swap(slot, &mut moved);
            if moved == EMPTY {
                return true;
            }
        }
        self.slots.push(moved);
        true
    }

    fn forget(&mut self, id: Id) {
        if let Ok(at) = self.find(id) {
            // An entry that has run out: its place is reused or swept up later.
            self.slots[at] = Seen::new(id, 1);
        }
    }

    /// Drops what was logged before `oldest` and spreads the rest.
    fn make_room(&mut self, oldest: u32) {
        let live = |slot: &&Seen| **slot != EMPTY && slot.second() >= oldest;
        self.used = self.slots.iter().filter(live).count();
        let mut homes = self.fewest;
        while most_of(homes) <= self.used + self.used / 16 {
            homes += homes / 2;
        }
        let mut slots = Vec::with_capacity(homes + homes / 64 + 8);
        for &slot in self.slots.iter().filter(live) {
            let home = slot.id().home(homes);
            if slots.len() < home {
                slots.resize(home, EMPTY);
            }
            slots.push(slot);
        }
        if slots.len() < homes {
            slots.resize(homes, EMPTY);
        }
        (self.slots, self.homes) = (slots, homes);
    }
}

/// Returns how many entries a shard holds before it grows.
fn most_of(homes: usize) -> usize {
    homes / 8 * 7
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const DAY: u32 = 86_400;

    fn seen(id: &str, second: u32) -> Seen {
        Seen::new(Id::of(id), second)
    }

    #[test]
    fn many_events_take_at_most_twenty_four_bytes_each() {
        let mut dedup = RecentIds::new(DAY);
        for id in 0..1_000_000 {
            assert!(dedup.insert(seen(&format!("event-{id}"), 1_000_000)));
            // Also while it grows.
            if id >= 100_000 && id % 1_000 == 0 {
                assert!(dedup.bytes() <= id * 24, "{} for {id}", dedup.bytes());
            }
        }
        for id in 0..1_000_000 {
            assert!(!dedup.insert(seen(&format!("event-{id}"), 1_000_000 + DAY)));
        }
    }

    #[test]
    fn what_has_left_the_window_leaves_the_memory() {
        let mut dedup = RecentIds::new(DAY);
        for day in 1..20 {
            for id in 0..50_000 {
                assert!(dedup.insert(seen(&format!("{day}-{id}"), day * 2 * DAY)));
            }
        }
        assert!(dedup.bytes() <= 50_000 * 45, "{}", dedup.bytes());
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_map(
            steps in proptest::collection::vec((0_u16..600, 0_u32..40, proptest::bool::weighted(0.1)), 0..3_000),
        ) {
            let mut dedup = RecentIds::new(1_000);
            let mut map = HashMap::new();
            let mut now = 5_000;
            for (id, passed, forget) in steps {
                now += passed;
                let seen = seen(&id.to_string(), now);
                if forget {
                    dedup.forget(seen.id());
                    map.remove(&id);
                    continue;
                }
                let known = map.get(&id).is_some_and(|logged| now - logged <= 1_000);
                if !known {
                    map.insert(id, now);
                }
                prop_assert_eq!(dedup.insert(seen), !known);
            }
        }
    }
}
