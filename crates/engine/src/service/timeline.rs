//! One user, in both directions: rows that were sent, and events that came back.

use jiff::Timestamp;
use serde::Serialize;
use tidegate_model::event::Channel;
use tidegate_model::store::{RowQuery, StatusKind};
use tidegate_model::{ConnectionId, Error, Event, ObjectKind, Reason, RunId, SyncId};

use super::Engine;
use super::export::stream_of;

/// What is known of one user, newest first.
#[derive(Clone, Debug, Serialize)]
pub struct Timeline {
    /// The identifier that was searched.
    pub user: String,
    /// What happened, newest first.
    pub entries: Vec<Entry>,
    /// Whether there are older entries than these. `tidegate rows --user` lists every row that was sent.
    pub older: bool,
    /// Whether events were searched. A log in Kafka, which has no index of users, is not if a topic has
    /// more than 2,000,000 events.
    pub events_searched: bool,
}

/// Something that happened to a user.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "direction", rename_all = "snake_case")]
pub enum Entry {
    /// A row of a sync, on its way to a platform.
    Sent {
        /// When its status was committed.
        at: Timestamp,
        /// The sync.
        sync: SyncId,
        /// The run.
        run: RunId,
        /// What the row became.
        object: ObjectKind,
        /// Its key columns as text.
        key: String,
        /// Its status.
        status: StatusKind,
        /// Why, unless it was delivered.
        reason: Option<Reason>,
    },
    /// An event that came in.
    Received {
        /// When it happened.
        at: Timestamp,
        /// The connection that it came in through.
        stream: ConnectionId,
        /// What happened.
        kind: String,
        /// The channel of its message, if it is about one.
        channel: Option<Channel>,
        /// The message, empty if it is about none.
        message: String,
    },
}

impl Entry {
    /// Returns when it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Entry::Sent { at, .. } | Entry::Received { at, .. } => *at,
        }
    }
}

impl Engine {
    /// Returns the timeline of a user: the newest `limit` entries, as far as rows and events
    /// are kept.
    ///
    /// # Errors
    /// If the store or the event log cannot be read.
    pub async fn timeline(&self, user: &str, limit: usize) -> Result<Timeline, Error> {
        // One more than is shown says whether there is more.
        let asked = limit.saturating_add(1);
        let query = RowQuery {
            user: Some(user.to_owned()),
            limit: asked,
            without_payload: true,
            ..RowQuery::default()
        };
        let rows = self.config.store.rows(&query).await?;
        let mut entries: Vec<Entry> = rows
            .into_iter()
            .map(|row| Entry::Sent {
                at: row.at,
                sync: row.sync,
                run: row.run,
                object: row.object,
                key: row.key,
                status: row.status,
                reason: row.reason,
            })
            .collect();
        let mut events_searched = true;
        for ingest in self.ingest_endpoints() {
            let stream = &ingest.connection;
            match self.config.log.events_of(&stream_of(stream), user, asked).await? {
                Some(events) => entries.extend(events.iter().map(|event| received(stream, event))),
                None => events_searched = false,
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at()));
        let older = entries.len() > limit;
        entries.truncate(limit);
        Ok(Timeline { user: user.to_owned(), entries, older, events_searched })
    }
}

fn received(stream: &ConnectionId, event: &Event) -> Entry {
    Entry::Received {
        at: event.at,
        stream: stream.clone(),
        kind: event.kind.to_string(),
        channel: event.channel(),
        message: event.message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::Cause;
    use tidegate_model::store::{BatchCommit, RowResult, RowStatus};
    use tidegate_testkit::rows;

    use super::*;
    use crate::scheduler::tests::Stage;

    #[tokio::test(start_paused = true)]
    async fn a_timeline_that_is_cut_says_that_there_is_more() {
        let stage = Stage::start(1, 8);
        let store = stage.engine.store();
        let sync = SyncId::new("of-ann");
        let claim = store.claim(&sync).await.expect("asked").taken().expect("free");
        let now = stage.engine.config.clock.now();
        let run = store.start_run(&claim, ObjectKind::User, Cause::Manual, now).await.expect("started");
        let results = (1..=3).map(|id| {
            let row = rows::result(id, RowStatus::Delivered);
            RowResult { user: "ann".into(), ..row }
        });
        let commit = BatchCommit { batch: 1, results: results.collect(), ..BatchCommit::default() };
        store.commit_batch(&run.id, commit).await.expect("committed");

        for (limit, shown, older) in [(2, 2, true), (3, 3, false)] {
            let timeline = stage.engine.timeline("ann", limit).await.expect("read");
            assert_eq!((timeline.entries.len(), timeline.older), (shown, older), "of {limit}");
        }
    }
}
