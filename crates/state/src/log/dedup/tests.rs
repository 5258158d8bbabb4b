//! Ids in memory, in files and on their way.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::log::lineage::Lineage;

const DAY: u32 = 86_400;
const NOW: u32 = 1_000_000;

fn limits(recent_max: usize) -> DedupLimits {
    DedupLimits { window_seconds: DAY, recent_max, ids_max: u64::MAX }
}

fn index(folder: &Path, limits: DedupLimits, lineage: &Lineage) -> DedupIndex {
    let runs = Runs::load(folder, lineage).expect("a folder");
    DedupIndex::new(folder.to_owned(), limits, runs)
}

fn seen(id: u64, second: u32) -> Seen {
    Seen::new(Id::of(&format!("event-{id}")), second)
}

#[test]
fn a_million_ids_are_known_exactly_with_a_sixteenth_of_them_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let lineage = Lineage::begin();
    let mut dedup = index(folder.path(), limits(60_000), &lineage);
    for id in 0..1_000_000_u64 {
        assert!(dedup.insert(seen(id, NOW)), "{id} is new");
        if id % 1_000 == 999 {
            dedup.make_room(lineage.id, id + 1, NOW);
        }
        if id % 60_000 == 59_999 {
            dedup.wait();
        }
    }
    for _ in 0..8 {
        dedup.make_room(lineage.id, 1_000_000, NOW);
        dedup.wait();
    }
    assert!(dedup.runs.len() <= 8, "{} files", dedup.runs.len());
    assert!(dedup.bytes() < 1_000_000 * 5, "{} bytes", dedup.bytes());

    for id in (0..1_000_000).step_by(7) {
        assert!(!dedup.insert(seen(id, NOW + DAY)), "{id} is known");
    }
    for id in 1_000_000..1_010_000 {
        assert!(dedup.insert(seen(id, NOW + DAY)), "{id} is new");
    }
}

#[test]
fn files_are_found_again_after_a_restart_and_cover_what_they_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let lineage = Lineage::begin();
    let mut dedup = index(folder.path(), limits(1_000), &lineage);
    for id in 0..5_500 {
        dedup.insert(seen(id, NOW));
        dedup.make_room(lineage.id, id + 1, NOW);
        dedup.wait();
    }
    let covered = dedup.runs.end();
    assert!((4_500..5_500).contains(&covered), "{covered}");
    drop(dedup);

    let fork = lineage.fork(5_500);
    let mut dedup = index(folder.path(), limits(1_000), &fork);
    assert_eq!(dedup.runs.end(), covered);
    assert!((0..covered).all(|id| !dedup.insert(seen(id, NOW + 5))));
    assert!((covered..covered + 100).all(|id| dedup.insert(seen(id, NOW + 5))));
}

#[test]
fn files_of_another_log_and_damaged_ones_are_not_believed() {
    for damage in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let lineage = Lineage::begin();
        let mut dedup = index(folder.path(), limits(1_000), &lineage);
        for id in 0..2_500 {
            dedup.insert(seen(id, NOW));
            dedup.make_room(lineage.id, id + 1, NOW);
            dedup.wait();
        }
        assert_eq!(dedup.runs.len(), 2);
        drop(dedup);
        let log = if damage { lineage } else { Lineage::begin() };
        if damage {
            let path = std::fs::read_dir(folder.path())
                .expect("a folder")
                .next()
                .expect("a file")
                .expect("a file")
                .path();
            let mut bytes = std::fs::read(&path).expect("bytes");
            *bytes.last_mut().expect("a byte") ^= 1;
            std::fs::write(&path, bytes).expect("written");
        }
        let dedup = index(folder.path(), limits(1_000), &log);
        assert_eq!((dedup.runs.end(), dedup.runs.len()), (0, 0));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}

#[test]
fn a_merge_that_was_cut_short_leaves_each_event_covered_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let lineage = Lineage::begin();
    let mut dedup = index(folder.path(), limits(1_000), &lineage);
    for id in 0..4_000 {
        dedup.insert(seen(id, NOW));
        dedup.make_room(lineage.id, id + 1, NOW);
        dedup.wait();
    }
    // Four files; the process dies after the merged one has its name and before they are removed.
    let copies = tempfile::tempdir().expect("a folder");
    let names = || {
        std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("a file").file_name())
    };
    assert_eq!(names().count(), 4);
    for name in names() {
        std::fs::copy(folder.path().join(&name), copies.path().join(&name)).expect("copied");
    }
    dedup.make_room(lineage.id, 4_000, NOW);
    dedup.wait();
    assert_eq!((dedup.runs.len(), names().count()), (1, 1));
    for name in
        std::fs::read_dir(copies.path()).expect("a folder").map(|entry| entry.expect("a file").file_name())
    {
        std::fs::copy(copies.path().join(&name), folder.path().join(&name)).expect("copied");
    }
    drop(dedup);

    let mut dedup = index(folder.path(), limits(1_000), &lineage);
    assert_eq!((dedup.runs.len(), names().count()), (1, 1));
    assert!((0..4_000).all(|id| !dedup.insert(seen(id, NOW + 5))));
}

#[test]
fn what_has_left_the_window_leaves_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let lineage = Lineage::begin();
    let mut dedup = index(folder.path(), limits(1_000), &lineage);
    for id in 0..20_000 {
        let now = NOW + u32::try_from(id).expect("small") * 60;
        dedup.insert(seen(id, now));
        dedup.make_room(lineage.id, id + 1, now);
        dedup.wait();
    }
    // A day has 1,440 of these events.
    let bytes: u64 = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("a file").metadata().expect("a size").len())
        .sum();
    assert!(bytes < 4_000 * 24, "{bytes}");
}

#[test]
fn beyond_the_greatest_number_the_oldest_are_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let lineage = Lineage::begin();
    let mut dedup = index(folder.path(), DedupLimits { ids_max: 3_000, ..limits(1_000) }, &lineage);
    for id in 0..10_000 {
        dedup.insert(seen(id, NOW));
        dedup.make_room(lineage.id, id + 1, NOW);
        dedup.wait();
    }
    assert!((8_000..10_000).all(|id| !dedup.insert(seen(id, NOW))));
    assert!(dedup.insert(seen(0, NOW)), "the oldest is forgotten");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_agrees_with_a_plain_map_whenever_ids_move(
        steps in proptest::collection::vec((0_u64..400, 0_u32..2_000, 0_u8..20), 0..2_000),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut lineage = Lineage::begin();
        let mut dedup = index(folder.path(), limits(40), &lineage);
        let mut map = std::collections::HashMap::new();
        let (mut now, mut next) = (NOW, 0);
        for (id, passed, action) in steps {
            now += passed;
            let seen = seen(id, now);
            let known = map.get(&id).is_some_and(|logged| now - logged <= DAY);
            prop_assert_eq!(dedup.insert(seen), !known);
            if !known && action == 0 {
                dedup.forget(seen);
                continue;
            }
            if !known {
                map.insert(id, now);
                next += 1;
            }
            match action {
                1..6 => dedup.make_room(lineage.id, next, now),
                6 => dedup.wait(),
                7 => lineage = lineage.fork(next),
                _ => {}
            }
        }
    }
}
