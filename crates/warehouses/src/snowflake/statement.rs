//! Statements: submitted, asked about until they end, cancelled when they are no longer wanted.
//!
//! Source: Snowflake docs, SQL API: "Submitting a request", "Handling responses". A submission whose answer
//! is lost is repeated under its request id, and is not run again if it has succeeded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tidegate_model::{Error, ErrorKind, Reason};
use tidegate_transport::http::answer::{self, RequestError};
use tidegate_transport::poll::Poll;
use uuid::Uuid;

use super::client::{Client, VENDOR};
use super::errors::{self, Failure};
use super::part::Part;

const STATEMENTS: &str = "/api/v2/statements";
/// A statement that runs longer than this may wait for the warehouse.
const STARTING_AFTER: Duration = Duration::from_secs(3);
/// Answers to one submission that may be lost.
const LOST_MAX: usize = 3;
/// Megabytes of one partition, before compression: two are in memory at a time.
///
/// Source: Snowflake docs, "Parameters", `CLIENT_RESULT_CHUNK_SIZE`: 160 unless a request says otherwise.
const PARTITION_MEGABYTES: u32 = 48;

/// A statement and the texts of its `?`.
#[derive(Clone, Debug, Default)]
pub struct Sql {
    /// The statement.
    pub text: String,
    /// Its parameters.
    pub parameters: Vec<String>,
    /// Whether names without a database and a schema are those of the connection. Statements of ours
    /// write names in full, and run without the right to use either.
    pub in_context: bool,
    /// Whether it has no effect: it is submitted again while Snowflake does not take it.
    pub only_reads: bool,
    /// Whether nothing is said while it is waited for.
    pub is_quiet: bool,
}

impl From<String> for Sql {
    fn from(text: String) -> Sql {
        Sql { text, ..Sql::default() }
    }
}

/// What a statement gave, but for its rows.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    code: String,
    statement_handle: String,
    #[serde(deserialize_with = "or_default")]
    result_set_meta_data: Manifest,
}

/// What a result looks like.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Manifest {
    /// Rows.
    pub num_rows: u64,
    /// Its columns.
    #[serde(deserialize_with = "or_default")]
    pub row_type: Vec<ResultColumn>,
    /// Its partitions; the first one comes with the answer.
    #[serde(deserialize_with = "or_default")]
    pub partition_info: Vec<Partition>,
}

/// A column of a result.
#[derive(Debug, Deserialize)]
pub struct ResultColumn {
    /// Name.
    pub name: String,
    /// Type, in lower or upper case.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digits of a number.
    pub precision: Option<u32>,
    /// Digits after the point, or of a second.
    pub scale: Option<u32>,
    /// Characters that a text has at most.
    pub length: Option<u64>,
    /// How texts are compared.
    pub collation: Option<String>,
}

/// A partition of a result.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Partition {
    /// How many rows it has.
    pub row_count: u64,
}

/// Reads a member that may be null, which means the same as that it is absent.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// What a statement gave.
pub struct Done {
    /// The statement, to ask for more of its result.
    pub statement: Statement,
    /// What the result looks like.
    pub manifest: Manifest,
    /// Its first partition.
    pub first: Part,
}

/// A statement at Snowflake. Dropped while it runs, it is cancelled.
pub struct Statement {
    client: Arc<Client>,
    handle: String,
    is_running: bool,
}

/// Why a statement has no result.
pub enum Ended {
    /// It failed, without an effect.
    Failed(Failure),
    /// The request failed.
    Request(RequestError),
}

impl Statement {
    /// Runs a statement to its end. `doing` says what for, in messages.
    ///
    /// # Errors
    /// What Snowflake said, and whether the statement may have had an effect.
    pub async fn run(client: &Arc<Client>, sql: &Sql, doing: &str) -> Result<Done, Ended> {
        let (client, body) = (Arc::clone(client), Bytes::from(body(client, sql).to_string()));
        let only_reads = sql.only_reads;
        // Whoever waits for it may stop at any time: it is in a task of its own until its handle is known,
        // and cancelled then.
        let submitted = tokio::spawn(async move {
            let answered = submit(&client, &body, only_reads).await?;
            let first: Answer = read(&answered)?;
            let statement = Statement { client, handle: first.statement_handle, is_running: true };
            Ok::<_, Ended>((statement, answered))
        });
        let (mut statement, answered) = submitted.await.map_err(|cause| {
            Ended::Request(RequestError::NoEffect(
                Error::internal("a statement ended abnormally").caused_by(cause),
            ))
        })??;
        let (manifest, first) = statement.wait(answered, sql.is_quiet, doing).await?;
        Ok(Done { statement, manifest, first })
    }

