//! The thread that polls the client library and decodes messages.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use tidegate_model::{Error, ErrorKind, Unreadable};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;

use super::commits::{see_off, store_sometimes};
use super::gathered::{Gathered, Stretch};
use super::session::Session;
use crate::context::Context;
use crate::decode::Decoder;
use crate::errors;
use crate::message::Message;
use crate::progress::Part;
use crate::selection::Tombstones;

/// How long a message waits for others to travel with.
const LINGER: Duration = Duration::from_millis(5);
/// How often the thread looks around while nothing comes.
pub(super) const IDLE: Duration = Duration::from_millis(50);
/// As while nothing comes, but somebody waits for the end.
pub(super) const HASTE: Duration = Duration::from_millis(5);
/// How long a feed that ends waits for brokers that are gone.
const LOST_AT_MOST: Duration = Duration::from_secs(30);
/// How long after its end a feed waits for the settling of what it emitted.
const SETTLE_AT_MOST: Duration = Duration::from_secs(60);
/// The same where it was dropped early and no group waits for the partitions.
const SETTLE_EARLY: Duration = Duration::from_secs(5);
/// Keys and values in a batch, so that large messages do not fill the memory.
const BATCH_BYTES: usize = 4 << 20;
/// Messages that are there already are taken so many at a time: what else the
/// thread has to look at can wait for a moment.
const BURST: usize = 64;
/// How much of a message that cannot be read is shown.
const SHOWN_BYTES: usize = 64 << 10;

/// What the thread works with.
pub(super) struct Polling {
    pub(super) consumer: BaseConsumer<Context>,
    pub(super) session: Arc<Session>,
    /// The topic of every message, where there is only one: nobody has to look.
    pub(super) only_topic: Option<String>,
    pub(super) decoder: Decoder,
    pub(super) sender: Sender<Result<Gathered, Error>>,
    pub(super) runtime: Handle,
    pub(super) batch_rows: usize,
    pub(super) tombstones: Tombstones,
    /// Whether the feed ends where the topics ended when it began.
    pub(super) ends: bool,
}

/// Tells the session of the thread's end, however it comes.
struct End(Arc<Session>);

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.break_off();
        }
        self.0.finish();
    }
}

