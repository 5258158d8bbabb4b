//! Files that are not as they were written.

use std::fs;

use tidegate_model::{Checkpoint, ErrorKind};
use tidegate_state::LogAccess;
use tidegate_testkit::event_log::events;

use super::{Folder, ids, read_all, shop};

/// The bytes of a segment's header with this stream's name.
const HEADER: usize = 8 + 4 + 8 + 8 + 8 + 4 + 4 + "shop".len() + 4;

/// A log of three writes of two events, and its one segment file.
async fn three_writes() -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    let log = folder.append();
    for at in 0..3 {
        log.append(&shop(), events(at * 2, at * 2 + 2)).await.expect("appended");
    }
    drop(log);
    let bytes = fs::read(&folder.files("log")[0]).expect("read");
    (folder, bytes)
}

/// Forgets how far the log was acknowledged, as a loss of power may.
fn forget_the_end(folder: &Folder) {
    fs::remove_file(folder.log().join("shop/end")).expect("removed");
}

#[tokio::test]
async fn a_file_that_was_cut_anywhere_keeps_whole_writes_and_takes_more() {
    let (folder, bytes) = three_writes().await;
    let file = folder.files("log").remove(0);
    let mut kept = Vec::new();

    for length in HEADER..=bytes.len() {
        fs::write(&file, &bytes[..length]).expect("cut");
        forget_the_end(&folder);

        let reader = folder.try_open(LogAccess::Read).expect("opened");
        let seen_beside = ids(&*reader).await;
        let log = folder.append();
        let found = ids(&*log).await;
        assert_eq!(found, seen_beside, "cut at {length}");
        assert_eq!(found, (0..found.len()).collect::<Vec<_>>(), "cut at {length}");
        assert!(found.len() >= *kept.last().unwrap_or(&0), "cut at {length}");
        kept.push(found.len());

        let appended = log.append(&shop(), events(0, 7)).await.expect("appended");
        assert_eq!(appended.duplicates, found.len() as u64, "cut at {length}");
        drop(log);
        assert_eq!(ids(&*folder.append()).await, (0..7).collect::<Vec<_>>(), "cut at {length}");
    }

    assert_eq!(kept.first(), Some(&0));
    assert_eq!(kept.last(), Some(&6));
    kept.dedup();
    assert_eq!(kept, [0, 2, 4, 6]);
}

#[tokio::test]
async fn zeros_behind_the_last_write_are_cut_off() {
    let (folder, mut bytes) = three_writes().await;
    bytes.resize(bytes.len() + 5_000, 0);
    fs::write(&folder.files("log")[0], &bytes).expect("written");

    let log = folder.append();
    log.append(&shop(), events(6, 8)).await.expect("appended");

    assert_eq!(ids(&*log).await, (0..8).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_flipped_bit_goes_unnoticed_and_none_holds_up_new_events() {
    let (folder, bytes) = three_writes().await;
    let file = folder.files("log").remove(0);
    let end = fs::read(folder.log().join("shop/end")).expect("end");

    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&file, &flipped).expect("flipped");
        fs::write(folder.log().join("shop/end"), &end).expect("written");
        let beside = folder.try_open(LogAccess::Read).expect("opened").lag(&shop(), None).await.expect("lag");
        let log = folder.append();

        let (found, error) = read_all(&*log, None).await;

        let found: Vec<usize> = found.iter().map(|logged| logged.event.id.parse().expect("number")).collect();
        assert_eq!(found, (0..found.len()).collect::<Vec<_>>(), "flipped at {at}");
        assert!(found.len() < 6, "flipped at {at}");
        let error = error.unwrap_or_else(|| panic!("flipped at {at} and not noticed"));
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.chain().contains(&file.display().to_string()), "{}", error.chain());
        assert!(error.chain().contains("damaged at byte"), "{}", error.chain());
        assert!(error.next_step().contains("restore"), "{}", error.next_step());
        for lag in [beside, log.lag(&shop(), None).await.expect("lag")] {
            let trouble = lag[0].trouble.as_deref().unwrap_or_default();
            assert!(trouble.contains("damaged at byte"), "flipped at {at}: {trouble:?}");
            assert_eq!(lag[0].end, 6, "flipped at {at}");
        }
        let appended = log.append(&shop(), events(100, 102)).await.expect("appended");
        assert_eq!(appended.events, 2);
        // Without the damaged file the new events are read, with offsets of their own.
        drop(log);
        fs::remove_file(&file).expect("removed");
        let (found, error) = read_all(&*folder.append(), None).await;
        assert!(error.is_none(), "flipped at {at}: {error:?}");
        assert_eq!(found.iter().map(|logged| logged.offset.at).collect::<Vec<_>>(), [6, 7]);
        for file in folder.files("log").iter().chain(&folder.files("ids")) {
            fs::remove_file(file).expect("removed");
        }
    }
}

