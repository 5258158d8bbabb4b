//! A folder of files as a [`tidegate_model::Sink`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_model::{
    Checks, Clock, ConnectorContext, Destination, Error, Limits, LoggedEvent, Reason, Receipt, Settings,
    SinkTarget,
};
use tokio::sync::Mutex;

use super::encode::{FileEncoding, Files};
use super::journal::{Begun, Journal};
use super::settings::{FilesTarget, Format};
use crate::batch::Day;
use crate::prepared::PreparedBatches;
use crate::probe::{self, Need};
use crate::progress::{EventOffset, MarkKey, Progress};
use crate::{TIDEGATE, blocking, plain, stage_of, validate};
use tidegate_transport::storage::{FencedWriter, LakeSettings, StorageRoot};

/// Events and bytes of one delivery.
const EVENTS_MAX: usize = 50_000;
const BYTES_MAX: usize = 12 << 20;
/// An export into files.
pub(super) struct FilesSink {
    lake: StorageRoot,
    folder: StorageRoot,
    /// The stream and the export, as the names of files begin.
    name: String,
    /// How the name of the folder of unfinished files begins.
    stage: String,
    encoding: FileEncoding,
    linger: Duration,
    clock: Arc<dyn Clock>,
    /// Taken out during a delivery: after one that failed or was given up, the next takes over again.
    open: Mutex<Option<OpenFolder>>,
    /// The files of each partition.
    prepared_batches: PreparedBatches<BTreeMap<MarkKey, Files>>,
}

/// The right to write the folder, and what is known of it since.
struct OpenFolder {
    writer: FencedWriter,
    journals: BTreeMap<MarkKey, Journal>,
}

impl FilesSink {
    /// Opens the sink. Nothing is read yet.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for settings that cannot work.
    pub(super) fn open(
        settings: &Settings,
        target: &SinkTarget,
        context: &ConnectorContext,
    ) -> Result<FilesSink, Error> {
        let lake = StorageRoot::open(&settings.parse::<LakeSettings>()?, context)?;
        let written: FilesTarget = target.settings.parse()?;
        let folder = written.folder(target)?;
        let parts: Vec<&str> = folder.iter().map(String::as_str).collect();
        Ok(FilesSink {
            folder: lake.inside(&parts),
            lake,
            name: format!("{}.{}", plain(target.stream.as_str()), plain(target.sync.as_str())),
            stage: stage_of(target),
            encoding: FileEncoding {
                layout: target.layout,
                format: written.format,
                codec: written.compression,
                split: written.partition_by_date,
            },
            linger: written.commit_every.0,
            clock: Arc::clone(&context.clock),
            open: Mutex::default(),
            prepared_batches: PreparedBatches::default(),
        })
    }

    /// Writes those events of one partition that were not written before; `prepared`
    /// are the files of them all, where they are there already.
    async fn write(
        &self,
        open: &mut OpenFolder,
        key: MarkKey,
        events: Vec<(EventOffset, &LoggedEvent)>,
        prepared: Option<Files>,
    ) -> Result<(), Error> {
        let path = format!("{TIDEGATE}/{}.{key}.json", self.name);
        let OpenFolder { writer, journals } = open;
        let mut journal = match journals.remove(&key) {
            Some(journal) => journal,
            None => Journal::load(&self.folder, writer, &path).await?,
        };
        journal.resolve(&self.folder, writer, events.iter().map(|(offset, _)| *offset)).await?;
        let offered = events.len();
        let mut fresh = events;
        fresh.retain(|(offset, _)| !journal.covers(*offset));
        let (Some((_, first)), Some((_, last))) = (fresh.first(), fresh.last()) else {
            journals.insert(key, journal);
            return Ok(());
        };
        let span = format!("{}-{}-{}-{}", self.name, key.partition, first.offset.at, last.offset.at);
        let stem = format!("{}-{span}", first.logged_at.strftime("%Y%m%dT%H%M%S%6fZ"));
        let progress = fresh
            .iter()
            .fold(journal.written, |progress, (offset, _)| Some(Progress::after(progress, *offset)));
        let files = match prepared.filter(|_| fresh.len() == offered) {
            Some(files) => files,
            None => self.encode(&fresh).await?,
        };
        let files: Vec<(String, Bytes)> =
            files.into_iter().map(|(day, content)| (self.file(day, &stem), content)).collect();

        let names = files.iter().map(|(name, _)| name.clone()).collect();
        journal.writing = progress.map(|progress| Begun { files: names, progress });
        journal.save(writer, &path).await?;
        for (name, content) in files {
            writer.put(&name, content).await?;
        }
        journals.insert(key, Journal { written: progress, writing: None, seen: journal.seen });
        Ok(())
    }

