//! What a mirror keeps in a warehouse (`state: source`): the same story for each of them.

use std::sync::Arc;

use futures_util::TryStreamExt;
use serde_json::json;
use tidegate_model::bookkeeping::{Bookkeeping, DifferingRows, NotedRow, SourceHashes};
use tidegate_model::{ErrorKind, Row, RowHash, Selection, Source, SyncId};

use crate::bigquery_server::Warehouse;
use crate::databricks_server::Workspace;
use crate::postgres_server::{Database, table, unique};
use crate::redshift_server::Cluster;
use crate::snowflake_server::Account;

/// A row: its id, the hash of its key in the ledger, and the hashes of the source.
type Shown = (i64, RowHash, SourceHashes);

fn shown_of(row: &Row, hashes: SourceHashes) -> Shown {
    let id = row.values[0].to_text().and_then(|id| id.parse().ok()).expect("a number");
    (id, RowHash(u128::from_be_bytes([0xab; 16]) ^ id as u128), hashes)
}

/// The rows that differ, by their ids, without those that have none.
async fn differing(bookkeeping: &dyn Bookkeeping, all: bool) -> Vec<Shown> {
    let rows = bookkeeping.rows(all, 3).await.expect("opened");
    let batches: Vec<DifferingRows> = rows.try_collect().await.expect("read");
    let mut shown: Vec<Shown> = batches
        .iter()
        .flat_map(|rows| rows.batch.items.iter().zip(&rows.hashes))
        .filter(|(row, _)| !row.values[0].is_null())
        .map(|(row, hashes)| {
            assert_eq!(row.values.len(), 3, "the hashes are taken off");
            shown_of(row, *hashes)
        })
        .collect();
    shown.sort_by_key(|(id, ..)| *id);
    shown
}

fn ids(shown: &[Shown]) -> Vec<i64> {
    shown.iter().map(|(id, ..)| *id).collect()
}

async fn note(bookkeeping: &dyn Bookkeeping, shown: &[Shown], known: bool) {
    let rows: Vec<NotedRow> =
        shown.iter().map(|(_, key, hashes)| NotedRow { key: *key, hashes: *hashes, known }).collect();
    bookkeeping.note(&rows).await.expect("noted");
    bookkeeping.flush().await.expect("written");
}

