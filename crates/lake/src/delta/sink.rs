//! A Delta table as a [`tidegate_model::Sink`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_model::{
    Checks, Clock, Destination, Error, Limits, LoggedEvent, Reason, Receipt, Settings, SinkTarget, Tools,
};
use tokio::runtime::Handle;

use super::commit::{Export, Material, Open};
use super::fit;
use super::form::Encoded;
use super::settings::DeltaTarget;
use super::table::Table;
use crate::draft::Drafts;
use crate::probe::{self, Need};
use crate::progress::Entry;
use crate::{admit, blocking};
use tidegate_transport::storage::LakeSettings;
use tidegate_transport::storage::Place;

/// Events and bytes of one commit: enough that many rows make few files, few
/// enough that they are no burden to memory.
const EVENTS_MAX: usize = 50_000;
const BYTES_MAX: usize = 12 << 20;

/// An export into a Delta table.
pub(super) struct DeltaSink {
    lake: Place,
    export: Arc<Export>,
    open: Arc<Mutex<Option<Open>>>,
    drafts: Drafts<Encoded>,
    clock: Arc<dyn Clock>,
    fill: Duration,
}

impl DeltaSink {
    /// Opens the sink. Nothing is read yet.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for settings that cannot work.
    pub(super) fn open(settings: &Settings, target: &SinkTarget, tools: &Tools) -> Result<DeltaSink, Error> {
        let lake = Place::open(&settings.parse::<LakeSettings>()?, tools)?;
        let written: DeltaTarget = target.settings.parse()?;
        let (schema, table) = written.names(target)?;
        let table = Table {
            place: lake.inside(&[&schema, &table]),
            layout: target.layout,
            partition_by_date: written.partition_by_date,
        };
        Ok(DeltaSink {
            lake,
            export: Arc::new(Export::new(table, target)),
            open: Arc::default(),
            drafts: Drafts::default(),
            clock: Arc::clone(&tools.clock),
            fill: written.commit_every.0,
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
        let (export, runtime) = (Arc::clone(&self.export), Handle::current());
        let name = format!("table {}", export.table.name());
        match blocking(move || look(&export, &runtime)).await {
            Ok(found) => checks.pass(name, found),
            Err(error) => checks.fail(name, error.message(), error.next_step()),
        }
        Ok(checks)
    }

    fn limits(&self) -> Limits {
        Limits {
            items_max: EVENTS_MAX,
            bytes_max: BYTES_MAX,
            fill: self.fill,
            requests_at_once: 1,
            rate: None,
            bucket: "delta.commit",
            one_user: false,
            user_interval: Duration::ZERO,
        }
    }

    fn weigh(&self, item: &LoggedEvent) -> usize {
        item.event.weight()
    }

    fn admit(&self, item: &LoggedEvent) -> Result<(), Reason> {
        admit(item)
    }

    fn prepare(&self, items: &[LoggedEvent]) {
        let synced = self.clock.now();
        // What fails here is told by the delivery, which tries it again.
        if let Ok(Some(encoded)) = self.export.encode(items, synced) {
            self.drafts.keep(items.iter().map(Entry::from).collect(), synced, encoded);
        }
    }

    async fn deliver(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        if items.is_empty() {
            return Ok(Receipt::delivered(0));
        }
        let entries: Arc<[Entry]> = items.iter().map(Entry::from).collect();
        let mut draft = self.drafts.take(&entries.iter().copied());
        loop {
            let now = self.clock.now();
            let material = match draft.take() {
                Some(encoded) => Material::Encoded(Some(encoded)),
                None => {
                    self.drafts.encoding(now);
                    // A clone shares the texts.
                    Material::Events(items.to_vec())
                }
            };
            let (export, open, entries) =
                (Arc::clone(&self.export), Arc::clone(&self.open), Arc::clone(&entries));
            let runtime = Handle::current();
            let written = blocking(move || {
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                export.write(&mut open, &runtime, &entries, material, now)
            });
            if let Some(receipt) = written.await? {
                return Ok(receipt);
            }
        }
    }
}

/// What there is to say about the table.
fn look(export: &Export, runtime: &Handle) -> Result<String, Error> {
    let table = &export.table;
    let engine = table.engine(runtime);
    let Some(snapshot) = table.open(&engine, runtime)? else {
        return Ok("is made with the first delivery".to_owned());
    };
    let missing = fit::missing(&table.name(), &snapshot.schema(), table.layout)?;
    let names: Vec<&str> = missing.iter().map(|column| column.name().as_str()).collect();
    Ok(match names.as_slice() {
        [] => format!("is at version {} and has every column", snapshot.version()),
        names => format!("is at version {} and gets the columns {}", snapshot.version(), names.join(", ")),
    })
}
