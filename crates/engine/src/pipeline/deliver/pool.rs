//! Many requests at once: whatever is free takes what waits.

use std::sync::Arc;
use std::time::Duration;

use tidegate_model::{Error, Limits};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::pipeline::deliver::budget;
use crate::pipeline::deliver::concurrency::Concurrency;
use crate::pipeline::deliver::delivery::{Delivery, Turn};
use crate::pipeline::deliver::waiting::{Slot, Taken, Waiting};
use crate::pipeline::item::{CommitEvent, ReadItems, RequestItems};
use crate::pipeline::shutdown::{Shutdown, Watch};
use crate::pipeline::transform::Transform;
use crate::pipeline::wait;

/// Sends the items of a run in as many requests at once as the rate and the answer time of
/// the platform ask for, up to its limit.
///
/// A request is packed when the rate limiter lets it go, not before: so it is as full as can
/// be, and no more are under way than there are answers to wait for. Items of one user are in one
/// request at a time and keep their order.
pub(crate) struct Pool<F: Transform> {
    pub(crate) limits: Limits,
    pub(crate) delivery: Delivery<F>,
    pub(crate) shutdown: Arc<Shutdown>,
    pub(crate) incoming: mpsc::Receiver<ReadItems<F>>,
    /// The last batch whose items wait for no others: see [`crate::pipeline::read::reader::Reader`].
    pub(crate) urgent_through: watch::Receiver<u64>,
    pub(crate) events: mpsc::Sender<CommitEvent>,
}

/// A request that was answered: its users, when they are free again, and how long it took.
struct Answered {
    users: Vec<Slot>,
    free_at: Option<Instant>,
    took: Duration,
}

/// What comes next.
enum Next {
    /// A request may be sent.
    Send,
    /// Not before this span is over, unless something changes.
    Wait(Duration),
    /// Not before something changes.
    Idle,
}

impl<F: Transform> Pool<F> {
    /// Sends until the reader is done and nothing waits, or the run halts.
    pub(crate) async fn send_all(mut self) {
        let _watch = Watch(self.shutdown.clone());
        let mut waiting = Waiting::new(self.delivery.transform.clone(), self.limits);
        let mut under_way: JoinSet<Answered> = JoinSet::new();
        let mut open = true;
        let mut concurrency = Concurrency::new(&self.limits);
        let mut full = false;
        // Since when the first of those that wait for a request waits for others.
        let mut lingers: Option<Instant> = None;
        while !self.shutdown.halted() {
            while open && let Ok(items) = self.incoming.try_recv() {
                waiting.extend(items);
            }
            while let Some(answered) = under_way.try_join_next() {
                self.release(&mut waiting, &mut concurrency, full, answered);
            }
            full = !concurrency.has_room(under_way.len());
            let next = match full {
                true => Next::Idle,
                false => {
                    let filling = if under_way.is_empty() { Duration::ZERO } else { concurrency.latency() };
                    self.next(&mut waiting, &mut lingers, open, filling)
                }
            };
            let span = match next {
                Next::Send => {
                    lingers = None;
                    if let Some(taken) = waiting.take(self.parallel(&concurrency)) {
                        under_way.spawn(self.deliver(taken));
                    }
                    continue;
                }
                Next::Wait(span) => Some(span),
                Next::Idle => None,
            };
            if !open && waiting.is_empty() && under_way.is_empty() {
                return;
            }
            tokio::select! {
                () = self.shutdown.halt() => break,
                () = wait::span(span.unwrap_or_default()), if span.is_some() => {}
                Some(answered) = under_way.join_next() => {
                    self.release(&mut waiting, &mut concurrency, full, answered);
                }
                Ok(()) = self.urgent_through.changed() => {}
                more = self.incoming.recv(), if open => match more {
                    Some(items) => waiting.extend(items),
                    None => open = false,
                },
            }
        }
        while let Some(answered) = under_way.join_next().await {
            self.release(&mut waiting, &mut concurrency, full, answered);
        }
    }

    /// Decides whether a request may be sent, and takes its turn of the rate limiter. `filling` is
    /// how long one that is far from full may wait for answers, which set users free.
    fn next(
        &mut self,
        waiting: &mut Waiting<F>,
        lingers: &mut Option<Instant>,
        open: bool,
        filling: Duration,
    ) -> Next {
        let now = Instant::now();
        let Some(first) = waiting.first(now) else {
            *lingers = None;
            return match waiting.next_free() {
                Some(free_at) => Next::Wait(free_at.saturating_duration_since(now)),
                None => Next::Idle,
            };
        };
        let since = *lingers.get_or_insert(now);
        let is_enough =
            self.limits.single_user || budget::is_enough(&self.limits, waiting.len(), waiting.bytes());
        let urgent = first <= *self.urgent_through.borrow_and_update();
        if !is_enough && open && !self.incoming.is_closed() {
            // Nothing more can be read: only answers make it fuller. Where requests are counted, that
            // is worth a moment.
            let counted =
                self.limits.rate.is_some() && !budget::is_nearly_enough(&self.limits, waiting.len());
            let longest = match urgent {
                false => self.limits.linger,
                true if counted => filling,
                true => Duration::ZERO,
            };
            let patience = longest.saturating_sub(now - since);
            if !patience.is_zero() {
                return Next::Wait(patience);
            }
        }
        match self.delivery.rate_limiter.book() {
            Some(span) => Next::Wait(span),
            None => Next::Send,
        }
    }

    /// Delivers a request and reports to the committer.
    fn deliver(&self, taken: Taken<F>) -> impl Future<Output = Answered> + Send + 'static {
        let Taken { items: RequestItems { sent, items }, users } = taken;
        let (delivery, events, shutdown) =
            (self.delivery.clone(), self.events.clone(), self.shutdown.clone());
        let interval = self.limits.min_user_interval;
        async move {
            let _watch = Watch(shutdown);
            let began = Instant::now();
            let delivered = delivery.deliver(sent, items, Turn::Taken).await;
            for (batch, results) in delivered.decided {
                if events.send(CommitEvent::Decided { batch, results }).await.is_err() {
                    break;
                }
            }
            let free_at = delivered.last_sent.filter(|_| !interval.is_zero()).map(|sent| sent + interval);
            Answered { users, free_at, took: began.elapsed() }
        }
    }

    /// How many requests at once the rate and the answer time ask for.
    fn parallel(&self, concurrency: &Concurrency) -> usize {
        let most = concurrency.limit();
        let Some(rate) = self.limits.rate else { return most };
        let latency = concurrency.latency().as_secs_f64();
        let asked = f64::from(rate.requests) * latency / rate.per.as_secs_f64();
        // Some more, so that one that is late holds nothing up.
        most.min((asked * 1.25) as usize + 2)
    }

    fn release(
        &self,
        waiting: &mut Waiting<F>,
        concurrency: &mut Concurrency,
        full: bool,
        answered: Result<Answered, JoinError>,
    ) {
        match answered {
            Ok(Answered { users, free_at, took }) => {
                concurrency.answered(took, full);
                waiting.release(users, free_at);
            }
            Err(fault) => {
                let error = Error::internal("a request of the run ended by an internal error");
                self.shutdown.fail(error.caused_by(fault));
            }
        }
    }
}
