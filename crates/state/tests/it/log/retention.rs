//! What is removed when it is old.

use std::fs;

use jiff::SignedDuration;
use tidegate_model::{Checkpoint, Clock as _};
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

    log.trim(now - DAY * 4).await.expect("trimmed");

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

    log.trim(folder.clock.now() - DAY * 90).await.expect("trimmed");

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

    log.trim(folder.clock.now()).await.expect("trimmed");
    drop(log);

    let log = folder.append();
    assert_eq!(log.append(&shop(), events(0, 2)).await.expect("appended").duplicates, 2);
}
