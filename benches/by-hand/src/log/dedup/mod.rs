//! The ids of a window of time against `hashbrown::HashTable`.

#[path = "../../../../../crates/state/src/log/dedup/recent.rs"]
#[expect(dead_code, reason = "the whole file of the product, of which a part is measured")]
mod recent;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use self::recent::{Id, RecentIds, Seen};
use crate::clock::on_thread;
use crate::table::{Part, Way};

const IDS: usize = 2_000_000;
const SECOND: u32 = 1_000_000;
const WINDOW: u32 = 86_400;
const SHARDS: usize = 64;
/// This many events are in one request, and so in one write.
const TOGETHER: usize = 100;

/// The same promise by the library: 64 tables, so that growing moves a part at a time.
struct Tables(Vec<HashTable<Seen>>);

impl Tables {
    fn new() -> Tables {
        Tables((0..SHARDS).map(|_| HashTable::new()).collect())
    }

    fn insert(&mut self, seen: Seen) -> bool {
        let hash = |seen: &Seen| (seen.0 >> 64) as u64;
        let wanted = hash(&seen);
        // The table takes its own bits from the top, the shard from below them.
        let table = &mut self.0[(wanted >> 32) as usize % SHARDS];
        match table.entry(wanted, |known| known.id() == seen.id(), hash) {
            Entry::Occupied(mut known) => {
                let fresh = known.get().second().saturating_add(WINDOW) < seen.second();
                if fresh {
                    *known.get_mut() = seen;
                }
                fresh
            }
            Entry::Vacant(place) => {
                place.insert(seen);
                true
            }
        }
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(HashTable::allocation_size).sum()
    }
}

fn all(ids: &[Id], mut insert: impl FnMut(Seen) -> bool) -> usize {
    ids.iter().filter(|id| insert(Seen::new(**id, SECOND))).count()
}

fn ours(ids: &[Id], known: &mut RecentIds) -> usize {
    ids.chunks(TOGETHER)
        .map(|ids| {
            known.fetch(ids);
            all(ids, |seen| known.insert(seen))
        })
        .sum()
}

/// Returns the most bytes that an id takes while a number of them come in.
fn most_bytes(ids: &[Id]) -> f64 {
    let (mut tables, mut most) = (Tables::new(), 0.0_f64);
    for (at, id) in ids.iter().enumerate() {
        tables.insert(Seen::new(*id, SECOND));
        if at >= IDS / 10 && at % 1_000 == 0 {
            most = most.max(tables.bytes() as f64 / at as f64);
        }
    }
    most
}

/// Inserting new ids, and known ones.
pub(crate) fn parts() -> Vec<Part> {
    let ids: Arc<Vec<Id>> = Arc::new((0..IDS).map(|at| Id::of(&format!("event-{at}"))).collect());
    let most = most_bytes(&ids);
    let new_ours = Arc::clone(&ids);
    let new_tables = Arc::clone(&ids);
    let inserting = vec![
        Way::new("ours", move || -> Duration {
            let mut known = RecentIds::new(WINDOW);
            on_thread(|| assert_eq!(black_box(ours(&new_ours, &mut known)), IDS))
        })
        .with_note("at most 24 bytes an id".to_owned()),
        Way::new("`hashbrown::HashTable`", move || {
            let mut known = Tables::new();
            on_thread(|| assert_eq!(black_box(all(&new_tables, |seen| known.insert(seen))), IDS))
        })
        .with_note(format!("at most {most:.0} bytes an id")),
    ];
    let mut known = RecentIds::new(WINDOW);
    let mut tables = Tables::new();
    ours(&ids, &mut known);
    all(&ids, |seen| tables.insert(seen));
    let known_ids = Arc::clone(&ids);
    let finding = vec![
        Way::new("ours", move || on_thread(|| assert_eq!(black_box(ours(&known_ids, &mut known)), 0))),
        Way::new("`hashbrown::HashTable`", move || {
            on_thread(|| assert_eq!(black_box(all(&ids, |seen| tables.insert(seen))), 0))
        }),
    ];
    vec![
        Part { name: "remember new ids of events", items: IDS, ways: inserting },
        Part { name: "recognize known ids of events", items: IDS, ways: finding },
    ]
}
