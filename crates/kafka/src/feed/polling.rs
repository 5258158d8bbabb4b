//! The thread that polls the client library and decodes messages.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use tidegate_model::{Error, ErrorKind};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;

use super::commits::{drain_and_commit, store_sometimes};
use super::pending::{PartitionRun, PendingBatch};
use super::session::Session;
use super::unassigned::Unassigned;
use crate::context::Context;
use crate::decode::Decoder;
use crate::errors;
use crate::identity::last_of;
use crate::malformed::{malformed, origin};
use crate::message::Message;
use crate::partition::TopicPartition;
use crate::selection::Tombstones;

/// How long a message waits for others to fill its batch.
const LINGER: Duration = Duration::from_millis(5);
/// How long one poll takes at most while no message arrives.
pub(super) const IDLE: Duration = Duration::from_millis(50);
/// How long a feed that ends waits while all brokers are down.
const BROKERS_LOST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait after the end of reading for acknowledgements.
const ACK_TIMEOUT: Duration = Duration::from_secs(60);
/// The same if the feed was dropped before its end and no group waits for the partitions.
const ACK_TIMEOUT_DROPPED: Duration = Duration::from_secs(5);
/// Keys and values in a batch, so that large messages do not fill the memory.
const BATCH_BYTES: usize = 4 << 20;
/// How many available messages are read in a row before the thread checks anything else.
const BURST: usize = 64;

/// The thread's consumer, decoder and settings.
pub(super) struct Polling {
    pub(super) consumer: BaseConsumer<Context>,
    pub(super) session: Arc<Session>,
    /// The topic of every message, if there is only one. Saves reading it from each.
    pub(super) only_topic: Option<String>,
    pub(super) decoder: Decoder,
    pub(super) sender: Sender<Result<PendingBatch, Error>>,
    pub(super) runtime: Handle,
    pub(super) batch_rows: usize,
    pub(super) tombstones: Tombstones,
    /// Whether the feed ends at the offsets where the topics ended when it started.
    pub(super) ends: bool,
}

/// Notes the exit of the thread in its session, however it exits.
struct ThreadGuard(Arc<Session>);

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        self.0.exited(std::thread::panicking());
    }
}

