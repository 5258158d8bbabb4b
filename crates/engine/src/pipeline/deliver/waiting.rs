//! Items that wait for a request, by user: none may overtake an earlier one of the same user.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use slab::Slab;
use tidegate_model::Limits;
use tokio::time::Instant;

use crate::pipeline::deliver::arrived::{Age, Arrived};
use crate::pipeline::deliver::budget::RequestBudget;
use crate::pipeline::hashed::HashedMap;
use crate::pipeline::item::{ReadItems, RequestItems};
use crate::pipeline::transform::Transform;

/// Why a user's items wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// They may be sent.
    InLine,
    /// A request with other items of the user is under way.
    UnderWay,
    /// The platform wants some time between two requests for the same user.
    Rests,
}

/// The items of one user that wait.
struct User {
    hash: u64,
    state: State,
    /// The first and the last of them.
    ends: Option<(Age, Age)>,
    len: usize,
    bytes: usize,
}

/// Where a user is kept, as long as it has items that wait or a request in flight.
pub(super) type Slot = usize;

/// A request, and whose items it holds.
pub(super) struct Taken<F: Transform> {
    pub(super) items: RequestItems<F>,
    /// They are busy until they are released.
    pub(super) users: Vec<Slot>,
}

/// What waits to be sent.
///
/// Users are told apart by a hash: if two have the same, one waits for the other.
pub(super) struct Waiting<F: Transform> {
    transform: Arc<F>,
    limits: Limits,
    arrived: Arrived<F>,
    users: Slab<User>,
    /// The slots of users by their hashes: small, since each new item is looked up in it.
    slots: HashedMap<u64, Slot>,
    /// Users whose items may be sent and that had no request in flight before, each with the age of its
    /// first item, oldest first.
    line: VecDeque<(Age, Slot)>,
    /// Users that had a request in flight before, in the same order.
    freed: BinaryHeap<Reverse<(Age, Slot)>>,
    resting: BinaryHeap<Reverse<(Instant, Slot)>>,
    /// How many items may be sent, and their estimated size.
    len: usize,
    bytes: usize,
}

impl<F: Transform> Waiting<F> {
    pub(super) fn new(transform: Arc<F>, limits: Limits) -> Waiting<F> {
        Waiting {
            transform,
            limits,
            arrived: Arrived::default(),
            users: Slab::new(),
            slots: HashedMap::default(),
            line: VecDeque::new(),
            freed: BinaryHeap::new(),
            resting: BinaryHeap::new(),
            len: 0,
            bytes: 0,
        }
    }

    /// How many items may be sent.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Their estimated size.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits, for whatever reason.
    pub(super) fn is_empty(&self) -> bool {
        self.arrived.is_empty()
    }

    /// Appends items.
    pub(super) fn extend(&mut self, items: ReadItems<F>) {
        self.slots.reserve(items.len());
        // All users are looked up before anything else: the processor does several look-ups at once.
        let ages = self.arrived.next_age()..;
        let hashes = items.hashes.iter().zip(ages.clone());
        let slots: Vec<Slot> = hashes.map(|(hash, age)| self.slot(*hash, age)).collect();
        self.arrived.push(items);
        for (slot, age) in slots.into_iter().zip(ages) {
            let size = self.arrived.size(age);
            let user = &mut self.users[slot];
            user.ends = Some(match user.ends {
                None => (age, age),
                Some((first, last)) => {
                    self.arrived.follow(last, age);
                    (first, age)
                }
            });
            (user.len, user.bytes) = (user.len + 1, user.bytes + size);
            if user.state == State::InLine {
                (self.len, self.bytes) = (self.len + 1, self.bytes + size);
            }
        }
    }

    /// Returns the slot of the user of an item, which is new if nothing of the user waits or is under way.
    fn slot(&mut self, hash: u64, age: Age) -> Slot {
        match self.slots.entry(hash) {
            Entry::Occupied(slot) => *slot.get(),
            Entry::Vacant(vacant) => {
                let user = User { hash, state: State::InLine, ends: None, len: 0, bytes: 0 };
                let slot = *vacant.insert(self.users.insert(user));
                self.line.push_back((age, slot));
                slot
            }
        }
    }

    /// Returns the batch of the first item that may be sent.
    pub(super) fn first(&mut self, now: Instant) -> Option<u64> {
        self.wake(now);
        let (first, _) = self.users.get(self.front()?)?.ends?;
        Some(self.arrived.item(first).batch)
    }

    /// The user whose first item is the oldest of those that may be sent.
    fn front(&self) -> Option<Slot> {
        let freed = self.freed.peek().map(|Reverse(user)| user);
        self.line.front().into_iter().chain(freed).min().map(|(_, slot)| *slot)
    }

