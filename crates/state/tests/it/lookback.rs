//! Many rows with one cursor value.

use tidegate_model::store::{BatchCommit, Known, LookbackChunk, RowVersion, RunEnd};
use tidegate_model::{Cause, Claimed, Clock as _, Ending, ObjectKind, RowHash, SyncId, Value};
use tidegate_testkit::store::Backend as _;

use crate::embedded::Folder;

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
