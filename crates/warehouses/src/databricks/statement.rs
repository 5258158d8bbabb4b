//! Statements: submitted, asked about until they end, cancelled or closed when they are no longer wanted
//! any more.
//!
//! Source: Databricks docs, Statement Execution API; databricks-sdk 0.162.0, `service/sql.py`.
//! The API has no request id: a statement whose answer is lost may run, and one that is sent
//! again runs again.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tidegate_model::{Error, ErrorKind, Reason};
use tidegate_transport::http::answer::{self, RequestError};
use tidegate_transport::poll::Poll;

use super::client::{Client, VENDOR};
use super::errors;

/// A statement that waits longer than this waits for the warehouse.
const STARTING_AFTER: Duration = Duration::from_secs(3);

/// How a result is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    /// In the answer, as texts: at most 25 MiB.
    Inline,
    /// As Arrow streams at the addresses that the answer names.
    Links,
}

/// A statement and the texts of its `:p1`, `:p2` ….
#[derive(Clone, Debug, Default)]
pub struct Sql {
    /// The statement.
    pub text: String,
    /// Its parameters.
    pub parameters: Vec<String>,
}

impl From<String> for Sql {
    fn from(text: String) -> Sql {
        Sql { text, parameters: Vec::new() }
    }
}

/// What a statement gave.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// Its id.
    pub statement_id: String,
    status: Status,
    /// What its result looks like.
    pub manifest: Option<Manifest>,
    /// The first part of its result.
    pub result: Option<Part>,
}

#[derive(Debug, Deserialize)]
struct Status {
    state: State,
    error: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum State {
    Pending,
    Running,
    Succeeded,
    Failed,
    Canceled,
    Closed,
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Default, Deserialize)]
struct Failure {
    #[serde(default)]
    error_code: Value,
    #[serde(default)]
    message: String,
}

/// What a result looks like.
#[derive(Debug, Default, Deserialize)]
pub struct Manifest {
    /// Its columns.
    #[serde(default, deserialize_with = "or_default")]
    pub schema: Schema,
    /// Parts.
    #[serde(default, deserialize_with = "or_default")]
    pub total_chunk_count: u64,
    /// Rows.
    #[serde(default, deserialize_with = "or_default")]
    pub total_row_count: u64,
    /// Whether rows were left out.
    #[serde(default, deserialize_with = "or_default")]
    pub truncated: bool,
    /// How parts are compressed.
    pub result_compression: Option<String>,
}

/// The columns of a result.
#[derive(Debug, Default, Deserialize)]
pub struct Schema {
    /// In order.
    #[serde(default, deserialize_with = "or_default")]
    pub columns: Vec<ResultColumn>,
}

/// A column of a result.
#[derive(Debug, Deserialize)]
pub struct ResultColumn {
    /// Name.
    pub name: String,
    /// Type, as one writes it.
    #[serde(default, deserialize_with = "or_default")]
    pub type_text: String,
}

/// A part of a result.
#[derive(Debug, Default, Deserialize)]
pub struct Part {
    /// Rows of texts, for [`Results::Inline`].
    #[serde(default)]
    pub data_array: Option<Vec<Vec<Option<String>>>>,
    /// The part after it, for [`Results::Inline`].
    pub next_chunk_index: Option<u64>,
    /// Where to fetch it, for [`Results::Links`].
    #[serde(default, deserialize_with = "or_default")]
    pub external_links: Vec<Link>,
}

/// Where a part of a result is.
#[derive(Clone, Debug, Deserialize)]
pub struct Link {
    /// How many rows it has.
    #[serde(default, deserialize_with = "or_default")]
    pub row_count: u64,
    /// The one after it.
    pub next_chunk_index: Option<u64>,
    /// The address.
    pub external_link: String,
    /// Until when the address counts.
    pub expiration: Option<jiff::Timestamp>,
    /// What has to be sent along.
    #[serde(default)]
    pub http_headers: Option<std::collections::BTreeMap<String, String>>,
}

/// Reads a member that may be null, which means the same as that it is absent.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The columns and the rows of a small result, as texts.
pub type Cells = (Vec<ResultColumn>, Vec<Vec<Option<String>>>);

/// A statement at the warehouse. Dropped, it is cancelled if it runs, and closed.
pub struct Statement {
    client: Arc<Client>,
    id: String,
    is_running: bool,
}

