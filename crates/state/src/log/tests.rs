//! What only a failing or a counting disk can show.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use futures_util::StreamExt as _;
use tempfile::TempDir;
use tidegate_model::{Checkpoint, ErrorKind, EventLog as _, Exported, Reading, StreamId, SyncId};
use tidegate_testkit::ManualClock;
use tidegate_testkit::event_log::{event, events};

use super::disk::{Disk, DiskFile, RealDisk};
use super::{EmbeddedLog, LogAccess, LogConfig};

/// What happens at the next write or sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// Some bytes are written, then there is no space.
    Full,
    /// No space, and the part that was written cannot be taken back.
    FullForGood,
    /// The device fails in the middle.
    Write,
    /// What was written does not reach the device.
    Sync,
    /// A new file does not get its name.
    Name,
}

#[derive(Default)]
struct Faults {
    fault: Mutex<Fault>,
    syncs: AtomicU64,
    /// While it is shut, a sync waits, and a write that finds the disk full.
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Faults {
    fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn is(&self, fault: Fault) -> bool {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) == fault
    }

    fn wait(&self) {
        let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        while *shut {
            shut = self.opened.wait(shut).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn shut(&self, shut: bool) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = shut;
        self.opened.notify_all();
    }
}

struct FaultyDisk(Arc<Faults>);

struct FaultyFile(Box<dyn DiskFile>, Arc<Faults>);

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile(RealDisk.create(path)?, Arc::clone(&self.0))))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile(RealDisk.open(path)?, Arc::clone(&self.0))))
    }

    fn name(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.0.is(Fault::Name) {
            return Err(io::Error::other("injected"));
        }
        RealDisk.name(from, to)
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&mut self, pieces: &[&[u8]], at: u64) -> io::Result<()> {
        let all = pieces.concat();
        let half = &[&all[..all.len() / 2]];
        if self.1.is(Fault::Full) || self.1.is(Fault::FullForGood) {
            self.0.write_at(half, at)?;
            self.1.wait();
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.1.is(Fault::Write) {
            self.0.write_at(half, at)?;
            return Err(io::Error::other("injected"));
        }
        self.0.write_at(pieces, at)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.1.is(Fault::Sync) {
            return Err(io::Error::other("injected"));
        }
        self.1.wait();
        self.1.syncs.fetch_add(1, Ordering::Relaxed);
        self.0.sync()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        if self.1.is(Fault::FullForGood) {
            return Err(io::Error::other("injected"));
        }
        self.0.cut(length)
    }
}

struct FaultyLog {
    root: TempDir,
    faults: Arc<Faults>,
}

impl FaultyLog {
    fn new() -> FaultyLog {
        FaultyLog { root: tempfile::tempdir().expect("folder"), faults: Arc::default() }
    }

    fn config(&self) -> LogConfig {
        let clock = Arc::new(ManualClock::default());
        LogConfig::new(self.root.path().join("log"), clock, LogAccess::Append)
    }

    fn open_with(&self, config: LogConfig) -> EmbeddedLog {
        EmbeddedLog::open(config, Arc::new(FaultyDisk(Arc::clone(&self.faults)))).expect("opened")
    }

    fn open(&self) -> EmbeddedLog {
        self.open_with(self.config())
    }
}

fn shop() -> StreamId {
    StreamId::new("shop")
}

async fn ids(log: &EmbeddedLog) -> Vec<usize> {
    let reading = Reading { batch_events: 100, follow: false };
    let mut feed = log.read(&shop(), None, reading).await.expect("feed");
    let mut found = Vec::new();
    while let Some(batch) = feed.next().await {
        let items = batch.expect("batch").items;
        found.extend(items.iter().map(|logged| logged.event.id.parse::<usize>().expect("number")));
    }
    found
}

