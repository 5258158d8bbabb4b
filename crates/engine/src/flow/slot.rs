//! One of a lane's slots: packs rows into requests, one request at a time.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::Limits;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::control::{Control, Watch};
use super::delivery::Delivery;
use super::freight::Freight;
use super::read::{Item, Placed};
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
    /// The last batch whose items wait for no others: see [`super::read::Reader::hurry`].
    pub(super) hurry: watch::Receiver<u64>,
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
        let mut queue: VecDeque<Parcel<F>> = VecDeque::new();
        let mut users = Users::<F::User>::default();
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
                    Some(parcels) => queue.extend(parcels),
                    None => return,
                }
            }
            while let Ok(parcels) = self.incoming.try_recv() {
                queue.extend(parcels);
            }
            let since = *waiting.get_or_insert_with(Instant::now);
            let hurried = *self.hurry.borrow_and_update();
            let urgent = queue.front().is_some_and(|(_, first)| first.batch <= hurried);
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
                        users.occupy(user, sent + self.limits.user_interval, Instant::now());
                    }
                    if !self.report(delivered.decided).await {
                        return;
                    }
                }
                Next::Fill(span) => {
                    tokio::select! {
                        () = self.control.halt() => return,
                        () = wait::span(span) => {}
                        changed = self.hurry.changed() => open &= changed.is_ok(),
                        more = self.incoming.recv() => match more {
                            Some(parcels) => queue.extend(parcels),
                            None => open = false,
                        },
                    }
                }
                Next::Rest(span) => {
                    tokio::select! {
                        () = self.control.halt() => return,
                        () = wait::span(span) => {}
                        more = self.incoming.recv(), if open => match more {
                            Some(parcels) => queue.extend(parcels),
                            None => open = false,
                        },
                    }
                }
            }
        }
    }

    /// The next request, or how long to wait for it; `patience` says how long a
    /// request that is not full may wait for more.
    fn next(&self, queue: &mut VecDeque<Parcel<F>>, users: &Users<F::User>, patience: Duration) -> Next<F> {
        let freight = &self.delivery.freight;
        if self.limits.one_user {
            let now = Instant::now();
            let Some(at) = queue.iter().position(|(sent, _)| users.is_free(freight.user(sent), now)) else {
                let queued = queue.iter().map(|(sent, _)| freight.user(sent));
                return Next::Rest(users.next_free(queued, now));
            };
            let user = freight.user(&queue[at].0).clone();
            let (sent, items) = self.take(queue, |sent| *freight.user(sent) == user);
            return Next::Send(sent, items);
        }
        let full = queue.len() >= self.limits.items_max
            || queue.iter().map(|(sent, _)| self.delivery.destination.weigh(sent)).sum::<usize>()
                >= self.limits.bytes_max;
        if !full && !patience.is_zero() {
            return Next::Fill(patience);
        }
        let (sent, items) = self.take(queue, |_| true);
        Next::Send(sent, items)
    }

    /// Takes from the queue, in order, what fits into one request.
    fn take(
        &self,
        queue: &mut VecDeque<Parcel<F>>,
        wanted: impl Fn(&F::Sent) -> bool,
    ) -> (Vec<F::Sent>, Vec<Item<F>>) {
        let most = self.limits.items_max.min(queue.len());
        let (mut taken, mut items) = (Vec::with_capacity(most), Vec::with_capacity(most));
        let mut bytes = 0;
        let mut passed = VecDeque::new();
        while taken.len() < self.limits.items_max {
            let Some((sent, item)) = queue.pop_front() else { break };
            if !wanted(&sent) {
                passed.push_back((sent, item));
                continue;
            }
            bytes += self.delivery.destination.weigh(&sent);
            if bytes > self.limits.bytes_max && !taken.is_empty() {
                queue.push_front((sent, item));
                break;
            }
            taken.push(sent);
            items.push(item);
        }
        while let Some(parcel) = passed.pop_back() {
            queue.push_front(parcel);
        }
        (taken, items)
    }

    /// Tells the settler. Returns whether it still listens.
    async fn report(&self, decided: Vec<(u64, Vec<Placed>)>) -> bool {
        for (batch, rows) in decided {
            if self.notes.send(Note::Decided { batch, rows }).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// When each user may be written to again.
struct Users<U> {
    free_at: HashMap<U, Instant>,
}

impl<U> Default for Users<U> {
    fn default() -> Users<U> {
        Users { free_at: HashMap::new() }
    }
}

impl<U: Eq + Hash> Users<U> {
    fn is_free(&self, user: &U, now: Instant) -> bool {
        self.free_at.get(user).is_none_or(|free_at| *free_at <= now)
    }

    fn occupy(&mut self, user: U, until: Instant, now: Instant) {
        /// Above this, users that are free again are forgotten.
        const REMEMBERED_MAX: usize = 4_096;
        if self.free_at.len() >= REMEMBERED_MAX {
            self.free_at.retain(|_, free_at| *free_at > now);
        }
        self.free_at.insert(user, until);
    }

    fn next_free<'a>(&self, queued: impl Iterator<Item = &'a U>, now: Instant) -> Duration
    where
        U: 'a,
    {
        let earliest = queued.filter_map(|user| self.free_at.get(user)).min();
        earliest.map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(now))
    }
}
