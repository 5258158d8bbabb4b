//! Snowflake as a sink of events: each event is in the table exactly once.
//!
//! Events are merged by `event_id`: from a file in a stage, or, if the connection has none, from the parameter
//! of the statement itself. A submission whose answer is lost is repeated under its request id; one that runs
//! twice all the same finds the events and inserts nothing.

mod checks;
mod stage;
mod table;
mod target;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_model::{
    Checks, Clock, ConnectorContext, Destination, Error, ErrorKind, Limits, LoggedEvent, Reason, Receipt,
    Settings, SinkTarget,
};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::events;
use tokio::sync::Mutex;

use super::client::Client;
use super::settings::SnowflakeSettings;
use super::statement::Sql;

use stage::Stage;
use table::EventTable;
pub(super) use target::SnowflakeTarget;

/// Events and bytes of one delivery: inside of statements, and by way of a stage.
const EVENTS_MAX: usize = 20_000;
const BYTES_MAX: usize = 8 << 20;
const STAGED_EVENTS_MAX: usize = 100_000;
const STAGED_BYTES_MAX: usize = 24 << 20;
/// Bytes of events in one statement.
///
/// Source: Snowflake docs, "Query size limits": more than 1 MB with its parameters is processed, but not
/// advised.
const STATEMENT_BYTES: usize = 900 << 10;

/// A table of a Snowflake account that events are merged into.
pub struct SnowflakeSink {
    client: Arc<Client>,
    table: EventTable,
    stage: Option<Stage>,
    clock: Arc<dyn Clock>,
    linger: Duration,
    dry_run: bool,
    /// Whether the table is known to be there.
    prepared: Mutex<bool>,
}

impl SnowflakeSink {
    /// Opens the sink. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that cannot work.
    pub fn open(
        settings: &Settings,
        target: &SinkTarget,
        context: &ConnectorContext,
    ) -> Result<SnowflakeSink, Error> {
        let settings = settings.parse::<SnowflakeSettings>()?;
        let written: SnowflakeTarget = target.settings.parse()?;
        let table = EventTable::new(&written, target, &settings)?;
        Ok(SnowflakeSink {
            table,
            stage: Stage::open(&settings, target.sync.as_str(), context)?,
            client: Client::open(settings, context)?,
            clock: Arc::clone(&context.clock),
            linger: written.commit_every.0,
            dry_run: context.dry_run,
            prepared: Mutex::default(),
        })
    }

    async fn run(&self, sql: Sql) -> Result<(), RequestError> {
        self.client.query(&sql, &self.doing()).await.map(|_| ())
    }

    async fn make(&self, text: String) -> Result<(), Error> {
        self.run(text.into()).await.map_err(RequestError::into_error)
    }

    fn doing(&self) -> String {
        format!("writing to {}", self.table.label())
    }

    /// Makes what is missing: schema, table, columns. A right to make what is there is not needed.
    async fn prepare_table(&self) -> Result<(), Error> {
        let probe: Sql = self.table.probe().into();
        match self.client.query(&probe, &self.doing()).await.map_err(RequestError::into_error) {
            Ok((columns, _)) => match self.table.widening(&columns)? {
                Some(widening) => self.make(widening).await,
                None => Ok(()),
            },
            Err(error) if error.kind() == ErrorKind::Missing => {
                match self.make(self.table.creation()).await {
                    Err(error) if error.kind() == ErrorKind::Missing => {
                        self.make(self.table.schema_creation()).await?;
                        self.make(self.table.creation()).await
                    }
                    made => made,
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Merges events, some in each statement.
    async fn merge(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        let encoded = |chunk: &[LoggedEvent]| events::encode(self.table.layout, chunk, self.clock.now());
        let text = self.table.merge();
        let run = |rows| self.run(Sql { text: text.clone(), parameters: vec![rows], ..Sql::default() });
        events::merge(items, STATEMENT_BYTES, encoded, run).await
    }
}

#[async_trait]
impl Destination<LoggedEvent> for SnowflakeSink {
    async fn check(&self) -> Result<Checks, Error> {
        self.prove().await
    }

    fn limits(&self) -> Limits {
        Limits {
            max_items: if self.stage.is_some() { STAGED_EVENTS_MAX } else { EVENTS_MAX },
            max_bytes: if self.stage.is_some() { STAGED_BYTES_MAX } else { BYTES_MAX },
            linger: self.linger,
            max_in_flight: 1,
            rate: None,
            bucket: "snowflake.merge",
            single_user: false,
            min_user_interval: Duration::ZERO,
        }
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
        let mut prepared = self.prepared.lock().await;
        if !*prepared {
            self.prepare_table().await?;
            if let Some(stage) = &self.stage {
                self.sweep(stage).await;
            }
            *prepared = true;
        }
        let delivered = match &self.stage {
            Some(stage) => self.by_stage(stage, items).await,
            None => self.merge(items).await,
        };
        // What was dropped or altered meanwhile is made again by the next delivery.
        *prepared = delivered.is_ok();
        delivered
    }
}
