use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_model::RowHash;
use tidegate_model::store::{Known, Lookback as _};
use tidegate_testkit::ManualClock;

use super::super::view::View;
use super::*;
use crate::folder;
use crate::store::dialect::Database;

struct Scene {
    merge: Merge,
    _folder: tempfile::TempDir,
    next: u64,
    /// What is known, by key: the run, and its rows.
    expected: BTreeMap<u128, (u64, Vec<u128>)>,
}

impl Scene {
    async fn new() -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        folder::prepare(folder.path()).expect("prepared");
        let database = Database::embedded(folder.path()).await.expect("opened");
        crate::store::migrations::migrate(&database, &ManualClock::default()).await.expect("tables");
        let (database, data) = (Arc::new(database), folder.path().to_path_buf());
        let (files, sync) = (RunFiles::new(database, &data, None), SyncId::new("s"));
        let merge = Merge { files, sync, drops_removed: false };
        Scene { merge, _folder: folder, next: 0, expected: BTreeMap::new() }
    }

    async fn commit(&mut self, run: u64, rows: &[(u128, u128)]) {
        self.next += 1;
        let name = format!("{run:04}");
        let new = NewChunk { sync: &self.merge.sync, seq: self.next, run: &name, high: None };
        let versions: Vec<RowVersion> =
            rows.iter().map(|(key, row)| RowVersion { key: RowHash(*key), row: RowHash(*row) }).collect();
        let mut tx = self.merge.files.database.write().await.expect("begun");
        let body = Some(block::pack(&versions));
        new.insert(&mut tx, 0, rows.len() as u64, body, None).await.expect("added");
        tx.commit().await.expect("committed");
        for (key, row) in rows {
            let known = self.expected.entry(*key).or_default();
            if known.0 != run {
                *known = (run, Vec::new());
            }
            known.1.push(*row);
        }
    }

    async fn matches(&self) {
        let view = View::open(&self.merge.files, &self.merge.sync).await.expect("view");
        let keys: Vec<RowHash> = (0..600).map(spread).map(RowHash).collect();
        let found = view.find(&keys).await.expect("found");
        for (key, found) in keys.iter().zip(found) {
            let mut rows: Vec<u128> = found.rows().iter().map(|row| row.0).collect();
            let mut expected = self.expected.get(&key.0).map(|(_, rows)| rows.clone()).unwrap_or_default();
            rows.sort_unstable();
            expected.sort_unstable();
            expected.dedup();
            assert_eq!(rows, expected, "{key}");
            assert_eq!(found == Known::Nothing, expected.is_empty());
        }
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.merge.files.folder_of(&self.merge.sync)).map_or(0, Iterator::count)
    }

    /// A merge of all chunks, as far as the file that it writes.
    async fn written(&self) -> (Vec<Chunk>, String, Written) {
        let chunks = self.merge.chunks().await.expect("chunks");
        let written = self.merge.write(&chunks, false).await.expect("written");
        let (name, written) = written.expect("no file is gone");
        (chunks, name, written)
    }
}

/// Keys over the whole range.
fn spread(at: u128) -> u128 {
    at * (u128::MAX / 600)
}

/// Rows of a run, with a key that occurs twice. Enough for a file of their own.
fn rows(run: u128) -> Vec<(u128, u128)> {
    let own = (0..300).map(|at| (spread((at * 7 + run % 3) % 600), run * 1_000 + at));
    let filler = (0..BLOCK_ROWS_MAX as u128).map(|at| (spread(599) + 1 + at, 7));
    own.chain([(spread(5), run * 1_000 + 999)]).chain(filler).collect()
}

#[tokio::test]
async fn merges_at_any_moment_change_nothing_that_is_known() {
    let mut scene = Scene::new().await;
    for run in 1..=9_u64 {
        for _ in 0..2 {
            scene.commit(run, &rows(run.into())).await;
            scene.merge.run(true).await.expect("merged");
        }
        if run % 3 == 0 {
            let (chunks, name, written) = scene.written().await;
            assert!(scene.merge.replace(&chunks, &name, written).await.expect("replaced"));
            scene.merge.sweep(&scene.merge.files.folder_of(&scene.merge.sync)).await;
            assert_eq!(scene.files(), 1, "what it was made of is gone");
        }
        scene.matches().await;
    }
}

