//! A schema of its own in the double of Snowflake, for all journeys.

use serde_json::{Value, json};

use crate::outside::unique;
use crate::support::variable;

/// A schema, and the user that logs in.
pub(crate) struct Snow {
    address: String,
    pub(crate) schema: String,
    client: reqwest::Client,
}

impl Snow {
    pub(crate) async fn new() -> Snow {
        let schema = unique("j").replace('-', "_").to_uppercase();
        let address = variable("TIDEGATE_TEST_SNOWFLAKE");
        let snow = Snow { address, schema, client: reqwest::Client::new() };
        snow.run(&format!("CREATE SCHEMA SHOP.{}", snow.schema)).await;
        snow
    }

    /// Runs a statement and returns the cells of its rows, of all partitions. `{}` stands for the schema.
    pub(crate) async fn run(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let statement = sql.replace("{}", &format!("SHOP.{}", self.schema));
        let body = json!({ "warehouse": "TIDEGATE_WH", "statement": statement });
        let answer = self.send("POST", "/api/v2/statements", body.to_string()).await;
        assert_eq!(answer["code"], "090001", "{statement}: {answer}");
        let rows = |data: &Value| serde_json::from_value(data.clone()).expect("rows");
        let mut all: Vec<Vec<Option<String>>> = rows(&answer["data"]);
        let handle = answer["statementHandle"].as_str().expect("a handle");
        let parts = answer["resultSetMetaData"]["partitionInfo"].as_array().map_or(1, Vec::len);
        for part in 1..parts {
            let path = format!("/api/v2/statements/{handle}?partition={part}");
            let more: Vec<Vec<Option<String>>> = rows(&self.send("GET", &path, String::new()).await["data"]);
            all.extend(more);
        }
        all
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

    /// Says what goes wrong for the user from now on.
    pub(crate) async fn set(&self, given: &Value) {
        self.send("PUT", &format!("/_double/{}", self.schema), given.to_string()).await;
    }

    /// Returns what the double knows of the user.
    pub(crate) async fn seen(&self) -> Value {
        self.send("GET", &format!("/_double/{}", self.schema), String::new()).await
    }

    async fn send(&self, method: &str, path: &str, body: String) -> Value {
        let method = method.parse().expect("a method");
        let request = self.client.request(method, format!("{}{path}", self.address));
        let request = request.bearer_auth("oauth-JOURNEY").header("content-type", "application/json");
        let request = request.header("user-agent", "journey").body(body);
        let answer = request.send().await.expect("the double answers").bytes().await.expect("bytes");
        serde_json::from_slice(&answer).unwrap_or_else(|cause| panic!("{cause}: {answer:?}"))
    }

    /// The connection `snow` as a project writes it.
    pub(crate) fn connection(&self) -> String {
        format!(
            "  snow:\n    type: snowflake\n    account: tide-gate\n    endpoint: {}\n    user: {1}\n    \
             private_key: {{ file: {2} }}\n    role: TIDEGATE_ROLE\n    warehouse: TIDEGATE_WH\n    database: SHOP\n    \
             schema: {1}\n",
            self.address,
            self.schema,
            variable("TIDEGATE_TEST_SNOWFLAKE_KEY")
        )
    }
}
