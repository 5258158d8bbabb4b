//! A schema of its own in the double of a Databricks workspace, for all journeys.

use serde_json::{Value, json};

use crate::outside::unique;
use crate::support::variable;

const WAREHOUSE: &str = "1a2b3c4d5e6f7a8b";

/// A schema, and the principal that logs in.
pub(crate) struct Lakehouse {
    address: String,
    pub(crate) schema: String,
    client: reqwest::Client,
}

impl Lakehouse {
    pub(crate) async fn new() -> Lakehouse {
        let schema = unique("j").replace('-', "_");
        let address = variable("TIDEGATE_TEST_DATABRICKS");
        let lakehouse = Lakehouse { address, schema, client: reqwest::Client::new() };
        lakehouse.run(&format!("CREATE SCHEMA `main`.`{}`", lakehouse.schema)).await;
        lakehouse.run(&format!("CREATE VOLUME `main`.`{}`.`raw`", lakehouse.schema)).await;
        lakehouse
    }

    /// Runs a statement and returns the cells of its rows. `{}` stands for the schema.
    pub(crate) async fn run(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let statement = sql.replace("{}", &format!("main.{}", self.schema));
        let body = json!({ "warehouse_id": WAREHOUSE, "wait_timeout": "50s", "statement": statement });
        let mut answer = self.send("POST", "/api/2.0/sql/statements", body.to_string()).await;
        while answer["status"]["state"] == "RUNNING" || answer["status"]["state"] == "PENDING" {
            let path = format!("/api/2.0/sql/statements/{}", answer["statement_id"].as_str().expect("an id"));
            answer = self.send("GET", &path, String::new()).await;
            crate::support::pause(std::time::Duration::from_millis(200)).await;
        }
        assert_eq!(answer["status"]["state"], "SUCCEEDED", "{statement}: {answer}");
        serde_json::from_value(answer["result"]["data_array"].clone()).unwrap_or_default()
    }

    /// Runs a statement whose rows have no nulls.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<Vec<String>> {
        let rows = self.run(sql).await.into_iter();
        rows.map(|row| row.into_iter().map(|cell| cell.expect("no null")).collect()).collect()
    }

    /// Runs a statement that counts.
    pub(crate) async fn count(&self, sql: &str) -> u64 {
        self.texts(sql).await[0][0].parse().expect("a count")
    }

    /// Puts a file into the volume `raw`. Returns how a query names its place.
    pub(crate) async fn put(&self, name: &str, content: Vec<u8>) -> String {
        let path = format!("/Volumes/main/{}/raw/{name}", self.schema);
        let url = format!("{}/api/2.0/fs/files{path}?overwrite=true", self.address);
        let answer = self.client.put(url).bearer_auth("journey").body(content).send().await;
        assert!(answer.expect("an answer").status().is_success(), "{path} is written");
        path
    }

    /// Says what goes wrong for the principal from now on.
    pub(crate) async fn set(&self, given: &Value) {
        self.send("PUT", &format!("/_double/{}", self.schema), given.to_string()).await;
    }

    /// Returns what the double knows of the principal.
    pub(crate) async fn seen(&self) -> Value {
        self.send("GET", &format!("/_double/{}", self.schema), String::new()).await
    }

    /// Returns the files in volumes of the schema.
    pub(crate) async fn files(&self) -> Vec<String> {
        let files: Vec<String> = serde_json::from_value(self.seen().await["files"].clone()).expect("a list");
        files.into_iter().filter(|file| file.contains(&self.schema)).collect()
    }

    async fn send(&self, method: &str, path: &str, body: String) -> Value {
        let method = method.parse().expect("a method");
        let request = self.client.request(method, format!("{}{path}", self.address)).bearer_auth("journey");
        let answer = request.body(body).send().await.expect("the double answers").text().await.expect("text");
        serde_json::from_str(&answer).unwrap_or_else(|cause| panic!("{cause}: {answer}"))
    }

    /// The connection `lakehouse` as a project writes it.
    pub(crate) fn connection(&self) -> String {
        format!(
            "  lakehouse:\n    type: databricks\n    host: dbc-1.cloud.databricks.com\n    endpoint: {}\n    \
             warehouse_id: {WAREHOUSE}\n    client_id: {1}\n    client_secret: secret\n    catalog: main\n    \
             schema: {1}\n",
            self.address, self.schema
        )
    }
}