#[tokio::test]
async fn acknowledged_events_that_were_cut_off_are_damage_and_not_an_unfinished_write() {
    let (folder, bytes) = three_writes().await;
    let file = folder.files("log").remove(0);
    let end = fs::read(folder.log().join("shop/end")).expect("end");

    for length in 0..bytes.len() {
        fs::write(&file, &bytes[..length]).expect("cut");
        fs::write(folder.log().join("shop/end"), &end).expect("written");

        for round in 0..3 {
            // Also after a restart, and after the first new events.
            let log = folder.append();
            let (found, error) = read_all(&*log, None).await;
            assert!(found.len() < 6, "cut at {length}, round {round}");
            let error = error.unwrap_or_else(|| panic!("cut at {length}, round {round}: not noticed"));
            assert!(error.message().contains("damaged at byte"), "{}", error.message());
            let beside = folder.try_open(LogAccess::Read).expect("opened");
            for log in [&log, &beside] {
                let trouble = log.lag(&shop(), None).await.expect("lag").remove(0).trouble;
                let trouble = trouble.unwrap_or_else(|| panic!("cut at {length}, round {round}: not shown"));
                assert!(trouble.contains("damaged at byte"), "{trouble}");
            }
            if round == 1 {
                log.append(&shop(), events(100, 102)).await.expect("appended");
            }
        }

        let behind = Checkpoint(serde_json::json!({"offset": 6}));
        let (found, error) = read_all(&*folder.append(), Some(&behind)).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(found.len(), 2, "an export that had them all goes on");
        for file in folder.files("log").iter().chain(&folder.files("ids")) {
            fs::remove_file(file).expect("removed");
        }
    }
}

#[tokio::test]
async fn offsets_of_damaged_events_are_not_given_out_again_though_nothing_tells_how_many_there_were() {
    let (folder, bytes) = three_writes().await;
    let mut damaged = bytes.clone();
    // In the second of three writes, so that a whole one after it shows that it was durable.
    damaged[bytes.len() / 2] ^= 1;
    fs::write(&folder.files("log")[0], &damaged).expect("damaged");
    forget_the_end(&folder);

    let log = folder.append();
    log.append(&shop(), events(100, 101)).await.expect("appended");

    assert!(log.lag(&shop(), None).await.expect("lag")[0].end > 6);
}

#[tokio::test]
async fn a_damaged_segment_that_is_moved_away_is_skipped() {
    let folder = Folder::with_segments_of(1);
    let log = folder.append();
    for at in 0..4 {
        log.append(&shop(), events(at * 2, at * 2 + 2)).await.expect("appended");
    }
    let damaged = folder.files("log").remove(1);
    let mut bytes = fs::read(&damaged).expect("read");
    let end = bytes.len();
    bytes[end - 3] ^= 1;
    fs::write(&damaged, &bytes).expect("flipped");

    let (found, error) = read_all(&*log, None).await;
    assert_eq!(found.len(), 3);
    let expected = format!("{} is damaged at byte", damaged.display());
    assert!(error.expect("noticed").message().starts_with(&expected));

    fs::rename(&damaged, folder.root.path().join("away")).expect("moved");
    assert_eq!(ids(&*log).await, [0, 1, 4, 5, 6, 7]);
    drop(log);
    assert_eq!(ids(&*folder.append()).await, [0, 1, 4, 5, 6, 7]);
}

#[tokio::test]
async fn ids_are_known_without_their_file_and_with_a_damaged_one() {
    let folder = Folder::with_segments_of(1);
    let log = folder.append();
    for at in 0..4 {
        log.append(&shop(), events(at * 2, at * 2 + 2)).await.expect("appended");
    }
    drop(log);
    let sidecars = folder.files("ids");
    assert_eq!(sidecars.len(), 3);
    fs::remove_file(&sidecars[0]).expect("removed");
    let mut bytes = fs::read(&sidecars[1]).expect("read");
    bytes[30] ^= 1;
    fs::write(&sidecars[1], &bytes).expect("flipped");

    let log = folder.append();
    let again = log.append(&shop(), events(0, 9)).await.expect("appended");

    assert_eq!((again.duplicates, again.events), (8, 1));
    assert!(sidecars[0].exists());
}
