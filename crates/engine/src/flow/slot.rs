//! One of a lane's slots: packs rows into requests, one request at a time.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::Limits;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::control::{Control, Watch};
use super::delivery::Delivery;
use super::freight::Freight;
use super::read::{Fates, Item};
use super::settle::Note;
use super::wait;

/// What is sent, and what is known of it.
pub(super) type Parcel<F> = (<F as Freight>::Sent, Item<F>);

/// Sends the items of some users, in their order.
pub(super) struct Slot<F: Freight> {
    pub(super) limits: Limits,
    pub(super) delivery: Delivery<F>,
    pub(super) control: Arc<Control>,
    pub(super) incoming: mpsc::Receiver<Vec<Parcel<F>>>,
    /// The last batch whose items wait for no others: see [`super::read::Reader`].
    pub(super) urgent_through: watch::Receiver<u64>,
    pub(super) notes: mpsc::Sender<Note>,
}

/// What to do next with the queue.
enum Next<F: Freight> {
    Send(Vec<F::Sent>, Vec<Item<F>>),
    /// The request is not full: for this span, more rows may still come.
    Fill(Duration),
    /// Nothing may be sent before this span is over.
    Rest(Duration),
}

impl<F: Freight> Slot<F> {
    /// Sends until the reader is done and the queue is empty, or the run halts.
    pub(super) async fn send_all(mut self) {
        let _watch = Watch(self.control.clone());
        let mut queue = Queue::<F>::new();
        let mut users = Users::default();
        let mut open = true;
        // Since when the first of the queue waits for others.
        let mut waiting: Option<Instant> = None;
        while !self.control.halted() {
            if queue.is_empty() {
                waiting = None;
                let more = tokio::select! {
                    () = self.control.halt() => return,
                    more = self.incoming.recv() => more,
                };
                match more {
                    Some(parcels) => self.line_up(&mut queue, parcels),
                    None => return,
                }
            }
            while let Ok(parcels) = self.incoming.try_recv() {
                self.line_up(&mut queue, parcels);
            }
            let since = *waiting.get_or_insert_with(Instant::now);
            let through = *self.urgent_through.borrow_and_update();
            let urgent = queue.first().is_some_and(|(_, first)| first.batch <= through);
            let patience = match open && !self.incoming.is_closed() && !urgent {
                true => self.limits.fill.saturating_sub(since.elapsed()),
                false => Duration::ZERO,
            };
            match self.next(&mut queue, &users, patience) {
                Next::Send(sent, items) => {
                    waiting = None;
                    let user = self.limits.one_user.then(|| sent.first()).flatten();
                    let user = user.map(|first| self.delivery.freight.user(first).clone());
                    let delivered = self.delivery.deliver(sent, items).await;
                    if let (Some(user), Some(sent)) = (user, delivered.last_sent) {
                        users.occupy(&user, sent + self.limits.user_interval, Instant::now());
                    }
                    if !self.report(delivered.decided).await {
                        return;
                    }
                }
                Next::Fill(span) => {
                    tokio::select! {
                        () = self.control.halt() => return,
                        () = wait::span(span) => {}
                        changed = self.urgent_through.changed() => open &= changed.is_ok(),
                        more = self.incoming.recv() => match more {
                            Some(parcels) => self.line_up(&mut queue, parcels),
                            None => open = false,
                        },
                    }
                }
                Next::Rest(span) => {
                    tokio::select! {
                        () = self.control.halt() => return,
                        () = wait::span(span) => {}
                        more = self.incoming.recv(), if open => match more {
                            Some(parcels) => self.line_up(&mut queue, parcels),
                            None => open = false,
                        },
                    }
                }
            }
        }
    }

    /// The next request, or how long to wait for it; `patience` says how long a
    /// request that is not full may wait for more.
    fn next(&self, queue: &mut Queue<F>, users: &Users, patience: Duration) -> Next<F> {
        let freight = &self.delivery.freight;
        if self.limits.one_user {
            let now = Instant::now();
            let free = queue.iter().map(|(sent, _)| freight.user(sent)).find(|user| users.is_free(user, now));
            let Some(user) = free.cloned() else {
                let queued = queue.iter().map(|(sent, _)| freight.user(sent));
                return Next::Rest(users.next_free(queued, now));
            };
            let (sent, items) = self.take(queue, |sent| *freight.user(sent) == user);
            return Next::Send(sent, items);
        }
        if !self.is_enough(queue.parcels.len(), queue.bytes) && !patience.is_zero() {
            return Next::Fill(patience);
        }
        let (sent, items) = self.take(queue, |_| true);
        Next::Send(sent, items)
    }

