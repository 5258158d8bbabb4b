//! BigQuery with one result: pages of JSON, whatever size of a page is asked for.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::rows;
use super::server::{Answer, Asked, Double, Part};

/// Where everything of a project is: its name, and more.
const PROJECTS: &str = "/bigquery/v2/projects/";

/// Returns the connection that reads from the double.
pub(super) fn connection(address: SocketAddr) -> String {
    format!("type: bigquery\n    project: bench\n    endpoint: http://{address}")
}

/// BigQuery.
pub(super) struct Service {
    pages: Vec<Arc<Part>>,
    rows: u64,
    /// The jobs that count what is not due.
    counts: Mutex<HashSet<String>>,
}

impl Service {
    /// Encodes a number of rows.
    pub(super) fn new(rows: u64) -> Service {
        let count = rows::parts(rows).count();
        let pages = rows::parts(rows).enumerate();
        let pages =
            pages.map(|(at, numbers)| Arc::new(page(&numbers, rows, (at + 1 < count).then_some(at + 1))));
        Service { pages: pages.collect(), rows, counts: Mutex::default() }
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submitted(&self, job: &Value) -> Value {
        let id = job["jobReference"]["jobId"].as_str().unwrap_or("j").to_owned();
        let text = job["configuration"]["query"]["query"].as_str().unwrap_or_default();
        if text.to_ascii_lowercase().contains("count(") {
            self.counts().insert(id.clone());
        }
        described(&id)
    }

    fn page(&self, id: &str, asked: &Asked<'_>) -> Answer {
        if self.counts().contains(id) {
            return Answer::Json(json!({
                "jobReference": { "projectId": "bench", "jobId": id, "location": "US" },
                "jobComplete": true, "totalRows": "1", "rows": [{ "f": [{ "v": "0" }] }],
            }));
        }
        if asked.parameter("maxResults") == Some("0") {
            return Answer::Json(json!({
                "jobReference": { "projectId": "bench", "jobId": id, "location": "US" },
                "jobComplete": true, "totalRows": self.rows.to_string(), "schema": schema(), "pageToken": "0",
            }));
        }
        let at = asked.parameter("pageToken").and_then(|token| token.parse().ok()).unwrap_or(0);
        self.pages.get(at).map_or(Answer::Missing, |page| Answer::Part(Arc::clone(page)))
    }
}

impl Double for Service {
    fn part(&self, at: usize) -> Option<&Arc<Part>> {
        self.pages.get(at)
    }

    fn answer(&self, asked: &Asked<'_>) -> Answer {
        if asked.path.starts_with("/computeMetadata/") {
            return Answer::Json(json!({ "access_token": "t", "expires_in": 3600, "token_type": "Bearer" }));
        }
        // The jobs are in one project, and the table may be in another.
        let of_project = asked.path.strip_prefix(PROJECTS).and_then(|rest| rest.split_once('/'));
        let Some((_, rest)) = of_project else { return Answer::Missing };
        match (asked.method, rest.split('/').collect::<Vec<_>>().as_slice()) {
            ("POST", ["jobs"]) => Answer::Json(self.submitted(&asked.json())),
            ("POST", _) => Answer::Json(json!({})),
            ("GET", ["jobs", id]) => Answer::Json(described(id)),
            ("GET", ["queries", id]) => self.page(id, asked),
            ("GET", ["datasets", _, "tables", _]) => {
                Answer::Json(json!({ "schema": schema(), "location": "US", "type": "TABLE" }))
            }
            _ => Answer::Missing,
        }
    }
}

fn described(id: &str) -> Value {
    json!({
        "id": format!("bench:US.{id}"),
        "jobReference": { "projectId": "bench", "jobId": id, "location": "US" },
        "configuration": { "jobType": "QUERY", "query": { "query": "" } },
        "status": { "state": "DONE" },
        "statistics": { "query": {} },
    })
}

fn schema() -> Value {
    let types = ["INTEGER", "STRING", "STRING", "TIMESTAMP", "STRING"];
    let fields = rows::COLUMNS.iter().zip(types);
    let fields = fields.map(|(name, kind)| json!({ "name": name, "type": kind, "mode": "NULLABLE" }));
    json!({ "fields": fields.collect::<Vec<_>>() })
}

fn page(numbers: &Range<u64>, total: u64, next: Option<usize>) -> Part {
    let mut body = format!("{{\"jobComplete\":true,\"totalRows\":\"{total}\",\"schema\":{},", schema());
    if let Some(next) = next {
        let _ = write!(body, "\"pageToken\":\"{next}\",");
    }
    body.push_str("\"rows\":[");
    for number in numbers.clone() {
        if number > numbers.start {
            body.push(',');
        }
        let data = Value::from(rows::event_data(number));
        let _ = write!(
            body,
            "{{\"f\":[{{\"v\":\"{number}\"}},{{\"v\":\"{}\"}},{{\"v\":\"{}\"}},{{\"v\":\"{}\"}},{{\"v\":{data}}}]}}",
            rows::event_name(number),
            rows::user_id(number),
            rows::event_timestamp(number)
        );
    }
    body.push_str("]}");
    Part { rows: numbers.end - numbers.start, bytes: body.into_bytes(), is_gzip: false }
}
