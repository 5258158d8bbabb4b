//! Closed segments that were compressed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Checkpoint, ErrorKind, EventLog, Retention};
use tidegate_state::{LogAccess, LogConfig, open_log};
use tidegate_testkit::event_log::events;

use super::{Folder, ids, read_all, shop};

const SEGMENT: u64 = 20_000;

/// A log that compresses every closed segment.
fn open(folder: &Folder) -> Arc<dyn EventLog> {
    let config = LogConfig::new(folder.log(), Arc::new(folder.clock.clone()), LogAccess::Append);
    open_log(LogConfig { segment_bytes: SEGMENT, compress_from: 0, ..config }).expect("opened")
}

fn is_packed(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\xF5TIDEPAK"))
}

/// Waits until all segments but the last one are compressed, and returns their files.
#[expect(clippy::disallowed_methods, reason = "the thread that compresses does not say when it is done")]
async fn packed(folder: &Folder) -> Vec<PathBuf> {
    let asked = Instant::now();
    loop {
        let mut files = folder.files("log");
        let last = files.pop().expect("a segment");
        assert!(!is_packed(&last), "the segment that is written");
        if !files.is_empty() && files.iter().all(|file| is_packed(file)) && folder.files("tmp").is_empty() {
            return files;
        }
        assert!(asked.elapsed() < Duration::from_secs(20), "{files:?} are not compressed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A log of a thousand events in several segments, all but the last compressed.
async fn thousand() -> (Folder, Vec<PathBuf>) {
    let folder = Folder::with_segments_of(SEGMENT);
    let log = open(&folder);
    for at in 0..20 {
        log.append(&shop(), events(at * 50, at * 50 + 50)).await.expect("appended");
    }
    let files = packed(&folder).await;
    drop(log);
    assert!(files.len() >= 3, "{files:?}");
    (folder, files)
}

#[tokio::test]
async fn a_log_of_compressed_segments_is_smaller_and_reads_the_same_from_every_offset() {
    let (folder, files) = thousand().await;
    let size: u64 = files.iter().map(|file| file.metadata().expect("a file").len()).sum();
    assert!(size * 3 < SEGMENT * files.len() as u64, "{size} bytes in {} segments", files.len());

    for access in [LogAccess::Read, LogAccess::Append] {
        let log = folder.try_open(access).expect("opened");
        let (all, error) = read_all(&*log, None).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(all.len(), 1_000);
        for from in [1, 49, 50, 51, 333, 998] {
            let offset = all[from - 1].offset;
            let after = Checkpoint(serde_json::json!({"log": offset.log, "offset": offset.at + 1}));
            let (rest, error) = read_all(&*log, Some(&after)).await;
            assert!(error.is_none() && rest == all[from..], "from {from}: {error:?}");
        }
        let lag = log.lag(&shop(), None).await.expect("lag");
        assert_eq!((lag[0].behind, lag[0].trouble.as_deref()), (1_000, None));
    }
    let log = open(&folder);
    let appended = log.append(&shop(), events(0, 1_010)).await.expect("appended");
    assert_eq!(appended.duplicates, 1_000, "known by their ids");
    assert_eq!(ids(&*log).await, (0..1_010).collect::<Vec<_>>());
}

#[tokio::test]
async fn segments_of_an_earlier_version_are_compressed_when_the_log_is_opened() {
    let folder = Folder::with_segments_of(SEGMENT);
    let log = folder.append();
    for at in 0..20 {
        log.append(&shop(), events(at * 50, at * 50 + 50)).await.expect("appended");
    }
    drop(log);
    assert!(!folder.files("log").iter().any(|file| is_packed(file)), "small ones stay as they are");

    let log = open(&folder);
    assert_eq!(ids(&*log).await.len(), 1_000);
    log.append(&shop(), events(1_000, 1_001)).await.expect("appended");
    packed(&folder).await;
    assert_eq!(ids(&*log).await.len(), 1_001);
}

#[tokio::test]
async fn a_damaged_compressed_segment_is_reported_and_what_is_before_it_is_read() {
    let (folder, files) = thousand().await;
    let whole = fs::read(&files[1]).expect("read");
    let before = {
        let first: u64 =
            files[1].file_stem().and_then(|name| name.to_str()?.parse().ok()).expect("an offset");
        usize::try_from(first).expect("a number")
    };
    let mut broken: Vec<Vec<u8>> = Vec::new();
    for at in (0..whole.len()).step_by(13) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        broken.push(flipped);
    }
    broken.extend((0..whole.len()).step_by(101).map(|length| whole[..length].to_vec()));

    for (case, bytes) in broken.into_iter().enumerate() {
        fs::write(&files[1], bytes).expect("written");
        // What is remembered of the ids of a closed segment spares reading it.
        for file in folder.files("ids") {
            fs::remove_file(file).expect("removed");
        }
        let log = folder.append();

        let (found, error) = read_all(&*log, None).await;

        let error = error.unwrap_or_else(|| panic!("case {case} is not noticed"));
        assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
        assert_eq!(found.len(), before, "case {case}");
        let lag = log.lag(&shop(), None).await.expect("lag");
        assert!(lag[0].trouble.as_deref().is_some_and(|trouble| trouble.contains("is damaged")), "{lag:?}");
        log.append(&shop(), events(5_000 + case, 5_001 + case)).await.expect("new events are taken");
    }
}

#[tokio::test]
async fn retention_removes_compressed_segments_and_none_comes_back() {
    let (folder, files) = thousand().await;
    let log = open(&folder);
    folder.clock.advance(SignedDuration::from_hours(24 * 10));
    log.append(&shop(), events(1_000, 1_001)).await.expect("appended");

    let before = Timestamp::MAX;
    let retention = Retention { before, max_bytes: None, exports: Vec::new() };
    log.trim(&retention).await.expect("trimmed");

    assert!(files.iter().all(|file| !file.exists()), "{:?}", folder.files("log"));
    drop(log);
    assert_eq!(ids(&*folder.append()).await, [1_000]);
}

#[tokio::test]
async fn a_user_is_erased_from_compressed_segments() {
    let folder = Folder::with_segments_of(SEGMENT);
    let log = open(&folder);
    for at in 0..20 {
        let mut some = events(at * 50, at * 50 + 50);
        some[7].user = "canary-ann".into();
        log.append(&shop(), some).await.expect("appended");
    }
    packed(&folder).await;
    drop(log);

    assert_eq!(folder.append().erase("canary-ann").await.expect("erased"), 20);

    let log = open(&folder);
    let (rest, error) = read_all(&*log, None).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(rest.len(), 980);
    packed(&folder).await;
    assert_eq!(read_all(&*log, None).await.0, rest, "compressed once more");
}

#[tokio::test]
async fn a_log_whose_last_segment_is_lost_goes_on_behind_a_compressed_one() {
    let (folder, files) = thousand().await;
    let last = folder.files("log").pop().expect("a segment");
    fs::remove_file(&last).expect("removed");

    let log = folder.append();
    log.append(&shop(), events(7_000, 7_001)).await.expect("appended");

    assert!(is_packed(files.last().expect("a file")), "it was not written to");
    let found = ids(&*log).await;
    assert_eq!(found.last(), Some(&7_000));
    drop(log);
    assert_eq!(ids(&*folder.append()).await, found);
}
