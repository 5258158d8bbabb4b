//! Delta tables as a source: tables that delta-rs makes and changes, on disk and in a bucket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use tempfile::tempdir;
use tidegate_model::{Batch, Checkpoint, DataType, ErrorKind, ReadMode, Row, Source, Value as Cell};

use crate::readers::run_with;
use crate::support::{context, settings};

const FEED: &str = "delta.enableChangeDataFeed=true";

/// Has delta-rs do something, and returns the version of the table then.
fn table(arguments: &[&str]) -> u64 {
    run_with("table.py", arguments, &[]).as_u64().expect("a version")
}

/// A table of ten rows with ids from 1, in folders by day.
fn made(folder: &Path, properties: &[&str]) -> PathBuf {
    let path = folder.join("lake/sales/orders");
    table(&[&["make", text(&path), "1", "10"], properties].concat());
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

fn source(folder: &Path) -> Arc<dyn Source> {
    opened(folder, &json!({ "path": "lake" }))
}

fn opened(folder: &Path, connection: &Value) -> Arc<dyn Source> {
    let role = tidegate_lake::delta::CONNECTOR.source.expect("delta is a source");
    (role.open)(&settings(connection.clone()), &context(folder)).expect("a source")
}

async fn read(source: &Arc<dyn Source>, selection: Value, mode: ReadMode, rows: usize) -> Vec<Batch<Row>> {
    let feed = source.read(&settings(selection), &mode, rows).await.expect("a read");
    feed.try_collect().await.expect("batches")
}

fn following(checkpoint: Option<Checkpoint>) -> ReadMode {
    ReadMode::Resume { checkpoint, follow: false }
}

/// The ids and names of all rows, in order of the ids.
fn told(batches: &[Batch<Row>]) -> Vec<String> {
    let cell =
        |row: &Row, name: &str| row.get(name).and_then(|it| it.to_text()).unwrap_or_default().to_string();
    let rows = batches.iter().flat_map(|batch| &batch.items);
    let mut rows: Vec<(u64, String)> = rows
        .map(|row| {
            (cell(row, "id").parse().expect("an id"), format!("{} {}", cell(row, "id"), cell(row, "name")))
        })
        .collect();
    rows.sort();
    rows.into_iter().map(|(_, row)| row).collect()
}

fn names(ids: impl IntoIterator<Item = u64>) -> Vec<String> {
    ids.into_iter().map(|id| format!("{id} name {id}")).collect()
}

fn last(batches: &[Batch<Row>]) -> Option<Checkpoint> {
    batches.last().and_then(|batch| batch.checkpoint.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_read_as_it_is_now_or_was_at_a_version() {
    let folder = tempdir().expect("a folder");
    let path = made(folder.path(), &["delta.enableDeletionVectors=true"]);
    table(&["delete", text(&path), "4"]);
    table(&["append", text(&path), "11", "12"]);
    let source = source(folder.path());
    let orders = || json!({ "path": "sales/orders" });

    let now = read(&source, orders(), ReadMode::Full, 5).await;
    let before = read(&source, json!({ "path": "sales/orders", "version": 0 }), ReadMode::Full, 100).await;

    assert_eq!(told(&now), names((1..=12).filter(|id| *id != 4)));
    assert_eq!(told(&before), names(1..=10));
    let described = source.describe(&settings(orders())).await.expect("described");
    let types: Vec<String> = described.columns.iter().map(ToString::to_string).collect();
    assert_eq!(
        types,
        [
            "id integer (long)",
            "name text (string)",
            "total decimal(9,2)",
            "at timestamp",
            "day text (string)",
        ]
    );
    let row = &now[0].items[0];
    let id: i64 = row.get("id").and_then(|it| it.to_text()).expect("an id").parse().expect("a number");
    assert_eq!(row.get("total").and_then(|it| it.to_text()).as_deref(), Some(format!("0.{id:02}").as_str()));
    assert!(row.get("day").and_then(|it| it.to_text()).expect("a day").starts_with("2026-03-0"));
    assert!(described.columns.iter().all(|column| column.data_type != DataType::Other));
    let listed = source.discover().await.expect("listed");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, "sales/orders");
    assert_eq!(listed[0].columns, described.columns);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_a_change_data_feed_is_followed_version_after_version() {
    let folder = tempdir().expect("a folder");
    let path = made(folder.path(), &[FEED]);
    let source = source(folder.path());
    let orders = || json!({ "path": "sales/orders" });

    let first = read(&source, orders(), following(None), 4).await;
    assert_eq!(told(&first), names(1..=10));
    let nothing = read(&source, orders(), following(last(&first)), 4).await;
    assert!(nothing.is_empty(), "{nothing:?}");

    table(&["append", text(&path), "11", "13"]);
    table(&["update", text(&path), "3", "changed"]);
    table(&["delete", text(&path), "4"]);
    table(&["widen", text(&path), "20", "20"]);
    table(&["checkpoint", text(&path)]);
    let second = read(&source, orders(), following(last(&first)), 2).await;

    let mut expected = names([11, 12, 13, 20]);
    expected.insert(0, "3 changed".to_owned());
    assert_eq!(told(&second), expected);
    let plans: Vec<&Cell> =
        second.iter().flat_map(|batch| &batch.items).filter_map(|row| row.get("plan")).collect();
    assert_eq!(plans.iter().filter(|plan| ***plan == Cell::Text("gold".into())).count(), 1, "{plans:?}");
    assert!(read(&source, orders(), following(last(&second)), 2).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_interrupted_anywhere_continues_without_losing_or_repeating_a_row() {
    let folder = tempdir().expect("a folder");
    let path = made(folder.path(), &[FEED]);
    let source = source(folder.path());
    let orders = || json!({ "path": "sales/orders" });
    let first = read(&source, orders(), following(None), 3).await;
    let at_first: Vec<Batch<Row>> = first.clone();
    table(&["append", text(&path), "11", "30"]);
    table(&["checkpoint", text(&path)]);
    let second = read(&source, orders(), following(last(&first)), 3).await;
    assert!(second.len() > 5, "{}", second.len());

    let all: Vec<Batch<Row>> = at_first.into_iter().chain(second).collect();
    for end in 0..all.len() {
        let rest = read(&source, orders(), following(all[end].checkpoint.clone()), 7).await;
        let seen: Vec<Batch<Row>> = all[..=end].iter().cloned().chain(rest).collect();
        assert_eq!(told(&seen), names(1..=30), "interrupted behind batch {end}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_created_again_is_read_from_its_beginning() {
    let folder = tempdir().expect("a folder");
    let path = made(folder.path(), &[FEED]);
    let source = source(folder.path());
    let orders = || json!({ "path": "sales/orders" });
    let first = read(&source, orders(), following(None), 100).await;
    std::fs::remove_dir_all(&path).expect("removed");
    table(&["make", text(&path), "50", "52", FEED]);

    let again = read(&source, orders(), following(last(&first)), 100).await;

    assert_eq!(told(&again), names(50..=52));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_created_again_while_it_is_followed_is_read_from_its_beginning() {
    // Also one whose log is shorter than that of the old one.
    for (before, appended) in [(None, None), (None, Some("53")), (Some("11"), None)] {
        let folder = tempdir().expect("a folder");
        let path = made(folder.path(), &[FEED]);
        let source = source(folder.path());
        let orders = settings(json!({ "path": "sales/orders", "poll_every": "1s" }));
        let mode = ReadMode::Resume { checkpoint: None, follow: true };
        let mut feed = source.read(&orders, &mode, 100).await.expect("a read");
        let mut rows = async |number: usize| {
            let mut batches = Vec::<Batch<Row>>::new();
            while batches.iter().map(|batch| batch.items.len()).sum::<usize>() < number {
                let next = tokio::time::timeout(Duration::from_secs(60), feed.try_next()).await;
                batches.push(next.expect("in time").expect("a batch").expect("more"));
            }
            told(&batches)
        };
        assert_eq!(rows(10).await, names(1..=10));
        if let Some(id) = before {
            table(&["append", text(&path), id, id]);
            assert_eq!(rows(1).await, names([11]));
        }

        // In one step, as a job does that rebuilds it beside the old one.
        let new = folder.path().join("new");
        table(&["make", text(&new), "50", "52", FEED]);
        appended.map(|id| table(&["append", text(&new), id, id]));
        std::fs::rename(&path, folder.path().join("old")).expect("moved away");
        std::fs::rename(&new, &path).expect("moved");

        let last = if appended.is_some() { 53 } else { 52 };
        assert_eq!(rows(last - 49).await, names(50..=last as u64));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_a_change_data_feed_is_not_followed_and_the_check_says_how_to_switch_it_on() {
    let folder = tempdir().expect("a folder");
    made(folder.path(), &[]);
    let source = source(folder.path());
    let orders = settings(json!({ "path": "sales/orders" }));

    let Err(error) = source.read(&orders, &following(None), 10).await else { panic!("it is followed") };
    let checks = source.check_changes(&orders).await.expect("checks");

    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    assert!(error.next_step().contains("delta.enableChangeDataFeed = true"), "{}", error.next_step());
    assert!(!checks.passed());
    assert!(source.check(Some(&orders)).await.expect("checks").passed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_table_is_called_missing() {
    let folder = tempdir().expect("a folder");
    made(folder.path(), &[]);
    let source = source(folder.path());

    let error = source.describe(&settings(json!({ "path": "sales" }))).await.expect_err("no table");
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    let gone = settings(json!({ "path": "sales/orders", "version": 7 }));
    let error = source.describe(&gone).await.expect_err("no version");
    assert!(error.message().contains("version 7"), "{error:?}");
    assert!(source.describe(&settings(json!({ "path": "../x" }))).await.is_err());
    assert!(!source.check(Some(&gone)).await.expect("checks").passed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_in_a_bucket_is_read_and_followed() {
    let folder = tempdir().expect("a folder");
    let path = format!("s3://{}/lake", crate::s3::bucket("delta-source"));
    let endpoint = crate::s3::endpoint();
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", "x".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "x".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_S3_ALLOW_UNSAFE_RENAME", "true".to_owned()),
    ];
    let orders = format!("{path}/orders");
    run_with("table.py", &["make", &orders, "1", "10", FEED], &variables);
    let source = opened(folder.path(), &crate::s3::connection(&path));

    let first = read(&source, json!({ "path": "orders" }), following(None), 100).await;
    run_with("table.py", &["append", &orders, "11", "11"], &variables);
    let second = read(&source, json!({ "path": "orders" }), following(last(&first)), 100).await;

    assert_eq!(told(&first), names(1..=10));
    assert_eq!(told(&second), names([11]));
}
