//! PostgreSQL as a sink of events: each event is in the table exactly once.
//!
//! One delivery is one transaction: the events are copied into a temporary table
//! and merged into the target by `event_id`. What was sent twice, in one request
//! or after a crash, is there once.

mod checks;
mod errors;
mod rows;
mod table;
mod target;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::SinkExt;
use tidegate_model::event::Cell;
use tidegate_model::{
    Checks, Clock, ConnectorContext, Destination, Error, Layout, Limits, LoggedEvent, Reason, Receipt,
    Settings, SinkTarget,
};

use super::client::{Access, Session};
use super::settings::PostgresSettings;

use errors::Failure;
pub(crate) use errors::leaves_doubt;
use table::EventTable;
pub(super) use target::PostgresTarget;

/// The longest event id: an entry of the primary key's index holds at most a
/// third of a page. Source: PostgreSQL handbook, "B-Tree Indexes", limitations.
const ID_BYTES_MAX: usize = 2_600;
/// The largest event: PostgreSQL's own limit of 1 GB for a field is too large to be useful.
const EVENT_BYTES_MAX: usize = 64 << 20;
/// What the columns add to an event's own bytes, in a copied row.
const ROW_OVERHEAD: usize = 200;

/// A table of a PostgreSQL database that events are merged into.
pub struct PostgresSink {
    access: Access,
    table: EventTable,
    clock: Arc<dyn Clock>,
    dry_run: bool,
    /// Connections that wait for the next delivery.
    idle: Mutex<Vec<Session>>,
}

impl PostgresSink {
    /// Opens the sink. Nothing is connected yet.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for settings that cannot work.
    pub fn open(
        settings: &Settings,
        target: &SinkTarget,
        context: &ConnectorContext,
    ) -> Result<PostgresSink, Error> {
        let settings = settings.parse::<PostgresSettings>()?.checked()?;
        let table = EventTable::new(target)?;
        Ok(PostgresSink {
            access: Access::new(settings, context)?,
            table,
            clock: Arc::clone(&context.clock),
            dry_run: context.dry_run,
            idle: Mutex::default(),
        })
    }

    async fn session(&self) -> Result<Session, Error> {
        let waiting = || self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some(session) = waiting() {
            if !session.client.is_closed() {
                return Ok(session);
            }
        }
        self.access.connect().await
    }

    fn keep(&self, mut session: Session) {
        session.running = false;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    /// Opens the transaction that events are written in.
    async fn begin(&self, session: &Session) -> Result<(), Failure> {
        let mut opening = "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED; \
             SET LOCAL client_min_messages = warning; "
            .to_owned();
        // What is called delivered must survive a crash of the server. Stricter
        // settings of the server, such as `remote_apply`, are left alone.
        opening.push_str(
            "SELECT set_config('synchronous_commit', 'on', true) \
             WHERE current_setting('synchronous_commit') = 'off'; ",
        );
        if let Some(limit) = self.access.settings.statement_timeout {
            opening.push_str(&format!("SET LOCAL statement_timeout = {}; ", limit.0.as_millis()));
        }
        opening.push_str(&self.table.staging());
        Ok(session.client.batch_execute(&opening).await?)
    }

    /// Does everything but commit.
    async fn write(&self, session: &Session, items: &[LoggedEvent]) -> Result<(), Failure> {
        self.begin(session).await?;
        let types = self.table.prepare(session).await?;
        let rows = rows::encode(self.table.layout, items, self.clock.now());
        let copy = session.client.copy_in(&self.table.copy()).await?;
        let mut copy = std::pin::pin!(copy);
        copy.send(rows).await?;
        copy.as_mut().finish().await?;
        session.client.batch_execute(&self.table.merge(&types)).await?;
        Ok(())
    }

    /// Ends the transaction: whether it took effect, or that is unknown.
    async fn commit(&self, session: &Session) -> Result<Ending, Failure> {
        // A dry run does all of it and changes nothing.
        let ending = if self.dry_run { "ROLLBACK" } else { "COMMIT" };
        match session.client.batch_execute(ending).await {
            Ok(()) => Ok(Ending::Done),
            Err(error) if leaves_doubt(&error) => Ok(Ending::Doubtful),
            Err(error) => Err(error.into()),
        }
    }

    /// Undoes what a failed delivery began; the connection may be used again
    /// where that works.
    async fn undo(&self, session: Session) {
        if !session.client.is_closed() && session.client.batch_execute("ROLLBACK").await.is_ok() {
            self.keep(session);
        }
    }
}

enum Ending {
    Done,
    Doubtful,
}

#[async_trait]
impl Destination<LoggedEvent> for PostgresSink {
    async fn check(&self) -> Result<Checks, Error> {
        self.prove().await
    }

