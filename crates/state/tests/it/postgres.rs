//! The promises on PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tidegate_model::{ErrorKind, Secret, Store};
use tidegate_state::{StateConfig, StoreLocation};
use tidegate_testkit::ManualClock;
use tidegate_testkit::store::Backend;
use uuid::Uuid;

use crate::embedded::{Folder, config};

/// A database of its own for one test; it goes with the test.
pub(crate) struct Database {
    pub(crate) folder: Folder,
    pub(crate) name: String,
    pub(crate) url: String,
}

pub(crate) fn server() -> String {
    std::env::var("TIDEGATE_TEST_POSTGRES").expect(
        "set TIDEGATE_TEST_POSTGRES to the URL of a PostgreSQL server where databases can be made, \
         for example postgres://postgres:password@127.0.0.1:5432/postgres",
    )
}

/// The URL with another database; the server's certificate is not verified.
fn with_database(url: &str, name: &str) -> String {
    let (rest, options) = url.split_once('?').map_or((url, None), |(rest, options)| (rest, Some(options)));
    let (host, _) = rest.rsplit_once('/').expect("the URL names a database");
    match options {
        Some(options) => format!("{host}/{name}?{options}"),
        None => format!("{host}/{name}?sslmode=require"),
    }
}

pub(crate) async fn on_server(statement: String) {
    let mut connection = PgConnection::connect(&server()).await.expect("the PostgreSQL server answers");
    connection.execute(AssertSqlSafe(statement)).await.expect("databases can be made and dropped");
}

impl Database {
    pub(crate) async fn new() -> Database {
        let name = format!("tidegate_test_{}", Uuid::new_v4().simple());
        // Not the order of bytes: what tidegate sorts must not depend on the server.
        on_server(format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")).await;
        let url = with_database(&server(), &name);
        Database { folder: Folder::new(), name, url }
    }

    pub(crate) fn config(&self) -> StateConfig {
        let store = StoreLocation::Postgres { url: Secret::new(&self.url) };
        StateConfig { store, ..config(self.folder.data.path(), &self.folder.clock) }
    }

    /// The number that a query returns.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        let mut connection = PgConnection::connect(&self.url).await.expect("connected");
        sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("a number")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropping = std::thread::spawn(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(on_server(statement));
        });
        let _ = dropping.join();
    }
}

#[async_trait]
impl Backend for Database {
    async fn open(&self) -> Arc<dyn Store> {
        tidegate_state::open(self.config()).await.expect("opened")
    }

    fn clock(&self) -> &ManualClock {
        &self.folder.clock
    }
}

tidegate_testkit::store_conforms!(Database::new().await);

async fn failure(url: &str) -> tidegate_model::Error {
    let folder = Folder::new();
    let store = StoreLocation::Postgres { url: Secret::new(url) };
    let config = StateConfig { store, ..config(folder.data.path(), &folder.clock) };
    tidegate_state::open(config).await.err().expect("cannot be opened")
}

#[tokio::test]
async fn a_wrong_password_is_denied_and_not_repeated() {
    let url = server();
    let (_, place) = url.rsplit_once('@').expect("the URL has a user");

    let error = failure(&format!("postgres://postgres:hunter2@{place}?sslmode=require")).await;

    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(!format!("{error:?} {}", error.next_step()).contains("hunter2"));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_missing() {
    let error = failure(&with_database(&server(), "no_such_database")).await;
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let error = failure("postgres://tidegate:hunter2@127.0.0.1:1/tidegate").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

#[tokio::test]
async fn a_url_that_is_none_is_a_setting_and_not_repeated() {
    let error = failure("postgres://tidegate:hunter2@host:port/tidegate").await;
    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    assert!(!format!("{error:?} {}", error.next_step()).contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_together_make_the_tables_once() {
    let database = Database::new().await;
    let opening = (0..4).map(|_| tokio::spawn(tidegate_state::open(database.config())));
    for opened in opening.collect::<Vec<_>>() {
        opened.await.expect("task").expect("opened");
    }
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_trusted_is_not_spoken_to() {
    let database = Database::new().await;
    let plain = database.url.trim_end_matches("?sslmode=require");

    let error = failure(plain).await;

    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    assert!(error.next_step().contains("sslrootcert="), "{}", error.next_step());
    let authority = std::env::var("TIDEGATE_TEST_POSTGRES_CA").expect("the authority of the test server");
    let store = StoreLocation::Postgres { url: Secret::new(format!("{plain}?sslrootcert={authority}")) };
    tidegate_state::open(StateConfig { store, ..database.config() }).await.expect("a trusted authority");
}
