//! The state that the client's thread, the feed and the engine share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidegate_model::{Batch, Clock, Error, Row, Text};
use tokio::sync::Notify;

use super::pending::{PartitionRun, PendingBatch};
use super::phase::Phase;
use crate::access::Access;
use crate::baseline::Baseline;
use crate::errors;
use crate::partition::{TopicPartition, lock};
use crate::progress::Progress;
use crate::start_offsets::StartOffsets;

/// One feed: the partitions assigned to it, what was emitted of them, and what
/// was acknowledged.
///
/// The order keeps the promise. A message is *emitted* when the feed gives it to
/// the engine, *acknowledged* when the engine has committed its batch, and
/// *committed* when the group has its offset. Nothing is committed before it is
/// acknowledged, and a revoked partition is released only when all that was
/// emitted of it is acknowledged, or when that takes too long.
pub(crate) struct Session {
    /// How the feed was opened.
    pub(crate) plan: Plan,
    pub(super) generations: AtomicU64,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(super) commits: Notify,
    /// What was there when the feed was opened.
    pub(super) baseline: OnceLock<Baseline>,
}

/// How a feed was opened.
pub(crate) struct Plan {
    /// Where partitions start.
    pub(crate) start_offsets: StartOffsets,
    /// Whether acknowledged offsets are committed.
    pub(crate) commits: bool,
    /// How long a revoked partition may wait for acknowledgements.
    pub(crate) revoke_timeout: Duration,
    /// For messages.
    pub(crate) access: Access,
    /// For messages.
    pub(crate) brokers: String,
    /// For the rate of reading.
    pub(crate) clock: Arc<dyn Clock>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// The error that ends the feed.
    pub(super) fault: Option<Error>,
    pub(super) partitions: HashMap<TopicPartition, PartitionState>,
    pub(super) emitted: Progress,
    acknowledged: Progress,
    /// Whether the loss of all brokers was logged.
    pub(super) brokers_lost: bool,
}

/// A partition that is assigned.
pub(super) struct PartitionState {
    /// See [`Session::generation`].
    pub(super) generation: u64,
    /// Nothing more of it is emitted.
    pub(super) revoked: bool,
    /// The offset after the last message that was read.
    pub(super) read: i64,
    emitted: i64,
    acknowledged: i64,
    /// Given to the library, which commits it soon.
    stored: Option<i64>,
    committed: Option<i64>,
    /// The end that was seen first: a feed that ends reads up to it.
    pub(super) target: Option<i64>,
    /// Whether the end was reached once.
    pub(super) reached: bool,
}

impl PartitionState {
    /// A partition of which nothing was read yet.
    pub(super) fn new(generation: u64, from: i64, committed: Option<i64>) -> PartitionState {
        PartitionState {
            generation,
            revoked: false,
            read: from,
            emitted: from,
            acknowledged: from,
            stored: committed,
            committed,
            target: None,
            reached: false,
        }
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        self.acknowledged >= self.emitted
    }
}

impl State {
    pub(super) fn is_acknowledged(&self) -> bool {
        self.partitions.values().all(PartitionState::is_acknowledged)
    }

    pub(super) fn uncommitted(&self) -> Vec<(TopicPartition, i64)> {
        let ahead = |(name, partition): (&TopicPartition, &PartitionState)| {
            let ahead = partition.acknowledged > partition.committed.unwrap_or(-1);
            ahead.then(|| (name.clone(), partition.acknowledged))
        };
        self.partitions.iter().filter_map(ahead).collect()
    }
}

impl Session {
    /// Creates a session that continues from the progress of a checkpoint.
    pub(crate) fn new(plan: Plan, known: Progress) -> Session {
        let state = State { emitted: known.clone(), acknowledged: known, ..State::default() };
        Session {
            plan,
            generations: AtomicU64::new(0),
            state: Mutex::new(state),
            changed: Condvar::new(),
            commits: Notify::new(),
            baseline: OnceLock::new(),
        }
    }

    /// Notes on which cluster the feed reads, and forgets topics that are others there.
    pub(super) fn begin(&self, cluster: Option<&str>, gone: &HashSet<Text>) {
        let mut state = lock(&self.state);
        let State { emitted, acknowledged, .. } = &mut *state;
        for progress in [emitted, acknowledged] {
            gone.iter().for_each(|topic| progress.forget(topic));
            progress.set_cluster(cluster);
        }
    }

