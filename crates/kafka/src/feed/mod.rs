//! Messages as a feed of rows.
//!
//! A thread polls the client library, decodes messages straight from its
//! buffers and passes them on in batches; the feed gives them to the engine and
//! notes that they are on their way. A [`Session`] is what both know together
//! with the engine's settling. Where the engine does not take batches, the
//! thread pauses the partitions and polls on.

mod commits;
mod gathered;
mod passing;
mod polling;
pub(crate) mod rebalance;
mod session;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rdkafka::consumer::{BaseConsumer, Consumer};
use tidegate_model::{Error, Feed};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use self::gathered::Gathered;
use self::polling::Polling;
pub(crate) use self::session::{Plan, Session};
use crate::client::Client;
use crate::context::Context;
use crate::decode::Decoder;
use crate::errors;
use crate::look::Look;
use crate::selection::{KafkaSelection, Tombstones};

/// Batches between the thread and the engine.
const BATCHES_AHEAD: usize = 2;
/// How often the group learns what is settled.
const COMMIT_EVERY_MS: &str = "100";
/// How long the end of a feed waits for the client to leave its group.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a feed reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Rows in a batch.
    pub(crate) batch_rows: usize,
    /// Whether it goes on until it is dropped, sharing the partitions with the
    /// other members of its group. Else it reads all partitions to their end.
    pub(crate) follow: bool,
    /// What becomes of messages without a value.
    pub(crate) tombstones: Tombstones,
}

/// Begins to read. Blocks until brokers answered, so that it belongs on a
/// thread that may.
///
/// # Errors
/// Topics that are not there or not for us, brokers that do not answer.
pub(crate) fn open(
    client: &Client,
    selection: &KafkaSelection,
    session: &Arc<Session>,
    decoder: Decoder,
    reading: Reading,
) -> Result<Feed, Error> {
    let runtime = Handle::try_current()
        .map_err(|cause| Error::internal("reading Kafka outside of the runtime").caused_by(cause))?;
    let figures = if reading.follow { "1000" } else { "100" };
    // Only what is stored is committed, and only what is settled is stored.
    let commits = if session.plan.commits { "true" } else { "false" };
    let settings = [
        ("group.id", selection.group.as_str()),
        ("statistics.interval.ms", figures),
        ("enable.auto.commit", commits),
        ("auto.commit.interval.ms", COMMIT_EVERY_MS),
    ];
    let consumer = client.consumer(&settings, Some(Arc::clone(session)))?;
    begin(&consumer, selection, session, reading.follow)?;
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let only_topic = match &selection.topics[..] {
        [only] => Some(only.clone()),
        _ => None,
    };
    let polling = Polling {
        consumer,
        only_topic,
        session: Arc::clone(session),
        decoder,
        sender,
        runtime,
        batch_rows: reading.batch_rows,
        tombstones: reading.tombstones,
        ends: !reading.follow,
    };
    std::thread::Builder::new()
        .name("tidegate-kafka".to_owned())
        .spawn(move || polling.run())
        .map_err(|cause| Error::internal("starting a thread for Kafka").caused_by(cause))?;
    Ok(feed(receiver, Arc::clone(session)))
}

fn begin(
    consumer: &BaseConsumer<Context>,
    selection: &KafkaSelection,
    session: &Session,
    follow: bool,
) -> Result<(), Error> {
    let plan = &session.plan;
    let look = Look { consumer, access: &plan.access, brokers: &plan.brokers };
    let parts = look.all_partitions(&selection.topics)?;
    let begun = if follow {
        let topics: Vec<&str> = selection.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)
    } else {
        // A feed that ends is alone: no group has to be joined first.
        consumer.assign(&rebalance::assignment(session, consumer, &parts)?)
    };
    begun.map_err(|error| errors::wrap("beginning to read from Kafka", &error, &plan.access))
}

/// Ends the session with the feed.
struct Over(Arc<Session>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.end();
        // Leaving the group and the last commit take a few milliseconds. Without
        // this wait the end of the process would cut them off, and the next
        // reader would wait for the session to time out. Nothing is waited for
        // where settling is still to come: this task may be the one that settles.
        if self.0.plan.commits && self.0.is_settled() {
            self.0.wait_for_end(FAREWELL);
        }
    }
}

fn feed(receiver: mpsc::Receiver<Result<Gathered, Error>>, session: Arc<Session>) -> Feed {
    stream::unfold((receiver, Over(session)), async |(mut receiver, over)| {
        loop {
            let batch = match receiver.recv().await {
                Some(Ok(gathered)) => over.0.emit(gathered).transpose(),
                Some(Err(error)) => Some(Err(error)),
                // An end that is none must not look like one.
                None => Some(Err(over.0.take_fault()?)),
            };
            if let Some(batch) = batch {
                return Some((batch, (receiver, over)));
            }
        }
    })
    .boxed()
}