    /// Takes that user out.
    fn pop_front(&mut self) {
        let freed = self.freed.peek().map(|Reverse(user)| *user);
        match (self.line.front(), freed) {
            (Some(first), Some(freed)) if freed < *first => drop(self.freed.pop()),
            (Some(_), _) => drop(self.line.pop_front()),
            (None, _) => drop(self.freed.pop()),
        }
    }

    /// Takes the items of one request, user by user and in order.
    ///
    /// Items that have waited longest go first, so that batches are complete soon and more can be read.
    /// With many users, a request has one item of each. With few, it has several of each, so that
    /// `parallel` requests can be in flight although a user is in one request at a time.
    pub(super) fn take(&mut self, parallel: usize) -> Option<Taken<F>> {
        let max_items = self.limits.max_items.max(1);
        let share = match self.limits.single_user {
            true => max_items,
            false => (max_items * parallel)
                .div_ceil((self.line.len() + self.freed.len()).max(1))
                .clamp(1, max_items),
        };
        let mut budget = RequestBudget::of(self.limits);
        let items = RequestItems::with_capacity(max_items.min(self.len));
        let mut taken = Taken { items, users: Vec::new() };
        while !budget.is_full() && (taken.users.is_empty() || !self.limits.single_user) {
            let Some(slot) = self.front() else { break };
            if self.give(slot, share, &mut budget, &mut taken.items) == 0 {
                break;
            }
            self.pop_front();
            taken.users.push(slot);
        }
        (!taken.users.is_empty()).then_some(taken)
    }

    /// Moves up to `share` items of a user into a request. Returns how many were moved; if it is
    /// at least one, the user is busy.
    fn give(
        &mut self,
        slot: Slot,
        share: usize,
        budget: &mut RequestBudget,
        request: &mut RequestItems<F>,
    ) -> usize {
        let Some(user) = self.users.get_mut(slot) else { return 0 };
        let (count, bytes) = (user.len, user.bytes);
        let before = request.sent.len();
        while let Some((first, last)) = user.ends.filter(|_| request.sent.len() - before < share) {
            let single = request.sent.first().filter(|_| self.limits.single_user);
            let is_other = single.is_some_and(|single| {
                self.transform.user(single) != self.transform.user(self.arrived.sent(first))
            });
            let size = self.arrived.size(first);
            if is_other || !budget.add(self.arrived.item(first).batch, size) {
                break;
            }
            let next = self.arrived.take(first, request);
            user.ends = next.map(|next| (next, last));
            (user.len, user.bytes) = (user.len - 1, user.bytes - size);
        }
        let moved = request.sent.len() - before;
        if moved > 0 {
            user.state = State::UnderWay;
            // What is left of the user has to wait.
            (self.len, self.bytes) = (self.len - count, self.bytes - bytes);
        }
        moved
    }

    /// Lets others of these users be sent, from `free_at` on if the platform wants them to rest.
    pub(super) fn release(&mut self, users: Vec<Slot>, free_at: Option<Instant>) {
        for slot in users {
            match free_at {
                Some(free_at) => {
                    if let Some(user) = self.users.get_mut(slot) {
                        user.state = State::Rests;
                    }
                    self.resting.push(Reverse((free_at, slot)));
                }
                None => self.free(slot),
            }
        }
    }

    /// When the first of the users that rest is free.
    pub(super) fn next_free(&self) -> Option<Instant> {
        self.resting.peek().map(|Reverse((free_at, _))| *free_at)
    }

    fn wake(&mut self, now: Instant) {
        while let Some(Reverse((free_at, slot))) = self.resting.peek().copied()
            && free_at <= now
        {
            self.resting.pop();
            self.free(slot);
        }
    }

