//! The events of one user are found by indexes, and are those that a reading of the whole log gives.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use proptest::prelude::*;
use tidegate_model::{Clock as _, ErrorKind, Event, EventLog, Retention};
use tidegate_state::{LogAccess, LogConfig, open_log};
use tidegate_testkit::event_log::event;
use xxhash_rust::xxh3::xxh3_64;

use super::{Folder, files, read_all, shop};

const SEGMENT: u64 = 4_000;
const USERS: [&str; 5] = ["ann", "bob", "张伟", "", "a user with a longer name"];

/// A log that closes a segment after some events, and compresses it if it is told to.
fn open(folder: &Folder, compress_from: u64) -> Arc<dyn EventLog> {
    let config = LogConfig::new(folder.log(), Arc::new(folder.clock.clone()), LogAccess::Append);
    open_log(LogConfig { segment_bytes: SEGMENT, compress_from, ..config }).expect("opened")
}

/// Events with these numbers, of each of these users in turns.
fn events_of(users: &[&str], numbers: std::ops::Range<usize>) -> Vec<Event> {
    let of = |number: usize| Event { user: users[number % users.len()].into(), ..event(&number.to_string()) };
    numbers.map(of).collect()
}

/// What a reading of the whole log gives.
async fn by_reading(log: &dyn EventLog, user: &str, limit: usize) -> Vec<Event> {
    let (all, error) = read_all(log, None).await;
    assert!(error.is_none(), "{error:?}");
    let mut found: Vec<Event> = all.into_iter().map(|logged| logged.event).collect();
    found.retain(|event| *event.user == *user);
    found.reverse();
    found.truncate(limit);
    found
}

async fn found(log: &dyn EventLog, user: &str, limit: usize) -> Vec<Event> {
    log.events_of(&shop(), user, limit).await.expect("searched").expect("the log can be searched")
}

