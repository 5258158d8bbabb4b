//! Segments of any content: reading ends, with the events that were written or an error.

use std::fs;

use proptest::prelude::*;
use tidegate_model::LoggedEvent;
use tidegate_state::LogAccess;
use tidegate_testkit::event_log::{event, events};

use super::{Folder, files, read_all, shop};

/// A change of a file.
#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    /// A copy of a part of it is at another place.
    Repeat(prop::sample::Index, prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), 1..=255_u8).prop_map(|(at, bits)| Change::Flip(at, bits)),
        2 => at().prop_map(Change::Cut),
        1 => (at(), 1..200_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..80)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (at(), at(), 1..400_usize).prop_map(|(from, to, length)| Change::Repeat(from, to, length)),
    ]
}

fn apply(change: &Change, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    match change {
        Change::Flip(at, bits) => bytes[at.index(length)] ^= bits,
        Change::Cut(at) => bytes.truncate(at.index(length)),
        Change::Remove(at, count) => {
            let at = at.index(length);
            bytes.drain(at..(at + count).min(length));
        }
        Change::Insert(at, more) => {
            let at = at.index(length);
            bytes.splice(at..at, more.iter().copied());
        }
        Change::Repeat(from, to, count) => {
            let from = from.index(length);
            let part = bytes[from..(from + count).min(length)].to_vec();
            let to = to.index(length);
            bytes.splice(to..to, part);
        }
    }
}

/// The files of a log of three segments, and its events.
async fn written() -> (Vec<(String, Vec<u8>)>, Vec<LoggedEvent>) {
    let folder = Folder::with_segments_of(400);
    let log = folder.append();
    for start in (0..12).step_by(2) {
        log.append(&shop(), events(start, start + 2)).await.expect("appended");
    }
    let all = read_all(&*log, None).await.0;
    drop(log);
    let stream = folder.log().join("shop");
    let names = fs::read_dir(&stream).expect("listed").map(|entry| entry.expect("entry").path());
    let files = names.map(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read(&path).expect("read"))
    });
    (files.collect(), all)
}

#[test]
fn no_bytes_in_a_segment_make_a_reader_panic_or_invent_an_event() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (files_before, all) = runtime.block_on(written());
    assert!(files_before.iter().filter(|(name, _)| name.ends_with(".log")).count() >= 3);
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(150);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(which in any::<prop::sample::Index>(), changes in prop::collection::vec(change(), 1..4), alone: bool)| {
        let folder = Folder::with_segments_of(400);
        let stream = folder.log().join("shop");
        fs::create_dir_all(&stream).expect("made");
        for (name, bytes) in &files_before {
            // Without what is beside them, segments are read whole.
            if name.ends_with(".log") || !alone {
                fs::write(stream.join(name), bytes).expect("written");
            }
        }
        let segments = files(&stream, "log");
        let changed = which.get(&segments);
        let mut bytes = fs::read(changed).expect("read");
        changes.iter().for_each(|change| apply(change, &mut bytes));
        fs::write(changed, bytes).expect("written");

        runtime.block_on(async {
            for access in [LogAccess::Read, LogAccess::Append, LogAccess::Read] {
                let log = folder.try_open(access).expect("opened");
                let (found, _) = read_all(&*log, None).await;
                let known = |logged: &LoggedEvent| all.contains(logged) || &*logged.event.id == "new";
                prop_assert!(found.iter().all(known), "{found:?}");
                let _ = log.lag(&shop(), None).await;
                if access == LogAccess::Append {
                    let _ = log.append(&shop(), vec![event("new")]).await;
                    let _ = log.erase("nobody of them").await;
                }
            }
            Ok(())
        })?;
    });
}
