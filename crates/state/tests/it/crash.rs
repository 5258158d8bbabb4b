//! What is left when a process dies at the worst moment.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use tidegate_model::store::{BatchCommit, RowEntry, RowQuery, RowStatus, RunEnd};
use tidegate_model::{Cause, Clock as _, Ending, ObjectKind, RunId, Store, SyncId};
use tidegate_testkit::rows;
use tidegate_testkit::store::Backend as _;

use crate::embedded::Folder;

pub(crate) fn orders() -> SyncId {
    SyncId::new("orders")
}

/// Starts a run and commits one batch of two rows for each id.
pub(crate) async fn one_run(store: &dyn Store, folder: &Folder, ids: RangeInclusive<i64>) -> RunId {
    let at = folder.clock.now();
    let claim = store.claim(&orders()).await.expect("asked").taken().expect("free");
    let run = store.start_run(&claim, ObjectKind::User, Cause::Schedule, at).await.expect("started");
    claim.release().await;
    for id in ids {
        let results = vec![rows::result(id, RowStatus::Delivered), rows::result(-id, rows::rejected())];
        store
            .commit_batch(&run.id, BatchCommit { results, ..BatchCommit::default() })
            .await
            .expect("committed");
    }
    run.id
}

async fn finish(store: &dyn Store, folder: &Folder, run: &RunId) {
    let at = folder.clock.now();
    let end = RunEnd { complete: true, ..RunEnd::new(Ending::Partial, at) };
    store.finish_run(run, end).await.expect("finished");
}

async fn ledger(store: &dyn Store) -> Vec<RowEntry> {
    let query = RowQuery { sync: Some(orders()), limit: 1_000, ..RowQuery::default() };
    store.rows(&query).await.expect("rows")
}

/// The Parquet files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Copies the database as it is now, with the key that opens it, and the history files as they are
/// later.
async fn copy_database(from: &Folder, to: &Folder) {
    let key = |folder: &Folder| folder.data.path().join("master.key");
    fs::copy(key(from), key(to)).expect("copied");
    let file = from.data.path().join("tidegate.db").display().to_string();
    let mut database = SqliteConnection::connect(&file).await.expect("database");
    let copy = to.data.path().join("tidegate.db").display().to_string();
    database.execute(AssertSqlSafe(format!("VACUUM INTO '{copy}'"))).await.expect("copied");
}

fn copy_history(from: &Folder, to: &Folder) {
    for file in files(&from.data.path().join("history")) {
        let copy = to.data.path().join(file.strip_prefix(from.data.path()).expect("below"));
        fs::create_dir_all(copy.parent().expect("folder")).expect("made");
        fs::copy(&file, &copy).expect("copied");
    }
}

/// What is there when the process died after `file` was renamed into place and
/// before its blocks were deleted: both.
async fn died_between_rename_and_delete(ids: RangeInclusive<i64>) -> (Folder, RunId, Vec<RowEntry>) {
    let folder = Folder::new();
    let store = folder.open().await;
    let run = one_run(&*store, &folder, ids).await;
    let committed = ledger(&*store).await;
    let dead = Folder::new();
    copy_database(&folder, &dead).await;
    finish(&*store, &folder, &run).await;
    copy_history(&folder, &dead);
    assert_eq!(files(dead.data.path()).len(), 1);
    (dead, run, committed)
}

#[tokio::test]
async fn rows_that_are_in_a_file_and_in_the_tables_are_listed_once() {
    let (dead, _, committed) = died_between_rename_and_delete(1..=20).await;
    assert_eq!(committed.len(), 40);

    let found = ledger(&*dead.open().await).await;

    assert_eq!(found, committed);
}

