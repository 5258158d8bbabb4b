//! What is removed when it is old.

use std::fs;

use jiff::SignedDuration;
use tidegate_model::{Checkpoint, Clock as _, Exported, Retention, SyncId};
use tidegate_testkit::event_log::events;

use super::{Folder, ids, read_all, shop};

const DAY: SignedDuration = SignedDuration::from_hours(24);

#[tokio::test]
async fn whole_segments_go_when_their_last_event_is_too_old() {
    let folder = Folder::with_segments_of(1);
    let log = folder.append();
    for day in 0..10 {
        log.append(&shop(), events(day, day + 1)).await.expect("appended");
        folder.clock.advance(DAY);
    }
    let now = folder.clock.now();

    log.trim(&Retention::by_age(now - DAY * 4)).await.expect("trimmed");

    assert_eq!(ids(&*log).await, [6, 7, 8, 9]);
    assert_eq!(folder.files("log").len(), 4);
    assert_eq!(folder.files("ids").len(), 3);
    let lag = log.lag(&shop(), None).await.expect("lag");
    assert_eq!((lag[0].position, lag[0].end, lag[0].behind), (6, 10, 4));
    let committed = Checkpoint(serde_json::json!({"offset": 9}));
    let lag = log.lag(&shop(), Some(&committed)).await.expect("lag");
    assert_eq!((lag[0].behind, lag[0].last_seen), (1, Some(now - DAY * 2)));
    let old = Checkpoint(serde_json::json!({"offset": 2}));
    assert_eq!(read_all(&*log, Some(&old)).await.0.len(), 4);
}

#[tokio::test]
async fn a_stream_where_nothing_happens_any_more_becomes_empty_and_counts_on() {
    let folder = Folder::new();
    let log = folder.append();
    log.append(&shop(), events(0, 10)).await.expect("appended");
    folder.clock.advance(DAY * 100);

    log.trim(&Retention::by_age(folder.clock.now() - DAY * 90)).await.expect("trimmed");

    assert!(ids(&*log).await.is_empty());
    let size: u64 = folder.files("log").iter().map(|file| fs::metadata(file).expect("file").len()).sum();
    assert!(size < 100, "{size}");
    assert_eq!(log.streams().await.expect("streams"), [shop()]);
    drop(log);
    let log = folder.append();
    log.append(&shop(), events(10, 11)).await.expect("appended");
    let (found, _) = read_all(&*log, Some(&Checkpoint(serde_json::json!({"offset": 3})))).await;
    assert_eq!(found[0].offset.at, 10);
}

#[tokio::test]
async fn nothing_goes_that_repetitions_are_known_by() {
    let folder = Folder::with_segments_of(1);
    let log = folder.append();
    log.append(&shop(), events(0, 1)).await.expect("appended");
    folder.clock.advance(DAY / 2);
    log.append(&shop(), events(1, 2)).await.expect("appended");

    log.trim(&Retention::by_age(folder.clock.now())).await.expect("trimmed");
    drop(log);

    let log = folder.append();
    assert_eq!(log.append(&shop(), events(0, 2)).await.expect("appended").duplicates, 2);
}

fn export(name: &str, offset: Option<u64>) -> Exported {
    let checkpoint = offset.map(|offset| Checkpoint(serde_json::json!({"offset": offset})));
    Exported { sync: SyncId::new(name), stream: shop(), checkpoint }
}

