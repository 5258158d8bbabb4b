//! A schema of its own for each test, and a principal of its own, in the workspace that
//! `TIDEGATE_TEST_DATABRICKS` names.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use serde_json::{Value as Json, json};
use tidegate_model::{
    Batch, ConnectorContext, Error, Http, ReadMode, Row, Selection, Settings, Source, SystemClock,
};
use tidegate_transport::http::RealHttp;
use tidegate_warehouses::databricks::CONNECTOR;

use crate::postgres_server::unique;

/// The id of the warehouse that the double has.
pub const WAREHOUSE: &str = "1a2b3c4d5e6f7a8b";

/// A schema, and who asks.
pub struct Workspace {
    address: String,
    principal: String,
    schema: String,
    http: Arc<dyn Http>,
}

impl Workspace {
    /// Makes a schema.
    pub async fn new() -> Workspace {
        let address = std::env::var("TIDEGATE_TEST_DATABRICKS").unwrap_or_else(|_| {
            panic!("TIDEGATE_TEST_DATABRICKS is not set: these tests need the double of scripts/server/databricks")
        });
        let http = Arc::new(RealHttp::new().expect("a client"));
        let workspace = Workspace { address, principal: unique("app"), schema: unique("s"), http };
        workspace.run(&format!("CREATE SCHEMA `main`.`{}`", workspace.schema)).await;
        workspace
    }

    /// Returns the full name of a table.
    pub fn table(&self, name: &str) -> String {
        format!("main.{}.{name}", self.schema)
    }

    /// Returns the name of the schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Returns who asks.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Returns the way to the double.
    pub fn http(&self) -> Arc<dyn Http> {
        Arc::clone(&self.http)
    }

    async fn send(&self, method: &str, path: &str, body: &Json) -> Json {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address))
            .header("authorization", "Bearer admin")
            .body(Bytes::from(body.to_string()))
            .expect("a request");
        let answer = self.http.send(request).await.expect("the double answers");
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        serde_json::from_slice(answer.body()).expect("JSON")
    }

    /// Runs a statement as an administrator. Returns the cells of its rows.
    pub async fn run(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.tried(sql).await.unwrap_or_else(|answer| panic!("{sql}: {answer}"))
    }

    /// Runs a statement as an administrator. Returns the cells of its rows, or the answer
    /// if it fails.
    pub async fn tried(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Json> {
        let body = json!({ "warehouse_id": WAREHOUSE, "statement": sql, "wait_timeout": "50s" });
        let answer = self.send("POST", "/api/2.0/sql/statements", &body).await;
        match answer["status"]["state"] == "SUCCEEDED" {
            true => Ok(serde_json::from_value(answer["result"]["data_array"].clone()).unwrap_or_default()),
            false => Err(answer),
        }
    }

    /// Returns the files in volumes of the schema.
    pub async fn files(&self) -> Vec<String> {
        let files: Vec<String> = serde_json::from_value(self.seen().await["files"].clone()).expect("a list");
        files.into_iter().filter(|file| file.contains(&self.schema)).collect()
    }

    /// Says what the principal lacks and what goes wrong for it from now on.
    pub async fn set(&self, given: Json) {
        self.send("PUT", &format!("/_double/{}", self.principal), &given).await;
    }

    async fn seen(&self) -> Json {
        self.send("GET", &format!("/_double/{}", self.principal), &Json::Null).await
    }

    /// Returns how many statements of the principal are not closed.
    pub async fn open(&self) -> usize {
        self.seen().await["open"].as_u64().expect("a count") as usize
    }

    /// Says that a table was optimized so long ago that it is time to again.
    pub async fn neglect(&self, table: &str) {
        self.send("DELETE", &format!("/_double/{table}"), &Json::Null).await;
    }

    /// Returns whether a table was optimized.
    pub async fn is_optimized(&self, table: &str) -> bool {
        self.seen().await["optimized"].as_array().expect("a list").iter().any(|name| name == table)
    }

    /// Returns how many of the faults that were set were not met.
    pub async fn faults_left(&self) -> u64 {
        self.seen().await["faults"].as_u64().expect("a count")
    }

    /// Returns settings that work, changed by `changes`.
    pub fn settings(&self, changes: Json) -> Settings {
        let mut members = json!({
            "host": "dbc-1.cloud.databricks.com",
            "endpoint": self.address,
            "warehouse_id": WAREHOUSE,
            "client_id": self.principal,
            "client_secret": "f00d-4-databricks",
            "catalog": "main",
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

/// Returns a selection.
pub fn selection(members: Json) -> Selection {
    let Json::Object(members) = members else { panic!("an object") };
    Selection::new(members)
}

/// Returns a reach by a cursor.
pub fn by(column: &str, from: Option<tidegate_model::Value>) -> ReadMode {
    ReadMode::Incremental { column: column.to_owned(), from, time_zone: "Europe/Berlin".to_owned() }
}

/// Reads everything there is.
pub async fn read(
    source: &dyn Source,
    selected: &Selection,
    mode: &ReadMode,
) -> Result<Vec<Batch<Row>>, Error> {
    source.read(selected, mode, 1_000).await?.try_collect().await
}

/// Returns the rows of batches as JSON texts.
pub fn rows(batches: &[Batch<Row>]) -> Vec<String> {
    let rows = batches.iter().flat_map(|batch| &batch.items);
    rows.map(|row| row.to_json().as_str().to_owned()).collect()
}
