//! Logs that are not the one which an export has read.

use std::fs;
use std::path::Path;

use tidegate_model::{Checkpoint, EventLog, Exported, LoggedEvent, StreamId, SyncId};
use tidegate_state::LogAccess;
use tidegate_testkit::event_log::events;

use super::{Folder, read_all, shop};

fn checkpoint_behind(logged: &LoggedEvent) -> Checkpoint {
    Checkpoint(serde_json::json!({"log": logged.offset.log, "offset": logged.offset.at + 1}))
}

fn export(checkpoint: &Checkpoint) -> [Exported; 1] {
    [Exported { sync: SyncId::new("lake"), stream: shop(), checkpoint: Some(checkpoint.clone()) }]
}

fn numbers(logged: &[LoggedEvent]) -> Vec<usize> {
    logged.iter().map(|logged| logged.event.id.parse().expect("number")).collect()
}

async fn trouble(log: &dyn EventLog, checkpoint: &Checkpoint) -> String {
    let lag = log.lag(&shop(), Some(checkpoint)).await.expect("lag");
    lag.first().and_then(|lag| lag.trouble.clone()).unwrap_or_default()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let path = entry.expect("entry").path();
        fs::copy(&path, to.join(path.file_name().expect("name"))).expect("copied");
    }
}

#[tokio::test]
async fn a_log_that_was_lost_and_has_grown_past_a_checkpoint_is_read_from_its_beginning() {
    let folder = Folder::new();
    let log = folder.append();
    log.append(&shop(), events(0, 5)).await.expect("appended");
    let checkpoint = checkpoint_behind(read_all(&*log, None).await.0.last().expect("event"));
    assert_eq!(trouble(&*log, &checkpoint).await, "");
    drop(log);
    fs::remove_dir_all(folder.log()).expect("lost");

    let log = folder.append();
    assert!(trouble(&*log, &checkpoint).await.contains("started over"));
    log.append(&shop(), events(5, 20)).await.expect("appended");

    let (found, error) = read_all(&*log, Some(&checkpoint)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(numbers(&found), (5..20).collect::<Vec<_>>());
    assert!(trouble(&*log, &checkpoint).await.contains("started over"));
    let beside = folder.try_open(LogAccess::Read).expect("opened");
    assert!(trouble(&*beside, &checkpoint).await.contains("started over"));
    let reached = checkpoint_behind(found.last().expect("event"));
    assert_eq!(trouble(&*log, &reached).await, "");
}

/// A log of ten events that was replaced by an older copy, of five; with what was read of the ten.
async fn replaced() -> (Folder, Vec<LoggedEvent>) {
    let folder = Folder::new();
    let log = folder.append();
    log.append(&shop(), events(0, 5)).await.expect("appended");
    drop(log);
    let kept = folder.root.path().join("copy");
    copy(&folder.log().join("shop"), &kept);
    let log = folder.append();
    log.append(&shop(), events(5, 10)).await.expect("appended");
    let read = read_all(&*log, None).await.0;
    drop(log);
    fs::remove_dir_all(folder.log().join("shop")).expect("removed");
    copy(&kept, &folder.log().join("shop"));
    (folder, read)
}

#[tokio::test]
async fn a_log_that_was_restored_from_an_older_copy_gives_out_no_offset_a_second_time() {
    let (folder, read) = replaced().await;
    let (ahead, within) = (checkpoint_behind(&read[9]), checkpoint_behind(&read[2]));

    let log = folder.append();
    log.fence(&export(&ahead)).await.expect("fenced");
    log.append(&shop(), events(20, 30)).await.expect("appended");

    let (found, error) = read_all(&*log, Some(&ahead)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(numbers(&found), (20..30).collect::<Vec<_>>());
    assert!(found.iter().all(|logged| logged.offset.log != read[0].offset.log));
    assert!(trouble(&*log, &ahead).await.contains("5 events behind its end"));
    let (found, _) = read_all(&*log, Some(&within)).await;
    assert_eq!(numbers(&found), [3, 4].into_iter().chain(20..30).collect::<Vec<_>>());
    drop(log);
    // It stays so after a restart, and does not begin again.
    let log = folder.append();
    log.fence(&export(&ahead)).await.expect("fenced");
    assert_eq!(numbers(&read_all(&*log, Some(&ahead)).await.0), (20..30).collect::<Vec<_>>());
    assert_eq!(folder.files("log").len(), 2);
}

/// An export that has read a log in Kafka.
fn of_kafka() -> Exported {
    let checkpoint = Checkpoint(serde_json::json!({ "partitions": { "0": 7 } }));
    Exported { sync: SyncId::new("former"), stream: shop(), checkpoint: Some(checkpoint) }
}

#[tokio::test]
async fn an_export_that_has_read_kafka_keeps_no_other_from_noticing_an_older_copy() {
    let (folder, read) = replaced().await;
    let ahead = checkpoint_behind(&read[9]);
    let exports = [vec![of_kafka()], export(&ahead).to_vec()].concat();

    let log = folder.append();
    log.fence(&exports).await.expect("fenced");
    log.append(&shop(), events(20, 30)).await.expect("appended");

    let (found, error) = read_all(&*log, Some(&ahead)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(numbers(&found), (20..30).collect::<Vec<_>>());
    assert!(found.iter().all(|logged| logged.offset.log != read[0].offset.log));
}

#[tokio::test]
async fn a_stream_that_cannot_be_opened_keeps_no_other_from_noticing_an_older_copy() {
    let (folder, read) = replaced().await;
    let ahead = checkpoint_behind(&read[9]);
    // The folder of another stream: this one takes no events before a restart.
    let broken = StreamId::new("broken");
    copy(&folder.log().join("shop"), &folder.log().join("broken"));
    let exports = [Exported { stream: broken.clone(), ..of_kafka() }, export(&ahead)[0].clone()];
    let exports = exports.map(|export| Exported { checkpoint: Some(ahead.clone()), ..export });

    let log = folder.append();
    log.fence(&exports).await.expect("fenced");
    log.append(&shop(), events(20, 30)).await.expect("appended");

    log.append(&broken, events(20, 30)).await.expect_err("not opened");
    let (found, error) = read_all(&*log, Some(&ahead)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(numbers(&found), (20..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_empty_log_that_was_restored_is_told_apart_as_well() {
    let folder = Folder::new();
    let log = folder.append();
    log.append(&shop(), events(0, 5)).await.expect("appended");
    let read = read_all(&*log, None).await.0;
    drop(log);
    // Only the header of its one segment is left, as of a stream without events.
    let file = folder.files("log").remove(0);
    let bytes = fs::read(&file).expect("read");
    let header = bytes.windows(4).position(|found| found == b"\xF5TGF").expect("frame");
    fs::write(&file, &bytes[..header]).expect("cut");
    fs::remove_file(folder.log().join("shop/end")).expect("removed");

    let log = folder.append();
    let ahead = checkpoint_behind(&read[4]);
    log.fence(&export(&ahead)).await.expect("fenced");
    log.append(&shop(), events(20, 30)).await.expect("appended");

    assert_eq!(numbers(&read_all(&*log, Some(&ahead)).await.0), (20..30).collect::<Vec<_>>());
    assert_eq!(folder.files("log").len(), 1);
}
