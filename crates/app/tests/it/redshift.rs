//! A database of its own in the double of Redshift, for all journeys.

use std::process::Command;

use tidegate_testkit::postgres::TestDatabase;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::outside::unique;
use crate::support::{repository, variable};

/// A database, and the administrator's connection to it.
pub(crate) struct Redshift {
    client: Client,
    database: String,
    port: u16,
    _made: TestDatabase,
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
        let behind = variable("TIDEGATE_TEST_POSTGRES").parse().expect("a PostgreSQL URL");
        let _made = TestDatabase::new(behind, &database);
        config.dbname(&database);
        Redshift { client: connect(&config).await, database, port, _made }
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
    /// The bucket of its exports.
    fn bucket(&self) -> String {
        format!("{}/{}", variable("TIDEGATE_TEST_MOTO"), self.database.replace('_', "-"))
    }

    async fn s3(&self, method: reqwest::Method, query: &str) -> String {
        let signed = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        let request = reqwest::Client::new().request(method, format!("{}{query}", self.bucket()));
        let answer = request.header("authorization", signed).send().await.expect("moto answers");
        answer.error_for_status().expect("a success").text().await.expect("text")
    }

    /// Makes the bucket of its exports.
    pub(crate) async fn make_bucket(&self) {
        self.s3(reqwest::Method::PUT, "").await;
    }

    /// Returns the files in the bucket.
    pub(crate) async fn files(&self) -> Vec<String> {
        let listed = self.s3(reqwest::Method::GET, "?list-type=2").await;
        listed.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once('<')?.0.to_owned())).collect()
    }

    /// The connection `red` of the administrator, who may make tables, with the bucket.
    pub(crate) fn connection_with_staging(&self) -> String {
        format!(
            "{}    staging: {{ path: s3://{}/events, endpoint: \"{}\" }}\n    \
             aws: {{ region: us-east-1, access_key_id: AKIDEXAMPLE, secret_access_key: example }}\n",
            self.connection("dev", PASSWORD),
            self.database.replace('_', "-"),
            variable("TIDEGATE_TEST_MOTO")
        )
    }
}