/// Why reading stops.
pub(super) enum Stop {
    /// The end was reached, or nobody takes batches any more.
    Over,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl Polling {
    /// Reads until the end, then stays until what was emitted is settled and
    /// committed.
    pub(super) fn run(self) {
        let _end = End(Arc::clone(&self.session));
        // A registry is asked from here: its client needs the runtime's clock.
        let runtime = self.runtime.clone();
        let _inside = runtime.enter();
        let mut gathered = Gathered::default();
        if let Stop::Failed(error) = self.read(&mut gathered) {
            // What was read before the failure is good.
            if gathered.is_empty() || self.hand_over(gathered).is_ok() {
                let _ = self.runtime.block_on(self.sender.send(Err(error)));
            }
        }
        let Polling { consumer, session, sender, ends, .. } = self;
        let early = ends && sender.is_closed();
        session.close();
        drop(sender);
        see_off(&consumer, &session, if early { SETTLE_EARLY } else { SETTLE_AT_MOST });
        // Closing asks the partitions back; nobody is waited for then.
        session.leave();
        drop(consumer);
    }

    fn read(&self, gathered: &mut Gathered) -> Stop {
        match self.read_on(gathered) {
            Ok(never) => match never {},
            Err(stop) => stop,
        }
    }

    fn read_on(&self, gathered: &mut Gathered) -> Result<std::convert::Infallible, Stop> {
        let mut deadline = Instant::now();
        let mut last_store = Instant::now();
        let mut lost_since = None;
        loop {
            if self.sender.is_closed() || self.session.is_closing() {
                return Err(Stop::Over);
            }
            let mut wait =
                if gathered.is_empty() { IDLE } else { deadline.saturating_duration_since(Instant::now()) };
            for _ in 0..BURST {
                match self.consumer.poll(wait) {
                    Some(Ok(message)) => {
                        if gathered.is_empty() {
                            deadline = Instant::now() + LINGER;
                        }
                        lost_since = None;
                        self.take(&message, gathered)?;
                    }
                    Some(Err(error)) => {
                        self.hear(&error, &mut lost_since)?;
                        break;
                    }
                    None => break,
                }
                if is_full(gathered, self.batch_rows) {
                    break;
                }
                wait = Duration::ZERO;
            }
            if let Some(error) = self.session.failure() {
                return Err(Stop::Failed(error));
            }
            if self.ends && lost_since.is_some_and(|since: Instant| since.elapsed() > LOST_AT_MOST) {
                return Err(Stop::Failed(self.unreachable()));
            }
            if is_full(gathered, self.batch_rows) {
                self.pass_on(std::mem::take(gathered))?;
            } else if !gathered.is_empty() && Instant::now() >= deadline {
                *gathered = self.offer(std::mem::take(gathered))?;
                deadline = Instant::now() + LINGER;
            }
            store_sometimes(&self.consumer, &self.session, &mut last_store);
            if self.ends && gathered.is_empty() && self.session.is_at_end() {
                return Err(Stop::Over);
            }
        }
    }

    /// Decodes a message straight from the library's buffer.
    pub(super) fn take(&self, message: &BorrowedMessage<'_>, gathered: &mut Gathered) -> Result<(), Error> {
        let Some(stretch) = self.stretch(message, gathered) else { return Ok(()) };
        let borrowed = Message::of(message, &gathered.stretches[stretch].part.0);
        let (payload, seen) = (borrowed.payload, borrowed.timestamp);
        let wanted = match self.tombstones {
            Tombstones::Rows => true,
            Tombstones::Only => payload.is_none(),
            Tombstones::Skip => payload.is_some(),
        };
        if wanted {
            match self.now_or_soon(self.decoder.row(&borrowed))? {
                Ok(row) => {
                    gathered.push(row);
                    gathered.stretches[stretch].rows += 1;
                }
                Err(reason) => {
                    gathered.unreadable.push(Unreadable {
                        place: format!("{}[{}]@{}", borrowed.topic, borrowed.partition, borrowed.offset),
                        payload: shown(payload.unwrap_or_default()),
                        reason,
                    });
                    gathered.stretches[stretch].unreadable += 1;
                }
            }
        }
        gathered.bytes += message.key_len() + message.payload_len();
        let stretch = &mut gathered.stretches[stretch];
        stretch.messages += 1;
        stretch.next = message.offset() + 1;
        stretch.seen = seen.or(stretch.seen);
        Ok(())
    }

    /// The stretch that a message belongs to; none where its partition is no longer ours.
    fn stretch(&self, message: &BorrowedMessage<'_>, gathered: &mut Gathered) -> Option<usize> {
        let topic = self.only_topic.as_deref().unwrap_or_else(|| message.topic());
        let partition = message.partition();
        let last = gathered.stretches.last();
        let same = last.is_some_and(|last| {
            last.part.1 == partition && *last.part.0 == *topic && last.tenure == self.session.tenure()
        });
        if !same {
            let part: Part = (topic.into(), partition);
            let tenure = self.session.tenure_of(&part)?;
            let next = message.offset();
            gathered.stretches.push(Stretch {
                part,
                tenure,
                rows: 0,
                unreadable: 0,
                messages: 0,
                next,
                seen: None,
            });
        }
        gathered.stretches.len().checked_sub(1)
    }

    /// Nearly every message is decoded without waiting; only a schema that is
    /// seen for the first time is asked for.
    fn now_or_soon<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        match work.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => self.runtime.block_on(work),
        }
    }

    /// What an error means: the end, brokers that are gone, or nothing that
    /// the library does not mend itself.
    pub(super) fn hear(&self, error: &KafkaError, lost_since: &mut Option<Instant>) -> Result<(), Error> {
        let Some(code) = errors::code_of(error) else { return Ok(()) };
        let context = self.consumer.context();
        let words = context.words(code);
        if let Some(failure) = context.take_token_failure()
            && matches!(failure.kind(), ErrorKind::Denied | ErrorKind::Settings)
        {
            return Err(failure);
        }
        if errors::is_final(code) || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(errors::explain(
                "reading from Kafka",
                code,
                words.as_deref(),
                &self.session.plan.access,
            ));
        }
        if code == Code::AllBrokersDown {
            self.session.brokers_lost(true);
            lost_since.get_or_insert_with(Instant::now);
        }
        tracing::debug!(%code, words, "kafka client");
        Ok(())
    }

    fn unreachable(&self) -> Error {
        let words = self.consumer.context().words(Code::BrokerTransportFailure);
        let plan = &self.session.plan;
        let doing = format!("reading from Kafka at {}", plan.brokers);
        errors::explain(&doing, Code::AllBrokersDown, words.as_deref(), &plan.access)
    }
}

fn is_full(gathered: &Gathered, batch_rows: usize) -> bool {
    gathered.rows.len() + gathered.unreadable.len() >= batch_rows.max(1) || gathered.bytes >= BATCH_BYTES
}

/// As much of a value as is worth keeping, as text.
fn shown(payload: &[u8]) -> String {
    String::from_utf8_lossy(&payload[..payload.len().min(SHOWN_BYTES)]).into_owned()
}
