//! A database of its own for each test, on the double of Redshift that `TIDEGATE_TEST_REDSHIFT` names.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tidegate_model::{Settings, Source};
use tidegate_testkit::postgres::TestDatabase;
use tidegate_warehouses::redshift::CONNECTOR;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::postgres_server::{context, unique};

/// The password of the double's administrator, `dev`.
const PASSWORD: &str = "f00d-4-Redshift";

/// A fresh database, and its administrator's connection to it.
pub struct Cluster {
    admin: Client,
    host: String,
    port: u16,
    database: String,
    _made: TestDatabase,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need the double of scripts/server/redshift")
    })
}

/// Returns host and port of the double.
pub fn address() -> (String, String) {
    let address = variable("TIDEGATE_TEST_REDSHIFT");
    let (host, port) = address.trim_start_matches("http://").split_once(':').expect("host and port");
    (host.to_owned(), port.to_owned())
}

/// Returns the file of the double's certificate.
pub fn ca_file() -> String {
    variable("TIDEGATE_TEST_REDSHIFT_CA")
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the double answers");
    tokio::spawn(connection);
    client
}

impl Cluster {
    /// Makes a database.
    pub async fn new() -> Cluster {
        let (host, port) = address();
        let port = port.parse().expect("a port");
        let mut config = Config::new();
        config.host(&host).port(port).user("dev").password(PASSWORD).dbname("dev");
        let database = unique("redshift");
        connect(&config)
            .await
            .batch_execute(&format!("CREATE DATABASE {database}"))
            .await
            .expect("a database");
        let behind = variable("TIDEGATE_TEST_POSTGRES").parse().expect("a PostgreSQL URL");
        let _made = TestDatabase::new(behind, &database);
        config.dbname(&database);
        Cluster { admin: connect(&config).await, host, port, database, _made }
    }

    /// Runs a statement as the administrator. Returns the cells of its rows.
    pub async fn run(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.tried(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// Runs a statement as the administrator. Returns the cells of its rows, or why it fails.
    pub async fn tried(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
        let answer = self.admin.simple_query(sql).await?;
        let row = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
            }
            _ => None,
        };
        Ok(answer.iter().filter_map(row).collect())
    }

    /// Makes a user with this password, as `CREATE USER` takes it. Returns its name.
    pub async fn user(&self, password: &str) -> String {
        let name = unique("reader");
        self.run(&format!("CREATE USER {name} PASSWORD '{password}'")).await;
        name
    }

    /// Returns how many connections of ours are open.
    pub async fn open(&self) -> usize {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tidegate'";
        self.run(sql).await[0][0].as_deref().and_then(|count| count.parse().ok()).expect("a count")
    }

    /// Returns settings that work, changed by `changes`.
    pub fn settings(&self, changes: Json) -> Settings {
        let mut members = json!({
            "host": self.host, "port": self.port, "database": self.database, "user": "dev", "password": PASSWORD,
            "tls": "disable",
        });
        let members = members.as_object_mut().expect("object");
        let Json::Object(changes) = changes else { panic!("an object") };
        members.extend(changes);
        members.retain(|_, value| !value.is_null());
        Settings::new(members.clone())
    }

    /// Opens the source with settings that work.
    pub fn source(&self) -> Arc<dyn Source> {
        self.source_with(json!({}))
    }

    /// Opens the source with other settings.
    pub fn source_with(&self, changes: Json) -> Arc<dyn Source> {
        let source = CONNECTOR.source.expect("a source");
        (source.open)(&self.settings(changes), &context()).expect("opens")
    }
}
