//! What the client's thread, the feed and the engine's settling know together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidegate_model::{Batch, Clock, Error, Row};
use tokio::sync::Notify;

use super::gathered::{Gathered, Stretch};
use crate::access::Access;
use crate::beginning::{Beginning, Opening};
use crate::context::lock;
use crate::errors;
use crate::progress::{Part, Progress, name_of};

/// One feed: the partitions that are ours, what of them is on its way, and
/// what is settled.
///
/// The order of things keeps the promise. A message becomes *emitted* when the
/// feed gives it to the engine, *settled* when the engine says so, *committed*
/// when the group knows. Nothing is committed before it is settled, and a
/// partition is given up only when what was emitted of it is settled, or when
/// that takes too long.
pub(crate) struct Session {
    /// What the feed was opened with.
    pub(crate) plan: Plan,
    tenures: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    commits: Notify,
}

/// What a feed was opened with.
pub(crate) struct Plan {
    /// Where partitions begin.
    pub(crate) beginning: Beginning,
    /// Whether settled offsets are committed.
    pub(crate) commits: bool,
    /// How long a partition that is asked back may wait for its settling.
    pub(crate) patience: Duration,
    /// For messages.
    pub(crate) access: Access,
    /// For messages.
    pub(crate) brokers: String,
    /// For the rate of reading.
    pub(crate) clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    held: HashMap<Part, Held>,
    emitted: Progress,
    settled: Progress,
    /// Nothing more is read.
    closing: bool,
    /// The feed is gone: nothing is emitted any more.
    over: bool,
    /// Nobody will settle any more.
    leaving: bool,
    finished: bool,
    failure: Option<Error>,
    broken: bool,
    lost: bool,
}

/// A partition that is ours.
struct Held {
    tenure: u64,
    /// Asked back: nothing more of it is emitted.
    revoked: bool,
    /// The offset behind the last message that was read.
    taken: i64,
    emitted: i64,
    settled: i64,
    /// Given to the library, which commits it soon.
    stored: Option<i64>,
    committed: Option<i64>,
    /// The end that was seen first: a feed that ends reads up to there.
    target: Option<i64>,
    /// Whether the end was reached once.
    reached: bool,
}

impl Held {
    fn is_settled(&self) -> bool {
        self.settled >= self.emitted
    }
}

impl Session {
    /// A session that knows what a checkpoint says.
    pub(crate) fn new(plan: Plan, known: Progress) -> Session {
        let state = State { emitted: known.clone(), settled: known, ..State::default() };
        Session {
            plan,
            tenures: AtomicU64::new(0),
            state: Mutex::new(state),
            changed: Condvar::new(),
            commits: Notify::new(),
        }
    }

    /// What is settled so far, or was when the feed began.
    pub(crate) fn known(&self) -> Progress {
        lock(&self.state).settled.clone()
    }

    /// Partitions became ours.
    pub(crate) fn take(&self, openings: &[Opening]) {
        let tenure = self.tenures.fetch_add(1, Ordering::AcqRel) + 1;
        let mut state = lock(&self.state);
        for opening in openings {
            let from = opening.from;
            state.held.insert(
                opening.part.clone(),
                Held {
                    tenure,
                    revoked: false,
                    taken: from,
                    emitted: from,
                    settled: from,
                    stored: opening.committed,
                    committed: opening.committed,
                    target: None,
                    reached: false,
                },
            );
        }
    }

    /// A number that changes whenever partitions come or go.
    pub(crate) fn tenure(&self) -> u64 {
        self.tenures.load(Ordering::Acquire)
    }

    /// When a partition became ours, if it is.
    pub(crate) fn tenure_of(&self, part: &Part) -> Option<u64> {
        lock(&self.state).held.get(part).filter(|held| !held.revoked).map(|held| held.tenure)
    }

    /// Stops emitting partitions and waits until what was emitted is settled.
    /// Returns those that did not get there in time.
    pub(crate) fn revoke(&self, parts: &[Part], wait: bool) -> Vec<Part> {
        self.tenures.fetch_add(1, Ordering::AcqRel);
        let mut state = lock(&self.state);
        for part in parts {
            if let Some(held) = state.held.get_mut(part) {
                held.revoked = true;
            }
        }
        let open = |state: &State| -> Vec<Part> {
            let unsettled = |part: &&Part| state.held.get(*part).is_some_and(|held| !held.is_settled());
            parts.iter().filter(unsettled).cloned().collect()
        };
        if wait {
            let waiting = |state: &mut State| !state.leaving && !open(state).is_empty();
            let (after, _) = self
                .changed
                .wait_timeout_while(state, self.plan.patience, waiting)
                .unwrap_or_else(PoisonError::into_inner);
            state = after;
        }
        open(&state)
    }