/// Why reading stops.
pub(super) enum Stop {
    /// The end was reached, or the feed is gone.
    Ended,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl Polling {
    /// Reads until the end, then stays until what was emitted is acknowledged and
    /// committed.
    pub(super) fn run(self) {
        let _guard = ThreadGuard(Arc::clone(&self.session));
        // The schema registry is queried from this thread: its client needs the runtime.
        let runtime = self.runtime.clone();
        let _inside = runtime.enter();
        let mut pending = PendingBatch::default();
        if let Stop::Failed(error) = self.read(&mut pending) {
            // What was read before the failure is valid.
            if pending.is_empty() || self.hand_over(pending).is_ok() {
                let _ = self.runtime.block_on(self.sender.send(Err(error)));
            }
        }
        let Polling { consumer, session, sender, ends, .. } = self;
        let early = ends && sender.is_closed();
        session.drain();
        drop(sender);
        drain_and_commit(&consumer, &session, if early { ACK_TIMEOUT_DROPPED } else { ACK_TIMEOUT });
        // Closing revokes the partitions; acknowledgements are not awaited then.
        session.abandon();
        drop(consumer);
    }

    fn read(&self, pending: &mut PendingBatch) -> Stop {
        match self.read_on(pending) {
            Ok(never) => match never {},
            Err(stop) => stop,
        }
    }

    fn read_on(&self, pending: &mut PendingBatch) -> Result<std::convert::Infallible, Stop> {
        let mut deadline = Instant::now();
        let mut last_store = Instant::now();
        let mut lost_since = None;
        let mut unassigned = Unassigned::default();
        loop {
            if self.sender.is_closed() {
                return Err(Stop::Ended);
            }
            let mut wait =
                if pending.is_empty() { IDLE } else { deadline.saturating_duration_since(Instant::now()) };
            for _ in 0..BURST {
                match self.consumer.poll(wait) {
                    Some(Ok(message)) => {
                        if pending.is_empty() {
                            deadline = Instant::now() + LINGER;
                        }
                        lost_since = None;
                        self.push(&message, pending)?;
                    }
                    Some(Err(error)) => {
                        self.on_error(&error, &mut lost_since)?;
                        break;
                    }
                    None => break,
                }
                if is_full(pending, self.batch_rows) {
                    break;
                }
                wait = Duration::ZERO;
            }
            if let Some(error) = self.session.take_fault() {
                return Err(Stop::Failed(error));
            }
            if self.ends && lost_since.is_some_and(|since: Instant| since.elapsed() > BROKERS_LOST_TIMEOUT) {
                return Err(Stop::Failed(self.unreachable()));
            }
            if is_full(pending, self.batch_rows) {
                self.hand_over_alive(std::mem::take(pending))?;
            } else if !pending.is_empty() && Instant::now() >= deadline {
                *pending = self.offer(std::mem::take(pending))?;
                deadline = Instant::now() + LINGER;
            }
            store_sometimes(&self.consumer, &self.session, &mut last_store);
            if pending.is_empty() && !self.ends {
                unassigned.look(&self.session);
            }
            if self.ends && pending.is_empty() && self.session.is_at_end() {
                return Err(Stop::Ended);
            }
        }
    }

    /// Decodes a message straight from the library's buffer.
    pub(super) fn push(
        &self,
        message: &BorrowedMessage<'_>,
        pending: &mut PendingBatch,
    ) -> Result<(), Error> {
        let Some(run) = self.run_of(message, pending) else { return Ok(()) };
        let borrowed = Message::of(message, &pending.runs[run].partition.0);
        let (payload, seen) = (borrowed.payload, borrowed.timestamp);
        let wanted = match self.tombstones {
            Tombstones::Rows => true,
            Tombstones::Only => payload.is_none(),
            Tombstones::Skip => payload.is_some(),
        };
        if wanted {
            match self.now_or_soon(self.decoder.row(&borrowed))? {
                Ok(row) => {
                    let origin = origin(&pending.runs[run].name, borrowed.offset);
                    pending.push(row, origin);
                    pending.runs[run].rows += 1;
                }
                Err(damaged) => {
                    let record = malformed(*damaged, &borrowed, &pending.runs[run].name);
                    pending.push_malformed(record);
                    pending.runs[run].malformed += 1;
                }
            }
        }
        pending.bytes += message.key_len() + message.payload_len();
        let run = &mut pending.runs[run];
        run.messages += 1;
        run.next = message.offset() + 1;
        run.seen = seen.or(run.seen);
        run.last = Some(last_of(message));
        Ok(())
    }

    /// Returns the run that a message belongs to; none if its partition was revoked.
    fn run_of(&self, message: &BorrowedMessage<'_>, pending: &mut PendingBatch) -> Option<usize> {
        let topic = self.only_topic.as_deref().unwrap_or_else(|| message.topic());
        let partition = message.partition();
        let last = pending.runs.last();
        let same = last.is_some_and(|last| {
            last.partition.1 == partition
                && *last.partition.0 == *topic
                && last.generation == self.session.generation()
        });
        if !same {
            let partition: TopicPartition = (topic.into(), partition);
            let generation = self.session.generation_of(&partition)?;
            let next = message.offset();
            let name = format!("{topic}[{}]@", message.partition()).into();
            pending.runs.push(PartitionRun {
                partition,
                name,
                generation,
                rows: 0,
                malformed: 0,
                messages: 0,
                next,
                seen: None,
                last: None,
            });
        }
        pending.runs.len().checked_sub(1)
    }

    /// Decodes without waiting, except for a schema that is seen for the first time.
    fn now_or_soon<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        match work.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => self.runtime.block_on(work),
        }
    }

    /// Handles an error of the library. Returns it if it ends the feed; the library
    /// recovers from all others automatically.
    pub(super) fn on_error(&self, error: &KafkaError, lost_since: &mut Option<Instant>) -> Result<(), Error> {
        let Some(code) = errors::code_of(error) else { return Ok(()) };
        let context = self.consumer.context();
        let message = context.message_of(code);
        if let Some(failure) = context.take_token_failure()
            && matches!(failure.kind(), ErrorKind::Denied | ErrorKind::Settings)
        {
            return Err(failure);
        }
        if errors::is_final(code) || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(errors::explain(
                "reading from Kafka",
                code,
                message.as_deref(),
                &self.session.plan.access,
            ));
        }
        if code == Code::AllBrokersDown {
            self.session.note_brokers(true);
            lost_since.get_or_insert_with(Instant::now);
        }
        tracing::debug!(%code, message, "kafka client");
        Ok(())
    }

    fn unreachable(&self) -> Error {
        let message = self.consumer.context().message_of(Code::BrokerTransportFailure);
        let plan = &self.session.plan;
        let doing = format!("reading from Kafka at {}", plan.brokers);
        errors::explain(&doing, Code::AllBrokersDown, message.as_deref(), &plan.access)
    }
}

fn is_full(pending: &PendingBatch, batch_rows: usize) -> bool {
    pending.rows.len() + pending.malformed.len() >= batch_rows.max(1) || pending.bytes >= BATCH_BYTES
}
