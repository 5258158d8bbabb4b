//! One of a lane's slots: packs rows into requests, one request at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::{Identity, Limits, Platform, Record};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::control::{Control, Watch};
use super::delivery::Delivery;
use super::read::{Item, Placed};
use super::settle::Note;
use super::wait;

/// A record and the row it came from.
pub(super) type Parcel = (Record, Item);

/// Sends the rows of some users, in their order.
pub(super) struct Slot {
    pub(super) platform: Arc<dyn Platform>,
    pub(super) limits: Limits,
    pub(super) delivery: Delivery,
    pub(super) control: Arc<Control>,
    pub(super) incoming: mpsc::Receiver<Vec<Parcel>>,
    pub(super) notes: mpsc::Sender<Note>,
}

/// What to do next with the queue.
enum Next {
    Send(Vec<Record>, Vec<Item>),
    /// Nothing may be sent before this span is over; more rows may come meanwhile.
    Wait(Duration),
}

impl Slot {
    /// Sends until the reader is done and the queue is empty, or the run halts.
    pub(super) async fn send_all(mut self) {
        let _watch = Watch(self.control.clone());
        let mut queue: VecDeque<Parcel> = VecDeque::new();
        let mut users = Users::default();
        let mut open = true;
        while !self.control.halted() {
            if queue.is_empty() {
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
            match self.next(&mut queue, &users, open) {
                Next::Send(records, items) => {
                    let user =
                        self.limits.one_user.then(|| records.first().map(|record| record.identity.clone()));
                    let delivered = self.delivery.deliver(records, items).await;
                    if let (Some(Some(user)), Some(sent)) = (user, delivered.last_sent) {
                        users.occupy(user, sent + self.limits.user_interval, Instant::now());
                    }
                    if !self.report(delivered.decided).await {
                        return;
                    }
                }
                Next::Wait(span) => {
                    tokio::select! {
                        () = self.control.halt() => return,
                        () = wait::span(span) => {
                            if !self.limits.one_user {
                                // Waited for more rows long enough: send what is there.
                                let (records, items) = take(&mut queue, |_| true, &self.limits, self.platform.as_ref());
                                let delivered = self.delivery.deliver(records, items).await;
                                if !self.report(delivered.decided).await {
                                    return;
                                }
                            }
                        }
                        more = self.incoming.recv(), if open => match more {
                            Some(parcels) => queue.extend(parcels),
                            None => open = false,
                        },
                    }
                }
            }
        }
    }

    /// The next request, or how long to wait for it.
    fn next(&self, queue: &mut VecDeque<Parcel>, users: &Users, open: bool) -> Next {
        if self.limits.one_user {
            let now = Instant::now();
            let Some(at) = queue.iter().position(|(record, _)| users.is_free(&record.identity, now)) else {
                return Next::Wait(users.next_free(queue, now));
            };
            let user = queue[at].0.identity.clone();
            let (records, items) =
                take(queue, |record| record.identity == user, &self.limits, self.platform.as_ref());
            return Next::Send(records, items);
        }
        let full = queue.len() >= self.limits.items_max
            || queue.iter().map(|(record, _)| self.platform.weigh(record)).sum::<usize>()
                >= self.limits.bytes_max;
        if !full && open && !self.limits.fill.is_zero() && !self.incoming.is_closed() {
            return Next::Wait(self.limits.fill);
        }
        let (records, items) = take(queue, |_| true, &self.limits, self.platform.as_ref());
        Next::Send(records, items)
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

/// Takes from the queue, in order, what fits into one request.
fn take(
    queue: &mut VecDeque<Parcel>,
    wanted: impl Fn(&Record) -> bool,
    limits: &Limits,
    platform: &dyn Platform,
) -> (Vec<Record>, Vec<Item>) {
    let most = limits.items_max.min(queue.len());
    let (mut records, mut items) = (Vec::with_capacity(most), Vec::with_capacity(most));
    let mut bytes = 0;
    let mut passed = VecDeque::new();
    while records.len() < limits.items_max {
        let Some((record, item)) = queue.pop_front() else { break };
        if !wanted(&record) {
            passed.push_back((record, item));
            continue;
        }
        bytes += platform.weigh(&record);
        if bytes > limits.bytes_max && !records.is_empty() {
            queue.push_front((record, item));
            break;
        }
        records.push(record);
        items.push(item);
    }
    while let Some(parcel) = passed.pop_back() {
        queue.push_front(parcel);
    }
    (records, items)
}

/// When each user may be written to again.
#[derive(Default)]
struct Users {
    free_at: HashMap<Identity, Instant>,
}

impl Users {
    fn is_free(&self, user: &Identity, now: Instant) -> bool {
        self.free_at.get(user).is_none_or(|free_at| *free_at <= now)
    }

    fn occupy(&mut self, user: Identity, until: Instant, now: Instant) {
        /// Above this, users that are free again are forgotten.
        const REMEMBERED_MAX: usize = 4_096;
        if self.free_at.len() >= REMEMBERED_MAX {
            self.free_at.retain(|_, free_at| *free_at > now);
        }
        self.free_at.insert(user, until);
    }

    fn next_free(&self, queue: &VecDeque<Parcel>, now: Instant) -> Duration {
        let earliest = queue.iter().filter_map(|(record, _)| self.free_at.get(&record.identity)).min();
        earliest.map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(now))
    }
}