    /// Partitions are no longer ours.
    pub(crate) fn release(&self, parts: &[Part]) {
        let mut state = lock(&self.state);
        for part in parts {
            state.held.remove(part);
        }
    }

    /// Notes how far was read, as the client's thread passes it on.
    pub(crate) fn taken(&self, gathered: &Gathered) {
        let mut state = lock(&self.state);
        for stretch in &gathered.stretches {
            if let Some(held) = state.held.get_mut(&stretch.part) {
                held.taken = stretch.next;
            }
        }
    }

    /// Makes the batch that the engine gets; none where nothing is left of it.
    pub(crate) fn emit(&self, mut gathered: Gathered) -> Result<Option<Batch<Row>>, Error> {
        let now = self.plan.clock.now();
        let mut state = lock(&self.state);
        let state = &mut *state;
        gathered.keep(|stretch: &Stretch| {
            state.held.get(&stretch.part).is_some_and(|held| !held.revoked && held.tenure == stretch.tenure)
        });
        let nothing = gathered.rows.is_empty() && gathered.unreadable.is_empty();
        let idle = state.held.values().all(Held::is_settled);
        for stretch in &gathered.stretches {
            state.emitted.advance(&stretch.part, stretch.next, stretch.messages, stretch.seen, now);
            if let Some(held) = state.held.get_mut(&stretch.part) {
                match (nothing, idle) {
                    (false, _) => held.emitted = stretch.next,
                    // Messages that are passed over are settled with what was emitted before them.
                    (true, true) => (held.emitted, held.settled) = (stretch.next, stretch.next),
                    (true, false) => {}
                }
            }
        }
        if nothing {
            if idle {
                state.settled = state.emitted.clone();
            }
            return Ok(None);
        }
        Ok(Some(Batch {
            items: gathered.rows,
            unreadable: gathered.unreadable,
            checkpoint: Some(state.emitted.checkpoint()?),
            waiting: 0,
        }))
    }

    /// Everything up to here is settled.
    pub(crate) fn settle(&self, progress: Progress) {
        let mut state = lock(&self.state);
        for (part, place) in progress.places() {
            if let Some(held) = state.held.get_mut(&part) {
                held.settled = held.settled.max(place.next);
            }
        }
        state.settled = progress;
        drop(state);
        self.changed.notify_all();
    }

    /// Whether all that was emitted is settled.
    pub(crate) fn is_settled(&self) -> bool {
        lock(&self.state).held.values().all(Held::is_settled)
    }

    /// Whether nothing is left to settle: all is settled, and no batch is still
    /// on its way into the feed.
    pub(crate) fn is_done(&self) -> bool {
        let state = lock(&self.state);
        state.over && state.held.values().all(Held::is_settled)
    }

    /// What was settled since the last time, for the library to commit.
    pub(crate) fn to_store(&self) -> Vec<(Part, i64)> {
        if !self.plan.commits {
            return Vec::new();
        }
        let mut state = lock(&self.state);
        let news = |(part, held): (&Part, &mut Held)| {
            let moved = !held.revoked && held.settled > held.stored.unwrap_or(-1);
            moved.then(|| {
                held.stored = Some(held.settled);
                (part.clone(), held.settled)
            })
        };
        state.held.iter_mut().filter_map(news).collect()
    }

    /// What is settled and not known to be committed.
    pub(crate) fn uncommitted(&self) -> Vec<(Part, i64)> {
        if self.plan.commits { uncommitted(&lock(&self.state)) } else { Vec::new() }
    }

    /// A commit came back.
    pub(crate) fn committed(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let mut state = lock(&self.state);
        match result {
            Ok(()) => {
                for element in offsets.elements() {
                    let part: Part = (element.topic().into(), element.partition());
                    if let (Some(held), Offset::Offset(offset), Ok(())) =
                        (state.held.get_mut(&part), element.offset(), element.error())
                    {
                        held.committed = held.committed.max(Some(offset));
                    }
                }
            }
            Err(error) => match errors::code_of(&error) {
                Some(Code::NoOffset) => {}
                Some(code) if errors::is_final(code) => {
                    let access = &self.plan.access;
                    state.failure = Some(errors::explain("committing offsets", code, None, access));
                }
                _ => tracing::debug!(%error, "offsets were not committed yet"),
            },
        }
        drop(state);
        self.changed.notify_all();
        self.commits.notify_waiters();
    }

