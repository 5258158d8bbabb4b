//! A schema of its own for each test, and a user of its own, in the account that
//! `TIDEGATE_TEST_SNOWFLAKE` names.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use tidegate_model::{ConnectorContext, Http, HttpFailure, Settings, Source, SystemClock};
use tidegate_transport::http::RealHttp;
use tidegate_warehouses::snowflake::CONNECTOR;

use crate::postgres_server::unique;

/// The warehouse that the double has.
pub const WAREHOUSE: &str = "TIDEGATE_WH";
/// The role that users of the double have.
pub const ROLE: &str = "TIDEGATE_ROLE";

/// HTTP that counts the partitions that are on their way. A result is stored: while its rows are read,
/// nothing else is under way at Snowflake.
pub struct Counting {
    inner: Arc<dyn Http>,
    partitions: Arc<AtomicUsize>,
}

impl Counting {
    /// Returns such an HTTP, and its count.
    pub fn over(inner: Arc<dyn Http>) -> (Arc<dyn Http>, Arc<AtomicUsize>) {
        let partitions = Arc::<AtomicUsize>::default();
        (Arc::new(Counting { inner, partitions: Arc::clone(&partitions) }), partitions)
    }
}

/// A partition on its way.
struct OnItsWay(Arc<AtomicUsize>);

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Http for Counting {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        let is_partition = request.uri().query().is_some_and(|query| query.contains("partition="));
        let _on_its_way = is_partition.then(|| {
            self.partitions.fetch_add(1, Ordering::Relaxed);
            OnItsWay(Arc::clone(&self.partitions))
        });
        self.inner.send(request).await
    }
}

/// A schema, and who asks.
pub struct Account {
    address: String,
    user: String,
    schema: String,
    http: Arc<dyn Http>,
}

/// Returns what an environment variable says.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need the double of scripts/server/snowflake")
    })
}

/// Returns the private key that the double knows the public half of.
pub fn key() -> String {
    std::fs::read_to_string(variable("TIDEGATE_TEST_SNOWFLAKE_KEY")).expect("a key")
}

impl Account {
    /// Makes a schema.
    pub async fn new() -> Account {
        let address = variable("TIDEGATE_TEST_SNOWFLAKE");
        let name = |start| unique(start).replace('-', "_").to_uppercase();
        let http = Arc::new(RealHttp::new().expect("a client"));
        let account = Account { address, user: name("app"), schema: name("s"), http };
        account.run(&format!("CREATE SCHEMA SHOP.{}", account.schema)).await;
        account
    }

    /// Returns the full name of a table.
    pub fn table(&self, name: &str) -> String {
        format!("SHOP.{}.{name}", self.schema)
    }

    /// Returns the name of the schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Returns the address of the double.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns how many tokens of OAuth the user was granted since faults were set.
    pub async fn tokens(&self) -> u64 {
        self.seen().await["granted"].as_u64().expect("a count")
    }

    /// Returns the user that asks.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the way to the double.
    pub fn http(&self) -> Arc<dyn Http> {
        Arc::clone(&self.http)
    }

    async fn send(&self, method: &str, path: &str, body: &Json) -> (u16, Json) {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address))
            .header("authorization", "Bearer oauth-ADMIN")
            .header("content-type", "application/json")
            .header("user-agent", "tests")
            .body(Bytes::from(body.to_string()))
            .expect("a request");
        let answer = self.http.send(request).await.expect("the double answers");
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).expect("JSON"))
    }

    /// Runs a statement as an administrator. Returns the cells of its rows.
    pub async fn run(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.tried(sql).await.unwrap_or_else(|answer| panic!("{sql}: {answer}"))
    }

    /// Runs a statement as an administrator. Returns the cells of its rows, or the answer if it fails.
    pub async fn tried(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Json> {
        let body =
            json!({ "statement": sql, "warehouse": WAREHOUSE, "database": "SHOP", "schema": "PUBLIC" });
        let (status, answer) = self.send("POST", "/api/v2/statements", &body).await;
        match status {
            200 => Ok(serde_json::from_value(answer["data"].clone()).expect("rows")),
            _ => Err(answer),
        }
    }

    /// Says what the role lacks and what goes wrong for the user from now on.
    pub async fn set(&self, given: Json) {
        self.send("PUT", &format!("/_double/{}", self.user), &given).await;
    }

    async fn seen(&self) -> Json {
        self.send("GET", &format!("/_double/{}", self.user), &Json::Null).await.1
    }

    /// Returns how many statements of the user are running.
    pub async fn open(&self) -> usize {
        self.seen().await["open"].as_u64().expect("a count") as usize
    }

    /// Returns the statements that the user has run.
    pub async fn statements(&self) -> Vec<String> {
        serde_json::from_value(self.seen().await["statements"].clone()).expect("texts")
    }

    /// Returns how many of the faults that were set were not met.
    pub async fn faults_left(&self) -> u64 {
        self.seen().await["faults"].as_u64().expect("a count")
    }

    /// Returns settings that work, changed by `changes`.
    pub fn settings(&self, changes: Json) -> Settings {
        let mut members = json!({
            "account": "tide-gate",
            "endpoint": self.address,
            "user": self.user,
            "private_key": key(),
            "role": ROLE,
            "warehouse": WAREHOUSE,
            "database": "SHOP",
            "schema": self.schema,
        });
        let members = members.as_object_mut().expect("object");
        let Json::Object(changes) = changes else { panic!("an object") };
        members.extend(changes);
        members.retain(|_, value| !value.is_null());
        Settings::new(members.clone())
    }

    /// Returns the context that connectors are opened with.
    pub fn context(&self) -> ConnectorContext {
        ConnectorContext {
            http: self.http(),
            clock: Arc::new(SystemClock),
            project: std::env::temp_dir(),
            data: std::env::temp_dir(),
            dry_run: false,
        }
    }

    /// Opens the source with settings that work.
    pub fn source(&self) -> Arc<dyn Source> {
        self.source_with(json!({}))
    }

    /// Opens the source with other settings.
    pub fn source_with(&self, changes: Json) -> Arc<dyn Source> {
        let source = CONNECTOR.source.expect("a source");
        (source.open)(&self.settings(changes), &self.context()).expect("opens")
    }
}
