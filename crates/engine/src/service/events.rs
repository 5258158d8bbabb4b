//! What is known of the events that came in.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_model::event::Channel;
use tidegate_model::{ConnectionId, Error, EventSelection, LoggedEvent, Reading};

use super::Engine;
use super::export::stream_of;

/// Events of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KindCount {
    /// The connection that they came in through.
    pub stream: ConnectionId,
    /// The kind.
    pub kind: String,
    /// The channel of the message, if they are about one.
    pub channel: Option<Channel>,
    /// How many.
    pub events: u64,
    /// When the last one happened.
    pub last: Timestamp,
}

impl Engine {
    /// Returns how many events of each kind are kept, and when the last one happened. Reads the
    /// whole stream.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn event_counts(&self, stream: Option<&ConnectionId>) -> Result<Vec<KindCount>, Error> {
        let mut counts: BTreeMap<(ConnectionId, String), KindCount> = BTreeMap::new();
        for endpoint in self.ingest_endpoints() {
            if stream.is_some_and(|stream| *stream != endpoint.connection) {
                continue;
            }
            let reading = Reading { batch_events: 4_096, follow: false };
            let mut feed = self.config.log.read(&stream_of(&endpoint.connection), None, reading).await?;
            while let Some(batch) = feed.next().await {
                for LoggedEvent { event, .. } in batch?.items {
                    let key = (endpoint.connection.clone(), event.kind.to_string());
                    let count = counts.entry(key).or_insert_with(|| KindCount {
                        stream: endpoint.connection.clone(),
                        kind: event.kind.to_string(),
                        channel: event.channel(),
                        events: 0,
                        last: event.at,
                    });
                    count.events += 1;
                    count.last = count.last.max(event.at);
                }
            }
        }
        Ok(counts.into_values().collect())
    }

    /// Returns the last events of a stream that a selection takes, oldest first. Reads the whole
    /// stream.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn last_events(
        &self,
        stream: &ConnectionId,
        selection: &EventSelection,
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, Error> {
        let reading = Reading { batch_events: 4_096, follow: false };
        let mut feed = self.config.log.read(&stream_of(stream), None, reading).await?;
        let mut last = std::collections::VecDeque::with_capacity(limit.min(4_096));
        while let Some(batch) = feed.next().await {
            for logged in batch?.items {
                if selection.takes(&logged.event) {
                    if last.len() >= limit {
                        last.pop_front();
                    }
                    last.push_back(logged);
                }
            }
        }
        Ok(last.into())
    }
}