    /// Whether so many items are a request that need not wait for more: a full one,
    /// or half of one where no other is sent meanwhile. Waiting for the other half
    /// would cost the time in which the first one is written.
    fn is_enough(&self, items: usize, bytes: usize) -> bool {
        let Limits { items_max, bytes_max, .. } = self.limits;
        let share = if self.is_alone() { 2 } else { 1 };
        items >= items_max.div_ceil(share) || bytes >= bytes_max.div_ceil(share)
    }

    /// Whether its request is the only one under way.
    fn is_alone(&self) -> bool {
        self.limits.requests_at_once <= 1
    }

    fn line_up(&self, queue: &mut Queue<F>, parcels: Vec<Parcel<F>>) {
        queue.extend(parcels, |sent| self.delivery.destination.weigh(sent));
    }

    /// Takes from the queue, in order, what fits into one request. One that is enough
    /// ends where its batch ends, so that the batch can be settled; where several
    /// are sent at once, each is filled.
    fn take(&self, queue: &mut Queue<F>, wanted: impl Fn(&F::Sent) -> bool) -> (Vec<F::Sent>, Vec<Item<F>>) {
        let whole = self.is_alone();
        let most = self.limits.items_max.min(queue.parcels.len());
        let (mut taken, mut items) = (Vec::with_capacity(most), Vec::<Item<F>>::with_capacity(most));
        let mut bytes = 0;
        let mut passed = Vec::new();
        while taken.len() < self.limits.items_max {
            let Some((weight, (sent, item))) = queue.pop() else { break };
            if !wanted(&sent) {
                passed.push((weight, (sent, item)));
                continue;
            }
            let ends = whole && items.last().is_some_and(|last| last.batch != item.batch);
            if (bytes + weight > self.limits.bytes_max && !taken.is_empty())
                || (ends && self.is_enough(taken.len(), bytes))
            {
                queue.give_back((weight, (sent, item)));
                break;
            }
            bytes += weight;
            taken.push(sent);
            items.push(item);
        }
        passed.into_iter().rev().for_each(|parcel| queue.give_back(parcel));
        (taken, items)
    }

    /// Tells the settler. Returns whether it still listens.
    async fn report(&self, decided: Vec<(u64, Fates)>) -> bool {
        for (batch, fates) in decided {
            if self.notes.send(Note::Decided { batch, fates }).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// What waits to be sent, each with its weight.
struct Queue<F: Freight> {
    parcels: VecDeque<(usize, Parcel<F>)>,
    /// The weight of all.
    bytes: usize,
}

impl<F: Freight> Queue<F> {
    fn new() -> Queue<F> {
        Queue { parcels: VecDeque::new(), bytes: 0 }
    }

    fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    fn first(&self) -> Option<&Parcel<F>> {
        self.parcels.front().map(|(_, parcel)| parcel)
    }

    fn iter(&self) -> impl Iterator<Item = &Parcel<F>> {
        self.parcels.iter().map(|(_, parcel)| parcel)
    }

    fn extend(&mut self, parcels: Vec<Parcel<F>>, weigh: impl Fn(&F::Sent) -> usize) {
        let bytes = &mut self.bytes;
        self.parcels.extend(parcels.into_iter().map(|parcel| {
            let weight = weigh(&parcel.0);
            *bytes += weight;
            (weight, parcel)
        }));
    }

    fn pop(&mut self) -> Option<(usize, Parcel<F>)> {
        let first = self.parcels.pop_front()?;
        self.bytes -= first.0;
        Some(first)
    }

    fn give_back(&mut self, parcel: (usize, Parcel<F>)) {
        self.bytes += parcel.0;
        self.parcels.push_front(parcel);
    }
}

/// When each user may be written to again.
///
/// Only hashes are remembered: a user's name may share its memory with all that
/// was read with it. Where two are the same, one user waits for the other.
#[derive(Default)]
struct Users {
    hashes: RandomState,
    free_at: HashMap<u64, Instant>,
}

impl Users {
    fn is_free(&self, user: &impl Hash, now: Instant) -> bool {
        self.free_at(user).is_none_or(|free_at| free_at <= now)
    }

    fn occupy(&mut self, user: &impl Hash, until: Instant, now: Instant) {
        /// Above this, users that are free again are forgotten.
        const REMEMBERED_MAX: usize = 4_096;
        if self.free_at.len() >= REMEMBERED_MAX {
            self.free_at.retain(|_, free_at| *free_at > now);
        }
        self.free_at.insert(self.hashes.hash_one(user), until);
    }

    fn next_free<'a, U: Hash + 'a>(&self, queued: impl Iterator<Item = &'a U>, now: Instant) -> Duration {
        let earliest = queued.filter_map(|user| self.free_at(user)).min();
        earliest.map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(now))
    }

    fn free_at(&self, user: &impl Hash) -> Option<Instant> {
        self.free_at.get(&self.hashes.hash_one(user)).copied()
    }
}