    /// Asks until the statement has ended.
    async fn wait(
        &mut self,
        mut answered: Response<Bytes>,
        is_quiet: bool,
        doing: &str,
    ) -> Result<(Manifest, Part), Ended> {
        let mut poll = Poll::default();
        let mut told = is_quiet;
        loop {
            match answered.status() {
                StatusCode::ACCEPTED => {}
                StatusCode::OK => {
                    self.is_running = false;
                    let answer: Answer = read(&answered)?;
                    if answer.code == errors::INCOMPLETE {
                        return Err(no_effect(incomplete(doing)));
                    }
                    let first = Part::new(answered.into_body()).map_err(no_effect)?;
                    return Ok((answer.result_set_meta_data, first));
                }
                _ => {
                    self.is_running = false;
                    return Err(Ended::Failed(failure(&answered)));
                }
            }
            if poll.waited() >= STARTING_AFTER && !told {
                told = true;
                self.client.tell_what_is_waited_for().await;
            }
            poll.pause().await;
            let path = format!("{STATEMENTS}/{}", self.handle);
            answered = loop {
                match self.client.get(&path).await {
                    Ok(answered) => break answered,
                    Err(error) => {
                        poll.unanswered(error, self.client.clock.now()).await.map_err(|error| {
                            let said = error.message();
                            let message = format!("{doing}: the end of the statement is not known: {said}");
                            Ended::Request(RequestError::Unknown(Reason::new("response_lost", message)))
                        })?;
                    }
                }
            };
            poll.answered();
        }
    }

    /// Fetches a partition of the result, not the first one. A question that gets no answer is asked again.
    ///
    /// # Errors
    /// What Snowflake said, or what kept it from answering.
    pub async fn part(&self, index: usize, doing: &str) -> Result<Part, Error> {
        let path = format!("{STATEMENTS}/{}?partition={index}", self.handle);
        let mut poll = Poll::default();
        loop {
            match self.client.get(&path).await {
                Ok(answered) if answered.status() == StatusCode::OK => {
                    return Part::new(answered.into_body());
                }
                Ok(answered) if answered.status() == StatusCode::ACCEPTED => poll.pause().await,
                Ok(answered) => return Err(errors::statement(doing, &failure(&answered))),
                Err(error) => poll.unanswered(error, self.client.clock.now()).await?,
            }
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_running && !self.handle.is_empty() {
            let (client, path) = (Arc::clone(&self.client), format!("{STATEMENTS}/{}/cancel", self.handle));
            runtime.spawn(async move {
                // What comes of it does not matter.
                if let Err(error) = client.post(&path, Bytes::new()).await {
                    tracing::debug!(error = %error.into_error().chain(), "a statement could not be cancelled");
                }
            });
        }
    }
}

/// Submits a statement; again under the same id if the answer is lost. One that only reads is also
/// submitted again while Snowflake does not take it, for about a minute and as long as it asks to wait.
async fn submit(client: &Client, body: &Bytes, only_reads: bool) -> Result<Response<Bytes>, Ended> {
    let id = Uuid::new_v4();
    let mut poll = Poll::default();
    let mut lost: Vec<Reason> = Vec::new();
    loop {
        let again = if lost.is_empty() { "" } else { "&retry=true" };
        let path = format!("{STATEMENTS}?async=true&requestId={id}{again}");
        let error = match client.post(&path, body.clone()).await {
            Ok(answered) => return Ok(answered),
            Err(RequestError::NoEffect(error)) if lost.is_empty() && !only_reads => {
                return Err(no_effect(error));
            }
            Err(RequestError::NoEffect(error)) => error,
            Err(RequestError::Unknown(reason)) if lost.len() == LOST_MAX => {
                return Err(Ended::Request(RequestError::Unknown(reason)));
            }
            Err(RequestError::Unknown(reason)) => {
                let error = Error::new(ErrorKind::Unavailable, &reason.message);
                lost.push(reason);
                error
            }
        };
        if error.acceptable_at().is_some() {
            tracing::warn!("{}", error.message());
        }
        // A submission that was lost may have had an effect, whatever the next one is told.
        poll.unanswered(error, client.clock.now()).await.map_err(|error| match lost.pop() {
            Some(reason) => Ended::Request(RequestError::Unknown(reason)),
            None => no_effect(error),
        })?;
    }
}

impl Client {
    /// Runs a statement; if no warehouse was awake to run it, once more after resuming it.
    ///
    /// # Errors
    /// What Snowflake said, and whether the statement may have had an effect.
    pub async fn run(self: &Arc<Client>, sql: &Sql, doing: &str) -> Result<Done, RequestError> {
        let mut ended = Statement::run(self, sql, doing).await;
        if let Err(Ended::Failed(failure)) = &ended
            && failure.code == errors::NO_WAREHOUSE
            && self.resume_warehouse().await
        {
            ended = Statement::run(self, sql, doing).await;
        }
        ended.map_err(|ended| match ended {
            Ended::Failed(failure) => RequestError::NoEffect(errors::statement(doing, &failure)),
            Ended::Request(error) => error,
        })
    }

