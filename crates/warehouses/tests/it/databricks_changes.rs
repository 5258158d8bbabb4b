//! A table that is followed by its change data feed.

use futures_util::TryStreamExt;
use serde_json::json;
use tidegate_model::{Batch, Checkpoint, ErrorKind, ReadMode, Row, Selection, Source};

use crate::databricks_server::{Workspace, rows, selection};

async fn resumed(source: &dyn Source, selected: &Selection, from: Option<&Checkpoint>) -> Vec<Batch<Row>> {
    let mode = ReadMode::Resume { checkpoint: from.cloned(), follow: false };
    source.read(selected, &mode, 7).await.expect("it reads").try_collect().await.expect("rows")
}

async fn table(workspace: &Workspace, property: &str) -> (String, Selection) {
    let table = workspace.table("plans");
    workspace
        .run(&format!(
            "CREATE TABLE {table} (id BIGINT, plan STRING, tags MAP<STRING, INT>, PRIMARY KEY (id)) {property}"
        ))
        .await;
    let values = "concat('p', id % 3) AS plan, map('a', CAST(id AS INT)) AS tags";
    workspace.run(&format!("INSERT INTO {table} SELECT id, {values} FROM range(40)")).await;
    let selected = selection(json!({ "table": table, "columns": ["id", "plan"] }));
    (table, selected)
}

const FEED: &str = "TBLPROPERTIES (delta.enableChangeDataFeed = true)";

/// Restarts behind every batch, in the first copy of the table and among its changes.
#[tokio::test]
async fn a_restart_from_any_checkpoint_gives_each_row_of_a_followed_table_once() {
    let workspace = Workspace::new().await;
    let (table, selected) = table(&workspace, FEED).await;
    let source = workspace.source();

    let first = resumed(&*source, &selected, None).await;
    assert_eq!(rows(&first).len(), 40);
    let standing = first.last().and_then(|batch| batch.checkpoint.clone()).unwrap();
    assert!(rows(&resumed(&*source, &selected, Some(&standing)).await).is_empty(), "nothing is new");

    workspace.run(&format!("UPDATE {table} SET plan = 'max' WHERE id < 10")).await;
    workspace.run(&format!("DELETE FROM {table} WHERE id >= 35")).await;
    workspace
        .run(&format!(
            "INSERT INTO {table} SELECT id + 100 AS id, 'new' AS plan, map('a', 1) AS tags FROM range(12)"
        ))
        .await;
    let changes = resumed(&*source, &selected, Some(&standing)).await;
    let sent = rows(&changes);
    assert_eq!(sent.len(), 22, "updated and inserted rows, and no deleted ones: {sent:?}");
    assert!(sent[..10].iter().all(|row| row.contains("\"max\"")), "in the order of versions: {sent:?}");
    assert!(sent[10..].iter().all(|row| row.contains("\"new\"")), "in the order of versions: {sent:?}");

    // The table at a version stays what it was.
    for whole in [&first, &changes] {
        for at in 1..whole.len() {
            let again = resumed(&*source, &selected, whole[at - 1].checkpoint.as_ref()).await;
            let (rest, given) = (rows(&whole[at..]), rows(&again));
            assert_eq!(given[..rest.len().min(given.len())], rest[..], "behind batch {at}");
        }
    }
}

/// The double gives rows that the order does not tell apart in another order each time, as an engine may.
#[tokio::test]
async fn rows_that_differ_only_in_which_column_is_null_are_given_once_each_over_restarts() {
    let workspace = Workspace::new().await;
    let table = workspace.table("pairs");
    workspace.run(&format!("CREATE TABLE {table} (a BIGINT, b BIGINT, c STRING) {FEED}")).await;
    let one = "SELECT id AS a, CAST(NULL AS BIGINT) AS b, 'x' AS c FROM range(12)";
    let other = "SELECT CAST(NULL AS BIGINT) AS a, id AS b, 'x' AS c FROM range(12)";
    workspace.run(&format!("INSERT INTO {table} {one} UNION ALL {other}")).await;
    let (selected, source) = (selection(json!({ "table": table })), workspace.source());

    let whole = resumed(&*source, &selected, None).await;
    let mut all = rows(&whole);
    for at in 1..whole.len() {
        let again = resumed(&*source, &selected, whole[at - 1].checkpoint.as_ref()).await;
        let mut given = rows(&whole[..at]);
        given.extend(rows(&again));
        given.sort_unstable();
        all.sort_unstable();
        assert_eq!(given, all, "behind batch {at}");
    }
    all.dedup();
    assert_eq!(all.len(), 24);
}

#[tokio::test]
async fn a_table_without_a_feed_is_answered_with_the_statement_that_switches_it_on() {
    let workspace = Workspace::new().await;
    let (table, selected) = table(&workspace, "").await;
    let source = workspace.source();
    let mode = ReadMode::Resume { checkpoint: None, follow: false };
    let Err(error) = source.read(&selected, &mode, 7).await else { panic!("it has no feed") };
    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    assert_eq!(error.message(), format!("{table} has no change data feed, which `mode: stream` follows"));
    assert!(error.next_step().starts_with("ALTER TABLE `main`."), "{}", error.next_step());
    let checks = source.check_changes(&selected).await.unwrap();
    assert!(!checks.passed(), "{checks:?}");
}

#[tokio::test]
async fn a_table_that_is_created_again_is_read_from_its_beginning() {
    let workspace = Workspace::new().await;
    let (name, selected) = table(&workspace, FEED).await;
    let source = workspace.source();
    let standing = resumed(&*source, &selected, None).await.last().and_then(|batch| batch.checkpoint.clone());
    workspace.run(&format!("DROP TABLE {name}")).await;
    table(&workspace, FEED).await;
    assert_eq!(rows(&resumed(&*source, &selected, standing.as_ref()).await).len(), 40);
}