    /// Waits until the group knows what is settled, or cannot learn it any more.
    pub(crate) async fn wait_for_commit(&self) {
        loop {
            let notified = self.commits.notified();
            {
                let state = lock(&self.state);
                let known = !self.plan.commits || uncommitted(&state).is_empty();
                if state.finished || !state.closing || known {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Nothing more is read.
    pub(crate) fn close(&self) {
        lock(&self.state).closing = true;
        self.changed.notify_all();
    }

    /// The feed is gone, read to its end or dropped before.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        (state.closing, state.over) = (true, true);
        drop(state);
        self.changed.notify_all();
    }

    /// Whether nothing more is read.
    pub(crate) fn is_closing(&self) -> bool {
        lock(&self.state).closing
    }

    /// Nobody will settle any more.
    pub(crate) fn leave(&self) {
        lock(&self.state).leaving = true;
        self.changed.notify_all();
    }

    /// Whether nobody will settle any more.
    pub(crate) fn is_leaving(&self) -> bool {
        lock(&self.state).leaving
    }

    /// The client's thread is at its end.
    pub(crate) fn finish(&self) {
        lock(&self.state).finished = true;
        self.changed.notify_all();
        self.commits.notify_waiters();
    }

    /// The client's thread ended by a fault of this program.
    pub(crate) fn break_off(&self) {
        lock(&self.state).broken = true;
    }

    /// What the feed has to say at its end where the client's thread did not get there.
    pub(crate) fn take_fault(&self) -> Option<Error> {
        let broken = std::mem::take(&mut lock(&self.state).broken);
        broken.then(|| Error::internal("the thread that reads from Kafka ended by a fault"))
    }

    /// Waits for the end of the client's thread.
    pub(crate) fn wait_for_end(&self, patience: Duration) {
        let state = lock(&self.state);
        let _ = self.changed.wait_timeout_while(state, patience, |state| !state.finished);
    }

    /// Ends the feed with an error at the next look.
    pub(crate) fn fail(&self, error: Error) {
        lock(&self.state).failure = Some(error);
    }

    /// Why the feed has to end, if it has.
    pub(crate) fn failure(&self) -> Option<Error> {
        lock(&self.state).failure.take()
    }

    /// Notes that brokers are gone (or back) and says so once.
    pub(crate) fn brokers_lost(&self, lost: bool) {
        let mut state = lock(&self.state);
        let brokers = &self.plan.brokers;
        match (state.lost, lost) {
            (false, true) => tracing::warn!(brokers, "the Kafka brokers are gone; reading waits for them"),
            (true, false) => tracing::info!(brokers, "the Kafka brokers are back"),
            _ => {}
        }
        state.lost = lost;
    }

    /// What the client's own figures tell.
    pub(crate) fn observe(&self, statistics: &Statistics) {
        if statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.brokers_lost(false);
        }
        let mut state = lock(&self.state);
        for (part, held) in &mut state.held {
            let topic = statistics.topics.get(&*part.0);
            let Some(figures) = topic.and_then(|topic| topic.partitions.get(&part.1)) else { continue };
            let end = if figures.ls_offset >= 0 { figures.ls_offset } else { figures.hi_offset };
            if end >= 0 {
                held.target.get_or_insert(end);
            }
            // All that was fetched was polled, and the end was met behind it.
            held.reached |= figures.eof_offset >= 0 && figures.fetchq_cnt == 0;
        }
    }

    /// Whether every partition was read to the end that it had at first.
    pub(crate) fn is_at_end(&self) -> bool {
        let at_end = |held: &Held| held.reached || held.target.is_some_and(|target| held.taken >= target);
        lock(&self.state).held.values().all(at_end)
    }

    /// The partitions as people read them.
    pub(crate) fn names(parts: &[Part]) -> String {
        parts.iter().map(name_of).collect::<Vec<_>>().join(", ")
    }
}

fn uncommitted(state: &State) -> Vec<(Part, i64)> {
    let news = |(part, held): (&Part, &Held)| {
        let moved = held.settled > held.committed.unwrap_or(-1);
        moved.then(|| (part.clone(), held.settled))
    };
    state.held.iter().filter_map(news).collect()
}
