//! Jobs: submitted under an id that is made here, asked about until they end, cancelled when they are no
//! longer wanted.
//!
//! Source: BigQuery REST reference, `jobs.insert`, `jobs.cancel`: a job of an id that is there already is
//! refused with 409, so a job whose answer is lost is submitted again and runs once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_model::address::encoded;
use tidegate_model::{Error, ErrorKind, Reason};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::poll::Poll;

use super::client::{self, Body, Client};
use super::errors::{self, Failure};
use super::statement::Sql;
use super::types::{Field, Schema};

/// A job. Dropped before its result was read to the end, it is cancelled.
pub struct Job {
    client: Arc<Client>,
    id: String,
    location: Option<String>,
    is_open: AtomicBool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    job_reference: Reference,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    statistics: Statistics,
}

/// What a job says of itself that writes its result into a table.
#[derive(Deserialize)]
struct Described {
    configuration: Configuration,
}

#[derive(Deserialize)]
struct Configuration {
    query: Queried,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Queried {
    destination_table: TableReference,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TableReference {
    project_id: String,
    dataset_id: String,
    table_id: String,
}

#[derive(Default, Deserialize)]
struct Reference {
    location: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    state: String,
    error_result: Option<Failure>,
}

/// What a job does.
#[derive(Clone, Copy)]
pub enum Work<'a> {
    /// Runs a statement.
    Query(&'a Sql),
    /// Loads a Parquet file into a table that is there and empty.
    Load(&'a [String; 3], &'a Bytes),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    total_bytes_processed: Option<String>,
    #[serde(default)]
    query: QueryStatistics,
}

#[derive(Default, Deserialize)]
struct QueryStatistics {
    schema: Option<Schema>,
}

/// What a statement would do.
pub struct Forecast {
    /// The columns of its result.
    pub fields: Vec<Field>,
    /// How many bytes it would process: what is paid for on demand.
    pub bytes: u64,
    /// Where it would run.
    pub location: Option<String>,
}

impl Client {
    /// Asks what a statement would do, without running it, which costs nothing.
    ///
    /// # Errors
    /// What BigQuery said, or what kept it from answering.
    pub async fn forecast(&self, sql: &Sql, location: Option<&str>) -> Result<Forecast, Error> {
        let body = json!({
            "configuration": { "query": sql.configuration(), "dryRun": true },
            "jobReference": reference(&self.settings.project, None, location),
        });
        let answered = self.post(&self.path("jobs"), &body).await.map_err(RequestError::into_error)?;
        let Answer { job_reference, status, statistics } = client::read(&answered)?;
        if let Some(failure) = status.error_result {
            return Err(errors::explained(&failure, self.auth.known_member().as_deref(), None));
        }
        let bytes = statistics.total_bytes_processed.as_deref().unwrap_or("0");
        Ok(Forecast {
            fields: statistics.query.schema.unwrap_or_default().fields.into_iter().map(Field::from).collect(),
            bytes: bytes.parse().map_err(|_| errors::unreadable("a number of bytes"))?,
            location: job_reference.location,
        })
    }
}

impl Job {
    /// Submits a statement that only reads. `location` is where its data is, if that is known.
    ///
    /// # Errors
    /// What BigQuery said, or what kept it from answering.
    pub async fn submit(client: &Arc<Client>, sql: &Sql, location: Option<&str>) -> Result<Job, Error> {
        Job::begin(client, Work::Query(sql), location).await.map_err(RequestError::into_error)
    }

    /// Submits a job.
    ///
    /// # Errors
    /// What BigQuery said, and whether the job may have been made.
    pub async fn begin(
        client: &Arc<Client>,
        work: Work<'_>,
        location: Option<&str>,
    ) -> Result<Job, RequestError> {
        let mut job = Job {
            client: Arc::clone(client),
            id: format!("tidegate_{}", uuid::Uuid::new_v4().simple()),
            location: location.map(str::to_owned),
            is_open: AtomicBool::new(true),
        };
        let (mut poll, mut is_lost) = (Poll::default(), false);
        loop {
            match job.send(work).await {
                Ok(answered) => {
                    let unreadable = |error: Error| RequestError::Unknown(lost(error.message()));
                    let answer: Answer = client::read(&answered).map_err(unreadable)?;
                    job.location = answer.job_reference.location.or_else(|| job.location.take());
                    if let Some(failure) = answer.status.error_result {
                        *job.is_open.get_mut() = false;
                        let failed = errors::explained(&failure, client.auth.known_member().as_deref(), None);
                        return Err(RequestError::NoEffect(failed));
                    }
                    return Ok(job);
                }
                // An answer before this one was lost.
                Err(RequestError::NoEffect(error)) if errors::is_duplicate(&error) => return Ok(job),
                Err(RequestError::NoEffect(error)) if !is_lost => {
                    *job.is_open.get_mut() = false;
                    return Err(RequestError::NoEffect(error));
                }
                // One that was lost may have made the job, whatever the next one is told.
                Err(failed) => {
                    is_lost = true;
                    let patience = poll.unanswered(failed.into_error(), client.clock.now()).await;
                    patience.map_err(|error| RequestError::Unknown(lost(error.message())))?;
                }
            }
        }
    }

    async fn send(&self, work: Work<'_>) -> Result<Response<Bytes>, RequestError> {
        match work {
            Work::Query(sql) => {
                let mut query = sql.configuration();
                if let Some(most) = self.client.settings.maximum_bytes_billed {
                    query["maximumBytesBilled"] = most.to_string().into();
                }
                self.client.post(&self.client.path("jobs"), &self.described("query", &query)).await
            }
            Work::Load([project, dataset, table], file) => {
                let load = json!({
                    "destinationTable": { "projectId": project, "datasetId": dataset, "tableId": table },
                    "sourceFormat": "PARQUET",
                    "createDisposition": "CREATE_NEVER",
                    "writeDisposition": "WRITE_EMPTY",
                });
                let body = multipart(&self.described("load", &load), file, &self.id);
                self.client.upload(&self.client.path("jobs?uploadType=multipart"), body).await
            }
        }
    }

    fn described(&self, kind: &str, configuration: &Value) -> Value {
        json!({
            "configuration": { kind: configuration, "labels": { "application": "tidegate" } },
            "jobReference":
                reference(&self.client.settings.project, Some(&self.id), self.location.as_deref()),
        })
    }

    /// Waits for the end of a job whose result is not read. `doing` says what for, in messages.
    ///
    /// # Errors
    /// Why it failed, which is without an effect, or that its end is not known.
    pub async fn end(&self, doing: &str) -> Result<(), RequestError> {
        let path = self.place("jobs", "", "prettyPrint=false");
        let mut poll = Poll::default();
        loop {
            match self.client.get::<Answer>(&path).await {
                Ok(Answer { status, .. }) if status.state == "DONE" => {
                    self.close();
                    let Some(failure) = status.error_result else { return Ok(()) };
                    let failed =
                        errors::explained(&failure, self.client.auth.known_member().as_deref(), None);
                    return Err(RequestError::NoEffect(failed.context(doing)));
                }
                Ok(_) => {
                    poll.answered();
                    poll.pause().await;
                }
                Err(error) => {
                    let patience = poll.unanswered(error, self.client.clock.now()).await;
                    patience.map_err(|error| {
                        let message =
                            format!("{doing}: the end of the job is not known: {}", error.message());
                        RequestError::Unknown(lost(&message))
                    })?;
                }
            }
        }
    }

    /// Returns the client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the path of the job's result, with where it is.
    pub fn result_path(&self) -> String {
        self.place("queries", "", "formatOptions.useInt64Timestamp=true&prettyPrint=false")
    }

    /// Returns why the job has failed; `None` if it has not, or that cannot be learned now.
    pub async fn failure(&self) -> Option<Error> {
        let path = self.place("jobs", "", "prettyPrint=false");
        let Answer { status, .. } = self.client.get(&path).await.ok()?;
        let failure = status.error_result?;
        Some(errors::explained(&failure, self.client.auth.known_member().as_deref(), None))
    }

    /// Returns the table that holds the result of a query: its project, its dataset and its name.
    ///
    /// # Errors
    /// What BigQuery said, or what kept it from answering.
    pub async fn destination(&self) -> Result<[String; 3], Error> {
        let path = self.place("jobs", "", "prettyPrint=false");
        let mut poll = Poll::default();
        loop {
            match self.client.get::<Described>(&path).await {
                Ok(Described { configuration }) => {
                    let table = configuration.query.destination_table;
                    return Ok([table.project_id, table.dataset_id, table.table_id]);
                }
                Err(error) => poll.unanswered(error, self.client.clock.now()).await?,
            }
        }
    }

    /// Notes that the result was read to its end.
    pub fn close(&self) {
        self.is_open.store(false, Ordering::Relaxed);
    }

    fn place(&self, kind: &str, verb: &str, query: &str) -> String {
        let path = self.client.path(&format!("{kind}/{}{verb}?{query}", self.id));
        match &self.location {
            Some(location) => format!("{path}&location={}", encoded(location)),
            None => path,
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !*self.is_open.get_mut() {
            return;
        }
        let (client, path) = (Arc::clone(&self.client), self.place("jobs", "/cancel", "prettyPrint=false"));
        runtime.spawn(async move {
            if let Err(error) = client.post(&path, &json!({})).await {
                tracing::debug!(error = %error.into_error().chain(), "a job could not be cancelled");
            }
        });
    }
}

/// Returns a job and its file as one body.
///
/// Source: BigQuery docs, "Loading data from local files"; REST docs, "Upload a file", multipart uploads.
fn multipart(job: &Value, file: &Bytes, boundary: &str) -> Body {
    let head = format!(
        "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{job}\r\n\
         --{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    let content = [head.as_bytes(), file, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
    Body { content: content.into(), media_type: format!("multipart/related; boundary={boundary}") }
}

fn lost(message: &str) -> Reason {
    Reason::new("response_lost", message)
}

fn reference(project: &str, id: Option<&str>, location: Option<&str>) -> Value {
    let mut reference = json!({ "projectId": project });
    for (name, value) in [("jobId", id), ("location", location)] {
        if let Some(value) = value {
            reference[name] = value.into();
        }
    }
    reference
}

/// Returns the error for a result that ends before its last row.
pub fn incomplete(doing: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("{doing}: rows of the result are missing"))
}
