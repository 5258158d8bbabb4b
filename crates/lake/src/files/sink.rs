//! A folder of files as a [`tidegate_model::Sink`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_model::{
    Checks, Clock, Destination, Error, Layout, Limits, LoggedEvent, Reason, Receipt, Settings, SinkTarget,
    Tools,
};
use tokio::sync::Mutex;

use super::encode;
use super::journal::{Begun, Journal};
use super::settings::{FilesTarget, Format};
use crate::batch::Day;
use crate::place::Place;
use crate::probe::{self, Need};
use crate::progress::Mark;
use crate::settings::LakeSettings;
use crate::stream::Shape;
use crate::{admit, blocking, stream};

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
    layout: Layout,
    target: FilesTarget,
    clock: Arc<dyn Clock>,
    journals: Mutex<BTreeMap<u32, Journal>>,
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
            layout: target.layout,
            target: written,
            clock: Arc::clone(&tools.clock),
            journals: Mutex::default(),
        })
    }

    /// Writes the events of one partition that were not written before.
    async fn write(
        &self,
        journals: &mut BTreeMap<u32, Journal>,
        partition: u32,
        events: &[&LoggedEvent],
    ) -> Result<(), Error> {
        let path = format!("{JOURNALS}/{}.{partition}.json", self.name);
        // Taken out: after a failure it is read again.
        let mut journal = match journals.remove(&partition) {
            Some(journal) => journal,
            None => Journal::load(&self.folder, &path).await?,
        };
        journal.resolve(&self.folder, events).await?;
        let fresh: Vec<&LoggedEvent> =
            events.iter().copied().filter(|event| !journal.covers(event)).collect();
        let (Some(first), Some(last)) = (fresh.first(), fresh.last()) else {
            journals.insert(partition, journal);
            return Ok(());
        };
        let span = format!("{}-{partition}-{}-{}", self.name, first.offset.at, last.offset.at);
        let stem = format!("{}-{span}", first.logged_at.strftime("%Y%m%dT%H%M%S%6fZ"));
        let mark = fresh.iter().fold(journal.written, |mark, event| Some(Mark::after(mark, *event)));
        let files: Vec<(String, Bytes)> = self
            .encode(&fresh)
            .await?
            .into_iter()
            .map(|(day, content)| (self.file(day, &stem), content))
            .collect();

        let names = files.iter().map(|(name, _)| name.clone()).collect();
        journal.writing = mark.map(|mark| Begun { files: names, mark });
        journal.save(&self.folder, &path).await?;
        for (name, content) in files {
            self.folder.put(&name, content).await?;
        }
        journals.insert(partition, Journal { written: mark, writing: None });
        Ok(())
    }

    async fn encode(&self, events: &[&LoggedEvent]) -> Result<Vec<(Day, Bytes)>, Error> {
        let split = self.target.partition_by_date;
        let shape = Shape { layout: self.layout, synced: self.clock.now(), split };
        match self.target.format {
            Format::Jsonl => Ok(encode::lines(events, shape).await),
            Format::Parquet => {
                let (sending, arriving) = stream::rows(events.len());
                let codec = self.target.compression;
                let encoded = blocking(move || encode::parquet(arriving, codec, shape.split));
                let (files, ()) = tokio::join!(encoded, sending.all(events, shape));
                files
            }
        }
    }

    fn file(&self, day: Day, stem: &str) -> String {
        let ending = match self.target.format {
            Format::Parquet => "parquet",
            Format::Jsonl => "jsonl",
        };
        if self.target.partition_by_date {
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
            fill: self.target.commit_every.0,
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

    async fn deliver(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        let mut partitions: BTreeMap<u32, Vec<&LoggedEvent>> = BTreeMap::new();
        for item in items {
            partitions.entry(item.offset.partition).or_default().push(item);
        }
        let mut journals = self.journals.lock().await;
        for (partition, events) in partitions {
            // What an earlier partition wrote is known when the same comes again.
            self.write(&mut journals, partition, &events).await?;
        }
        Ok(Receipt::delivered(items.len()))
    }
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
