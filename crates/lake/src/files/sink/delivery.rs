//! A folder of files as a [`tidegate_model::Sink`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_model::{
    Checks, Clock, Destination, Error, Limits, LoggedEvent, Reason, Receipt, Settings, SinkTarget, Tools,
};
use tokio::sync::Mutex;

use super::encode::{Files, Form};
use super::journal::{Begun, Journal};
use super::settings::{FilesTarget, Format};
use crate::batch::Day;
use crate::draft::Drafts;
use crate::probe::{self, Need};
use crate::progress::{Entry, Mark};
use crate::{admit, blocking};
use tidegate_transport::storage::LakeSettings;
use tidegate_transport::storage::Place;

/// Events and bytes of one delivery.
const EVENTS_MAX: usize = 50_000;
const BYTES_MAX: usize = 12 << 20;
/// Where journals lie: readers of lakes skip names that begin with `_`.
const JOURNALS: &str = "_tidegate";

/// An export into files.
pub(super) struct FilesSink {
    lake: Place,
    folder: Place,
    /// The stream and the export, as the names of files begin.
    name: String,
    form: Form,
    fill: Duration,
    clock: Arc<dyn Clock>,
    journals: Mutex<BTreeMap<u32, Journal>>,
    /// The files of each partition.
    drafts: Drafts<BTreeMap<u32, Files>>,
}

impl FilesSink {
    /// Opens the sink. Nothing is read yet.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for settings that cannot work.
    pub(super) fn open(settings: &Settings, target: &SinkTarget, tools: &Tools) -> Result<FilesSink, Error> {
        let lake = Place::open(&settings.parse::<LakeSettings>()?, tools)?;
        let written: FilesTarget = target.settings.parse()?;
        let folder = written.folder(target)?;
        let parts: Vec<&str> = folder.iter().map(String::as_str).collect();
        Ok(FilesSink {
            folder: lake.inside(&parts),
            lake,
            name: format!("{}.{}", plain(target.stream.as_str()), plain(target.sync.as_str())),
            form: Form {
                layout: target.layout,
                format: written.format,
                codec: written.compression,
                split: written.partition_by_date,
            },
            fill: written.commit_every.0,
            clock: Arc::clone(&tools.clock),
            journals: Mutex::default(),
            drafts: Drafts::default(),
        })
    }

    /// Writes those events of one partition that were not written before; `draft`
    /// are the files of them all, where they are there already.
    async fn write(
        &self,
        journals: &mut BTreeMap<u32, Journal>,
        partition: u32,
        events: Vec<(Entry, &LoggedEvent)>,
        draft: Option<Files>,
    ) -> Result<(), Error> {
        let path = format!("{JOURNALS}/{}.{partition}.json", self.name);
        // Taken out: after a failure it is read again.
        let mut journal = match journals.remove(&partition) {
            Some(journal) => journal,
            None => Journal::load(&self.folder, &path).await?,
        };
        journal.resolve(&self.folder, events.iter().map(|(entry, _)| *entry)).await?;
        let offered = events.len();
        let mut fresh = events;
        fresh.retain(|(entry, _)| !journal.covers(*entry));
        let (Some((_, first)), Some((_, last))) = (fresh.first(), fresh.last()) else {
            journals.insert(partition, journal);
            return Ok(());
        };
        let span = format!("{}-{partition}-{}-{}", self.name, first.offset.at, last.offset.at);
        let stem = format!("{}-{span}", first.logged_at.strftime("%Y%m%dT%H%M%S%6fZ"));
        let mark = fresh.iter().fold(journal.written, |mark, (entry, _)| Some(Mark::after(mark, *entry)));
        let files = match draft.filter(|_| fresh.len() == offered) {
            Some(files) => files,
            None => self.encode(&fresh).await?,
        };
        let files: Vec<(String, Bytes)> =
            files.into_iter().map(|(day, content)| (self.file(day, &stem), content)).collect();

        let names = files.iter().map(|(name, _)| name.clone()).collect();
        journal.writing = mark.map(|mark| Begun { files: names, mark });
        journal.save(&self.folder, &path).await?;
        for (name, content) in files {
            self.folder.put(&name, content).await?;
        }
        journals.insert(partition, Journal { written: mark, writing: None });
        Ok(())
    }

    /// Makes files of events that no draft is there for.
    async fn encode(&self, events: &[(Entry, &LoggedEvent)]) -> Result<Files, Error> {
        let (form, synced) = (self.form, self.clock.now());
        self.drafts.encoding(synced);
        // A clone shares the texts.
        let events: Vec<LoggedEvent> = events.iter().map(|(_, event)| LoggedEvent::clone(event)).collect();
        blocking(move || form.encode(&events.iter().collect::<Vec<_>>(), synced)).await
    }

    fn file(&self, day: Day, stem: &str) -> String {
        let ending = match self.form.format {
            Format::Parquet => "parquet",
            Format::Jsonl => "jsonl",
        };
        if self.form.split {
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
            items_max: EVENTS_MAX,
            bytes_max: BYTES_MAX,
            fill: self.fill,
            requests_at_once: 1,
            rate: None,
            bucket: "files.write",
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
        let partitions = by_partition(items);
        let known = entries(&partitions).collect();
        let mut files = BTreeMap::new();
        for (partition, events) in partitions {
            let events: Vec<&LoggedEvent> = events.into_iter().map(|(_, event)| event).collect();
            // What fails here is told by the delivery, which tries it again.
            let Ok(encoded) = self.form.encode(&events, synced) else { return };
            files.insert(partition, encoded);
        }
        self.drafts.keep(known, synced, files);
    }

    async fn deliver(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        let partitions = by_partition(items);
        let mut drafts = self.drafts.take(&entries(&partitions)).unwrap_or_default();
        let mut journals = self.journals.lock().await;
        for (partition, events) in partitions {
            // What an earlier partition wrote is known when the same comes again.
            self.write(&mut journals, partition, events, drafts.remove(&partition)).await?;
        }
        Ok(Receipt::delivered(items.len()))
    }
}

/// What the events of all partitions are known by.
fn entries<'a>(
    partitions: &'a BTreeMap<u32, Vec<(Entry, &LoggedEvent)>>,
) -> impl Iterator<Item = Entry> + Clone + 'a {
    partitions.values().flatten().map(|(entry, _)| *entry)
}

/// The events of each partition of the log.
fn by_partition(items: &[LoggedEvent]) -> BTreeMap<u32, Vec<(Entry, &LoggedEvent)>> {
    let mut partitions: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for item in items {
        let events = partitions.entry(item.offset.partition);
        events.or_insert_with(|| Vec::with_capacity(items.len())).push((Entry::from(item), item));
    }
    partitions
}

/// A name as part of a file's name: other signs stand as their numbers, so that
/// two names stay two.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            plain.push(char::from(byte));
        } else {
            plain.push_str(&format!("={byte:02x}"));
        }
    }
    plain
}