#[tokio::test]
async fn rows_that_are_in_a_file_already_are_not_written_again() {
    let (dead, run, committed) = died_between_rename_and_delete(1..=20).await;
    let store = dead.open().await;
    let before = files(dead.data.path());

    // More came in after that file, hours later.
    dead.clock.advance(jiff::SignedDuration::from_hours(7));
    let results = vec![rows::result(99, RowStatus::Delivered)];
    store.commit_batch(&run, BatchCommit { results, ..BatchCommit::default() }).await.expect("committed");
    finish(&*store, &dead, &run).await;

    let found = ledger(&*store).await;
    assert_eq!(found[0].key, "99");
    assert_eq!(found[1..], committed);
    let after = files(dead.data.path());
    assert_eq!(after.len(), 2);
    assert!(after.contains(&before[0]));
    drop(store);
    // Without the file the rows are gone from the tables as well: they were not kept twice.
    fs::remove_file(&before[0]).expect("removed");
    assert_eq!(ledger(&*dead.open().await).await.len(), 1);
}

#[tokio::test]
async fn a_file_that_was_never_finished_is_written_anew() {
    let folder = Folder::new();
    let store = folder.open().await;
    let run = one_run(&*store, &folder, 1..=5).await;
    let committed = ledger(&*store).await;
    drop(store);
    let day = folder.data.path().join("history/orders/2026-03-01");
    fs::create_dir_all(&day).expect("made");
    let torn = day.join(format!("{run}-000001..{run}-000003.tmp"));
    fs::write(&torn, b"PAR1 torn").expect("written");

    let store = folder.open().await;
    assert_eq!(ledger(&*store).await, committed);
    finish(&*store, &folder, &run).await;

    assert_eq!(ledger(&*store).await, committed);
    assert_eq!(files(folder.data.path()), [day.join(format!("{run}-000001..{run}-000005.parquet"))]);
    assert!(!torn.exists());
}

#[tokio::test]
async fn a_dead_run_gets_its_file_with_the_next_run() {
    let folder = Folder::new();
    let store = folder.open().await;
    let dead = one_run(&*store, &folder, 1..=5).await;
    drop(store);

    let store = folder.open().await;
    let next = one_run(&*store, &folder, 6..=6).await;
    finish(&*store, &folder, &next).await;

    let files = files(folder.data.path());
    let names: Vec<String> =
        files.iter().map(|file| file.file_name().expect("name").to_string_lossy().into_owned()).collect();
    assert_eq!(names.len(), 1, "the next file comes hours later");
    assert!(names[0].starts_with(&format!("{dead}-000001..")), "{names:?}");
    assert_eq!(ledger(&*store).await.len(), 12);
}

#[tokio::test]
async fn a_run_over_midnight_has_a_file_for_each_day() {
    let folder = Folder::new();
    let store = folder.open().await;
    let run = one_run(&*store, &folder, 1..=2).await;
    folder.clock.advance(jiff::SignedDuration::from_hours(12));
    let results = vec![rows::result(3, RowStatus::Delivered)];
    store.commit_batch(&run, BatchCommit { results, ..BatchCommit::default() }).await.expect("committed");

    finish(&*store, &folder, &run).await;

    let history = folder.data.path().join("history/orders");
    let expected = [
        history.join(format!("2026-03-01/{run}-000001..{run}-000002.parquet")),
        history.join(format!("2026-03-02/{run}-000003..{run}-000003.parquet")),
    ];
    assert_eq!(files(folder.data.path()), expected);
    assert_eq!(ledger(&*store).await[0].key, "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_run_gets_files_while_it_goes_on_and_readers_see_every_row_once() {
    let folder = Folder::new();
    let store = folder.open().await;
    let run = one_run(&*store, &folder, 1..=1).await;
    let history = folder.data.path().join("history");
    let batch: Vec<_> = (0..20_000).map(|id| rows::result(id, RowStatus::Delivered)).collect();
    let mut committed = 2;
    let started = std::time::Instant::now();
    while files(&history).is_empty() {
        assert!(started.elapsed().as_secs() < 60, "no file was made of {committed} rows");
        let results = batch.clone();
        store.commit_batch(&run, BatchCommit { results, ..BatchCommit::default() }).await.expect("committed");
        committed += batch.len();
    }

    let query = RowQuery { user: Some("user-7".to_owned()), limit: 100_000, ..RowQuery::default() };
    let found = store.rows(&query).await.expect("rows").len();
    finish(&*store, &folder, &run).await;

    assert_eq!(found, committed / batch.len());
    assert_eq!(store.rows(&query).await.expect("rows").len(), found);
}