/// Plays the life of a mirror over the table `name`, which has the columns `id`, `plan` and `total`, and the rows 1 to 9.
async fn plays(source: &Arc<dyn Source>, name: &str, enforced: bool, run: impl AsyncFn(&str)) {
    let (selection, sync) = (table(name), SyncId::new(unique("customers")));
    let key = [source.describe(&selection).await.expect("described").columns[0].name.clone()];
    let opened = async || {
        let opened = source.bookkeeping(&sync, &selection, &key).await.expect("opened");
        opened.expect("a warehouse that compares")
    };
    let bookkeeping = opened().await;
    let (first, continues) = bookkeeping.begin(None).await.expect("begun");
    assert!(!continues);
    let all = differing(&*bookkeeping, true).await;
    assert_eq!(ids(&all), (1..=9).collect::<Vec<_>>());
    note(&*bookkeeping, &all, true).await;
    assert_eq!(bookkeeping.count().await.expect("counted"), 9);
    assert!(differing(&*bookkeeping, false).await.is_empty());
    // A run that did not end has not written all entries: they are void.
    let (begun, continues) = opened().await.begin(Some(&first)).await.expect("begun");
    assert!(!continues && begun != first);
    let bookkeeping = opened().await;
    let (first, _) = bookkeeping.begin(None).await.expect("begun");
    assert_eq!(differing(&*bookkeeping, false).await.len(), 9);
    note(&*bookkeeping, &all, true).await;
    bookkeeping.complete().await.expect("written");

    // The next run continues with the entries of the last one.
    let bookkeeping = opened().await;
    assert_eq!(bookkeeping.begin(Some(&first)).await.expect("begun"), (first.clone(), true));
    run(&format!("UPDATE {name} SET plan = 'pro' WHERE id = 5")).await;
    run(&format!("UPDATE {name} SET plan = NULL WHERE id = 6")).await;
    run(&format!("DELETE FROM {name} WHERE id = 7")).await;
    run(&format!("INSERT INTO {name} VALUES (10, 'new', 0.1)")).await;
    let changed = differing(&*bookkeeping, false).await;
    assert_eq!(ids(&changed), [5, 6, 10]);
    assert!(changed.iter().all(|(.., hashes)| !hashes.several));
    let gone = bookkeeping.removed(None, 10).await.expect("compared");
    let key_of = |id: i64| all.iter().find(|(known, ..)| *known == id).expect("read").1;
    assert_eq!(gone, [key_of(7)]);
    assert!(bookkeeping.removed(Some(gone[0]), 10).await.expect("compared").is_empty());

    // What is about to be sent is shown until it is committed, and what is committed is not.
    note(&*bookkeeping, &changed, false).await;
    assert_eq!(ids(&differing(&*bookkeeping, false).await), [5, 6, 10]);
    note(&*bookkeeping, &[changed[0], changed[2]], true).await;
    bookkeeping.forget(&gone).await.expect("written");
    assert_eq!(ids(&differing(&*bookkeeping, false).await), [6]);
    assert!(bookkeeping.removed(None, 10).await.expect("compared").is_empty());
    // The one that was sent before the row changed back.
    run(&format!("UPDATE {name} SET plan = 'free' WHERE id = 6")).await;
    assert_eq!(ids(&differing(&*bookkeeping, false).await), [6]);
    bookkeeping.doubt(&[key_of(1), key_of(2)]).await.expect("written");
    assert_eq!(ids(&differing(&*bookkeeping, false).await), [1, 2, 6]);
    // A key that the ledger knows and the source never had.
    bookkeeping.note_removed(&[RowHash(99)]).await.expect("written");
    assert_eq!(bookkeeping.removed(None, 10).await.expect("compared"), [RowHash(99)]);

    if !enforced {
        run(&format!("INSERT INTO {name} VALUES (4, 'twin', 1)")).await;
        run(&format!("INSERT INTO {name} VALUES (NULL, 'nameless', 1)")).await;
        run(&format!("DELETE FROM {name} WHERE id IN (1, 2, 6)")).await;
        let twins: Vec<_> = differing(&*bookkeeping, false).await;
        assert_eq!(
            twins.iter().map(|(id, _, hashes)| (*id, hashes.several)).collect::<Vec<_>>(),
            [(4, true), (4, true)]
        );
        note(&*bookkeeping, &twins, false).await;
        assert_eq!(ids(&differing(&*bookkeeping, false).await), [4, 4]);
        assert_eq!(bookkeeping.count().await.expect("counted"), 7);
    }

    // Entries of another run are void, and the ones of this one with them.
    let bookkeeping = opened().await;
    let (second, continues) = bookkeeping.begin(Some("another")).await.expect("begun");
    assert!(!continues && second != first);
    assert!(ids(&differing(&*bookkeeping, false).await).len() > 6);
    assert!(bookkeeping.removed(None, 10).await.expect("compared").is_empty());
}

#[tokio::test]
async fn postgresql_compares_the_rows_of_a_mirror() {
    let database = Database::new().await;
    database
        .run(
            "CREATE SCHEMA tidegate; CREATE TABLE customers (id int PRIMARY KEY, plan text, total float8);
             INSERT INTO customers SELECT n, 'free', n / 10.0 FROM generate_series(1, 9) n",
        )
        .await;
    plays(&database.source(), "customers", true, async |sql: &str| database.run(sql).await).await;
}

#[tokio::test]
async fn redshift_compares_the_rows_of_a_mirror_with_twins_and_nameless_rows_among_them() {
    let cluster = Cluster::new().await;
    cluster
        .run(
            "CREATE TABLE customers (id INTEGER, plan VARCHAR(20), total FLOAT8);
             INSERT INTO customers SELECT n, 'free', n / 10.0 FROM generate_series(1, 9) AS n",
        )
        .await;
    let user = cluster.user("sha256|Secret-1").await;
    cluster.run(&format!("GRANT SELECT ON TABLE customers TO {user}")).await;
    let source = cluster.source_with(json!({ "user": user, "password": "Secret-1" }));
    for remedy in
        ["CREATE SCHEMA \"tidegate\";", &format!("GRANT USAGE, CREATE ON SCHEMA \"tidegate\" TO \"{user}\";")]
    {
        let checks = source.check_bookkeeping(&table("customers"), &["id".to_owned()]).await.unwrap();
        let failed = checks.0.iter().find(|check| !check.passed).expect("a failed check");
        assert!(failed.remedy.as_deref().is_some_and(|given| given.contains(remedy)), "{checks:?}");
        let opened =
            source.bookkeeping(&SyncId::new("customers"), &table("customers"), &["id".to_owned()]).await;
        let error = opened.unwrap().expect("compares").begin(None).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Missing | ErrorKind::Denied), "{error:?}");
        assert!(error.next_step().contains("`tidegate setup NAME`"), "{error:?}");
        cluster.run(remedy).await;
    }
    plays(&source, "customers", false, async |sql: &str| drop(cluster.run(sql).await)).await;
    let checks = source.check_bookkeeping(&table("customers"), &["id".to_owned()]).await.unwrap();
    assert!(checks.passed() && format!("{checks:?}").contains("can be written"), "{checks:?}");
}

