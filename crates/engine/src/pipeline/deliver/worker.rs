//! One request at a time: each is prepared while the one before it is delivered.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::{Error, Limits};
use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinHandle};
use tokio::time::Instant;

use crate::pipeline::deliver::budget::{self, RequestBudget};
use crate::pipeline::deliver::delivery::{Delivery, Turn};
use crate::pipeline::deliver::queue::Queue;
use crate::pipeline::item::{CommitEvent, ReadItems, RequestItems, RequestResults};
use crate::pipeline::shutdown::{Shutdown, Watch};
use crate::pipeline::transform::Transform;
use crate::pipeline::wait;

/// Sends items in their order, one request at a time.
pub(crate) struct Worker<F: Transform> {
    pub(crate) limits: Limits,
    pub(crate) delivery: Delivery<F>,
    pub(crate) shutdown: Arc<Shutdown>,
    pub(crate) incoming: mpsc::Receiver<ReadItems<F>>,
    /// The last batch whose items wait for no others: see [`crate::pipeline::read::reader::Reader`].
    pub(crate) urgent_through: watch::Receiver<u64>,
    pub(crate) events: mpsc::Sender<CommitEvent>,
}

/// What is sent together.
type Request<F> = RequestItems<F>;

/// A request that is made ready on a thread of its own.
type Preparing<F> = JoinHandle<Request<F>>;

/// The requests after the one that is delivered.
struct Ahead<F: Transform> {
    /// The request after it.
    preparing: Option<Preparing<F>>,
    /// The one after that, already packed: preparing continues without a pause.
    packed: Option<Request<F>>,
}

/// What to do next with the queue.
enum Next<F: Transform> {
    Send(Request<F>),
    /// The request is not full: for this span, more rows may still come.
    Linger(Duration),
}

impl<F: Transform> Worker<F> {
    /// Sends until the reader is done and the queue is empty, or the run halts.
    pub(crate) async fn send_all(mut self) {
        let _watch = Watch(self.shutdown.clone());
        let mut queue = Queue::<F>::new();
        let mut ahead = Ahead::<F> { preparing: None, packed: None };
        while !self.shutdown.halted() {
            let Some(request) = self.next_request(&mut queue, &mut ahead).await else { return };
            let delivery = self.delivery.clone();
            let delivering = delivery.deliver(request.sent, request.items, Turn::Open);
            let delivered = self.meanwhile(&mut queue, &mut ahead, delivering).await;
            if !self.report(delivered.decided).await {
                return;
            }
        }
    }

    /// Returns the next request, prepared; `None` if the reader is done and the queue is empty, or if
    /// the run halts.
    async fn next_request(&mut self, queue: &mut Queue<F>, ahead: &mut Ahead<F>) -> Option<Request<F>> {
        let packed = || ahead.packed.take().map(|request| self.prepare(request));
        let preparing = match ahead.preparing.take().or_else(packed) {
            Some(preparing) => preparing,
            None => {
                let request = self.wait_for_request(queue).await?;
                self.prepare(request)
            }
        };
        let shutdown = self.shutdown.clone();
        let prepared = async {
            tokio::select! {
                () = shutdown.halt() => None,
                done = preparing => Some(done),
            }
        };
        let fault = |cause| Error::internal("preparing a request ended by a fault").caused_by(cause);
        match self.meanwhile(queue, ahead, prepared).await? {
            Ok(request) => Some(request),
            Err(cause) => {
                self.shutdown.fail(fault(cause));
                None
            }
        }
    }

    /// Waits until a request may be sent; `None` if the reader is done and the queue is empty, or if
    /// the run halts.
    async fn wait_for_request(&mut self, queue: &mut Queue<F>) -> Option<Request<F>> {
        let mut open = true;
        // Since when the first of the queue waits for others.
        let mut waiting: Option<Instant> = None;
        while !self.shutdown.halted() {
            if queue.is_empty() {
                waiting = None;
                let more = tokio::select! {
                    () = self.shutdown.halt() => return None,
                    more = self.incoming.recv() => more,
                };
                queue.extend(more?);
            }
            while let Ok(items) = self.incoming.try_recv() {
                queue.extend(items);
            }
            let since = *waiting.get_or_insert_with(Instant::now);
            let through = *self.urgent_through.borrow_and_update();
            let urgent = queue.first().is_some_and(|first| first <= through);
            let patience = match open && !self.incoming.is_closed() && !urgent {
                true => self.limits.linger.saturating_sub(since.elapsed()),
                false => Duration::ZERO,
            };
            match self.next(queue, patience) {
                Next::Send(request) => return Some(request),
                Next::Linger(span) => {
                    tokio::select! {
                        () = self.shutdown.halt() => return None,
                        () = wait::span(span) => {}
                        changed = self.urgent_through.changed() => open &= changed.is_ok(),
                        more = self.incoming.recv() => match more {
                            Some(items) => queue.extend(items),
                            None => open = false,
                        },
                    }
                }
            }
        }
        None
    }

    /// Waits for `what`. The requests after it are packed and prepared meanwhile, once enough
    /// for them has come.
    async fn meanwhile<T>(
        &mut self,
        queue: &mut Queue<F>,
        ahead: &mut Ahead<F>,
        what: impl Future<Output = T>,
    ) -> T {
        let mut what = pin!(what);
        loop {
            self.look_ahead(queue, ahead);
            tokio::select! {
                done = &mut what => return done,
                Some(items) = self.incoming.recv(), if ahead.packed.is_none() => {
                    queue.extend(items);
                }
            }
        }
    }

    fn look_ahead(&self, queue: &mut Queue<F>, ahead: &mut Ahead<F>) {
        if ahead.packed.is_none() && budget::is_enough(&self.limits, queue.len(), queue.bytes()) {
            ahead.packed = Some(self.take(queue));
        }
        if ahead.preparing.is_none() {
            ahead.preparing = ahead.packed.take().map(|request| self.prepare(request));
        }
    }

    /// Begins to do what can be done of a request before its turn.
    fn prepare(&self, request: Request<F>) -> Preparing<F> {
        let destination = self.delivery.destination.clone();
        task::spawn_blocking(move || {
            destination.prepare(&request.sent);
            request
        })
    }

    /// The next request, or how long to wait for it; `patience` says how long a
    /// request that is not full may wait for more.
    fn next(&self, queue: &mut Queue<F>, patience: Duration) -> Next<F> {
        if !budget::is_enough(&self.limits, queue.len(), queue.bytes()) && !patience.is_zero() {
            return Next::Linger(patience);
        }
        Next::Send(self.take(queue))
    }

    /// Takes from the queue, in order, what fits into one request.
    fn take(&self, queue: &mut Queue<F>) -> Request<F> {
        let fitting = queue.fitting(RequestBudget::of(self.limits));
        let mut request = RequestItems::with_capacity(fitting);
        queue.take(fitting, &mut request);
        request
    }

    /// Reports to the committer. Returns whether it still listens.
    async fn report(&self, decided: Vec<(u64, RequestResults)>) -> bool {
        for (batch, results) in decided {
            if self.events.send(CommitEvent::Decided { batch, results }).await.is_err() {
                return false;
            }
        }
        true
    }
}
