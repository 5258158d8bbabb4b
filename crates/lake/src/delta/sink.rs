//! A Delta table as a [`tidegate_model::Sink`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use tidegate_model::{
    Checks, Clock, ConnectorContext, Destination, Error, Limits, LoggedEvent, Reason, Receipt, Settings,
    SinkTarget,
};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::commit::{OpenTable, TableWriter, WriteInput};
use super::file_layout::Encoded;
use super::fit;
use super::settings::DeltaTarget;
use super::table::Table;
use crate::prepared::PreparedBatches;
use crate::probe::{self, Need};
use crate::progress::EventOffset;
use crate::{blocking, validate};
use tidegate_transport::storage::LakeSettings;
use tidegate_transport::storage::StorageRoot;

/// Events and bytes of one commit: enough that many rows make few files, few
/// enough that they are no burden to memory.
const EVENTS_MAX: usize = 50_000;
const BYTES_MAX: usize = 12 << 20;

/// An export into a Delta table.
pub(super) struct DeltaSink {
    lake: StorageRoot,
    writer: Arc<TableWriter>,
    open: Arc<Mutex<Option<OpenTable>>>,
    prepared_batches: PreparedBatches<Encoded>,
    clock: Arc<dyn Clock>,
    linger: Duration,
    /// Whether files that earlier deliveries abandoned were removed.
    swept: OnceCell<()>,
}

impl DeltaSink {
    /// Opens the sink. Nothing is read yet.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for settings that cannot work.
    pub(super) fn open(
        settings: &Settings,
        target: &SinkTarget,
        context: &ConnectorContext,
    ) -> Result<DeltaSink, Error> {
        let lake = StorageRoot::open(&settings.parse::<LakeSettings>()?, context)?;
        let written: DeltaTarget = target.settings.parse()?;
        let (schema, table) = written.names(target)?;
        let table = Table {
            root: lake.inside(&[&schema, &table]),
            layout: target.layout,
            partition_by_date: written.partition_by_date,
        };
        table.check_name()?;
        Ok(DeltaSink {
            lake,
            writer: Arc::new(TableWriter::new(table, target)),
            open: Arc::default(),
            prepared_batches: PreparedBatches::default(),
            clock: Arc::clone(&context.clock),
            linger: written.commit_every.0,
            swept: OnceCell::new(),
        })
    }
}

#[async_trait]
impl Destination<LoggedEvent> for DeltaSink {
    async fn check(&self) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        probe::prove(&self.lake, Need::Commits, &mut checks).await;
        if !checks.passed() {
            return Ok(checks);
        }
        let (writer, runtime) = (Arc::clone(&self.writer), Handle::current());
        let name = format!("table {}", writer.table.name());
        match blocking(move || describe(&writer, &runtime)).await {
            Ok(Described { state, retention }) => {
                checks.pass(name, state);
                if let Some(retention) = retention {
                    warn_of(retention, &mut checks);
                }
            }
            Err(error) => checks.fail(name, error.message(), error.next_step()),
        }
        Ok(checks)
    }

    fn limits(&self) -> Limits {
        Limits {
            max_items: EVENTS_MAX,
            max_bytes: BYTES_MAX,
            linger: self.linger,
            max_in_flight: 1,
            rate: None,
            bucket: "delta.commit",
            single_user: false,
            min_user_interval: Duration::ZERO,
        }
    }

    fn estimated_size(&self, item: &LoggedEvent) -> usize {
        item.event.estimated_size()
    }

    fn validate(&self, item: &LoggedEvent) -> Result<(), Reason> {
        validate(item)
    }

    fn prepare(&self, items: &[LoggedEvent]) {
        let synced = self.clock.now();
        // The delivery encodes again and reports an error that occurs here.
        if let Ok(Some(encoded)) = self.writer.encode(items, synced) {
            self.prepared_batches.keep(items.iter().map(EventOffset::from).collect(), synced, encoded);
        }
    }

    async fn deliver(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        if items.is_empty() {
            return Ok(Receipt::delivered(0));
        }
        let table = &self.writer.table;
        self.swept.get_or_init(|| table.root.remove_abandoned(&self.writer.stage, self.clock.now())).await;
        let offsets: Arc<[EventOffset]> = items.iter().map(EventOffset::from).collect();
        let mut prepared = self.prepared_batches.take(&offsets.iter().copied());
        loop {
            let now = self.clock.now();
            let input = match prepared.take() {
                Some(encoded) => WriteInput::Encoded(Some(encoded)),
                None => {
                    self.prepared_batches.encoding(now);
                    // A clone shares the texts.
                    WriteInput::Events(items.to_vec())
                }
            };
            let (writer, open, offsets) =
                (Arc::clone(&self.writer), Arc::clone(&self.open), Arc::clone(&offsets));
            let runtime = Handle::current();
            let written = blocking(move || {
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                writer.write(&mut open, &runtime, &offsets, input, now)
            });
            if let Some(receipt) = written.await? {
                return Ok(receipt);
            }
        }
    }
}

/// A table as `check` reports it.
struct Described {
    state: String,
    /// How long the table remembers how far an export has come; for ever if absent.
    retention: Option<Duration>,
}

/// Warns of a table that forgets how far its exports have come.
fn warn_of(retention: Duration, checks: &mut Checks) {
    let retention = SignedDuration::try_from(retention).unwrap_or(SignedDuration::MAX);
    checks.warn(
        "memory of the table",
        format!(
            "`delta.setTransactionRetentionDuration` is {retention:#}: an export that pauses for longer and then \
             repeats a delivery writes its events twice"
        ),
        "ALTER TABLE … UNSET TBLPROPERTIES ('delta.setTransactionRetentionDuration')",
    );
}

/// Describes the table.
fn describe(writer: &TableWriter, runtime: &Handle) -> Result<Described, Error> {
    let table = &writer.table;
    let engine = table.engine(runtime);
    let Some(snapshot) = table.open(&engine, runtime)? else {
        let state = "is created with the first delivery".to_owned();
        return Ok(Described { state, retention: None });
    };
    let retention = snapshot.table_properties().set_transaction_retention_duration;
    let missing = fit::missing(&table.name(), &snapshot.schema(), table.layout)?;
    let names: Vec<&str> = missing.iter().map(|column| column.name().as_str()).collect();
    let state = match names.as_slice() {
        [] => format!("is at version {} and has every column", snapshot.version()),
        names => format!("is at version {} and gets the columns {}", snapshot.version(), names.join(", ")),
    };
    Ok(Described { state, retention })
}
