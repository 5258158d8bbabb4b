//! A dataset of its own in the double of BigQuery, for all journeys.

use serde_json::{Value, json};

use crate::outside::unique;
use crate::support::variable;

/// The project that everything is in.
const PROJECT: &str = "shop";

/// A dataset, and the service account that logs in.
pub(crate) struct BigQuery {
    address: String,
    dataset: String,
    account: String,
    client: reqwest::Client,
}

impl BigQuery {
    pub(crate) async fn new() -> BigQuery {
        let name = unique("d");
        let bigquery = BigQuery {
            address: variable("TIDEGATE_TEST_BIGQUERY"),
            dataset: name.replace('-', "_"),
            account: name.replace('_', "-"),
            client: reqwest::Client::new(),
        };
        let reference = json!({ "projectId": PROJECT, "datasetId": bigquery.dataset });
        let path = format!("/bigquery/v2/projects/{PROJECT}/datasets");
        bigquery.send(&path, "application/json", json!({ "datasetReference": reference }).to_string()).await;
        bigquery
    }

    async fn send(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Value {
        let request = self.client.post(format!("{}{path}", self.address)).bearer_auth("admin");
        let answer = request.header("content-type", content_type).body(body).send().await;
        let answer = answer.expect("the double answers").text().await.expect("text");
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|cause| panic!("{cause}: {answer}"));
        assert!(answer.get("error").is_none(), "{answer}");
        answer
    }

    /// Runs a statement and returns the cells of its rows, of which none is null. `{}` stands for the dataset.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<Vec<String>> {
        let query = sql.replace("{}", &format!("{PROJECT}.{}", self.dataset));
        let body =
            json!({ "query": query, "useLegacySql": false, "timeoutMs": 60_000, "maxResults": 100_000 });
        let path = format!("/bigquery/v2/projects/{PROJECT}/queries");
        let answer = self.send(&path, "application/json", body.to_string()).await;
        assert_eq!(answer["jobComplete"], true, "{query}: {answer}");
        let cells = |row: &Value| {
            let cells = row["f"].as_array().into_iter().flatten();
            cells.map(|cell| cell["v"].as_str().expect("no null").to_owned()).collect()
        };
        answer["rows"].as_array().into_iter().flatten().map(cells).collect()
    }

    /// Runs a statement that counts.
    pub(crate) async fn count(&self, sql: &str) -> u64 {
        self.texts(sql).await[0][0].parse().expect("a count")
    }

    /// The address of the double.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The name of the service account, before the `@`.
    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    /// The name of the dataset.
    pub(crate) fn dataset(&self) -> &str {
        &self.dataset
    }

    /// The names of its tables.
    pub(crate) async fn tables(&self) -> Vec<String> {
        let path = format!(
            "{}/bigquery/v2/projects/{PROJECT}/datasets/{}/tables?maxResults=1000",
            self.address, self.dataset
        );
        let answer = self.client.get(path).bearer_auth("admin").send().await.expect("an answer");
        let listed: Value = serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
        let tables = listed["tables"].as_array().into_iter().flatten();
        tables.filter_map(|table| Some(table["tableReference"]["tableId"].as_str()?.to_owned())).collect()
    }

    /// Loads a CSV file into a table of texts.
    pub(crate) async fn load(&self, table: &str, csv: &[u8]) {
        let names = csv.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let names = String::from_utf8_lossy(names);
        let fields: Vec<Value> =
            names.trim().split(',').map(|name| json!({ "name": name, "type": "STRING" })).collect();
        let load = json!({
            "destinationTable": { "projectId": PROJECT, "datasetId": self.dataset, "tableId": table },
            "sourceFormat": "CSV",
            "skipLeadingRows": 1,
            "allowQuotedNewlines": true,
            "schema": { "fields": fields },
        });
        let about = json!({ "configuration": { "load": load } });
        let mut body =
            format!("--part\r\ncontent-type: application/json\r\n\r\n{about}\r\n--part\r\ncontent-type: text/csv\r\n\r\n")
                .into_bytes();
        body.extend_from_slice(csv);
        body.extend_from_slice(b"\r\n--part--\r\n");
        let path = format!("/upload/bigquery/v2/projects/{PROJECT}/jobs?uploadType=multipart");
        let mut job = self.send(&path, "multipart/related; boundary=part", body).await;
        while job["status"]["state"] != "DONE" {
            let path = format!(
                "{}/bigquery/v2/projects/{PROJECT}/jobs/{}",
                self.address,
                job["jobReference"]["jobId"].as_str().expect("an id")
            );
            let answer = self.client.get(path).bearer_auth("admin").send().await.expect("an answer");
            job = serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
            crate::support::pause(std::time::Duration::from_millis(200)).await;
        }
        assert!(job["status"].get("errorResult").is_none(), "{job}");
    }

    /// The file of the service account's key.
    pub(crate) fn key(&self) -> String {
        let private = std::fs::read_to_string(variable("TIDEGATE_TEST_BIGQUERY_KEY")).expect("a key");
        let email = format!("{}@{PROJECT}.iam.gserviceaccount.com", self.account);
        let token_uri = format!("{}/token", self.address);
        json!({ "type": "service_account", "private_key": private, "client_email": email, "token_uri": token_uri })
            .to_string()
    }

    /// The connection `warehouse` as a project writes it, with its key in `key.json`.
    pub(crate) fn connection(&self) -> String {
        format!(
            "  warehouse:\n    type: bigquery\n    project: {PROJECT}\n    dataset: {}\n    endpoint: {}\n    \
             service_account_key: {{ file: key.json }}\n",
            self.dataset, self.address
        )
    }
}
