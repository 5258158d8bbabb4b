//! Redshift as a sink of events: each event is in the table exactly once.
//!
//! One delivery is one file in S3 and one transaction: `COPY` into a temporary table, then an `INSERT` of the
//! events whose id is not there. What was sent twice, in one request or after a crash, is there once.
//! `MERGE` of Redshift always updates as well, which these tables do not want.

mod checks;
mod file;
mod staging;
mod table;
mod target;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_model::{
    Checks, Clock, ConnectorContext, Destination, Error, ErrorKind, Limits, LoggedEvent, Reason, Receipt,
    Settings, SinkTarget,
};
use tidegate_transport::sql::events;
use tidegate_transport::storage::StorageRoot;

use crate::postgres::client::{Access, Session};

use super::errors::explained_writing;
use super::relation::SourceColumn;
use super::settings::{RedshiftSettings, Staging};
use super::source::access;
use super::types::SqlType;

pub(super) use staging::clear;
use table::{EventTable, TEXT_BYTES_MAX};
pub(super) use target::RedshiftTarget;

/// Events and bytes of one file.
const EVENTS_MAX: usize = 50_000;
const BYTES_MAX: usize = 12 << 20;
/// The end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;
/// The largest event: `COPY` reads at most 4 MB of one JSON object, and JSON has up to six bytes for one.
const EVENT_BYTES_MAX: usize = 600_000;

/// A table of a Redshift database that events are merged into.
pub struct RedshiftSink {
    access: Access,
    table: EventTable,
    staging: Staging,
    /// The folder of this export in S3.
    folder: StorageRoot,
    clock: Arc<dyn Clock>,
    linger: Duration,
    dry_run: bool,
    /// Whether the table was found or made, and the folder emptied of what a killed process left.
    is_ready: AtomicBool,
}

impl RedshiftSink {
    /// Opens the sink. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for settings that cannot work.
    pub fn open(
        settings: &Settings,
        target: &SinkTarget,
        context: &ConnectorContext,
    ) -> Result<RedshiftSink, Error> {
        let settings: RedshiftSettings = settings.parse()?;
        let written: RedshiftTarget = target.settings.parse()?;
        let table = EventTable::new(&written, target)?;
        let staging = settings.staging()?;
        let root = StorageRoot::open(&staging.folder, context)?;
        let folder =
            root.inside(&[&events::plain(target.stream.as_str()), &events::plain(target.sync.as_str())]);
        Ok(RedshiftSink {
            access: access(&settings, context)?,
            table,
            staging,
            folder,
            clock: Arc::clone(&context.clock),
            linger: written.commit_every.0,
            dry_run: context.dry_run,
            is_ready: AtomicBool::new(false),
        })
    }

    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        explained_writing(&self.access, error, &self.table.label(), &self.table.quoted())
    }

    async fn run(&self, session: &Session, sql: &str) -> Result<(), Error> {
        session.client.batch_execute(sql).await.map_err(|error| self.failed(&error))
    }

    /// Returns the columns of the table.
    async fn columns(&self, session: &Session) -> Result<Vec<SourceColumn>, Error> {
        let statement =
            session.client.prepare(&self.table.probe()).await.map_err(|error| self.failed(&error))?;
        let columns = statement.columns().iter().map(|column| SourceColumn {
            name: column.name().to_owned(),
            sql_type: SqlType::of(column.type_().oid(), column.type_modifier(), column.type_().name()),
        });
        Ok(columns.collect())
    }

    /// Makes what is missing: schema, table, columns.
    async fn prepare_table(&self, session: &Session) -> Result<(), Error> {
        let found = match self.columns(session).await {
            Err(error) if error.kind() == ErrorKind::Missing => {
                match self.run(session, &self.table.creation()).await {
                    Err(error) if error.kind() == ErrorKind::Missing => {
                        self.run(session, &self.table.schema_creation()).await?;
                        self.run(session, &self.table.creation()).await?;
                    }
                    made => made?,
                }
                self.columns(session).await?
            }
            found => found?,
        };
        for statement in self.table.widening(&found)? {
            self.run(session, &statement).await?;
        }
        Ok(())
    }

    /// Does everything but the end of the transaction.
    async fn write(&self, session: &Session, file: &str) -> Result<(), Error> {
        self.copy(session, &self.table.opening(), file).await?;
        self.run(session, &self.table.merge()).await
    }

    /// Opens a transaction and copies a file into its own table.
    async fn copy(&self, session: &Session, opening: &str, file: &str) -> Result<(), Error> {
        self.run(session, opening).await?;
        let copy = self.table.copy(file, self.staging.copy_role.as_deref(), &self.staging.region);
        self.run(session, &copy).await
    }

    /// Returns the address of a staged file, as `COPY` reads it.
    fn address(&self, name: &str) -> String {
        format!("{}{name}", self.folder.name().replacen("s3a://", "s3://", 1))
    }

    async fn merged(&self, items: &[LoggedEvent], name: &str) -> Result<Receipt, Error> {
        let mut session = self.access.begin().await?;
        if !self.is_ready.load(Ordering::Relaxed) {
            self.prepare_table(&session).await?;
        }
        // Dropped from here on, it stops the server's work, too.
        session.running = true;
        if let Err(error) = self.write(&session, &self.address(name)).await {
            session.running = false;
            self.access.done(session).await;
            return Err(error);
        }
        match session.client.batch_execute(&self.table.ending()).await {
            Ok(()) => {
                session.running = false;
                self.access.done(session).await;
                Ok(Receipt::delivered(items.len()))
            }
            Err(error) if crate::postgres::leaves_doubt(&error) => {
                let message = format!(
                    "Amazon Redshift at {} was lost while the events were committed",
                    self.access.place()
                );
                Ok(Receipt::unknown(items.len(), &Reason::new("response_lost", message)))
            }
            Err(error) => Err(self.failed(&error)),
        }
    }
}