impl Statement {
    /// Runs a statement to its end. `doing` says what for, in messages.
    ///
    /// # Errors
    /// What the warehouse said, and whether the statement may have had an effect.
    pub async fn run(
        client: &Arc<Client>,
        sql: &Sql,
        results: Results,
        doing: &str,
    ) -> Result<(Statement, Answer), RequestError> {
        let (mut statement, first) = Statement::submit(client, sql, results).await?;
        let last = statement.wait(first, doing).await?;
        Ok((statement, last))
    }

    /// Runs a statement that only reads: it has no effect, so it is submitted again while the
    /// workspace does not take it, for about a minute and as long as it asks to wait.
    ///
    /// # Errors
    /// What the warehouse said, or what kept it from answering.
    pub async fn read(
        client: &Arc<Client>,
        sql: &Sql,
        results: Results,
        doing: &str,
    ) -> Result<(Statement, Answer), Error> {
        let mut poll = Poll::default();
        let (mut statement, first) = loop {
            let error = match Statement::submit(client, sql, results).await {
                Ok(submitted) => break submitted,
                Err(ended) => ended.into_error(),
            };
            if error.acceptable_at().is_some() {
                tracing::warn!("{doing}: {}", error.message());
            }
            poll.unanswered(error, client.clock.now()).await?;
        };
        let last = statement.wait(first, doing).await.map_err(RequestError::into_error)?;
        Ok((statement, last))
    }

    /// Submits a statement once.
    async fn submit(
        client: &Arc<Client>,
        sql: &Sql,
        results: Results,
    ) -> Result<(Statement, Answer), RequestError> {
        let answered = client.post("/api/2.0/sql/statements", &body(client, sql, results)).await?;
        let read = || {
            RequestError::Unknown(Reason::new(
                "response_unreadable",
                answer::unreadable(VENDOR, &answered).into_error().message(),
            ))
        };
        let first: Answer = serde_json::from_slice(answered.body()).map_err(|_| read())?;
        let statement =
            Statement { client: Arc::clone(client), id: first.statement_id.clone(), is_running: true };
        Ok((statement, first))
    }

    /// Asks until the statement has ended.
    async fn wait(&mut self, mut answer: Answer, doing: &str) -> Result<Answer, RequestError> {
        let mut poll = Poll::default();
        let mut told = false;
        loop {
            match answer.status.state {
                State::Succeeded => {
                    self.is_running = false;
                    return Ok(answer);
                }
                State::Pending | State::Running | State::Unknown => {}
                State::Failed | State::Canceled | State::Closed => {
                    self.is_running = false;
                    return Err(RequestError::NoEffect(failure(&answer, doing)));
                }
            }
            if answer.status.state == State::Pending && poll.waited() >= STARTING_AFTER && !told {
                told = true;
                self.tell().await;
            }
            poll.pause().await;
            let path = format!("/api/2.0/sql/statements/{}", self.id);
            answer = loop {
                match self.client.get::<Answer>(&path).await {
                    Ok(answer) => break answer,
                    Err(error) => {
                        let now = self.client.clock.now();
                        poll.unanswered(error, now).await.map_err(|error| {
                            let message = format!(
                                "{doing}: the end of the statement is not known: {}",
                                error.message()
                            );
                            RequestError::Unknown(Reason::new("response_lost", message))
                        })?;
                    }
                }
            };
            poll.answered();
        }
    }

    /// Says what is waited for.
    async fn tell(&self) {
        let warehouse = self.client.warehouse_state().await;
        let name = warehouse.as_ref().map_or(self.client.warehouse.as_str(), |found| found.name.as_str());
        let is_up = warehouse.as_ref().is_ok_and(|found| found.state == "RUNNING");
        if is_up {
            tracing::warn!("{VENDOR}: waiting for a free place in the queue of the warehouse `{name}`");
        } else {
            tracing::warn!(
                "{VENDOR}: the warehouse `{name}` is starting; this takes 2 to 5 minutes as a rule, and seconds if it is serverless"
            );
        }
    }

    /// Asks for a part of the result, with an address that counts from now on.
    ///
    /// # Errors
    /// What the workspace said, or what kept it from answering.
    pub async fn part(&self, index: u64) -> Result<Part, Error> {
        self.client.get(&format!("/api/2.0/sql/statements/{}/result/chunks/{index}", self.id)).await
    }

    /// Returns the columns and the rows of an inline result, as texts.
    async fn rows(&self, answer: Answer, doing: &str) -> Result<Cells, Error> {
        let manifest = answer.manifest.unwrap_or_default();
        if manifest.truncated {
            return Err(truncated(doing));
        }
        let mut part = answer.result.unwrap_or_default();
        let mut rows = part.data_array.take().unwrap_or_default();
        while let Some(next) = part.next_chunk_index {
            part = self.part(next).await?;
            rows.extend(part.data_array.take().unwrap_or_default());
        }
        Ok((manifest.schema.columns, rows))
    }

