//! Files that are damaged, folders that are none, versions that are newer.

use std::fs;
use std::path::Path;

use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tidegate_model::store::{RowQuery, RunEnd};
use tidegate_model::{Clock as _, Ending, ErrorKind};
use tidegate_testkit::store::Backend as _;

use crate::crash::{one_run, orders};
use crate::embedded::{Folder, config};

async fn database(data: &Path) -> SqliteConnection {
    let file = data.join("tidegate.db");
    SqliteConnection::connect(&file.display().to_string()).await.expect("database")
}

async fn failure(folder: &Folder) -> tidegate_model::Error {
    let opened = tidegate_state::open(config(folder.data.path(), &folder.clock)).await;
    opened.err().expect("cannot be opened")
}

#[tokio::test]
async fn a_data_folder_that_is_a_file_is_named() {
    let folder = Folder::new();
    let data = folder.data.path().join("file");
    fs::write(&data, b"").expect("written");

    let error = tidegate_state::open(config(&data, &folder.clock)).await.err().expect("no folder");

    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().contains(&data.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_database_that_is_none_is_damaged() {
    let folder = Folder::new();
    fs::write(folder.data.path().join("tidegate.db"), "not a database ".repeat(100)).expect("written");

    let error = failure(&folder).await;

    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().contains("damaged"), "{error}");
}

#[tokio::test]
async fn tables_of_a_newer_version_are_left_alone() {
    let folder = Folder::new();
    drop(folder.open().await);
    let mut newer = database(folder.data.path()).await;
    newer.execute("INSERT INTO schema_steps (step, applied_at) VALUES (1000, 0)").await.expect("written");

    let error = failure(&folder).await;

    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().contains("newer"), "{error}");
}

#[tokio::test]
async fn a_damaged_block_of_history_is_an_error() {
    let folder = Folder::new();
    let store = folder.open().await;
    one_run(&*store, &folder, 1..=10).await;
    let mut damage = database(folder.data.path()).await;
    damage.execute("UPDATE blocks SET body = X'0102030405'").await.expect("written");

    let query = RowQuery { sync: Some(orders()), limit: 10, ..RowQuery::default() };
    let error = store.rows(&query).await.expect_err("damaged");

    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().contains("damaged") || error.message().contains("version"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_history_is_left_alone_and_a_damaged_one_is_named() {
    let folder = Folder::new();
    let day = folder.data.path().join("history/orders/2026-03-01");
    fs::create_dir_all(&day).expect("made");
    fs::write(day.join("run-000001..run-000002.parquet"), b"PAR1 not really PAR1").expect("written");
    fs::write(day.join("notes.txt"), b"mine").expect("written");
    let query = RowQuery { sync: Some(orders()), limit: 10, ..RowQuery::default() };
    let store = folder.open().await;
    let run = one_run(&*store, &folder, 1..=2).await;
    store.finish_run(&run, RunEnd::new(Ending::Succeeded, folder.clock.now())).await.expect("finished");
    assert_eq!(store.rows(&query).await.expect("rows").len(), 4);

    let name = format!("{run}-000001..{run}-000002.parquet");
    fs::write(day.join(&name), b"PAR1 not any more PAR1").expect("written");
    let error = store.rows(&query).await.expect_err("damaged");

    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().contains(&name), "{error}");
}
