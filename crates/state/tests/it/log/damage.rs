//! Files that are not as they were written.

use std::fs;

use tidegate_model::ErrorKind;
use tidegate_state::LogAccess;
use tidegate_testkit::event_log::events;

use super::{Folder, ids, read_all, shop};

/// The bytes of a segment's header with this stream's name.
const HEADER: usize = 8 + 4 + 8 + 4 + "shop".len() + 4;

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

#[tokio::test]
async fn a_file_that_was_cut_anywhere_keeps_whole_writes_and_takes_more() {
    let (folder, bytes) = three_writes().await;
    let file = folder.files("log").remove(0);
    let mut kept = Vec::new();

    for length in HEADER..=bytes.len() {
        fs::write(&file, &bytes[..length]).expect("cut");

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
    let last_write = {
        let behind =
            |from: usize| bytes[from..].windows(4).position(|found| found == b"\xF5TGF").map(|at| from + at);
        let first = behind(0).expect("frame");
        let second = behind(first + 1).expect("frame");
        behind(second + 1).expect("frame")
    };

    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&file, &flipped).expect("flipped");
        let log = folder.append();

        let (found, error) = read_all(&*log, None).await;

        let found: Vec<usize> = found.iter().map(|logged| logged.event.id.parse().expect("number")).collect();
        assert_eq!(found, (0..found.len()).collect::<Vec<_>>(), "flipped at {at}");
        if at >= last_write {
            // As a write that was not finished looks: it is cut off, and that is logged.
            assert_eq!((found.len(), error.is_none()), (4, true), "flipped at {at}");
        } else {
            let error = error.expect("noticed");
            assert_eq!(error.kind(), ErrorKind::Storage);
            assert!(error.chain().contains(&file.display().to_string()), "{}", error.chain());
            assert!(error.chain().contains("damaged at byte"), "{}", error.chain());
            assert!(error.next_step().contains("restore"), "{}", error.next_step());
        }
        let appended = log.append(&shop(), events(100, 102)).await;
        // Without its header nobody knows where the segment would go on.
        let known = at >= HEADER;
        assert_eq!(appended.is_ok(), known, "flipped at {at}");
        drop(log);
        for file in folder.files("log").iter().chain(&folder.files("ids")) {
            fs::remove_file(file).expect("removed");
        }
    }
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