#[tokio::test]
async fn snowflake_compares_the_rows_of_a_mirror_with_twins_and_nameless_rows_among_them() {
    let account = Account::new().await;
    let name = account.table("CUSTOMERS");
    account.run(&format!("CREATE TABLE {name} (ID NUMBER(9,0), PLAN VARCHAR, TOTAL FLOAT)")).await;
    account
        .run(&format!("INSERT INTO {name} SELECT column1, 'free', column1 / 10.0 FROM VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9)"))
        .await;
    account.run("CREATE SCHEMA IF NOT EXISTS SHOP.TIDEGATE").await;
    let source = account.source();
    plays(&source, &name, false, async |sql: &str| drop(account.run(sql).await)).await;
    let key = ["ID".to_owned()];
    let checks = source.check_bookkeeping(&table(&name), &key).await.unwrap();
    assert!(checks.passed() && format!("{checks:?}").contains("can be written"), "{checks:?}");
    account.set(json!({ "without": ["USAGE on SCHEMA SHOP.TIDEGATE"] })).await;
    let checks = source.check_bookkeeping(&table(&name), &key).await.unwrap();
    assert!(format!("{checks:?}").contains("CREATE SCHEMA IF NOT EXISTS"), "{checks:?}");
}

#[tokio::test]
async fn databricks_compares_the_rows_of_a_mirror_with_twins_and_nameless_rows_among_them() {
    let workspace = Workspace::new().await;
    let name = workspace.table("customers");
    workspace.run(&format!("CREATE TABLE {name} (id INT, plan STRING, total DOUBLE)")).await;
    workspace
        .run(&format!("INSERT INTO {name} SELECT CAST(id AS INT), 'free', id / 10.0D FROM range(1, 10)"))
        .await;
    workspace.run("CREATE SCHEMA IF NOT EXISTS `main`.`tidegate`").await;
    let source = workspace.source();
    plays(&source, &name, false, async |sql: &str| drop(workspace.run(sql).await)).await;
    let checks = source.check_bookkeeping(&table(&name), &["id".to_owned()]).await.unwrap();
    assert!(checks.passed() && format!("{checks:?}").contains("can be written"), "{checks:?}");
}

#[tokio::test]
async fn bigquery_compares_the_rows_of_a_mirror_with_twins_and_nameless_rows_among_them() {
    let warehouse = Warehouse::new().await;
    let name = format!("`{}`", warehouse.table("customers"));
    warehouse.run(&format!("CREATE TABLE {name} (id INT64, plan STRING, total FLOAT64)")).await;
    warehouse
        .run(&format!(
            "INSERT INTO {name} SELECT id, 'free', id / 10 FROM UNNEST(GENERATE_ARRAY(1, 9)) AS id"
        ))
        .await;
    warehouse.run("CREATE SCHEMA IF NOT EXISTS `shop`.`tidegate`").await;
    let source = warehouse.source();
    plays(&source, &name, false, async |sql: &str| drop(warehouse.run(sql).await)).await;
    let checks = source.check_bookkeeping(&table(&name), &["id".to_owned()]).await.unwrap();
    assert!(checks.passed() && format!("{checks:?}").contains("can be written"), "{checks:?}");
}

#[tokio::test]
async fn a_column_of_which_no_hash_can_be_made_is_named_before_anything_is_compared() {
    let cluster = Cluster::new().await;
    cluster.run("CREATE TABLE t (id INTEGER, at TIMETZ)").await;
    let source = cluster.source();
    let key = ["id".to_owned()];
    let error = source.bookkeeping(&SyncId::new("t"), &table("t"), &key).await.err().expect("refused");
    assert_eq!(
        error.message(),
        "`state: source` compares hashes of rows, and column `at` of type timetz cannot be part of one"
    );
    let narrowed: Selection = source.narrow(&table("t"), &["id".to_owned()]).expect("narrowed");
    assert!(source.bookkeeping(&SyncId::new("t"), &narrowed, &key).await.is_ok(), "it is not mapped");
}
