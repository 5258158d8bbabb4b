//! BigQuery as a sink of events: each event is in the table exactly once.
//!
//! One delivery is a load job into a table of its own, and a `MERGE` by `event_id` from there. Both are jobs
//! with ids that are made here: one whose answer is lost is submitted again and runs once. A delivery that is
//! repeated after the end of the first finds its events and inserts nothing. Two at once do not see each other:
//! merges that only insert do not conflict.
//!
//! Source: BigQuery, "Data manipulation language statements in GoogleSQL", "DML statement conflicts".

mod checks;
mod staging;
mod table;
mod target;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_model::{
    Checks, ConnectorContext, Destination, Error, ErrorKind, Limits, LoggedEvent, Reason, Receipt, Settings,
    SinkTarget,
};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::events;
use tokio::sync::Mutex;

use super::client::Client;
use super::job::{Job, Work};
use super::settings::BigQuerySettings;
use super::statement::Sql;

use table::EventTable;
pub(super) use target::BigQueryTarget;

/// Events and bytes of one merge: each costs a pass over the days of its events.
const EVENTS_MAX: usize = 100_000;
const BYTES_MAX: usize = 24 << 20;

/// A table of BigQuery that events are merged into.
pub struct BigQuerySink {
    client: Arc<Client>,
    table: EventTable,
    linger: Duration,
    dry_run: bool,
    /// What was found of the table; nothing before the first delivery.
    found: Mutex<Option<Found>>,
}

/// What is known of a table that is ready for events.
#[derive(Clone)]
struct Found {
    /// Where its dataset is.
    location: Option<String>,
}

impl BigQuerySink {
    /// Opens the sink. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that cannot work.
    pub fn open(
        settings: &Settings,
        target: &SinkTarget,
        context: &ConnectorContext,
    ) -> Result<BigQuerySink, Error> {
        let written: BigQueryTarget = target.settings.parse()?;
        let client = Client::open(settings.parse::<BigQuerySettings>()?, context)?;
        Ok(BigQuerySink {
            table: EventTable::new(&written, target, &client.settings)?,
            client,
            linger: written.commit_every.0,
            dry_run: context.dry_run,
            found: Mutex::default(),
        })
    }

    fn doing(&self) -> String {
        format!("writing to {}", self.table.label())
    }

    /// Runs a statement to its end.
    async fn run(&self, text: String, location: Option<&str>) -> Result<(), RequestError> {
        let sql: Sql = text.into();
        Job::begin(&self.client, Work::Query(&sql), location).await?.end(&self.doing()).await
    }

    /// Makes what is missing: dataset, table, columns. Removes the staging tables of processes that died.
    async fn prepare_table(&self) -> Result<Found, Error> {
        let set = self.client.settings.location.clone();
        let info = match self.client.table_info(&self.table.names).await {
            Err(error) if error.kind() == ErrorKind::Missing => {
                self.make_table(set.as_deref()).await?;
                self.client.table_info(&self.table.names).await
            }
            info => info,
        };
        let mut info = info.map_err(|error| error.context(self.doing()))?;
        let found = Found { location: set.or_else(|| info.location.clone()) };
        if let Some(widening) = self.table.widening(&info.take_fields())? {
            self.run(widening, found.location.as_deref()).await.map_err(RequestError::into_error)?;
        }
        self.sweep().await;
        Ok(found)
    }

    /// Loads events into a table of their own, and merges them from there.
    async fn write(&self, items: &[LoggedEvent], found: &Found) -> Result<Receipt, Error> {
        let (layout, kept, now) = (self.table.layout, events::distinct(items), self.client.clock.now());
        let file = tokio::task::spawn_blocking(move || crate::file::encode(layout, &kept, now))
            .await
            .map_err(|cause| Error::internal("encoding events ended abnormally").caused_by(cause))??;
        let staging = self.stage(&file, found.location.as_deref()).await?;
        let merged = self.run(self.table.merge(&staging, items), found.location.as_deref()).await;
        self.unstage(&staging).await;
        match merged {
            Ok(()) => Ok(Receipt::delivered(items.len())),
            Err(error) => error.into_receipt(items.len()),
        }
    }
}

#[async_trait]
impl Destination<LoggedEvent> for BigQuerySink {
    async fn check(&self) -> Result<Checks, Error> {
        self.prove().await
    }

    fn limits(&self) -> Limits {
        events::limits("bigquery.merge", EVENTS_MAX, BYTES_MAX, self.linger)
    }

    fn estimated_size(&self, item: &LoggedEvent) -> usize {
        item.event.estimated_size()
    }

    fn validate(&self, item: &LoggedEvent) -> Result<(), Reason> {
        events::validate(item)
    }

    async fn deliver(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        if items.is_empty() || self.dry_run {
            return Ok(Receipt::delivered(items.len()));
        }
        let mut known = self.found.lock().await;
        // What was dropped or altered meanwhile is made again by the delivery after one that failed.
        let found = match known.take() {
            Some(found) => found,
            None => self.prepare_table().await?,
        };
        let delivered = self.write(items, &found).await;
        if delivered.is_ok() {
            *known = Some(found);
        }
        delivered
    }
}
