//! A dataset of its own for each test, and a service account of its own, in the double that
//! `TIDEGATE_TEST_BIGQUERY` names.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value as Json, json};
use tidegate_model::{ConnectorContext, Http, Settings, Source, SystemClock};
use tidegate_transport::http::RealHttp;
use tidegate_warehouses::bigquery::CONNECTOR;

use crate::postgres_server::unique;

/// The project that everything is in.
pub const PROJECT: &str = "shop";

/// A dataset, and who asks.
pub struct Warehouse {
    address: String,
    account: String,
    dataset: String,
    http: Arc<dyn Http>,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need the double of scripts/server/bigquery")
    })
}

/// The key of a service account, as Google's file has it; `variable` names the file of the private half.
pub fn key(account: &str, address: &str, private: &str) -> String {
    let private = std::fs::read_to_string(variable(private)).expect("a key");
    json!({
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "1",
        "private_key": private,
        "client_email": format!("{account}@shop.iam.gserviceaccount.com"),
        "token_uri": format!("{address}/token"),
    })
    .to_string()
}

impl Warehouse {
    /// Makes a dataset.
    pub async fn new() -> Warehouse {
        let address = variable("TIDEGATE_TEST_BIGQUERY");
        let http = Arc::new(RealHttp::new().expect("a client"));
        let warehouse =
            Warehouse { address, account: unique("a").replace('_', "-"), dataset: unique("d"), http };
        let dataset = json!({ "datasetReference": { "projectId": PROJECT, "datasetId": warehouse.dataset } });
        warehouse.send("POST", "/bigquery/v2/projects/shop/datasets", &dataset).await;
        warehouse
    }

    /// Returns the full name of a table.
    pub fn table(&self, name: &str) -> String {
        format!("{PROJECT}.{}.{name}", self.dataset)
    }

    /// Returns the name of the dataset.
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// Returns the address of the double.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the address of the service account.
    pub fn account(&self) -> String {
        format!("{}@shop.iam.gserviceaccount.com", self.account)
    }

    /// Returns the way to the double.
    pub fn http(&self) -> Arc<dyn Http> {
        Arc::clone(&self.http)
    }

    async fn send(&self, method: &str, path: &str, body: &Json) -> Json {
        self.tried_send(method, path, body).await.unwrap_or_else(|answer| panic!("{path}: {body} {answer}"))
    }

    async fn tried_send(&self, method: &str, path: &str, body: &Json) -> Result<Json, String> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address))
            .header("authorization", "Bearer admin")
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_string()))
            .expect("a request");
        let answer = self.http.send(request).await.expect("the double answers");
        match answer.status().is_success() {
            true => Ok(serde_json::from_slice(answer.body()).expect("JSON")),
            false => Err(format!("{answer:?}")),
        }
    }

    /// Runs a statement as an administrator. Returns the cells of its rows.
    pub async fn run(&self, sql: &str) -> Vec<Vec<Json>> {
        self.tried(sql).await.unwrap_or_else(|answer| panic!("{sql}: {answer}"))
    }

    /// Does the same, or returns the answer that says what is wrong.
    pub async fn tried(&self, sql: &str) -> Result<Vec<Vec<Json>>, String> {
        let body = json!({ "query": sql, "useLegacySql": false, "timeoutMs": 60_000, "maxResults": 100_000 });
        let answer = self.tried_send("POST", "/bigquery/v2/projects/shop/queries", &body).await?;
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        let cells =
            |row: &Json| row["f"].as_array().into_iter().flatten().map(|cell| cell["v"].clone()).collect();
        Ok(rows.iter().map(cells).collect())
    }

    /// Returns the names of the tables in the dataset.
    pub async fn tables(&self) -> Vec<String> {
        let path = format!("/bigquery/v2/projects/shop/datasets/{}/tables?maxResults=1000", self.dataset);
        let listed = self.send("GET", &path, &Json::Null).await;
        let tables = listed["tables"].as_array().into_iter().flatten();
        tables.filter_map(|table| table["tableReference"]["tableId"].as_str().map(str::to_owned)).collect()
    }

    /// Says what the service account lacks and what goes wrong for it from now on.
    pub async fn set(&self, given: Json) {
        self.send("PUT", &format!("/_double/{}", self.account), &given).await;
    }

    /// Returns what the double knows of the service account.
    pub async fn seen(&self) -> Json {
        self.send("GET", &format!("/_double/{}", self.account), &Json::Null).await
    }

    /// Returns how many jobs of the account are neither read to the end nor cancelled.
    pub async fn open(&self) -> usize {
        self.seen().await["open"].as_u64().expect("a count") as usize
    }

    /// Returns the address of the double's Storage API.
    pub async fn storage(&self) -> String {
        self.seen().await["storage"].as_str().expect("an address").to_owned()
    }

    /// Returns how many of the faults that were set were not met.
    pub async fn faults_left(&self) -> u64 {
        self.seen().await["faults"].as_u64().expect("a count")
    }

    /// Returns settings that work, changed by `changes`.
    pub fn settings(&self, changes: Json) -> Settings {
        let mut members = json!({
            "project": PROJECT,
            "dataset": self.dataset,
            "endpoint": self.address,
            "service_account_key": key(&self.account, &self.address, "TIDEGATE_TEST_BIGQUERY_KEY"),
        });
        let members = members.as_object_mut().expect("object");
        let Json::Object(changes) = changes else { panic!("an object") };
        members.extend(changes);
        members.retain(|_, value| !value.is_null());
        Settings::new(members.clone())
    }

    /// Returns the key of the account with another private half.
    pub fn wrong_key(&self) -> String {
        key(&self.account, &self.address, "TIDEGATE_TEST_BIGQUERY_OTHER_KEY")
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