/// A log with one segment for each of ten days.
async fn ten_days() -> (Folder, std::sync::Arc<dyn tidegate_model::EventLog>) {
    let folder = Folder::with_segments_of(1);
    let log = folder.append();
    for day in 0..10 {
        log.append(&shop(), events(day, day + 1)).await.expect("appended");
        folder.clock.advance(DAY);
    }
    (folder, log)
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_removes_nothing_that_was_not_exported() {
    let (folder, log) = ten_days().await;
    folder.clock.advance(DAY * 100);
    let exports = vec![export("quick", Some(10)), export("slow", Some(3))];
    let retention = Retention { exports, ..Retention::by_age(folder.clock.now() - DAY * 90) };

    log.trim(&retention).await.expect("trimmed");

    assert_eq!(ids(&*log).await, (3..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_export_that_has_read_nothing_keeps_everything() {
    let (folder, log) = ten_days().await;
    let exports = vec![export("quick", Some(10)), export("new", None)];
    let retention = Retention { exports, ..Retention::by_age(folder.clock.now() - DAY * 2) };

    log.trim(&retention).await.expect("trimmed");

    assert_eq!(ids(&*log).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_export_that_has_read_kafka_keeps_what_it_has_not_read_up_to_the_stated_size() {
    let (folder, log) = ten_days().await;
    let one = fs::metadata(&folder.files("log")[0]).expect("file").len();
    let checkpoint = Some(Checkpoint(serde_json::json!({ "partitions": { "0": 7 } })));
    let exports = vec![Exported { checkpoint, ..export("former", None) }, export("quick", Some(10))];
    let by_age = Retention { exports, ..Retention::by_age(folder.clock.now() - DAY * 2) };

    log.trim(&by_age).await.expect("trimmed");
    assert_eq!(ids(&*log).await, (0..10).collect::<Vec<_>>());

    log.trim(&Retention { max_bytes: Some(one * 4), ..by_age }).await.expect("trimmed");
    assert_eq!(ids(&*log).await, [6, 7, 8, 9]);
}

#[tokio::test]
async fn events_that_a_clock_ahead_has_logged_do_not_stop_retention() {
    for (segment_bytes, restart) in [(1, false), (1, true), (64 << 20, false), (64 << 20, true)] {
        let folder = Folder::with_segments_of(segment_bytes);
        let now = folder.clock.now();
        let mut log = folder.append();
        folder.clock.set(now + DAY * 3650);
        log.append(&shop(), events(0, 1)).await.expect("appended");
        folder.clock.set(now);
        for at in 1..4 {
            log.append(&shop(), events(at, at + 1)).await.expect("appended");
        }
        if restart {
            drop(log);
            log = folder.append();
        }

        folder.clock.advance(DAY * 80);
        log.trim(&Retention::by_age(folder.clock.now() - DAY * 90)).await.expect("trimmed");
        assert_eq!(ids(&*log).await, [0, 1, 2, 3], "none is old");

        folder.clock.advance(DAY * 20);
        log.trim(&Retention::by_age(folder.clock.now() - DAY * 90)).await.expect("trimmed");
        assert!(ids(&*log).await.is_empty(), "segments of {segment_bytes}");
    }
}

#[tokio::test]
async fn events_of_a_clock_ahead_are_kept_while_the_clock_says_nothing_about_their_age() {
    let folder = Folder::with_segments_of(1);
    let now = folder.clock.now();
    let log = folder.append();
    for at in 0..3 {
        folder.clock.set(now + DAY * 3650);
        log.append(&shop(), events(at, at + 1)).await.expect("appended");
    }
    folder.clock.set(now + DAY * 100);

    log.trim(&Retention::by_age(folder.clock.now() - DAY * 90)).await.expect("trimmed");

    assert_eq!(ids(&*log).await, [0, 1, 2]);
}

#[tokio::test]
async fn an_export_of_another_stream_keeps_nothing_here() {
    let (folder, log) = ten_days().await;
    let other = Exported { stream: tidegate_model::StreamId::new("other"), ..export("other", None) };
    let retention = Retention { exports: vec![other], ..Retention::by_age(folder.clock.now() - DAY * 4) };

    log.trim(&retention).await.expect("trimmed");

    assert_eq!(ids(&*log).await, [6, 7, 8, 9]);
}

#[tokio::test]
async fn beyond_a_stated_size_the_oldest_events_go_though_they_were_not_exported() {
    let (folder, log) = ten_days().await;
    let one = fs::metadata(&folder.files("log")[0]).expect("file").len();
    let exports = vec![export("slow", Some(1))];
    let max_bytes = Some(one * 4);
    let retention = Retention { exports, max_bytes, ..Retention::by_age(folder.clock.now() - DAY * 90) };

    log.trim(&retention).await.expect("trimmed");

    assert_eq!(ids(&*log).await, [6, 7, 8, 9]);
}

#[tokio::test]
async fn a_damaged_segment_does_not_stop_retention() {
    for restart in [false, true] {
        let (folder, log) = ten_days().await;
        drop(log);
        for damaged in [0, 2, 3] {
            let file = folder.files("log").remove(damaged);
            let mut bytes = fs::read(&file).expect("read");
            let at = if damaged == 2 { 3 } else { bytes.len() - 3 };
            bytes[at] ^= 1;
            fs::write(&file, &bytes).expect("flipped");
            let ids = file.with_extension("ids");
            if restart {
                fs::remove_file(ids).expect("removed");
            }
        }
        let log = folder.append();

        log.trim(&Retention::by_age(folder.clock.now() - DAY * 4)).await.expect("trimmed");

        assert_eq!(ids(&*log).await, [6, 7, 8, 9]);
    }
}
