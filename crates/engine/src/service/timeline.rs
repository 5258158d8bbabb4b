//! One user, in both directions: rows that were sent, and events that came back.

use std::collections::VecDeque;

use futures_util::StreamExt;
use jiff::Timestamp;
use serde::Serialize;
use tidegate_model::event::Channel;
use tidegate_model::store::{RowQuery, StatusKind};
use tidegate_model::{ConnectionId, Error, ObjectKind, Reading, Reason, RunId, SyncId};

use super::Engine;
use super::export::stream_of;

/// Events of all streams up to which a user's events are searched.
const SEARCHED_MAX: u64 = 2_000_000;

/// What is known of one user, newest first.
#[derive(Clone, Debug, Serialize)]
pub struct Timeline {
    /// The identifier that was searched.
    pub user: String,
    /// What happened, newest first.
    pub entries: Vec<Entry>,
    /// Whether there are older entries than these. `tidegate rows --user` lists every row that was sent.
    pub older: bool,
    /// Whether events were searched. A log that is too long for that is not.
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
        let events_searched = self.logged_events().await? <= SEARCHED_MAX;
        if events_searched {
            for endpoint in self.ingest_endpoints() {
                entries.extend(self.events_of(&endpoint.connection, user, asked).await?);
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at()));
        let older = entries.len() > limit;
        entries.truncate(limit);
        Ok(Timeline { user: user.to_owned(), entries, older, events_searched })
    }

    /// Returns about how many events all streams hold.
    async fn logged_events(&self) -> Result<u64, Error> {
        let mut events = 0;
        for endpoint in self.ingest_endpoints() {
            let lag = self.config.log.lag(&stream_of(&endpoint.connection), None).await?;
            events += lag.iter().map(|lag| lag.behind).sum::<u64>();
        }
        Ok(events)
    }

    /// Returns the newest events of a user in one stream.
    async fn events_of(&self, stream: &ConnectionId, user: &str, limit: usize) -> Result<Vec<Entry>, Error> {
        let reading = Reading { batch_events: 4_096, follow: false };
        let mut feed = self.config.log.read(&stream_of(stream), None, reading).await?;
        let mut found = VecDeque::new();
        while let Some(batch) = feed.next().await {
            for logged in batch?.items.into_iter().filter(|logged| *logged.event.user == *user) {
                if found.len() >= limit {
                    found.pop_front();
                }
                found.push_back(Entry::Received {
                    at: logged.event.at,
                    stream: stream.clone(),
                    kind: logged.event.kind.to_string(),
                    channel: logged.event.channel(),
                    message: logged.event.message.to_string(),
                });
            }
        }
        Ok(found.into())
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
