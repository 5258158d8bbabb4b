//! A state that was put back from a copy is recognized until it is accepted, and no other one is.

use std::path::Path;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tidegate_model::{Store, SyncId};
use tidegate_state::StateConfig;

use crate::embedded::{Folder, config};
use crate::postgres::Database;

async fn opened(config: StateConfig) -> Arc<dyn Store> {
    tidegate_state::open(config).await.expect("opened")
}

/// Takes a sync and lets it go: what it sent is not known to a copy from before.
async fn runs(store: &Arc<dyn Store>) {
    let claim = store.claim(&SyncId::new("orders")).await.expect("asked").taken().expect("free");
    claim.release().await;
}

async fn is_older(store: &Arc<dyn Store>) -> bool {
    store.older_state().await.expect("looked").is_some()
}

async fn at(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.expect("connected");
    connection.execute(AssertSqlSafe(statement.to_owned())).await.expect("done");
}

/// Stands for what `tidegate.db` was at a time.
fn copy(data: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let names = ["tidegate.db", "tidegate.db-wal"];
    let files = names.map(|name| data.join(name)).into_iter().filter(|file| file.exists());
    files.map(|file| (file.clone(), std::fs::read(file).expect("read"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_copied_during_a_run_and_put_back_after_it_is_older_until_it_is_accepted() {
    let folder = Folder::new();
    let data = folder.data.path().to_owned();
    let open = async || opened(config(&data, &folder.clock)).await;
    let store = open().await;
    assert!(!is_older(&store).await, "a new one");
    runs(&store).await;
    let claim = store.claim(&SyncId::new("orders")).await.expect("asked").taken().expect("free");
    assert!(!is_older(&open().await).await, "beside a run");
    let copied = copy(&data);
    claim.release().await;
    drop((claim, store));
    for name in ["tidegate.db", "tidegate.db-wal", "tidegate.db-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
    copied.iter().for_each(|(file, bytes)| std::fs::write(file, bytes).expect("put back"));

    let restored = open().await;
    assert!(is_older(&restored).await);
    runs(&restored).await;
    assert!(is_older(&open().await).await, "a claim that did not look leaves it so");
    restored.accept_older_state().await.expect("accepted");
    assert!(!is_older(&restored).await);
    assert!(!is_older(&open().await).await);
    runs(&restored).await;
    assert!(!is_older(&open().await).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_that_stood_beside_another_database_takes_none_for_older() {
    let (first, second) = (Database::new().await, Database::new().await);
    let store = opened(first.config()).await;
    for _ in 0..5 {
        runs(&store).await;
    }
    let other = opened(StateConfig { data: first.folder.data.path().to_owned(), ..second.config() }).await;
    assert!(!is_older(&other).await);
    assert!(!is_older(&store).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_put_back_beneath_a_process_are_older_for_it_and_vacuumed_ones_are_not() {
    let database = Database::new().await;
    let store = opened(database.config()).await;
    runs(&store).await;
    at(&database.url, "VACUUM (FULL, FREEZE)").await;
    assert!(!is_older(&store).await, "the rows are the same ones in other files");

    // Rows that are written again, as `pg_restore --data-only` does.
    at(&database.url, "CREATE TABLE dump AS TABLE origin; TRUNCATE origin; INSERT INTO origin TABLE dump")
        .await;
    assert!(is_older(&store).await);
    assert!(is_older(&opened(database.config()).await).await);
    store.accept_older_state().await.expect("accepted");
    assert!(!is_older(&opened(database.config()).await).await);

    // The tables of some runs ago, with what the server knows of their rows: a copy of its disk.
    at(&database.url, "UPDATE recency SET mark = mark - 1").await;
    assert!(is_older(&store).await);
    assert!(is_older(&opened(database.config()).await).await, "the folder has seen more");
}