    /// Encodes events that were not prepared.
    async fn encode(&self, events: &[(EventOffset, &LoggedEvent)]) -> Result<Files, Error> {
        let (encoding, synced) = (self.encoding, self.clock.now());
        self.prepared_batches.encoding(synced);
        // A clone shares the texts.
        let events: Vec<LoggedEvent> = events.iter().map(|(_, event)| LoggedEvent::clone(event)).collect();
        blocking(move || encoding.encode(&events.iter().collect::<Vec<_>>(), synced)).await
    }

    fn file(&self, day: Day, stem: &str) -> String {
        let ending = match self.encoding.format {
            Format::Parquet => "parquet",
            Format::Jsonl => "jsonl",
        };
        if self.encoding.split {
            format!("event_date={}/{stem}.{ending}", day.date())
        } else {
            format!("{stem}.{ending}")
        }
    }
}

#[async_trait]
impl Destination<LoggedEvent> for FilesSink {
    async fn check(&self) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        probe::prove(&self.lake, Need::Files, &mut checks).await;
        Ok(checks)
    }

    fn limits(&self) -> Limits {
        Limits {
            max_items: EVENTS_MAX,
            max_bytes: BYTES_MAX,
            linger: self.linger,
            max_in_flight: 1,
            rate: None,
            bucket: "files.write",
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
        let partitions = by_partition(items);
        let known = offsets(&partitions).collect();
        let mut files = BTreeMap::new();
        for (key, events) in partitions {
            let events: Vec<&LoggedEvent> = events.into_iter().map(|(_, event)| event).collect();
            // The delivery encodes again and reports an error that occurs here.
            let Ok(encoded) = self.encoding.encode(&events, synced) else { return };
            files.insert(key, encoded);
        }
        self.prepared_batches.keep(known, synced, files);
    }

    async fn deliver(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        let partitions = by_partition(items);
        let mut prepared_batches = self.prepared_batches.take(&offsets(&partitions)).unwrap_or_default();
        let mut held = self.open.lock().await;
        let mut open = match held.take() {
            Some(open) => open,
            None => OpenFolder {
                writer: FencedWriter::take_over(&self.folder, &self.stage).await?,
                journals: BTreeMap::new(),
            },
        };
        for (key, events) in partitions {
            // What an earlier partition wrote is known when the same comes again.
            self.write(&mut open, key, events, prepared_batches.remove(&key)).await?;
        }
        *held = Some(open);
        Ok(Receipt::delivered(items.len()))
    }
}

/// What the events of all partitions are known by.
fn offsets<'a>(
    partitions: &'a BTreeMap<MarkKey, Vec<(EventOffset, &LoggedEvent)>>,
) -> impl Iterator<Item = EventOffset> + Clone + 'a {
    partitions.values().flatten().map(|(offset, _)| *offset)
}

/// The events of each partition of the log.
fn by_partition(items: &[LoggedEvent]) -> BTreeMap<MarkKey, Vec<(EventOffset, &LoggedEvent)>> {
    let mut partitions: BTreeMap<MarkKey, Vec<_>> = BTreeMap::new();
    for item in items {
        let offset = EventOffset::from(item);
        let events = partitions.entry(offset.key);
        events.or_insert_with(|| Vec::with_capacity(items.len())).push((offset, item));
    }
    partitions
}
