//! A user is erased, and the log is as whole as before.

use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use tidegate_model::{Json, Reading, StreamId};
use tidegate_state::LogAccess;
use tidegate_testkit::event_log::{event, events};

use super::{Folder, files, read_all, shop};

const CANARY: &str = "canary-ann";

fn holds(folder: &Folder) -> bool {
    let mut places = vec![folder.log()];
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(place).expect("listed").flatten() {
            match entry.path() {
                path if path.is_dir() => places.push(path),
                path => {
                    let bytes = std::fs::read(path).expect("read");
                    if bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
                        return true;
                    }
                }
            }
        }
    }
    false
}

#[tokio::test]
async fn users_are_erased_one_after_the_other_as_a_restore_does() {
    let folder = Folder::with_segments_of(500);
    let log = folder.append();
    for start in (0..30).step_by(3) {
        let mut some = events(start, start + 3);
        some[1].user = CANARY.into();
        some[2].user = "another-one".into();
        log.append(&shop(), some).await.expect("appended");
    }
    drop(log);
    let log = folder.append();
    assert_eq!(log.erase("another-one").await.expect("erased"), 10);
    assert_eq!(log.erase(CANARY).await.expect("erased"), 10);
    assert!(!holds(&folder));
    log.append(&shop(), events(30, 33)).await.expect("appended");
    assert_eq!(read_all(&*log, None).await.0.len(), 13);
}

