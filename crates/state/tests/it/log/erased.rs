//! A user is erased, and the log is as whole as before.

use tidegate_model::Json;
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
    let mut bytes = std::fs::read(&segments[1]).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&segments[1], bytes).expect("damaged");

    let error = folder.append().erase(CANARY).await.expect_err("damaged");

    assert!(error.message().contains("damaged"), "{error:?}");
    let whole = segments.iter().filter(|path| **path != segments[1]);
    for path in whole {
        let bytes = std::fs::read(path).expect("read");
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "{path:?}");
    }
}
