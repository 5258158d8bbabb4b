//! Many rows with one cursor value.

use sqlx::{Connection as _, Executor as _, PgConnection};
use tidegate_model::store::{BatchCommit, Known, LookbackChunk, RowVersion, RunEnd};
use tidegate_model::{Cause, Claimed, Clock as _, Ending, ObjectKind, RowHash, SyncId, Value};
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

/// Commits `rows` rows, looks all of them up in a later run, and says how much memory that took.
pub(crate) async fn ties(rows: u64) -> u64 {
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
    for batch in 0..=rows / BATCH {
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
    let mib = ties(1_000_000).await;
    assert!(mib < 64, "{mib} MiB");
}

/// `cargo nextest run --release -p tidegate-state --run-ignored only -E 'test(/ten_million/)' --no-capture`
#[ignore = "takes a minute"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_million_rows_with_one_cursor_value_are_known_again_in_little_memory() {
    let begin = std::time::Instant::now();
    let mib = ties(10_000_000).await;
    println!("ten million ties: {mib} MiB, {:.1} s", begin.elapsed().as_secs_f64());
    assert!(mib < 64, "{mib} MiB");
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