#[tokio::test]
async fn a_crash_between_any_two_steps_of_a_merge_leaves_one_valid_state() {
    let mut scene = Scene::new().await;
    scene.commit(1, &rows(1)).await;
    scene.commit(2, &rows(2)).await;
    let folder = scene.merge.files.folder_of(&scene.merge.sync);

    // The file is written, and nothing names it.
    let (chunks, name, written) = scene.written().await;
    std::fs::write(folder.join("half.tmp"), b"unfinished").expect("written");
    scene.matches().await;
    assert_eq!(scene.files(), 2);

    // It is named, and what it was made of is still there.
    assert!(scene.merge.replace(&chunks, &name, written).await.expect("replaced"));
    scene.matches().await;
    scene.commit(3, &rows(3)).await;
    let (chunks, name, written) = scene.written().await;
    assert!(scene.merge.replace(&chunks, &name, written).await.expect("replaced"));
    assert_eq!(scene.files(), 3);
    scene.matches().await;

    scene.merge.sweep(&folder).await;
    assert_eq!(scene.files(), 1);
    scene.matches().await;
}

#[tokio::test]
async fn a_merge_of_what_another_process_has_merged_is_dropped() {
    let mut scene = Scene::new().await;
    scene.commit(1, &rows(1)).await;
    scene.commit(2, &rows(2)).await;
    let (mine, name, written) = scene.written().await;
    scene.commit(3, &rows(3)).await;
    let (theirs, other, others) = scene.written().await;
    assert!(scene.merge.replace(&theirs, &other, others).await.expect("replaced"));
    assert!(!scene.merge.replace(&mine, &name, written).await.expect("asked"));
    scene.matches().await;
}

#[tokio::test]
async fn a_mirror_whose_keys_are_new_every_day_keeps_no_marks_of_the_old_ones() {
    let mut scene = Scene::new().await;
    scene.merge.drops_removed = true;
    let many = 40_000;
    let keys = |day: u128| (0..many).map(move |at| spread(day) + at);
    for day in 1..=3_u64 {
        let gone = keys(u128::from(day) - 1).map(|key| (key, RowHash::REMOVED.0));
        let gone = gone.filter(|_| day > 1);
        let rows: Vec<_> = gone.chain(keys(day.into()).map(|key| (key, 256))).collect();
        scene.commit(day, &rows).await;
        let chunks = scene.merge.chunks().await.expect("chunks");
        scene.merge.merge(&chunks, 0..chunks.len()).await.expect("merged");

        let kept = scene.merge.chunks().await.expect("chunks");
        assert_eq!(kept.iter().map(|chunk| chunk.rows).sum::<usize>(), many as usize, "on day {day}");
        let view = View::open(&scene.merge.files, &scene.merge.sync).await.expect("view");
        let asked = [spread(day.into()), spread(u128::from(day) - 1)].map(RowHash);
        let found = view.find(&asked).await.expect("found");
        assert_eq!(found, [Known::One(RowHash(256)), Known::Nothing]);
    }

    // All rows are gone: nothing is left, and a merge of that is none.
    let gone: Vec<_> = keys(3).map(|key| (key, RowHash::REMOVED.0)).collect();
    scene.commit(4, &gone).await;
    let chunks = scene.merge.chunks().await.expect("chunks");
    assert!(scene.merge.merge(&chunks, 0..chunks.len()).await.expect("merged"));
    scene.merge.sweep(&scene.merge.files.folder_of(&scene.merge.sync)).await;
    assert_eq!(scene.files(), 0);
    let kept = scene.merge.chunks().await.expect("chunks");
    assert_eq!(kept.iter().map(|chunk| chunk.rows).collect::<Vec<_>>(), [0]);
    let view = View::open(&scene.merge.files, &scene.merge.sync).await.expect("view");
    assert_eq!(view.find(&[RowHash(spread(3))]).await.expect("found"), [Known::Nothing]);
}

#[tokio::test]
async fn a_mark_stays_as_long_as_an_older_chunk_has_a_row_under_its_key() {
    let mut scene = Scene::new().await;
    scene.merge.drops_removed = true;
    let key = spread(1);
    scene.commit(1, &[(key, 256)]).await;
    scene.commit(2, &[(key, RowHash::REMOVED.0)]).await;
    scene.commit(3, &[(key + 1, 256)]).await;

    let chunks = scene.merge.chunks().await.expect("chunks");
    assert!(scene.merge.merge(&chunks, 1..3).await.expect("merged"));

    let view = View::open(&scene.merge.files, &scene.merge.sync).await.expect("view");
    let found = view.find(&[RowHash(key), RowHash(key + 1)]).await.expect("found");
    assert_eq!(found, [Known::Nothing, Known::One(RowHash(256))], "the row does not come back");
}