#[tokio::test]
async fn a_full_disk_keeps_what_was_confirmed_and_goes_on_when_there_is_space() {
    let faulty = FaultyLog::new();
    let log = faulty.open();
    log.append(&shop(), events(0, 3)).await.expect("appended");

    faulty.faults.set(Fault::Full);
    let error = log.append(&shop(), events(3, 6)).await.expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().starts_with("the disk is full"), "{}", error.message());
    assert!(error.next_step().contains("free space"), "{}", error.next_step());
    assert_eq!(ids(&log).await, [0, 1, 2]);

    faulty.faults.set(Fault::None);
    let appended = log.append(&shop(), events(2, 6)).await.expect("appended");
    assert_eq!((appended.events, appended.duplicates), (3, 1));
    drop(log);
    assert_eq!(ids(&faulty.open()).await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_disk_that_is_full_from_the_start_leaves_no_stream() {
    let faulty = FaultyLog::new();
    let log = faulty.open();

    faulty.faults.set(Fault::Full);
    log.append(&shop(), events(0, 3)).await.expect_err("full");
    assert!(log.streams().await.expect("streams").is_empty());

    faulty.faults.set(Fault::None);
    assert_eq!(log.append(&shop(), events(0, 3)).await.expect("appended").events, 3);
}

#[tokio::test]
async fn a_segment_that_could_not_be_made_is_made_by_the_next_append() {
    for fault in [Fault::Full, Fault::Write, Fault::Sync] {
        let faulty = FaultyLog::new();
        let log = faulty.open_with(LogConfig { segment_bytes: 1, ..faulty.config() });
        log.append(&shop(), events(0, 3)).await.expect("appended");

        // The second append needs a new segment.
        faulty.faults.set(fault);
        log.append(&shop(), events(3, 6)).await.expect_err("failed");
        faulty.faults.set(Fault::None);

        log.append(&shop(), events(3, 6)).await.expect("appended");
        assert_eq!(ids(&log).await, [0, 1, 2, 3, 4, 5], "{fault:?}");
    }
}

#[tokio::test]
async fn an_older_copy_on_a_full_disk_takes_no_events_until_it_has_an_id_of_its_own() {
    let case = FaultyLog::new();
    let log = case.open();
    log.append(&shop(), events(0, 5)).await.expect("appended");
    let reading = Reading { batch_events: 100, follow: false };
    let first = log.read(&shop(), None, reading).await.expect("feed").next().await.expect("a batch");
    let former = first.expect("events").items[0].offset.log;
    // As if an export had read more than the copy has.
    let checkpoint = Checkpoint(serde_json::json!({ "log": former, "offset": 9 }));
    let ahead = Exported { sync: SyncId::new("lake"), stream: shop(), checkpoint: Some(checkpoint.clone()) };
    drop(log);

    let log = case.open();
    case.faults.set(Fault::Full);
    log.fence(&[ahead]).await.expect("the stream takes no events");
    log.append(&shop(), events(20, 25)).await.expect_err("no id yet");
    case.faults.set(Fault::None);
    log.append(&shop(), events(20, 25)).await.expect("appended");

    let mut feed = log.read(&shop(), Some(&checkpoint), reading).await.expect("feed");
    let found = feed.next().await.expect("a batch").expect("events").items;
    let found: Vec<_> = found.iter().map(|logged| (logged.offset.at, logged.offset.log == former)).collect();
    assert_eq!(found, (5..10).map(|at| (at, false)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_segment_whose_name_may_be_lost_stops_the_stream_until_a_restart() {
    let faulty = FaultyLog::new();
    let config = || LogConfig { segment_bytes: 1, ..faulty.config() };
    let log = faulty.open_with(config());
    log.append(&shop(), events(0, 3)).await.expect("appended");

    faulty.faults.set(Fault::Name);
    log.append(&shop(), events(3, 6)).await.expect_err("failed");
    faulty.faults.set(Fault::None);
    log.append(&shop(), events(3, 6)).await.expect_err("stopped");
    drop(log);

    let log = faulty.open_with(config());
    log.append(&shop(), events(0, 6)).await.expect("appended");
    assert_eq!(ids(&log).await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_failed_write_or_sync_is_final_and_says_so() {
    for fault in [Fault::FullForGood, Fault::Write, Fault::Sync] {
        let faulty = FaultyLog::new();
        let log = faulty.open();
        log.append(&shop(), events(0, 3)).await.expect("appended");

        faulty.faults.set(fault);
        log.append(&shop(), events(3, 6)).await.expect_err("failed");
        faulty.faults.set(Fault::None);

        let later = log.append(&shop(), events(6, 9)).await.expect_err("stopped");
        assert_eq!(later.kind(), ErrorKind::Storage, "{fault:?}");
        assert!(later.message().contains("00000000000000000000.log"), "{}", later.message());
        assert!(later.next_step().contains("restart"), "{}", later.next_step());
        // What was confirmed can still be read; another stream knows nothing of it.
        assert_eq!(ids(&log).await, [0, 1, 2], "{fault:?}");
        log.append(&StreamId::new("other"), events(0, 3)).await.expect("appended");
        drop(log);
        let log = faulty.open();
        assert_eq!(ids(&log).await, [0, 1, 2], "{fault:?}");
        assert_eq!(log.append(&shop(), events(0, 9)).await.expect("appended").events, 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appenders_share_their_syncs() {
    let faulty = FaultyLog::new();
    let log = Arc::new(faulty.open());
    log.append(&shop(), vec![event("first")]).await.expect("appended");
    let before = faulty.faults.syncs.load(Ordering::Relaxed);

    // All wait while one sync is held.
    faulty.faults.shut(true);
    let mut tasks = Vec::new();
    for task in 0..64 {
        let log = Arc::clone(&log);
        tasks.push(tokio::spawn(async move { log.append(&shop(), vec![event(&task.to_string())]).await }));
    }
    let one = event("1").estimated_size();
    while log.queue.waiting() < 64 * one {
        tokio::task::yield_now().await;
    }
    faulty.faults.shut(false);
    for task in tasks {
        task.await.expect("task").expect("appended");
    }

    let syncs = faulty.faults.syncs.load(Ordering::Relaxed) - before;
    assert!(syncs <= 4, "{syncs} syncs for 64 appends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_only_what_is_durable() {
    let faulty = FaultyLog::new();
    let log = Arc::new(faulty.open());
    log.append(&shop(), events(0, 3)).await.expect("appended");
    let written = || std::fs::metadata(faulty.root.path().join("log/shop/00000000000000000000.log"));
    let before = written().expect("file").len();
    faulty.faults.shut(true);
    let appending = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.append(&shop(), events(3, 6)).await }
    });
    while written().expect("file").len() == before {
        tokio::task::yield_now().await;
    }

    assert_eq!(ids(&log).await, [0, 1, 2]);

    faulty.faults.shut(false);
    appending.await.expect("task").expect("appended");
    assert_eq!(ids(&log).await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_does_not_keep_up_throttles_before_memory_grows() {
    let faulty = FaultyLog::new();
    let log = Arc::new(faulty.open_with(LogConfig { queue_bytes: 1_000, ..faulty.config() }));
    log.append(&shop(), events(0, 1)).await.expect("appended");
    faulty.faults.shut(true);
    let mut tasks = Vec::new();
    for task in 1..=100 {
        let log = Arc::clone(&log);
        tasks.push(tokio::spawn(async move { log.append(&shop(), events(task, task + 1)).await }));
    }
    while tasks.iter().filter(|task| task.is_finished()).count() < 85 {
        tokio::task::yield_now().await;
    }
    faulty.faults.shut(false);

    let mut expected = vec![0];
    for (task, id) in tasks.into_iter().zip(1..) {
        match task.await.expect("task") {
            Ok(appended) => expected.extend((appended.events == 1).then_some(id)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Throttled(None)),
        }
    }
    let mut found = ids(&log).await;
    found.sort_unstable();
    assert_eq!(found, expected);
    assert!(found.len() < 16, "{}", found.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_posted_again_while_the_disk_runs_full_are_not_taken_for_logged() {
    let faulty = FaultyLog::new();
    let log = Arc::new(faulty.open());
    log.append(&shop(), events(0, 3)).await.expect("appended");
    let append = |from, to| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.append(&shop(), events(from, to)).await })
    };
    let waiting = |bytes: usize| {
        let log = Arc::clone(&log);
        async move {
            while log.queue.waiting() < bytes {
                tokio::task::yield_now().await;
            }
        }
    };
    let length = || std::fs::metadata(faulty.root.path().join("log/shop/00000000000000000000.log"));
    let bytes = |from, to| events(from, to).iter().map(tidegate_model::Event::estimated_size).sum::<usize>();

    for from in (3..60).step_by(4) {
        let before = length().expect("file").len();
        faulty.faults.shut(true);
        faulty.faults.set(Fault::Full);
        let first = append(from, from + 3);
        while length().expect("file").len() == before {
            tokio::task::yield_now().await;
        }
        let second = append(from, from + 4);
        waiting(bytes(from, from + 3) + bytes(from, from + 4)).await;
        faulty.faults.set(Fault::None);
        faulty.faults.shut(false);

        first.await.expect("task").expect_err("full");
        // In time for the frame that fails, or for the next one.
        if let Ok(appended) = second.await.expect("task") {
            assert_eq!((appended.events, appended.duplicates), (4, 0));
        }
        log.append(&shop(), events(from, from + 4)).await.expect("appended");
        assert_eq!(ids(&log).await, (0..from + 4).collect::<Vec<_>>());
        log.append(&shop(), events(0, from + 3)).await.expect("appended");
        assert_eq!(ids(&log).await.len(), from + 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_the_disk_refuses_each_confirmed_event_is_logged_once_and_the_others_can_be_posted_again() {
    let faulty = FaultyLog::new();
    let config = || LogConfig { recent_ids_max: 40, segment_bytes: 4_096, ..faulty.config() };
    let log = Arc::new(faulty.open_with(config()));
    log.append(&shop(), events(0, 1)).await.expect("appended");
    let mut tasks = Vec::new();
    for task in 0..8_usize {
        let log = Arc::clone(&log);
        tasks.push(tokio::spawn(async move {
            let mut confirmed = Vec::new();
            for step in 0..60 {
                // Each event is posted by some others, too.
                let from = step * 10 + task * 3;
                match log.append(&shop(), events(from, from + 10)).await {
                    Ok(_) => confirmed.extend(from..from + 10),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Storage),
                }
            }
            confirmed
        }));
    }
    let mut full = false;
    while tasks.iter().any(|task| !task.is_finished()) {
        full = !full;
        faulty.faults.set(if full { Fault::Full } else { Fault::None });
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    faulty.faults.set(Fault::None);

    let sorted = |mut ids: Vec<usize>| {
        ids.sort_unstable();
        ids
    };
    let logged = sorted(ids(&log).await);
    assert!(logged.windows(2).all(|pair| pair[0] < pair[1]), "an event was logged twice");
    for task in tasks {
        for id in task.await.expect("task") {
            assert!(logged.binary_search(&id).is_ok(), "{id} was confirmed and is not there");
        }
    }
    log.append(&shop(), events(0, 630)).await.expect("appended");
    assert_eq!(sorted(ids(&log).await), (0..630).collect::<Vec<_>>());
    drop(log);
    let log = faulty.open_with(config());
    assert_eq!(log.append(&shop(), events(0, 630)).await.expect("appended").duplicates, 630);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a thread works beside the log")]
async fn events_are_known_by_ids_on_disk_and_are_logged_again_only_if_the_log_has_lost_them() {
    let faulty = FaultyLog::new();
    let config = || LogConfig { recent_ids_max: 300, segment_bytes: 16 * 1024, ..faulty.config() };
    let folder = faulty.root.path().join("log/shop");
    let files = |extension: &str| {
        let mut found: Vec<_> = (std::fs::read_dir(&folder).expect("a folder"))
            .map(|entry| entry.expect("a file").path())
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .collect();
        found.sort();
        found
    };
    let log = faulty.open_with(config());
    for from in (0..3_000).step_by(50) {
        log.append(&shop(), events(from, from + 50)).await.expect("appended");
        // The files of ids are written beside the log.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    let appended = log.append(&shop(), events(0, 3_000)).await.expect("appended");
    assert_eq!((appended.events, appended.duplicates), (0, 3_000));
    drop(log);
    assert!(!files("seen").is_empty() && files("log").len() > 5);

    let log = faulty.open_with(config());
    let appended = log.append(&shop(), events(0, 3_000)).await.expect("appended");
    assert_eq!((appended.events, appended.duplicates), (0, 3_000));
    drop(log);

    // An older copy of the segments beside newer files of ids.
    for path in files("log").into_iter().skip(3) {
        std::fs::remove_file(path).expect("removed");
    }
    let log = faulty.open_with(config());
    let left = ids(&log).await.len();
    let appended = log.append(&shop(), events(0, 3_000)).await.expect("appended");
    assert_eq!(appended.duplicates, left as u64);
    assert_eq!(ids(&log).await.len(), 3_000);
}
