//! The promises of the event log in files, and what only files can show.

mod any_bytes;
mod damage;
mod erased;
mod killed;
mod lost;
mod packed;
mod retention;
mod speed;
mod users;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use jiff::SignedDuration;
use tempfile::TempDir;
use tidegate_model::{Checkpoint, Error, ErrorKind, EventLog, LoggedEvent, Reading, StreamId};
use tidegate_state::{LogAccess, LogConfig, open_log};
use tidegate_testkit::ManualClock;
use tidegate_testkit::event_log::{Backend, events};

/// A folder for one test.
pub(crate) struct Folder {
    root: TempDir,
    clock: ManualClock,
    segment_bytes: u64,
}

impl Folder {
    /// With segments of the usual size.
    fn new() -> Folder {
        Folder::with_segments_of(64 * 1024 * 1024)
    }

    fn with_segments_of(segment_bytes: u64) -> Folder {
        let root = tempfile::tempdir().expect("folder");
        Folder { root, clock: ManualClock::default(), segment_bytes }
    }

    fn log(&self) -> PathBuf {
        self.root.path().join("log")
    }

    fn try_open(&self, access: LogAccess) -> Result<Arc<dyn EventLog>, Error> {
        let config = LogConfig::new(self.log(), Arc::new(self.clock.clone()), access);
        open_log(LogConfig { segment_bytes: self.segment_bytes, ..config })
    }

    fn append(&self) -> Arc<dyn EventLog> {
        self.try_open(LogAccess::Append).expect("opened")
    }

    /// The files of the stream `shop` with such an ending, in order.
    fn files(&self, ending: &str) -> Vec<PathBuf> {
        files(&self.log().join("shop"), ending)
    }
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("entry").path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == ending)).collect();
    found.sort();
    found
}

#[async_trait]
impl Backend for Folder {
    async fn open(&self) -> Arc<dyn EventLog> {
        self.append()
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn dedup_window(&self) -> SignedDuration {
        SignedDuration::from_hours(24)
    }
}

fn shop() -> StreamId {
    StreamId::new("shop")
}

/// Returns everything after a position, up to the first error.
async fn read_all(log: &dyn EventLog, after: Option<&Checkpoint>) -> (Vec<LoggedEvent>, Option<Error>) {
    let reading = Reading { batch_events: 1_000, follow: false };
    let mut found = Vec::new();
    let mut feed = match log.read(&shop(), after, reading).await {
        Ok(feed) => feed,
        Err(error) => return (found, Some(error)),
    };
    while let Some(batch) = feed.next().await {
        match batch {
            Ok(batch) => found.extend(batch.items),
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

async fn ids(log: &dyn EventLog) -> Vec<usize> {
    let (found, error) = read_all(log, None).await;
    assert!(error.is_none(), "{error:?}");
    found.iter().map(|logged| logged.event.id.parse().expect("number")).collect()
}

/// With segments of the usual size.
mod usual {
    tidegate_testkit::event_logs_conform!(super::Folder::new());
}

/// With a segment for every write or two.
mod tiny_segments {
    tidegate_testkit::event_logs_conform!(super::Folder::with_segments_of(500));
}

#[tokio::test]
async fn a_second_process_reads_what_the_first_appends_and_cannot_append_itself() {
    let folder = Folder::with_segments_of(2_000);
    let log = folder.append();
    log.append(&shop(), events(0, 10)).await.expect("appended");

    let reader = folder.try_open(LogAccess::Read).expect("opened");
    assert_eq!(ids(&*reader).await, (0..10).collect::<Vec<_>>());
    log.append(&shop(), events(10, 40)).await.expect("appended");
    log.append(&shop(), events(40, 50)).await.expect("appended");
    assert_eq!(ids(&*reader).await, (0..50).collect::<Vec<_>>());
    assert_eq!(reader.lag(&shop(), None).await.expect("lag")[0].behind, 50);
    assert_eq!(reader.streams().await.expect("streams"), [shop()]);

    let refused = reader.append(&shop(), events(50, 51)).await.expect_err("reads only");
    assert_eq!(refused.kind(), ErrorKind::Storage);
    let follow = Reading { batch_events: 1, follow: true };
    assert!(reader.read(&shop(), None, follow).await.is_err());
    let second = folder.try_open(LogAccess::Append).map(drop).expect_err("locked");
    assert!(second.message().contains("another process"), "{}", second.message());

    drop(log);
    folder.try_open(LogAccess::Append).expect("free again");
}

#[tokio::test]
async fn a_checkpoint_behind_the_end_is_told_and_not_waited_for() {
    let folder = Folder::new();
    let log = folder.append();
    log.append(&shop(), events(0, 10)).await.expect("appended");
    let later = Checkpoint(serde_json::json!({"offset": 11}));

    let (found, error) = read_all(&*log, Some(&later)).await;

    assert!(found.is_empty());
    let error = error.expect("told");
    assert_eq!(error.message(), "the event log `shop` ends at 10, before the checkpoint at 11");
}

#[tokio::test]
async fn following_ends_when_the_log_is_closed() {
    let folder = Folder::new();
    let log = folder.append();
    let follow = Reading { batch_events: 10, follow: true };
    let mut feed = log.read(&shop(), None, follow).await.expect("feed");
    log.append(&shop(), events(0, 1)).await.expect("appended");
    drop(log);

    assert_eq!(feed.next().await.expect("appended").expect("batch").items.len(), 1);
    assert!(feed.next().await.is_none());
}

#[tokio::test]
async fn a_folder_of_another_stream_is_not_written_on() {
    let folder = Folder::new();
    folder.append().append(&shop(), events(0, 1)).await.expect("appended");
    fs::rename(folder.log().join("shop"), folder.log().join("other")).expect("renamed");

    let log = folder.append();
    let error = log.append(&StreamId::new("other"), events(0, 1)).await.expect_err("refused");

    assert!(error.message().contains("belongs to the stream `shop`"), "{}", error.message());
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_empty_log_to_readers() {
    let folder = Folder::new();

    let log = folder.try_open(LogAccess::Read).expect("opened");

    assert!(log.streams().await.expect("streams").is_empty());
    assert!(read_all(&*log, None).await.0.is_empty());
    assert!(!folder.log().exists());
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_look_into_the_log() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::with_segments_of(1);
    let log = folder.append();
    log.append(&shop(), events(0, 1)).await.expect("appended");
    log.append(&shop(), events(1, 2)).await.expect("appended");
    assert_eq!(folder.files("ids").len(), 1);

    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder.log()), 0o700);
    assert_eq!(mode(&folder.log().join("shop")), 0o700);
    for entry in fs::read_dir(folder.log().join("shop")).expect("listed") {
        let path = entry.expect("entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