    /// Returns the progress that is acknowledged.
    pub(super) fn known(&self) -> Progress {
        lock(&self.state).acknowledged.clone()
    }

    /// Notes how far the client's thread has read, as it hands a batch over.
    pub(super) fn note_read(&self, pending: &PendingBatch) {
        let mut state = lock(&self.state);
        for run in &pending.runs {
            if let Some(partition) = state.partitions.get_mut(&run.partition) {
                partition.read = run.next;
            }
        }
    }

    /// Creates the batch for the engine; none if nothing of it is left.
    pub(super) fn emit(&self, mut pending: PendingBatch) -> Result<Option<Batch<Row>>, Error> {
        let now = self.plan.clock.now();
        let mut state = lock(&self.state);
        let state = &mut *state;
        pending.keep(|run: &PartitionRun| {
            let partition = state.partitions.get(&run.partition);
            partition.is_some_and(|partition| !partition.revoked && partition.generation == run.generation)
        });
        let nothing = pending.rows.is_empty() && pending.malformed.is_empty();
        let idle = state.is_acknowledged();
        for run in &pending.runs {
            state.emitted.advance(&run.partition, run.next, run.messages, (run.seen, run.last), now);
            if let Some(partition) = state.partitions.get_mut(&run.partition) {
                match (nothing, idle) {
                    (false, _) => partition.emitted = run.next,
                    // Skipped messages are acknowledged with what was emitted before them.
                    (true, true) => (partition.emitted, partition.acknowledged) = (run.next, run.next),
                    (true, false) => {}
                }
            }
        }
        if nothing {
            if idle {
                state.acknowledged = state.emitted.clone();
            }
            return Ok(None);
        }
        Ok(Some(Batch {
            origins: pending.origins,
            malformed: pending.malformed,
            checkpoint: Some(state.emitted.checkpoint()?),
            ..Batch::of(pending.rows)
        }))
    }

    /// Acknowledges everything up to here.
    pub(crate) fn acknowledge(&self, progress: Progress) {
        let mut state = lock(&self.state);
        for (name, offset) in progress.offsets() {
            if let Some(partition) = state.partitions.get_mut(&name) {
                partition.acknowledged = partition.acknowledged.max(offset.next);
            }
        }
        state.acknowledged = progress;
        drop(state);
        self.changed.notify_all();
    }

    /// Returns whether all that was emitted is acknowledged.
    pub(super) fn is_acknowledged(&self) -> bool {
        lock(&self.state).is_acknowledged()
    }

    /// Returns the offsets acknowledged since the last call, for the library to commit.
    pub(super) fn to_store(&self) -> Vec<(TopicPartition, i64)> {
        if !self.plan.commits {
            return Vec::new();
        }
        let mut state = lock(&self.state);
        let advanced = |(name, partition): (&TopicPartition, &mut PartitionState)| {
            let advanced = !partition.revoked && partition.acknowledged > partition.stored.unwrap_or(-1);
            advanced.then(|| {
                partition.stored = Some(partition.acknowledged);
                (name.clone(), partition.acknowledged)
            })
        };
        state.partitions.iter_mut().filter_map(advanced).collect()
    }

    /// Returns the offsets that are acknowledged and not known to be committed.
    pub(super) fn uncommitted(&self) -> Vec<(TopicPartition, i64)> {
        if self.plan.commits { lock(&self.state).uncommitted() } else { Vec::new() }
    }

    /// Notes the result of a commit. An error that waiting cannot fix ends the feed.
    pub(super) fn note_commit(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        match result {
            Ok(()) => {
                let mut state = lock(&self.state);
                for element in offsets.elements() {
                    let name: TopicPartition = (element.topic().into(), element.partition());
                    if let (Some(partition), Offset::Offset(offset), Ok(())) =
                        (state.partitions.get_mut(&name), element.offset(), element.error())
                    {
                        partition.committed = partition.committed.max(Some(offset));
                    }
                }
            }
            Err(error) => match errors::code_of(&error) {
                Some(Code::NoOffset) => {}
                Some(code) if errors::is_final(code) => {
                    self.fail(errors::explain("committing offsets", code, None, &self.plan.access));
                }
                _ => tracing::debug!(%error, "offsets were not committed yet"),
            },
        }
        self.changed.notify_all();
        self.commits.notify_waiters();
    }
}