/// Waits until every segment but the last one has its index.
#[expect(clippy::disallowed_methods, reason = "the thread that makes indexes does not say when it is done")]
async fn indexed(folder: &Folder) -> Vec<PathBuf> {
    let asked = Instant::now();
    loop {
        let (mut segments, indexes) = (folder.files("log"), folder.files("users"));
        segments.pop();
        if !segments.is_empty()
            && segments.iter().all(|segment| segment.with_extension("users").exists())
            && folder.files("tmp").is_empty()
        {
            return indexes;
        }
        assert!(asked.elapsed() < Duration::from_secs(20), "{segments:?} and {indexes:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A log of several segments with their indexes.
async fn several(users: &[&str]) -> Folder {
    let folder = Folder::with_segments_of(SEGMENT);
    let log = open(&folder, 0);
    for at in 0..20 {
        log.append(&shop(), events_of(users, at * 10..at * 10 + 10)).await.expect("appended");
    }
    assert!(indexed(&folder).await.len() >= 3);
    drop(log);
    folder
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("read");
    let at = at % bytes.len();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).expect("written");
}

#[tokio::test]
async fn the_newest_events_of_a_user_are_found_also_by_another_process() {
    let folder = several(&USERS).await;
    for access in [LogAccess::Read, LogAccess::Append] {
        let log = folder.try_open(access).expect("opened");
        for user in USERS.into_iter().chain(["Ann", "an"]) {
            for limit in [0, 1, 7, 40, 500] {
                let expected = by_reading(&*log, user, limit).await;
                assert_eq!(found(&*log, user, limit).await, expected, "{limit} of {user:?}");
            }
        }
        assert_eq!(found(&*log, "bob", 500).await.len(), 40);
    }
    let nothing = tidegate_model::StreamId::new("nothing");
    assert_eq!(folder.append().events_of(&nothing, "bob", 5).await.expect("searched"), Some(Vec::new()));
}

#[tokio::test]
async fn a_segment_without_events_of_the_user_is_not_read() {
    let folder = Folder::with_segments_of(SEGMENT);
    let log = open(&folder, u64::MAX);
    for at in 0..20 {
        log.append(&shop(), events_of(&["bob"], at * 10..at * 10 + 10)).await.expect("appended");
    }
    let ann = events_of(&["ann"], 1_000..1_001);
    log.append(&shop(), ann.clone()).await.expect("appended");
    indexed(&folder).await;
    // Whoever reads it fails.
    flip(&folder.files("log")[0], 500);

    assert_eq!(found(&*log, "ann", 10).await, ann);
    let error = log.events_of(&shop(), "bob", 1_000).await.expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().contains("00000000000000000000.log is damaged at byte"), "{}", error.message());
    assert_eq!(found(&*log, "bob", 5).await.len(), 5, "the newest are not in it");
}

#[tokio::test]
async fn a_damaged_index_hides_no_event_and_is_made_again() {
    let folder = several(&USERS).await;
    let log = open(&folder, 0);
    let expected = by_reading(&*log, "bob", 500).await;
    let whole = contents(&folder);
    for at in (0..whole[0].len()).step_by(29) {
        for path in folder.files("users") {
            flip(&path, at);
            assert_eq!(found(&*log, "bob", 500).await, expected, "byte {at} of {path:?}");
        }
        made_again(&folder, &whole).await;
    }
    for path in folder.files("users") {
        let bytes = fs::read(&path).expect("read");
        fs::write(&path, &bytes[..bytes.len() / 2]).expect("cut");
        assert_eq!(found(&*log, "bob", 500).await, expected, "cut: {path:?}");
    }
    made_again(&folder, &whole).await;
}

/// What the indexes of a log hold.
fn contents(folder: &Folder) -> Vec<Vec<u8>> {
    folder.files("users").iter().map(|path| fs::read(path).unwrap_or_default()).collect()
}

/// Waits until the indexes of a log are as they were.
#[expect(clippy::disallowed_methods, reason = "the thread that makes indexes does not say when it is done")]
async fn made_again(folder: &Folder, whole: &[Vec<u8>]) {
    let asked = Instant::now();
    while contents(folder) != whole {
        assert!(asked.elapsed() < Duration::from_secs(20), "the indexes are not made again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn segments_of_an_earlier_version_get_an_index_when_the_log_is_opened() {
    let folder = several(&USERS).await;
    let before: Vec<Vec<u8>> =
        folder.files("users").iter().map(|path| fs::read(path).expect("read")).collect();
    for path in folder.files("users") {
        fs::remove_file(path).expect("removed");
    }
    let log = folder.try_open(LogAccess::Read).expect("opened");
    assert_eq!(found(&*log, "ann", 500).await.len(), 40, "without an index");
    assert!(folder.files("users").is_empty(), "a process that reads writes nothing");
    drop(log);

    let log = open(&folder, 0);
    assert_eq!(found(&*log, "ann", 500).await.len(), 40, "while indexes are made");
    let after: Vec<Vec<u8>> =
        indexed(&folder).await.iter().map(|path| fs::read(path).expect("read")).collect();
    assert_eq!(before, after);
}

#[tokio::test]
async fn an_erased_user_is_in_no_index() {
    let folder = several(&USERS).await;
    let mark = ((xxh3_64(b"bob") >> 32) as u32).to_le_bytes();
    let holds = || {
        let of = |path: &PathBuf| fs::read(path).expect("read").windows(4).any(|bytes| bytes == mark);
        files(&folder.log().join("shop"), "users").iter().filter(|path| of(path)).count()
    };
    assert!(holds() > 0);

    assert_eq!(folder.append().erase("bob").await.expect("erased"), 40);
    assert_eq!(holds(), 0, "after the erasure");

    let log = open(&folder, 0);
    assert!(found(&*log, "bob", 10).await.is_empty());
    indexed(&folder).await;
    assert_eq!(holds(), 0, "after the indexes were made again");
    assert!(found(&*log, "bob", 10).await.is_empty());
    assert_eq!(found(&*log, "ann", 500).await.len(), 40);
}

#[tokio::test]
async fn an_index_goes_with_its_segment() {
    let folder = several(&USERS).await;
    let log = open(&folder, 0);
    folder.clock.advance(SignedDuration::from_hours(24 * 10));
    log.append(&shop(), events_of(&USERS, 900..901)).await.expect("appended");

    log.trim(&Retention::by_age(folder.clock.now() - SignedDuration::from_hours(24))).await.expect("trimmed");

    let firsts = |ending| folder.files(ending).iter().map(|path| path.with_extension("")).collect::<Vec<_>>();
    assert!(firsts("users").iter().all(|first| firsts("log").contains(first)), "{:?}", folder.files("users"));
    assert_eq!(found(&*log, USERS[0], 500).await, by_reading(&*log, USERS[0], 500).await);
}

#[tokio::test]
async fn an_index_of_another_segment_with_the_same_name_is_not_used() {
    let folder = Folder::with_segments_of(SEGMENT);
    let copy = Folder::with_segments_of(SEGMENT);
    for (folder, user) in [(&folder, "ann"), (&copy, "bob")] {
        let log = open(folder, u64::MAX);
        for at in 0..20 {
            log.append(&shop(), events_of(&[user], at * 10..at * 10 + 10)).await.expect("appended");
        }
        indexed(folder).await;
    }
    // The segments were replaced, and the indexes stayed.
    for (path, of) in folder.files("log").iter().zip(copy.files("log")) {
        fs::copy(of, path).expect("copied");
    }
    fs::copy(copy.log().join("shop/end"), folder.log().join("shop/end")).expect("copied");

    for access in [LogAccess::Read, LogAccess::Append] {
        let log = folder.try_open(access).expect("opened");
        assert_eq!(found(&*log, "bob", 500).await.len(), 200);
        assert!(found(&*log, "ann", 500).await.is_empty());
    }
    let log = open(&folder, u64::MAX);
    assert_eq!(found(&*log, "bob", 500).await.len(), 200);
    made_again(&folder, &contents(&copy)).await;
    assert_eq!(found(&*log, "bob", 500).await.len(), 200);
}

/// What happens to a log.
#[derive(Clone, Debug)]
enum Step {
    Append(usize, usize),
    Restart { compress: bool, indexed: bool },
    Erase(usize),
    Trim(i64),
    Flip(prop::sample::Index, usize),
    Remove(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..40_usize, 0..4_usize).prop_map(|(count, from)| Step::Append(count, from)),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(compress, indexed)| Step::Restart { compress, indexed }),
        1 => (0..USERS.len()).prop_map(Step::Erase),
        1 => (1..80_i64).prop_map(Step::Trim),
        2 => (any::<prop::sample::Index>(), 0..10_000_usize).prop_map(|(file, at)| Step::Flip(file, at)),
        1 => any::<prop::sample::Index>().prop_map(Step::Remove),
    ]
}

async fn check(steps: Vec<Step>, limit: usize) {
    let folder = Folder::with_segments_of(SEGMENT);
    let mut log = open(&folder, u64::MAX);
    let mut next = 0;
    for step in steps {
        match step {
            Step::Append(count, from) => {
                folder.clock.advance(SignedDuration::from_hours(7));
                let events = events_of(&USERS[from..], next..next + count);
                log.append(&shop(), events).await.expect("appended");
                next += count;
            }
            Step::Restart { compress, indexed: wait } => {
                drop(log);
                log = open(&folder, if compress { 0 } else { u64::MAX });
                if wait && next > 0 && folder.files("log").len() > 1 {
                    // Opens the stream.
                    found(&*log, "ann", 1).await;
                    indexed(&folder).await;
                }
            }
            Step::Erase(user) => {
                drop(log);
                open(&folder, u64::MAX).erase(USERS[user]).await.expect("erased");
                log = open(&folder, u64::MAX);
            }
            Step::Trim(hours) => {
                let before = folder.clock.now() - SignedDuration::from_hours(hours);
                log.trim(&Retention::by_age(before)).await.expect("trimmed");
            }
            Step::Flip(..) | Step::Remove(_) if next == 0 => {}
            Step::Flip(file, at) => {
                let files = folder.files("users");
                if let Some(path) = files.get(file.index(files.len().max(1)))
                    && fs::metadata(path).is_ok_and(|found| found.len() > 0)
                {
                    flip(path, at);
                }
            }
            Step::Remove(file) => {
                let files = folder.files("users");
                if let Some(path) = files.get(file.index(files.len().max(1))) {
                    fs::remove_file(path).expect("removed");
                }
            }
        }
        for user in USERS {
            let expected = by_reading(&*log, user, limit).await;
            assert_eq!(found(&*log, user, limit).await, expected, "{user:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_events_of_a_user_are_those_of_the_whole_log_whatever_happened_to_it(
        steps in prop::collection::vec(step(), 1..16), limit in 1..60_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(check(steps, limit));
    }
}