    /// Returns the client.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (client, path) = (Arc::clone(&self.client), format!("/api/2.0/sql/statements/{}", self.id));
        let is_running = self.is_running;
        runtime.spawn(async move {
            if is_running {
                client.end(Method::POST, &format!("{path}/cancel")).await;
            }
            client.end(Method::DELETE, &path).await;
        });
    }
}

/// What is known of a warehouse.
#[derive(Debug, Deserialize)]
pub struct Warehouse {
    /// What people call it.
    pub name: String,
    /// `RUNNING`, `STOPPED`, `STARTING` …
    pub state: String,
    /// Whether it starts in seconds.
    #[serde(default)]
    pub enable_serverless_compute: bool,
}

impl Client {
    /// Returns what is known of the warehouse.
    ///
    /// # Errors
    /// What the workspace said, or what kept it from answering.
    pub async fn warehouse_state(&self) -> Result<Warehouse, Error> {
        self.get(&format!("/api/2.0/sql/warehouses/{}", self.warehouse)).await
    }

    /// Runs a statement and returns its columns and its rows, as texts.
    ///
    /// # Errors
    /// What the warehouse said, and whether the statement may have had an effect.
    pub async fn query(self: &Arc<Client>, sql: &Sql, doing: &str) -> Result<Cells, RequestError> {
        let (statement, answer) = Statement::run(self, sql, Results::Inline, doing).await?;
        statement.rows(answer, doing).await.map_err(RequestError::NoEffect)
    }

    /// Does the same as [`Client::query`] for a statement that only reads ([`Statement::read`]).
    ///
    /// # Errors
    /// What the warehouse said, or what kept it from answering.
    pub async fn ask(self: &Arc<Client>, sql: &Sql, doing: &str) -> Result<Cells, Error> {
        let (statement, answer) = Statement::read(self, sql, Results::Inline, doing).await?;
        statement.rows(answer, doing).await
    }
}

/// Returns the error for a result of which rows were left out.
pub fn truncated(doing: &str) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("{doing}: the result is larger than 100 GiB, and rows were left out"),
    )
    .hint("read less at once: a `cursor`, or a query with a condition")
}

fn body(client: &Client, sql: &Sql, results: Results) -> Value {
    let parameters: Vec<Value> = (sql.parameters.iter().enumerate())
        .map(|(at, value)| json!({ "name": format!("p{}", at + 1), "value": value, "type": "STRING" }))
        .collect();
    let mut body = json!({
        "warehouse_id": client.warehouse,
        "statement": sql.text,
        // Nothing is waited for here: a statement has its id before it can be forgotten.
        "wait_timeout": "0s",
        "on_wait_timeout": "CONTINUE",
        "disposition": "INLINE",
        "format": "JSON_ARRAY",
    });
    if results == Results::Links {
        body["disposition"] = "EXTERNAL_LINKS".into();
        body["format"] = "ARROW_STREAM".into();
        body["result_compression"] = "LZ4_FRAME".into();
    }
    if !parameters.is_empty() {
        body["parameters"] = parameters.into();
    }
    for (member, set) in [("catalog", &client.settings.catalog), ("schema", &client.settings.schema)] {
        if let Some(name) = set {
            body[member] = name.as_str().into();
        }
    }
    body
}

fn failure(answer: &Answer, doing: &str) -> Error {
    let none = Failure::default();
    let said = answer.status.error.as_ref().unwrap_or(&none);
    match answer.status.state {
        State::Canceled => Error::new(
            ErrorKind::Unavailable,
            format!("{doing}: the statement was cancelled at the warehouse"),
        ),
        State::Closed => Error::new(ErrorKind::Unavailable, format!("{doing}: the result is no longer kept")),
        _ => errors::statement(doing, said.error_code.as_str().unwrap_or_default(), &said.message, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_null_is_read_as_one_that_is_absent() {
        let answer = json!({
            "statement_id": "s", "status": { "state": "SUCCEEDED", "error": null },
            "manifest": { "schema": { "columns": null }, "truncated": null, "total_row_count": null },
            "result": { "data_array": null, "external_links": null, "next_chunk_index": null },
        });
        let answer: Answer = serde_json::from_value(answer).unwrap();
        assert!(answer.result.is_some_and(|part| part.external_links.is_empty()));
        assert!(answer.manifest.is_some_and(|manifest| !manifest.truncated));
    }
}