    /// Lets a user into the line, at the place of its first item.
    fn free(&mut self, slot: Slot) {
        let Some(user) = self.users.get_mut(slot) else { return };
        let Some((first, _)) = user.ends else {
            self.slots.remove(&user.hash);
            self.users.remove(slot);
            return;
        };
        user.state = State::InLine;
        (self.len, self.bytes) = (self.len + user.len, self.bytes + user.bytes);
        self.freed.push(Reverse((first, slot)));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;
    use tidegate_model::{Event, RowHash, SyncId};
    use tidegate_testkit::{ManualClock, MemoryStore};

    use super::*;
    use crate::pipeline::deliver::shared_event::{SharedEvent, tests::shared};
    use crate::pipeline::export::Events;
    use crate::pipeline::item::Item;
    use crate::pipeline::kept_row::KeptRows;
    use crate::pipeline::transform::ItemKeys;

    fn named(user: impl Fn(u64) -> String, offsets: std::ops::Range<u64>) -> ReadItems<Events> {
        let events: Vec<_> = (shared(offsets).iter())
            .map(|event| {
                let user = user(event.offset.at).as_str().into();
                let mut logged = (**event).clone();
                logged.event = Event { user, ..logged.event };
                logged
            })
            .collect();
        let sent = SharedEvent::all(events);
        let item = |event: &SharedEvent| {
            let name = RowHash(event.offset.at.into());
            Item {
                batch: event.offset.at / 10,
                at: 0,
                keys: ItemKeys { key: name, version: name },
                context: (),
                doubt: None,
            }
        };
        let transform = self::events();
        let hashes = sent.iter().map(|event| transform.partition_hash(event)).collect();
        let sizes = vec![1; sent.len()];
        ReadItems { items: RequestItems { items: sent.iter().map(item).collect(), sent }, hashes, sizes }
    }

    fn events() -> Arc<Events> {
        let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::default())));
        let kept = KeptRows::of(store, &SyncId::new("s")).now_or_never();
        Arc::new(Events { kept: kept.expect("memory answers at once").expect("it has none") })
    }

    fn offsets(taken: &Taken<Events>) -> Vec<u64> {
        taken.items.sent.iter().map(|event| event.offset.at).collect()
    }

    proptest! {
        /// Whatever is taken and released in whatever order, each item goes out once, no two
        /// requests under way share a user, and each user's items keep their order.
        #[test]
        fn users_are_in_one_request_at_a_time_and_keep_their_order(
            steps in prop::collection::vec((0..8_u64, 0..6_usize), 0..60),
            users in 1..9_u64,
            max_items in 1..5_usize,
            single_user in any::<bool>(),
            rests in any::<bool>(),
            parallel in 0..4_usize,
        ) {
            let limits = Limits { max_items, single_user, ..Limits::GENEROUS };
            let mut waiting = Waiting::<Events>::new(events(), limits);
            let (mut now, mut next) = (Instant::now(), 0);
            let user = |at: u64| format!("u{}", at * at % users);
            let mut under_way: Vec<(Vec<Slot>, Vec<u64>)> = Vec::new();
            let mut last: BTreeMap<String, u64> = BTreeMap::new();
            let mut gone = 0;
            let interval = Duration::from_secs(1);
            for (more, answered) in steps.into_iter().chain(std::iter::repeat_n((0, 0), 3_000)) {
                waiting.extend(named(user, next..next + more));
                next += more;
                if more == 0 {
                    now += interval;
                }
                waiting.first(now);
                if let Some(taken) = waiting.take(parallel) {
                    prop_assert!((1..=max_items).contains(&taken.items.sent.len()));
                    for at in offsets(&taken) {
                        let before = last.insert(user(at), at);
                        prop_assert!(before.is_none_or(|before| before < at), "{} before {}", at, before.unwrap());
                        gone += 1;
                    }
                    let of_one = offsets(&taken).iter().all(|at| user(*at) == user(offsets(&taken)[0]));
                    prop_assert!(of_one || !single_user);
                    prop_assert!(under_way.iter().all(|(users, _)| users.iter().all(|it| !taken.users.contains(it))));
                    under_way.push((taken.users, Vec::new()));
                }
                if !under_way.is_empty() {
                    let (users, _) = under_way.swap_remove(answered % under_way.len());
                    waiting.release(users, rests.then_some(now + interval));
                }
                if gone == next && more == 0 && waiting.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(gone, next, "all are sent in the end");
            prop_assert_eq!((waiting.len(), waiting.bytes(), waiting.is_empty()), (0, 0, true));
        }
    }

    fn requests(limits: Limits, users: u64, parallel: usize) -> Vec<Vec<u64>> {
        let mut waiting = Waiting::<Events>::new(events(), limits);
        waiting.extend(named(|at| format!("u{}", at % users), 0..24));
        std::iter::from_fn(|| waiting.take(parallel)).map(|taken| offsets(&taken)).collect()
    }

    #[test]
    fn a_request_about_one_user_is_filled_from_behind_others() {
        let limits = Limits { max_items: 10, single_user: true, ..Limits::GENEROUS };
        let requests = requests(limits, 4, 1);
        assert_eq!(requests[0], [0, 4, 8, 12, 16, 20]);
        assert_eq!(requests[3], [3, 7, 11, 15, 19, 23]);
    }

    #[test]
    fn many_users_go_in_order_and_few_are_spread_over_as_many_requests_as_there_may_be() {
        let limits = Limits { max_items: 6, ..Limits::GENEROUS };
        let sent = requests(limits, 24, 4);
        assert_eq!(sent.concat(), (0..24).collect::<Vec<_>>());
        assert_eq!(sent.len(), 4);
        let few = requests(limits, 4, 4);
        assert_eq!(
            few,
            [[0, 4, 8, 12, 16, 20], [1, 5, 9, 13, 17, 21], [2, 6, 10, 14, 18, 22], [3, 7, 11, 15, 19, 23]]
        );
    }
}
