//! A database of its own in the double of Redshift, for all journeys.

use std::process::Command;

use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::outside::unique;
use crate::support::{repository, variable};

/// A database, and the administrator's connection to it.
pub(crate) struct Redshift {
    client: Client,
    database: String,
    port: u16,
}

/// The password of the double's administrator, `dev`.
const PASSWORD: &str = "f00d-4-Redshift";

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the double answers");
    tokio::spawn(connection);
    client
}

impl Redshift {
    pub(crate) async fn new() -> Redshift {
        let address = variable("TIDEGATE_TEST_REDSHIFT");
        let (host, port) = address.trim_start_matches("http://").split_once(':').expect("host and port");
        let port = port.parse().expect("a port");
        let database = unique("redshift").replace('-', "_");
        let mut config = Config::new();
        config.host(host).port(port).user("dev").password(PASSWORD).dbname("dev");
        connect(&config).await.batch_execute(&format!("CREATE DATABASE {database}")).await.expect("made");
        config.dbname(&database);
        Redshift { client: connect(&config).await, database, port }
    }

    /// Loads the café into the schema `public`, by the PostgreSQL behind the double: Redshift has `COPY` from S3.
    pub(crate) fn load_the_cafe(&self) {
        let behind = variable("TIDEGATE_TEST_POSTGRES");
        let (server, _) = behind.rsplit_once('/').expect("a URL");
        let loaded = Command::new(repository().join("examples/jaffle/load"))
            .args([format!("{server}/{}", self.database), variable("TIDEGATE_TEST_JAFFLE")])
            .status();
        assert!(loaded.expect("psql runs").success());
    }

    /// Runs a statement of Redshift and returns the cells of its rows, which have no nulls.
    pub(crate) async fn run(&self, sql: &str) -> Vec<Vec<String>> {
        let answer = self.client.simple_query(sql).await.unwrap_or_else(|cause| panic!("{sql}: {cause:?}"));
        let rows = answer.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).expect("no null").to_owned()).collect())
            }
            _ => None,
        });
        rows.collect()
    }

    /// Runs a statement that counts.
    pub(crate) async fn count(&self, sql: &str) -> u64 {
        self.run(sql).await[0][0].parse().expect("a count")
    }

    /// The connection `red` as a project writes it, for a user of this name and password.
    pub(crate) fn connection(&self, user: &str, password: &str) -> String {
        format!(
            "  red:\n    type: redshift\n    host: localhost\n    port: {}\n    database: {}\n    user: {user}\n    \
             password: \"{password}\"\n    ca_file: {}\n",
            self.port,
            self.database,
            variable("TIDEGATE_TEST_REDSHIFT_CA")
        )
    }

    /// Makes a user that may read everything. Returns its name.
    pub(crate) async fn reader(&self, schema: &str, password: &str) -> String {
        let user = format!("reader_{}", self.database);
        self.run(&format!("CREATE USER {user} PASSWORD 'sha256|{password}'")).await;
        self.run(&format!(
            "GRANT USAGE ON SCHEMA {schema} TO {user}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user}"
        ))
        .await;
        user
    }
}
