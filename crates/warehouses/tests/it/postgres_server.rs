//! A database of its own for each test, on the server that
//! `TIDEGATE_TEST_POSTGRES` names.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use serde_json::{Value as Json, json};
use tidegate_model::{
    Batch, ConnectorContext, Error, Http, HttpFailure, ReadMode, Row, Selection, Settings, Source,
    SystemClock,
};
use tidegate_testkit::postgres::TestDatabase;
use tidegate_warehouses::postgres::CONNECTOR;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

/// A fresh database and its owner's connection to it.
pub struct Database {
    /// Connected as a superuser.
    pub admin: Client,
    config: Config,
    _made: TestDatabase,
}

/// Any text that is no part of another test's names.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::new_v4().simple())
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need a PostgreSQL server and a superuser's URL")
    })
}

/// The certificate authority of the server.
pub fn ca_file() -> String {
    variable("TIDEGATE_TEST_POSTGRES_CA")
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the test server answers");
    tokio::spawn(connection);
    client
}

impl Database {
    /// Makes a database.
    pub async fn new() -> Database {
        let mut config: Config = variable("TIDEGATE_TEST_POSTGRES").parse().expect("a PostgreSQL URL");
        let name = unique("tidegate_test");
        connect(&config).await.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("database");
        let _made = TestDatabase::new(config.clone(), &name);
        config.dbname(&name);
        Database { admin: connect(&config).await, config, _made }
    }

    /// Runs statements as a superuser.
    pub async fn run(&self, sql: &str) {
        self.admin.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Settings that work, changed by `changes`.
    pub fn settings(&self, changes: Json) -> Settings {
        let Host::Tcp(host) = &self.config.get_hosts()[0] else { panic!("a TCP host") };
        let password = String::from_utf8(self.config.get_password().expect("password").to_vec());
        let mut members = json!({
            "host": host,
            "port": self.config.get_ports()[0],
            "database": self.config.get_dbname(),
            "user": self.config.get_user(),
            "password": password.expect("text"),
            "tls": "disable",
        });
        let members = members.as_object_mut().expect("object");
        let Json::Object(changes) = changes else { panic!("an object") };
        members.extend(changes);
        members.retain(|_, value| !value.is_null());
        Settings::new(members.clone())
    }

    /// The source with settings that work.
    pub fn source(&self) -> Arc<dyn Source> {
        self.source_with(json!({}))
    }

    /// The source with changed settings.
    pub fn source_with(&self, changes: Json) -> Arc<dyn Source> {
        self.open(changes).expect("settings that work")
    }

    /// Opens the source.
    pub fn open(&self, changes: Json) -> Result<Arc<dyn Source>, Error> {
        let role = CONNECTOR.source.expect("a source");
        (role.open)(&self.settings(changes), &context())
    }

    /// Makes a user that may log in and nothing else.
    pub async fn user(&self) -> String {
        let name = unique("Reader");
        self.run(&format!("CREATE USER \"{name}\" PASSWORD 'secret-of-reader'")).await;
        name
    }
}

/// A context without HTTP.
pub fn context() -> ConnectorContext {
    struct NoHttp;
    #[async_trait]
    impl Http for NoHttp {
        async fn send(
            &self,
            _: http::Request<bytes::Bytes>,
        ) -> Result<http::Response<bytes::Bytes>, HttpFailure> {
            panic!("a SQL source sends no HTTP requests")
        }
    }
    let here = std::env::current_dir().expect("a working directory");
    ConnectorContext {
        http: Arc::new(NoHttp),
        clock: Arc::new(SystemClock),
        project: here.clone(),
        data: here,
        dry_run: false,
    }
}

/// A selection from JSON.
pub fn select(members: Json) -> Selection {
    let Json::Object(members) = members else { panic!("an object") };
    Selection::new(members)
}

/// A table as selection.
pub fn table(name: &str) -> Selection {
    select(json!({ "table": name }))
}

/// All batches of a read.
pub async fn batches(source: &Arc<dyn Source>, selection: &Selection, mode: &ReadMode) -> Vec<Batch<Row>> {
    let feed = source.read(selection, mode, 100).await.expect("a read");
    feed.try_collect().await.expect("batches")
}

/// All rows of a read.
pub async fn rows(source: &Arc<dyn Source>, selection: &Selection, mode: &ReadMode) -> Vec<Row> {
    batches(source, selection, mode).await.into_iter().flat_map(|batch| batch.items).collect()
}

/// The failure of a read, wherever it comes up.
pub async fn failure(source: &Arc<dyn Source>, selection: &Selection) -> Error {
    match source.read(selection, &ReadMode::Full, 100).await {
        Err(error) => error,
        Ok(feed) => feed.try_collect::<Vec<_>>().await.expect_err("the read must fail"),
    }
}
