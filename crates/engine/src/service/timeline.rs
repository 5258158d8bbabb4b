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
        let query =
            RowQuery { user: Some(user.to_owned()), limit, without_payload: true, ..RowQuery::default() };
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
                entries.extend(self.events_of(&endpoint.connection, user, limit).await?);
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.at()));
        entries.truncate(limit);
        Ok(Timeline { user: user.to_owned(), entries, events_searched })
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
