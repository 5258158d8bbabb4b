//! Giving settled offsets to the library, while a feed reads and after its end.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::Offset;

use super::polling::HASTE;
use super::rebalance;
use super::session::Session;
use crate::context::Context;
use crate::look::list;

/// How often settled offsets are given to the library.
const STORE_EVERY: Duration = Duration::from_millis(20);
/// How long the last commit of a feed is tried again.
const COMMIT_AT_MOST: Duration = Duration::from_secs(5);

/// Gives the library what is settled to commit. It does so at intervals, and
/// again where it fails: what is not given to it is never committed.
pub(super) fn store_sometimes(consumer: &BaseConsumer<Context>, session: &Session, last: &mut Instant) {
    if last.elapsed() < STORE_EVERY {
        return;
    }
    *last = Instant::now();
    let offsets = session.to_store();
    if offsets.is_empty() {
        return;
    }
    let Ok(list) = list(offsets.iter().map(|(part, offset)| (part, Offset::Offset(*offset)))) else { return };
    if let Err(error) = consumer.store_offsets(&list) {
        // A partition that is being taken back: it is committed as it goes.
        tracing::debug!(%error, "settled offsets were not stored");
    }
}

/// After the end: stays in the group until all is settled, then commits.
pub(super) fn see_off(consumer: &BaseConsumer<Context>, session: &Session, patience: Duration) {
    let since = Instant::now();
    if session.plan.commits && !session.is_settled() {
        let _ = consumer.assignment().and_then(|parts| consumer.pause(&parts));
    }
    loop {
        rebalance::commit(session, consumer);
        let done = !session.plan.commits || session.is_done();
        // A commit that failed is tried again, but not for long: the sync's own place guards
        // against its loss. Looked at last: what is settled meanwhile has to be committed too.
        let known = session.uncommitted().is_empty() || since.elapsed() > COMMIT_AT_MOST;
        if (done && known) || session.is_leaving() || since.elapsed() > patience {
            return;
        }
        let _ = consumer.poll(HASTE);
    }
}
