//! Committing acknowledged offsets, while a feed is read and after its end.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::Offset;

use super::rebalance;
use super::session::Session;
use crate::context::Context;
use crate::partition::list;

/// How often acknowledged offsets are given to the library.
const STORE_INTERVAL: Duration = Duration::from_millis(20);
/// How long the last commit of a feed is retried.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one poll takes at most while a feed drains.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// Gives acknowledged offsets to the library, unless it did so lately. The library
/// commits them at intervals and retries; it commits nothing else.
pub(super) fn store_sometimes(consumer: &BaseConsumer<Context>, session: &Session, last: &mut Instant) {
    if last.elapsed() < STORE_INTERVAL {
        return;
    }
    *last = Instant::now();
    let offsets = session.to_store();
    if offsets.is_empty() {
        return;
    }
    let offsets = offsets.iter().map(|(partition, offset)| (partition, Offset::Offset(*offset)));
    let Ok(list) = list(offsets) else { return };
    if let Err(error) = consumer.store_offsets(&list) {
        // A partition that is being revoked: it is committed then.
        tracing::debug!(%error, "acknowledged offsets were not stored");
    }
}

/// Stays in the group after the end of reading until all is acknowledged, then commits.
pub(super) fn drain_and_commit(consumer: &BaseConsumer<Context>, session: &Session, timeout: Duration) {
    let since = Instant::now();
    if session.plan.commits && !session.is_acknowledged() {
        let _ = consumer.assignment().and_then(|partitions| consumer.pause(&partitions));
    }
    loop {
        rebalance::commit(session, consumer);
        let done = !session.plan.commits || session.is_done();
        // A failed commit is retried, but not for long: the sync's own checkpoint guards against
        // its loss. Read last: what is acknowledged meanwhile has to be committed too.
        let committed = session.uncommitted().is_empty() || since.elapsed() > COMMIT_TIMEOUT;
        if (done && committed) || session.is_abandoned() || since.elapsed() > timeout {
            return;
        }
        let _ = consumer.poll(DRAIN_POLL);
    }
}