#[async_trait]
impl Destination<LoggedEvent> for RedshiftSink {
    async fn check(&self) -> Result<Checks, Error> {
        self.prove().await
    }

    fn limits(&self) -> Limits {
        events::limits("redshift.copy", EVENTS_MAX, BYTES_MAX, self.linger)
    }

    fn estimated_size(&self, item: &LoggedEvent) -> usize {
        item.event.estimated_size()
    }

    fn validate(&self, item: &LoggedEvent) -> Result<(), Reason> {
        // `COPY` reads no era, and no year of five digits.
        events::validate(item)?;
        if item.event.at.as_second() > LAST_SECOND {
            return Err(Reason::new("time_out_of_range", "the event happened after the year 9999"));
        }
        if item.event.estimated_size() > EVENT_BYTES_MAX {
            let message =
                format!("the event is larger than {EVENT_BYTES_MAX} bytes, more than a row of a file may be");
            return Err(Reason::new("too_large", message));
        }
        match file::unfit(self.table.layout, item, TEXT_BYTES_MAX) {
            None => Ok(()),
            Some((column, bytes)) if bytes > TEXT_BYTES_MAX => {
                let message =
                    format!("`{column}` has {bytes} bytes, a text of Redshift at most {TEXT_BYTES_MAX}");
                Err(Reason::new("too_large", message))
            }
            Some((column, _)) => {
                let message =
                    format!("`{column}` holds the character U+0000, which a text of Redshift cannot");
                Err(Reason::new("nul_in_text", message))
            }
        }
    }

    async fn deliver(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        if items.is_empty() || self.dry_run {
            return Ok(Receipt::delivered(items.len()));
        }
        let (layout, kept, now) = (self.table.layout, events::distinct(items), self.clock.now());
        let content = tokio::task::spawn_blocking(move || file::encode(layout, &kept, now))
            .await
            .map_err(|cause| Error::internal("encoding events ended abnormally").caused_by(cause))??;
        if !self.is_ready.load(Ordering::Relaxed) {
            // Left by a process that was killed. If it still runs, its `COPY` fails and takes no effect.
            clear(&self.folder).await?;
        }
        // A name of its own: a process that lost its lease cannot copy the events of another one.
        let name = format!("{}.json.gz", uuid::Uuid::now_v7().simple());
        self.folder.put(&name, content).await?;
        let delivered = self.merged(items, &name).await;
        // What was dropped or altered meanwhile is made again by the next delivery.
        self.is_ready.store(delivered.is_ok(), Ordering::Relaxed);
        if let Err(error) = self.folder.remove(&name).await {
            tracing::debug!(error = %error.chain(), "the staged file could not be removed");
        }
        delivered
    }
}
