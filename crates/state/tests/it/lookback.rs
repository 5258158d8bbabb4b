//! Many rows with one cursor value.

use std::path::Path;
use std::sync::Arc;

use sqlx::{Connection as _, Executor as _, PgConnection};
use tidegate_model::store::{BatchCommit, Known, LookbackChunk, RowVersion, RunEnd};
use tidegate_model::{Cause, Claimed, Clock as _, Ending, ObjectKind, RowHash, Store, SyncId, Value};
use tidegate_testkit::store::Backend as _;

use crate::embedded::Folder;
use crate::postgres::Database;

const BATCH: u64 = 2_400;

fn row(at: u64) -> RowVersion {
    let key = RowHash::of_bytes(&at.to_le_bytes());
    RowVersion { key, row: RowHash::of_bytes(&key.0.to_le_bytes()).unmarked() }
}

/// The highest memory of this process so far, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") / 1024
}

/// Commits `rows` rows, looks up one batch of `one_of` of them in a later run, and says how much memory that took.
async fn ties(rows: u64, one_of: usize) -> u64 {
    let folder = Folder::new();
    let sync = SyncId::new("s");
    let store = folder.open().await;
    let before = peak_mib();
    let Claimed::Taken(claim) = store.claim(&sync).await.expect("asked") else { panic!("it is free") };
    let run =
        store.start_run(&claim, ObjectKind::User, Cause::Manual, folder.clock.now()).await.expect("run");
    for batch in 0..rows / BATCH {
        let rows = (batch * BATCH..(batch + 1) * BATCH).map(row).collect();
        let remember = Some(LookbackChunk { seq: batch, high: Some(Value::Int(1)), rows });
        store
            .commit_batch(&run.id, BatchCommit { batch, remember, ..BatchCommit::default() })
            .await
            .expect("done");
    }
    let end = RunEnd::new(Ending::Succeeded, folder.clock.now());
    store.finish_run(&run.id, end).await.expect("finished");

    let lookback = store.lookback(&sync).await.expect("opened");
    for batch in (0..rows / BATCH).step_by(one_of).chain([rows / BATCH]) {
        let expected: Vec<RowVersion> = (batch * BATCH..(batch + 1) * BATCH).map(row).collect();
        let keys: Vec<RowHash> = expected.iter().map(|row| row.key).collect();
        let found = lookback.find(&keys).await.expect("found");
        let beyond = batch == rows / BATCH;
        let known = |(found, row): (&Known, &RowVersion)| match beyond {
            true => *found == Known::Nothing,
            false => *found == Known::One(row.row),
        };
        assert!(found.iter().zip(&expected).all(known), "batch {batch}");
    }
    peak_mib() - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_rows_with_one_cursor_value_are_known_again_in_little_memory() {
    let mib = ties(1_000_000, 1).await;
    assert!(mib < 64, "{mib} MiB");
}

/// The rows are in files of several sizes, and each key is looked up in all of them: a tenth of the rows reaches
/// every page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_million_rows_with_one_cursor_value_are_known_again_in_little_memory() {
    let mib = ties(10_000_000, 10).await;
    // Their hashes are 305 MiB.
    assert!(mib < 64, "{mib} MiB");
}

/// A mirror: its keys, and the rows that are committed under them.
struct Mirror {
    folder: Folder,
    store: Arc<dyn Store>,
    sync: SyncId,
    keys: u64,
    chunks: u64,
}

impl Mirror {
    async fn new(keys: u64) -> Mirror {
        let folder = Folder::new();
        let store = folder.open().await;
        Mirror { folder, store, sync: SyncId::new("s"), keys, chunks: 0 }
    }

    /// Commits the version `version` of one of `one_of` rows in a run of its own.
    async fn commit(&mut self, version: u64, one_of: u64) {
        let claim = self.store.claim(&self.sync).await.expect("asked").taken().expect("free");
        let now = self.folder.clock.now();
        let run = self.store.start_run(&claim, ObjectKind::User, Cause::Manual, now).await.expect("run");
        let numbers: Vec<u64> = (0..self.keys).filter(|at| at.is_multiple_of(one_of)).collect();
        for (batch, numbers) in (0..).zip(numbers.chunks(2_400)) {
            let rows = numbers.iter().map(|at| changed(*at, version)).collect();
            let remember = Some(LookbackChunk { seq: self.chunks, high: None, rows });
            self.chunks += 1;
            let commit = BatchCommit { batch, remember, ..BatchCommit::default() };
            self.store.commit_batch(&run.id, commit).await.expect("committed");
        }
        let end = RunEnd::new(Ending::Succeeded, now);
        self.store.finish_run(&run.id, end).await.expect("finished");
        claim.release().await;
    }

