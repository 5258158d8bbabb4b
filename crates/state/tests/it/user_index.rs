//! Rows of one user are found without the files of others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use sqlx::{Connection as _, SqliteConnection};
use tidegate_model::store::{BatchCommit, RowQuery, RowStatus, RunEnd};
use tidegate_model::{Cause, Ending, ObjectKind, Store, SyncId};
use tidegate_testkit::store::Backend;
use tidegate_testkit::{ManualClock, rows};

use crate::embedded::Folder;
use crate::postgres::Database;

/// More than become a part of the index.
const RUNS: i64 = 150;
/// Users of whom each run delivers a row of one.
const USERS: i64 = 50;

/// A store with files below a folder.
trait WithFiles: Backend {
    fn history(&self) -> PathBuf;
}

impl WithFiles for Folder {
    fn history(&self) -> PathBuf {
        self.data.path().join("history")
    }
}

impl WithFiles for Database {
    fn history(&self) -> PathBuf {
        self.folder.data.path().join("history")
    }
}

fn sync(number: i64) -> SyncId {
    SyncId::new(format!("sync-{}", number % 7))
}

async fn run(store: &dyn Store, clock: &ManualClock, sync: &SyncId, ids: &[i64]) {
    clock.advance(SignedDuration::from_hours(7));
    let at = tidegate_model::Clock::now(clock);
    let claim = store.claim(sync).await.expect("asked").taken().expect("free");
    let run = store.start_run(&claim, ObjectKind::User, Cause::Manual, at).await.expect("started");
    let results = ids.iter().map(|id| rows::result(*id, RowStatus::Delivered)).collect();
    let commit = BatchCommit { results, ..BatchCommit::default() };
    store.commit_batch(&run.id, commit).await.expect("committed");
    let end = RunEnd { complete: true, ..RunEnd::new(Ending::Succeeded, at) };
    store.finish_run(&run.id, end).await.expect("finished");
    claim.release().await;
}

/// Runs of which each leaves a file with one user.
async fn fill(place: &dyn WithFiles, runs: std::ops::Range<i64>) {
    let store = place.open().await;
    for number in runs {
        run(&*store, place.clock(), &sync(number), &[number % USERS]).await;
    }
}

/// The syncs of the rows of a user, newest first.
async fn found(store: &dyn Store, id: i64, of: Option<SyncId>) -> Vec<String> {
    let user = Some(format!("user-{id}"));
    let query = RowQuery { user, sync: of, limit: 50, ..RowQuery::default() };
    let rows = store.rows(&query).await.expect("rows");
    assert!(rows.iter().all(|row| row.user == format!("user-{id}")));
    rows.into_iter().map(|row| row.sync.to_string()).collect()
}

/// Damages the files without rows of a user: what reads one fails.
fn damage(history: &Path, keeping: &str) -> usize {
    let mut damaged = 0;
    for path in files(history) {
        let bytes = fs::read(&path).expect("read");
        if !bytes.windows(keeping.len()).any(|window| window == keeping.as_bytes()) {
            fs::write(&path, "no file of ours").expect("damaged");
            damaged += 1;
        }
    }
    damaged
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("entry").path());
    let is_ours = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "parquet");
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).filter(is_ours).collect()
}

async fn finds_a_user_without_the_files_of_others(place: &dyn WithFiles) {
    fill(place, 0..RUNS).await;
    let store = place.open().await;
    let of_all = [107, 57, 7].map(|run| sync(run).to_string());
    assert_eq!(found(&*store, 7, None).await, of_all);

    // Users are text in a file of one row.
    let damaged = damage(&place.history(), "user-7");

    assert_eq!(damaged, 147);
    assert_eq!(found(&*store, 7, None).await, of_all);
    assert_eq!(found(&*place.open().await, 7, Some(sync(57))).await, [sync(57).to_string()]);
    assert!(found(&*store, 1_000, None).await.is_empty(), "no file was opened");
    let all = RowQuery { limit: 1_000, ..RowQuery::default() };
    store.rows(&all).await.expect_err("damaged files");
}

#[tokio::test]
async fn a_user_of_three_files_is_found_without_the_others() {
    finds_a_user_without_the_files_of_others(&Folder::new()).await;
}

#[tokio::test]
async fn a_user_of_three_files_is_found_without_the_others_on_postgres() {
    finds_a_user_without_the_files_of_others(&Database::new().await).await;
}

async fn erases_a_user(place: &dyn WithFiles) {
    fill(place, 0..RUNS).await;
    let store = place.open().await;
    run(&*store, place.clock(), &sync(0), &[7, 8]).await;

    let removed = store.erase_user("user-7").await.expect("erased");

    assert_eq!(removed.history_rows, 4);
    assert!(found(&*store, 7, None).await.is_empty());
    assert_eq!(found(&*store, 8, None).await.len(), 4);
    // A user may come back.
    run(&*store, place.clock(), &sync(0), &[7]).await;
    assert_eq!(found(&*place.open().await, 7, None).await.len(), 1);
}

#[tokio::test]
async fn an_erased_user_is_found_no_more_and_the_other_users_of_the_same_files_are() {
    erases_a_user(&Folder::new()).await;
}

#[tokio::test]
async fn an_erased_user_is_found_no_more_on_postgres() {
    erases_a_user(&Database::new().await).await;
}

#[tokio::test]
async fn files_of_unknown_users_are_found_at_once_and_need_not_be_opened_later() {
    let folder = Folder::new();
    fill(&folder, 0..20).await;
    let url = folder.data.path().join("tidegate.db").display().to_string();
    let mut database = SqliteConnection::connect(&url).await.expect("database");
    // As an earlier version leaves them, or a process that died before it listed its file.
    sqlx::query("UPDATE history_files SET marks = NULL").execute(&mut database).await.expect("forgotten");

    let store = folder.open().await;

    assert_eq!(found(&*store, 7, None).await.len(), 1);
    let unknown = "SELECT COUNT(*) FROM history_files WHERE slot = -1 AND marks IS NULL";
    let began = Instant::now();
    while sqlx::query_scalar::<_, i64>(unknown).fetch_one(&mut database).await.expect("count") > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "their users are never read");
        #[expect(clippy::disallowed_methods, reason = "the store does not say when it is there")]
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    damage(&folder.history(), "user-7");
    assert_eq!(found(&*store, 7, None).await.len(), 1);
}

#[tokio::test]
async fn the_index_of_days_that_are_removed_goes_with_them() {
    let folder = Folder::new();
    fill(&folder, 0..RUNS).await;
    let store = folder.open().await;
    store.trim_history(tidegate_model::Clock::now(&folder.clock)).await.expect("trimmed");
    let url = folder.data.path().join("tidegate.db").display().to_string();
    let mut database = SqliteConnection::connect(&url).await.expect("database");
    let parts = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM user_index");
    assert_eq!(parts.fetch_one(&mut database).await.expect("count"), 0);
    assert!(found(&*store, 7, None).await.is_empty());
}
