//! Messages as a feed of rows.
//!
//! A thread polls the client library, decodes messages straight from its
//! buffers and hands them over in batches; the feed gives them to the engine and
//! notes that they are emitted. Both share a [`Session`], which also receives the
//! engine's acknowledgements. While the engine takes no batches, the thread pauses
//! the partitions and keeps polling.

mod commits;
mod handover;
mod lifecycle;
mod ownership;
mod pending;
mod phase;
mod polling;
mod rebalance;
mod session;
mod statistics;
mod unassigned;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rdkafka::consumer::{BaseConsumer, Consumer};
use tidegate_model::{Error, Feed};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use self::pending::PendingBatch;
use self::polling::Polling;
pub(crate) use self::session::{Plan, Session};
use crate::baseline::Baseline;
use crate::client::Client;
use crate::context::Context;
use crate::decode::Decoder;
use crate::errors;
use crate::identity;
use crate::metadata::ClusterMetadata;
use crate::selection::{KafkaSelection, Tombstones};

/// Batches between the thread and the engine.
const BATCHES_AHEAD: usize = 2;
/// How often the library commits acknowledged offsets.
const COMMIT_INTERVAL_MS: &str = "100";
/// How long the end of a feed waits for the consumer to leave its group.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How a feed reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Rows in a batch.
    pub(crate) batch_rows: usize,
    /// Whether it continues until it is dropped, sharing the partitions with the
    /// other members of its group. Else it reads all partitions to their end.
    pub(crate) follow: bool,
    /// How messages without a value are treated.
    pub(crate) tombstones: Tombstones,
}

/// Starts to read. Blocks until brokers respond; call it on a thread that may.
///
/// # Errors
/// A topic is missing, access is denied, or no broker responds.
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
    // Only stored offsets are committed, and only acknowledged ones are stored.
    let commits = if session.plan.commits { "true" } else { "false" };
    let settings = [
        ("group.id", selection.group.as_str()),
        ("statistics.interval.ms", figures),
        ("enable.auto.commit", commits),
        ("auto.commit.interval.ms", COMMIT_INTERVAL_MS),
    ];
    let consumer = client.consumer(&settings, Some(Arc::<Session>::clone(session)))?;
    start(&consumer, selection, session, reading.follow)?;
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

fn start(
    consumer: &BaseConsumer<Context>,
    selection: &KafkaSelection,
    session: &Session,
    follow: bool,
) -> Result<(), Error> {
    let plan = &session.plan;
    let metadata = ClusterMetadata { consumer, access: &plan.access, brokers: &plan.brokers };
    let partitions = metadata.all_partitions(&selection.topics)?;
    let (known, cluster) = (session.known(), metadata.cluster());
    let gone = identity::recreated(&metadata, &known, cluster.as_deref())?;
    session.begin(cluster.as_deref(), &gone);
    let committed = plan.start_offsets.committed;
    let baseline = Baseline::of(&metadata, &partitions, &known, committed)?.without(&gone, &known);
    let _ = session.baseline.set(baseline);
    let started = if follow {
        let topics: Vec<&str> = selection.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)
    } else {
        // A feed that ends reads alone: it joins no group.
        consumer.assign(&rebalance::assignment(session, consumer, &partitions)?)
    };
    started.map_err(|error| errors::wrap("starting to read from Kafka", &error, &plan.access))
}

/// Notes the end of the feed in its session.
struct FeedGuard(Arc<Session>);

impl Drop for FeedGuard {
    fn drop(&mut self) {
        self.0.drained();
        // Leaving the group and the last commit take a few milliseconds. Without
        // this wait, the end of the process would interrupt them, and the next
        // reader would wait for the session to time out. There is no wait if
        // acknowledgements are still to come: this task may be the one that gives them.
        if self.0.plan.commits && self.0.is_acknowledged() {
            self.0.wait_for_exit(LEAVE_TIMEOUT);
        }
    }
}

fn feed(receiver: mpsc::Receiver<Result<PendingBatch, Error>>, session: Arc<Session>) -> Feed {
    stream::unfold((receiver, FeedGuard(session)), async |(mut receiver, guard)| {
        loop {
            let batch = match receiver.recv().await {
                Some(Ok(pending)) => guard.0.emit(pending).transpose(),
                Some(Err(error)) => Some(Err(error)),
                // A panic of the thread must not look like the end.
                None => Some(Err(guard.0.take_fault()?)),
            };
            if let Some(batch) = batch {
                return Some((batch, (receiver, guard)));
            }
        }
    })
    .boxed()
}