    fn limits(&self) -> Limits {
        Limits {
            max_items: 5_000,
            max_bytes: 8 << 20,
            linger: Duration::from_millis(200),
            max_in_flight: 2,
            rate: None,
            bucket: "postgres.merge",
            single_user: false,
            min_user_interval: Duration::ZERO,
        }
    }

    fn estimated_size(&self, item: &LoggedEvent) -> usize {
        item.event.estimated_size() + ROW_OVERHEAD
    }

    fn validate(&self, item: &LoggedEvent) -> Result<(), Reason> {
        let event = &item.event;
        if event.id.len() > ID_BYTES_MAX {
            let message = format!("the event id is longer than {ID_BYTES_MAX} bytes, too long for an index");
            return Err(Reason::new("id_too_long", message));
        }
        if event.estimated_size() > EVENT_BYTES_MAX {
            let message = format!("the event is larger than {} MiB", EVENT_BYTES_MAX >> 20);
            return Err(Reason::new("too_large", message));
        }
        if !rows::in_range(event.at) {
            let message = "the event happened before 4713 BC, the first year that PostgreSQL can hold";
            return Err(Reason::new("time_out_of_range", message));
        }
        match holds_nul(self.table.layout, item) {
            Some(column) => {
                let message = format!("`{column}` holds the character U+0000, which PostgreSQL text cannot");
                Err(Reason::new("nul_in_text", message))
            }
            None => Ok(()),
        }
    }

    async fn deliver(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        if items.is_empty() {
            return Ok(Receipt::delivered(0));
        }
        let mut session = self.session().await?;
        // Dropped from here on, it stops the server's work, too.
        session.running = true;
        let ending = match self.write(&session, items).await {
            Ok(()) => self.commit(&session).await,
            Err(failure) => Err(failure),
        };
        match ending {
            Ok(Ending::Done) => {
                self.keep(session);
                Ok(Receipt::delivered(items.len()))
            }
            Ok(Ending::Doubtful) => {
                let place = self.access.place();
                let message = format!("PostgreSQL at {place} was lost while the events were committed");
                Ok(Receipt::unknown(items.len(), &Reason::new("response_lost", message)))
            }
            Err(failure) => {
                self.undo(session).await;
                Err(self.explain(failure))
            }
        }
    }
}

/// The first text column whose value PostgreSQL cannot hold.
fn holds_nul(layout: Layout, item: &LoggedEvent) -> Option<&'static str> {
    let event = &item.event;
    let raw = [&event.id, &event.kind, &event.user, &event.app, &event.message, &event.template];
    // JSON holds the character as an escape only, which columns of text undo.
    let suspicious = raw.iter().any(|text| text.contains('\0'))
        || (layout == Layout::Messages && event.payload.as_str().contains("\\u0000"));
    if !suspicious {
        return None;
    }
    let mut cells = Vec::new();
    layout.cells(item, item.logged_at, &mut cells);
    let mut columns = layout.columns().iter().zip(&cells);
    let column = columns.find(|(_, cell)| matches!(cell, Cell::Text(text) if text.contains('\0')));
    column.map(|(column, _)| column.name)
}