    /// Runs a statement and returns its columns and its rows, as texts.
    ///
    /// # Errors
    /// What Snowflake said, and whether the statement may have had an effect.
    pub async fn query(
        self: &Arc<Client>,
        sql: &Sql,
        doing: &str,
    ) -> Result<(Vec<ResultColumn>, Vec<Vec<Option<String>>>), RequestError> {
        let Done { statement, manifest, first } = self.run(sql, doing).await?;
        let mut rows = first.texts().map_err(RequestError::NoEffect)?;
        for index in 1..manifest.partition_info.len() {
            let part = statement.part(index, doing).await.map_err(RequestError::NoEffect)?;
            rows.extend(part.texts().map_err(RequestError::NoEffect)?);
        }
        Ok((manifest.row_type, rows))
    }
}

fn no_effect(error: Error) -> Ended {
    Ended::Request(RequestError::NoEffect(error))
}

fn read(answered: &Response<Bytes>) -> Result<Answer, Ended> {
    if errors::is_of_statement(answered) {
        return Err(Ended::Failed(failure(answered)));
    }
    serde_json::from_slice(answered.body()).map_err(|_| Ended::Request(answer::unreadable(VENDOR, answered)))
}

fn failure(answered: &Response<Bytes>) -> Failure {
    serde_json::from_slice(answered.body()).unwrap_or_default()
}

/// Returns the error for a result of which rows were left out.
fn incomplete(doing: &str) -> Error {
    Error::new(ErrorKind::TooLarge, format!("{doing}: the result is too large, and rows were left out"))
        .hint("read less at once: a `cursor`, or a query with a condition")
}

fn body(client: &Client, sql: &Sql) -> Value {
    let mut body = json!({
        "statement": sql.text,
        "parameters": {
            "timezone": "UTC",
            "binary_output_format": "HEX",
            "date_output_format": "YYYY-MM-DD",
            "time_output_format": "HH24:MI:SS.FF9",
            "timestamp_ntz_output_format": "YYYY-MM-DD\"T\"HH24:MI:SS.FF9",
            "timestamp_ltz_output_format": "YYYY-MM-DD\"T\"HH24:MI:SS.FF9TZH:TZM",
            "timestamp_tz_output_format": "YYYY-MM-DD\"T\"HH24:MI:SS.FF9TZH:TZM",
            "client_result_chunk_size": PARTITION_MEGABYTES,
            "query_tag": "tidegate",
        },
    });
    if !sql.parameters.is_empty() {
        let bound = sql
            .parameters
            .iter()
            .enumerate()
            .map(|(at, value)| ((at + 1).to_string(), json!({ "type": "TEXT", "value": value })));
        body["bindings"] = Value::Object(bound.collect());
    }
    let names = &client.names;
    let context = |name: &Option<String>| name.clone().filter(|_| sql.in_context);
    for (member, name) in [
        ("role", names.role.clone()),
        ("warehouse", names.warehouse.clone()),
        ("database", context(&names.database)),
        ("schema", context(&names.schema)),
    ] {
        if let Some(name) = name {
            body[member] = name.into();
        }
    }
    body
}