#[tokio::test]
async fn an_erased_user_is_in_no_segment_and_the_others_keep_their_offsets() {
    for segment_bytes in [500, 64 * 1024 * 1024] {
        let folder = Folder::with_segments_of(segment_bytes);
        let log = folder.append();
        for start in (0..60).step_by(3) {
            let mut some = events(start, start + 3);
            some[1].user = CANARY.into();
            some[2].payload = Json::trusted(format!(r#"{{"id":"{}","friend":"{CANARY}"}}"#, start + 2));
            log.append(&shop(), some).await.expect("appended");
        }
        let (before, _) = read_all(&*log, None).await;
        let half = serde_json::json!({ "log": before[0].offset.log, "offset": 30 });
        drop(log);
        assert!(holds(&folder));

        assert_eq!(folder.append().erase(CANARY).await.expect("erased"), 40);
        assert!(!holds(&folder), "segments of {segment_bytes}");
        assert_eq!(folder.append().erase(CANARY).await.expect("again"), 0);

        let expected: Vec<_> = before.iter().filter(|logged| logged.offset.at % 3 == 0).cloned().collect();
        for access in [LogAccess::Read, LogAccess::Append] {
            let log = folder.try_open(access).expect("opened");
            let (after, error) = read_all(&*log, None).await;
            assert!(error.is_none(), "{error:?}");
            assert_eq!(after, expected, "same offsets, log and times");
            let half = tidegate_model::Checkpoint(half.clone());
            assert_eq!(read_all(&*log, Some(&half)).await.0, expected[10..]);
            assert_eq!(log.lag(&shop(), None).await.expect("lag")[0].trouble, None);
        }
        // A repetition of an erased event is known, so it does not come back.
        let log = folder.append();
        let mut again = event("1");
        again.user = CANARY.into();
        assert_eq!(log.append(&shop(), vec![again]).await.expect("appended").duplicates, 1);
        log.append(&shop(), events(60, 61)).await.expect("appended");
        assert_eq!(read_all(&*log, None).await.0.last().expect("events").offset.at, 60);
        assert!(!holds(&folder));
    }
}

/// Flips a bit of the byte at this position of a file.
fn flip(file: &Path, position: impl Fn(&[u8]) -> usize) {
    let mut bytes = std::fs::read(file).expect("read");
    let at = position(&bytes);
    bytes[at] ^= 1;
    std::fs::write(file, bytes).expect("damaged");
}

/// The positions of a byte in the header of each frame.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let starts = bytes.windows(4).enumerate().filter(|(_, window)| *window == b"\xF5TGF");
    starts.map(|(at, _)| at + 20).collect()
}

/// A log of twenty writes of one event of the user.
async fn twenty(segment_bytes: u64) -> (Folder, Vec<PathBuf>) {
    let folder = Folder::with_segments_of(segment_bytes);
    let log = folder.append();
    for id in 0..20 {
        let mut one = event(&id.to_string());
        one.user = CANARY.into();
        log.append(&shop(), vec![one]).await.expect("appended");
    }
    drop(log);
    let segments = folder.files("log");
    (folder, segments)
}

#[tokio::test]
async fn events_behind_a_damaged_frame_are_not_said_to_be_erased() {
    // A closed segment, whose ids are beside it, so that opening does not read it.
    let (folder, segments) = twenty(500).await;
    flip(&segments[1], |bytes| frames(bytes)[0]);
    let error = folder.append().erase(CANARY).await.expect_err("a closed segment");
    assert!(error.message().contains("damaged"), "{error:?}");
    assert!(holds(&folder), "what is behind the damage stays");
    // The file that the error names is moved out of its folder, and the others have no such user.
    std::fs::remove_file(&segments[1]).expect("moved");
    assert_eq!(folder.append().erase(CANARY).await.expect("erased"), 0);
    assert!(!holds(&folder));

    // The segment that is written: before another frame, or before what was acknowledged.
    for (frame, without_end) in [(3, true), (3, false), (19, false)] {
        let (folder, segments) = twenty(64 << 20).await;
        flip(&segments[0], |bytes| frames(bytes)[frame]);
        if without_end {
            std::fs::remove_file(folder.log().join("shop/end")).expect("removed");
        }
        let error = folder.append().erase(CANARY).await.expect_err("the last segment");
        assert!(error.message().contains("damaged"), "frame {frame}: {error:?}");
    }

    // A stream that no segment can tell the name of.
    let (folder, segments) = twenty(64 << 20).await;
    flip(&segments[0], |_| 30);
    let error = folder.append().erase(CANARY).await.expect_err("a header");
    assert!(error.message().contains("damaged at byte 0"), "{error:?}");
}

#[tokio::test]
async fn a_write_that_a_crash_left_unfinished_is_erased_and_no_damage() {
    let (folder, segments) = twenty(64 << 20).await;
    let bytes = std::fs::read(&segments[0]).expect("read");
    let frames = frames(&bytes);
    // In the last frame: in its header, in its record, behind both.
    for length in [frames[19], frames[19] + 40, bytes.len() - 1, bytes.len()] {
        std::fs::write(&segments[0], &bytes[..length]).expect("cut");
        std::fs::remove_file(folder.log().join("shop/end")).expect("removed");
        let whole = if length == bytes.len() { 20 } else { 19 };
        assert_eq!(folder.append().erase(CANARY).await.expect("erased"), whole, "cut at {length}");
        assert!(!holds(&folder), "cut at {length}");
    }
}

#[tokio::test]
async fn a_damaged_stream_keeps_no_other_stream_from_being_erased() {
    let (folder, segments) = twenty(64 << 20).await;
    let other = StreamId::new("web");
    let mut one = event("1");
    one.user = CANARY.into();
    folder.append().append(&other, vec![one]).await.expect("appended");
    flip(&segments[0], |bytes| frames(bytes)[0]);

    folder.append().erase(CANARY).await.expect_err("damaged");

    let (log, reading) = (folder.append(), Reading { batch_events: 10, follow: false });
    assert!(log.read(&other, None, reading).await.expect("a feed").next().await.is_none());
}

#[tokio::test]
async fn events_in_front_of_a_damaged_place_are_erased_and_the_damage_is_said() {
    let folder = Folder::with_segments_of(500);
    let log = folder.append();
    for id in 0..20 {
        let mut one = event(&id.to_string());
        one.user = CANARY.into();
        log.append(&shop(), vec![one]).await.expect("appended");
    }
    drop(log);
    let segments = files(&folder.log().join("shop"), "log");
    flip(&segments[1], |bytes| bytes.len() - 1);

    let error = folder.append().erase(CANARY).await.expect_err("damaged");

    assert!(error.message().contains("damaged"), "{error:?}");
    let whole = segments.iter().filter(|path| **path != segments[1]);
    for path in whole {
        let bytes = std::fs::read(path).expect("read");
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "{path:?}");
    }
}
