//! Databricks as a sink of events: each event is in the table exactly once.
//!
//! One delivery is one `MERGE` by `event_id`, from a Parquet file in a volume, or, if there is no
//! right to one, from the statement itself. A statement may run twice, for the API has no request
//! id: the second one finds the events and inserts nothing.

mod checks;
mod file;
mod optimize;
mod table;
mod target;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tidegate_model::{
    Checks, Clock, ConnectorContext, Destination, Error, ErrorKind, Limits, LoggedEvent, Reason, Receipt,
    Settings, SinkTarget,
};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::events;
use tokio::sync::{Mutex, OnceCell};

use super::client::Client;
use super::settings::DatabricksSettings;
use super::statement::Sql;

use optimize::Optimizer;
use table::EventTable;
pub(super) use target::DatabricksTarget;

/// Events and bytes of one merge: each costs a pass over the table.
const EVENTS_MAX: usize = 50_000;
const BYTES_MAX: usize = 12 << 20;
/// Bytes of events in one statement: a statement has at most 16 MiB.
///
/// Source: Databricks docs, Statement Execution API, "statement".
const STATEMENT_BYTES: usize = 2 << 20;
/// How old a staged file is that no delivery reads any more.
const ABANDONED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// A table of a Databricks workspace that events are merged into.
pub struct DatabricksSink {
    client: Arc<Client>,
    table: EventTable,
    clock: Arc<dyn Clock>,
    optimizer: Optimizer,
    linger: Duration,
    dry_run: bool,
    /// How events get there; not known before the first delivery.
    way: Mutex<Option<Way>>,
    /// Whether files that earlier deliveries abandoned were removed.
    swept: OnceCell<()>,
}

/// How events get to the warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As a file in a volume.
    Volume,
    /// Inside the statement.
    Inline,
}

impl DatabricksSink {
    /// Opens the sink. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that cannot work.
    pub fn open(
        settings: &Settings,
        target: &SinkTarget,
        context: &ConnectorContext,
    ) -> Result<DatabricksSink, Error> {
        let settings = settings.parse::<DatabricksSettings>()?;
        let written: DatabricksTarget = target.settings.parse()?;
        let table = EventTable::new(&written, target, &settings)?;
        let client = Client::open(settings, context)?;
        Ok(DatabricksSink {
            optimizer: Optimizer::new(&client, &table, written.optimize),
            table,
            client,
            clock: Arc::clone(&context.clock),
            linger: written.commit_every.0,
            dry_run: context.dry_run,
            way: Mutex::default(),
            swept: OnceCell::new(),
        })
    }

    async fn run(&self, sql: Sql) -> Result<(), RequestError> {
        self.client.query(&sql, &self.doing()).await.map(|_| ())
    }

    fn doing(&self) -> String {
        format!("writing to {}", self.table.label())
    }

    /// Makes what is missing: schema, table, columns, volume. Returns how events get there.
    async fn prepare_table(&self) -> Result<Way, Error> {
        let make = async |sql: String| self.run(sql.into()).await.map_err(RequestError::into_error);
        // A schema that is there needs no privilege to make schemas.
        match make(self.table.creation()).await {
            Err(error) if error.kind() == ErrorKind::Missing => {
                make(self.table.schema_creation()).await?;
                make(self.table.creation()).await?;
            }
            made => made?,
        }
        let probed = self.client.query(&self.table.probe().into(), &self.doing()).await;
        let (columns, _) = probed.map_err(RequestError::into_error)?;
        if let Some(widening) = self.table.widening(&columns)? {
            self.run(widening.into()).await.map_err(RequestError::into_error)?;
        }
        match self.run(self.table.volume_creation().into()).await.map_err(RequestError::into_error) {
            Ok(()) => Ok(Way::Volume),
            Err(error) if error.kind() == ErrorKind::Denied => {
                tracing::warn!("{}; events are sent inside of statements instead", error.message());
                Ok(Way::Inline)
            }
            Err(error) => Err(error),
        }
    }

    /// Delivers by a file. A volume that may not be written to is answered with `None`.
    async fn by_file(&self, items: &[LoggedEvent]) -> Result<Option<Receipt>, Error> {
        let (layout, kept, now) = (self.table.layout, events::distinct(items), self.clock.now());
        let file = tokio::task::spawn_blocking(move || crate::file::encode(layout, &kept, now))
            .await
            .map_err(|cause| Error::internal("encoding events ended abnormally").caused_by(cause))??;
        self.swept.get_or_init(|| self.sweep(now)).await;
        let path = self.table.new_file();
        match self.client.upload(&path, file).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Denied => {
                tracing::warn!("{}; events are sent inside of statements instead", error.message());
                return Ok(None);
            }
            Err(error) => return Err(error.context(self.doing())),
        }
        let merged = self.run(self.table.merge(&self.table.rows_of_file(&path)).into()).await;
        // One that stays is removed by a later process.
        if let Err(error) = self.client.remove(&path).await {
            tracing::debug!(error = %error.chain(), "the staged file could not be removed");
        }
        match merged {
            Ok(()) => Ok(Some(Receipt::delivered(items.len()))),
            Err(RequestError::Unknown(reason)) => Ok(Some(Receipt::unknown(items.len(), &reason))),
            Err(RequestError::NoEffect(error)) if is_about_volume(&error) => Ok(None),
            Err(RequestError::NoEffect(error)) => Err(error),
        }
    }

    /// Removes the files that deliveries which were interrupted have left. A merge of another process may
    /// still read a younger one.
    async fn sweep(&self, now: Timestamp) {
        let before = now - ABANDONED_AFTER;
        let swept = async {
            for file in self.client.files(&self.table.folder()).await? {
                if self.table.is_staged(&file.path) && file.is_older_than(before) {
                    self.client.remove(&file.path).await?;
                }
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = swept.await {
            tracing::debug!(error = %error.chain(), "staged files that were abandoned could not be removed");
        }
    }

    /// Delivers inside of statements, some events at a time.
    async fn inline(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        let encoded = |chunk: &[LoggedEvent]| events::encode(self.table.layout, chunk, self.clock.now());
        let text = self.table.merge(&self.table.rows_of_parameter());
        let run = |rows| self.run(Sql { text: text.clone(), parameters: vec![rows] });
        events::merge(items, STATEMENT_BYTES, encoded, run).await
    }
}

fn is_about_volume(error: &Error) -> bool {
    error.kind() == ErrorKind::Denied
        && super::grants::refused(error.message()).is_some_and(|refused| refused.kind == "VOLUME")
}

#[async_trait]
impl Destination<LoggedEvent> for DatabricksSink {
    async fn check(&self) -> Result<Checks, Error> {
        self.prove().await
    }

    fn limits(&self) -> Limits {
        events::limits("databricks.merge", EVENTS_MAX, BYTES_MAX, self.linger)
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
        let mut way = self.way.lock().await;
        let found = match *way {
            Some(found) => found,
            None => self.prepare_table().await?,
        };
        *way = Some(found);
        let delivered = match found {
            Way::Inline => self.inline(items).await,
            Way::Volume => match self.by_file(items).await {
                Ok(Some(receipt)) => Ok(receipt),
                Ok(None) => {
                    *way = Some(Way::Inline);
                    self.inline(items).await
                }
                Err(error) => Err(error),
            },
        };
        if delivered.is_ok() {
            self.optimizer.after_delivery();
        }
        // What was dropped or altered meanwhile is made again by the next delivery.
        if delivered.is_err() {
            *way = None;
        }
        delivered
    }
}
