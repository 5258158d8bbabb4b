//! What comparisons tell of rows, after anything that can happen between them.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_model::store::{BatchCommit, Known, LookbackChunk, RowVersion, RunEnd};
use tidegate_model::{Cause, Clock as _, Compared, Ending, ObjectKind, RowHash, Store, SyncId};
use tidegate_testkit::store::Backend as _;

use crate::embedded::Folder;

/// What happens to a table, and to what is committed of it.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A row is inserted, or becomes another one where it stands.
    Write {
        key: u8,
        value: u8,
    },
    /// A row moves to the end, as PostgreSQL moves what is updated.
    Move {
        key: u8,
    },
    Delete {
        key: u8,
    },
    /// Some other run commits a row, as it is in the table or not.
    Commit {
        key: u8,
        value: u8,
    },
    /// A run compares all rows, and commits those with an even key that differ, or none.
    Run {
        commits: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (key, value) = (0..12_u8, 0..3_u8);
    let step = prop_oneof![
        3 => (key.clone(), value.clone()).prop_map(|(key, value)| Step::Write { key, value }),
        1 => key.clone().prop_map(|key| Step::Move { key }),
        1 => key.clone().prop_map(|key| Step::Delete { key }),
        1 => (key, value).prop_map(|(key, value)| Step::Commit { key, value }),
        4 => any::<bool>().prop_map(|commits| Step::Run { commits }),
    ];
    vec(step, 1..40)
}

fn version(key: u8, value: u8) -> RowVersion {
    let row = RowHash::of_bytes(&[key, value]).unmarked();
    RowVersion { key: RowHash::of_bytes(&[key]), row }
}

struct Scene {
    folder: Folder,
    store: std::sync::Arc<dyn Store>,
    sync: SyncId,
    chunks: u64,
    /// The rows of the table in their order.
    table: Vec<(u8, u8)>,
    committed: BTreeMap<u8, u8>,
}

impl Scene {
    async fn new() -> Scene {
        let folder = Folder::new();
        let store = folder.open().await;
        let (sync, committed) = (SyncId::new("customers"), BTreeMap::new());
        Scene { folder, store, sync, chunks: 0, table: Vec::new(), committed }
    }

    async fn commit(&mut self, rows: &[(u8, u8)]) {
        let claim = self.store.claim(&self.sync).await.expect("asked").taken().expect("free");
        let now = self.folder.clock.now();
        let run = self.store.start_run(&claim, ObjectKind::User, Cause::Manual, now).await.expect("run");
        self.committed.extend(rows.iter().copied());
        let rows = rows.iter().map(|(key, value)| version(*key, *value)).collect();
        let remember = Some(LookbackChunk { seq: self.chunks, high: None, rows });
        self.chunks += 1;
        let commit = BatchCommit { remember, ..BatchCommit::default() };
        self.store.commit_batch(&run.id, commit).await.expect("committed");
        let end = RunEnd::new(Ending::Succeeded, now);
        self.store.finish_run(&run.id, end).await.expect("finished");
        claim.release().await;
    }

    /// Compares; each row that is told otherwise than it was committed is counted as overtaken.
    async fn run(&mut self, commits: bool) {
        let mut comparison = self.store.compare(&self.sync).await.expect("opened");
        let (mut told_wrong, mut differing) = (0, Vec::new());
        for rows in self.table.chunks(3) {
            let versions: Vec<RowVersion> = rows.iter().map(|(key, value)| version(*key, *value)).collect();
            let told = comparison.add(&versions).await.expect("added");
            for ((key, value), told) in rows.iter().zip(told) {
                let committed = self.committed.get(key).map(|value| version(*key, *value).row);
                told_wrong += u64::from(told != committed.map_or(Known::Nothing, Known::One));
                if self.committed.get(key) != Some(value) && key % 2 == 0 {
                    differing.push((*key, *value));
                }
            }
        }
        let found = comparison.end().await.expect("compared");
        assert_eq!(found.overtaken, told_wrong, "table {:?}, committed {:?}", self.table, self.committed);
        assert_eq!(found.compared, self.expected());
        if commits && !differing.is_empty() {
            self.commit(&differing).await;
        }
    }

    fn expected(&self) -> Compared {
        let mut expected = Compared { known: self.committed.len() as u64, ..Compared::default() };
        for (key, value) in &self.table {
            match self.committed.get(key) {
                None => expected.added += 1,
                Some(committed) if committed == value => expected.unchanged += 1,
                Some(_) => expected.changed += 1,
            }
        }
        let gone = self.committed.keys().filter(|key| self.table.iter().all(|(there, _)| there != *key));
        expected.removed = gone.count() as u64;
        expected
    }

    async fn step(&mut self, step: Step) {
        let at = |table: &[(u8, u8)], key: u8| table.iter().position(|(there, _)| *there == key);
        match step {
            Step::Write { key, value } => match at(&self.table, key) {
                Some(at) => self.table[at].1 = value,
                None => self.table.push((key, value)),
            },
            Step::Move { key } => {
                if let Some(at) = at(&self.table, key) {
                    let row = self.table.remove(at);
                    self.table.push(row);
                }
            }
            Step::Delete { key } => self.table.retain(|(there, _)| *there != key),
            Step::Commit { key, value } => self.commit(&[(key, value)]).await,
            Step::Run { commits } => self.run(commits).await,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_a_comparison_tells_of_a_row_is_what_was_committed_or_it_is_counted(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut scene = Scene::new().await;
            for step in steps {
                scene.step(step).await;
            }
            scene.run(false).await;
        });
    }
}