    /// Compares all rows with the versions that `version` says; returns how many were known, told as they came and
    /// counted in the end.
    async fn compare(&self, version: impl Fn(u64) -> u64) -> (u64, u64) {
        let mut comparison = self.store.compare(&self.sync).await.expect("opened");
        let mut told = 0;
        for from in (0..self.keys).step_by(2_400) {
            let rows: Vec<RowVersion> =
                (from..self.keys.min(from + 2_400)).map(|at| changed(at, version(at))).collect();
            let known = comparison.add(&rows).await.expect("added");
            told +=
                rows.iter().zip(&known).filter(|(row, known)| **known == Known::One(row.row)).count() as u64;
        }
        let found = comparison.end().await.expect("compared");
        assert_eq!((found.compared.known, found.overtaken), (self.keys, 0));
        (told, found.compared.unchanged)
    }

    /// Bytes of files on disk for each key.
    fn bytes_a_key(&self) -> f64 {
        let files = ["lookback", "compared"].map(|name| bytes_below(&self.folder.data.path().join(name)));
        files.iter().sum::<u64>() as f64 / self.keys as f64
    }
}

fn changed(at: u64, version: u64) -> RowVersion {
    let key = row(at).key;
    RowVersion { key, row: RowHash::of_bytes(&[at, version].map(u64::to_le_bytes).concat()).unmarked() }
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_below(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

/// `make bench WHAT=mirror-keys` does the same with a hundred million keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_keys_are_compared_in_little_memory_and_some_forty_bytes_of_disk_each() {
    const KEYS: u64 = 1_000_000;
    let mut mirror = Mirror::new(KEYS).await;
    let before = peak_mib();
    mirror.commit(1, 1).await;
    for _ in 0..2 {
        assert_eq!(mirror.compare(|_| 1).await, (KEYS, KEYS));
    }
    // The sorted hashes and the order of the rows.
    let bytes = mirror.bytes_a_key();
    assert!((36.0..42.0).contains(&bytes), "{bytes} bytes a key");
    mirror.commit(2, 100).await;
    assert_eq!(mirror.compare(|at| 1 + u64::from(at.is_multiple_of(100))).await, (KEYS, KEYS));
    let mib = peak_mib() - before;
    assert!(mib < 48, "{mib} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_change_in_every_run_take_no_more_than_twice_the_place_of_their_keys() {
    let mut mirror = Mirror::new(150_000).await;
    for version in 1..=6 {
        mirror.commit(version, 1).await;
        let bytes = mirror.bytes_a_key();
        assert!(bytes <= 2.0 * 33.0, "version {version}: {bytes} bytes a key");
    }
    assert_eq!(mirror.compare(|_| 6).await.1, 150_000);
}

/// Files that are not here are made of what the server keeps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_takes_a_sync_over_from_postgres_never_takes_a_part_for_all_of_its_rows() {
    const ROWS: u64 = 70_000;
    let database = Database::new().await;
    let (store, sync) = (database.open().await, SyncId::new("s"));
    let now = database.clock().now();
    let Claimed::Taken(claim) = store.claim(&sync).await.expect("asked") else { panic!("it is free") };
    let run = store.start_run(&claim, ObjectKind::User, Cause::Manual, now).await.expect("run");
    for batch in 0..2 {
        let rows = (batch * ROWS..(batch + 1) * ROWS).map(row).collect();
        let remember = Some(LookbackChunk { seq: batch, high: Some(Value::Int(1)), rows });
        let commit = BatchCommit { batch, remember, ..BatchCommit::default() };
        store.commit_batch(&run.id, commit).await.expect("committed");
    }
    store.finish_run(&run.id, RunEnd::new(Ending::Succeeded, now)).await.expect("finished");
    let files = database.folder.data.path().join("lookback").join("s");
    assert_eq!(std::fs::read_dir(&files).expect("a file").count(), 1);

    std::fs::remove_dir_all(&files).expect("another machine has no file");
    let lookback = store.lookback(&sync).await.expect("made of what the server keeps");
    let wanted = [0, ROWS, 2 * ROWS - 1].map(row);
    let found = lookback.find(&wanted.map(|row| row.key)).await.expect("found");
    assert_eq!(found, wanted.map(|row| Known::One(row.row)));

    std::fs::remove_dir_all(&files).expect("yet another one");
    let mut server = PgConnection::connect(&database.url).await.expect("connected");
    server.execute("UPDATE lookback SET row_count = row_count + 1").await.expect("changed");
    let error = store.lookback(&sync).await.err().expect("a row is missing");
    assert!(error.message().contains("does not have all of its rows"), "{error}");
    assert_eq!(std::fs::read_dir(&files).expect("the folder").count(), 0, "no part is left");
}
