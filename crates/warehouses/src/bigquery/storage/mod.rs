//! Results of many rows, read by the Storage Read API: one stream of Arrow instead of pages of JSON.
//!
//! The result of a query is a table. A session is made over it with one stream, which keeps the order of its rows,
//! and a stream that breaks is continued behind the rows that have arrived.
//!
//! Source: BigQuery docs, "Use the BigQuery Storage Read API to read table data"; Storage API reference,
//! `BigQueryRead`; google-cloud-bigquery 3.47, `_pandas_helpers.py`, which asks for one stream to keep an order.

pub mod cells;
mod messages;

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::{Bytes, BytesMut};
use tidegate_model::address::encoded;
use tidegate_model::{Checks, Error, ErrorKind, Secret};
use tidegate_transport::arrow::stream::{Compression, batches};
use tidegate_transport::grpc::{self, Answers, Code, GrpcServer, Method, Status};
use tidegate_transport::poll::Poll;

use self::messages::{
    ARROW, CreateReadSessionRequest, ReadRowsRequest, ReadRowsResponse, ReadSession, ReadStream,
};
use super::client::{Client, VENDOR};
use super::errors;
use super::grants::{Refused, on_project};
use super::job::{Job, incomplete};
use super::types::{Field, Kind};

/// Results of fewer rows are read as pages: they take one or two of them, and a session takes a second.
const ROWS_MIN: u64 = 10_000;
const CREATE: &str = "/google.cloud.bigquery.storage.v1.BigQueryRead/CreateReadSession";
const READ: &str = "/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows";
/// The permission that sessions need. Source: BigQuery docs, "BigQuery IAM roles and permissions".
const PERMISSION: &str = "bigquery.readsessions.create";
const ROLE: &str = "bigquery.readSessionUser";

/// Returns whether a result of this many rows is read by the Storage Read API, if the settings say so. What
/// Arrow's columns do not write as pages do, stays with pages.
pub fn is_for(client: &Client, fields: &[Field], rows: Option<u64>) -> bool {
    client.storage.is_some() && rows.is_some_and(|rows| rows >= ROWS_MIN) && fields.iter().all(is_exact)
}

/// Ranges and intervals have forms of their own in Arrow.
fn is_exact(field: &Field) -> bool {
    match &field.kind {
        Kind::Struct(members) => members.iter().all(is_exact),
        Kind::Range(_) | Kind::Other(_) => false,
        _ => true,
    }
}

/// The rows of a result, as they arrive.
pub struct Stored {
    job: Arc<Job>,
    server: GrpcServer,
    doing: String,
    fields: usize,
    schema: Bytes,
    stream: String,
    answers: Option<Answers<ReadRowsResponse>>,
    seen: u64,
    total: u64,
    patience: Patience,
}

impl Stored {
    /// Makes a session over the result of a job, which has `total` rows.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] without the permission, or what kept BigQuery from answering.
    pub async fn open(job: Arc<Job>, fields: &[Field], total: u64, doing: &str) -> Result<Stored, Error> {
        let made = session(&job).await.map_err(|error| error.context(doing))?;
        let Made { server, schema, stream, patience } = made;
        Ok(Stored {
            job,
            server,
            doing: doing.to_owned(),
            fields: fields.len(),
            schema,
            stream,
            answers: None,
            seen: 0,
            total,
            patience,
        })
    }

    /// Returns the next rows; `None` after the last ones. A stream that breaks is continued.
    ///
    /// # Errors
    /// If it cannot be continued, or rows are missing.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            let answers = match &mut self.answers {
                Some(answers) => answers,
                None => {
                    let answers = self.follow().await.map_err(|error| error.context(&self.doing))?;
                    self.answers.insert(answers)
                }
            };
            match answers.next().await {
                Ok(Some(answer)) => {
                    self.patience.answered();
                    if let Some(batch) = self.batch(answer)? {
                        return Ok(Some(batch));
                    }
                }
                Ok(None) if self.seen == self.total => {
                    self.job.close();
                    return Ok(None);
                }
                Ok(None) => return Err(incomplete(&self.doing)),
                Err(status) => {
                    self.answers = None;
                    let patience = self.patience.after(self.job.client(), None, &status).await;
                    patience.map_err(|error| error.context(&self.doing))?;
                }
            }
        }
    }

    /// Asks for the rows behind those that have arrived.
    async fn follow(&mut self) -> Result<Answers<ReadRowsResponse>, Error> {
        let offset = i64::try_from(self.seen).unwrap_or(i64::MAX);
        let routing = format!("read_stream={}", encoded(&self.stream));
        loop {
            let token = self.patience.token(self.job.client()).await?;
            let asked = ReadRowsRequest { read_stream: self.stream.clone(), offset };
            let method = Method { path: READ, token: &token, routing: &routing };
            match self.server.follow(method, asked).await {
                Ok(answers) => return Ok(answers),
                Err(status) => {
                    self.patience.after(self.job.client(), Some(&token), &status).await?;
                }
            }
        }
    }

    fn batch(&mut self, answer: ReadRowsResponse) -> Result<Option<RecordBatch>, Error> {
        let unreadable = || errors::unreadable("rows of a stream");
        let Some(rows) = answer.arrow_record_batch else { return Ok(None) };
        // A schema and one batch are a stream of Arrow IPC.
        let mut whole = BytesMut::with_capacity(self.schema.len() + rows.serialized_record_batch.len());
        whole.extend_from_slice(&self.schema);
        whole.extend_from_slice(&rows.serialized_record_batch);
        let mut found = batches(whole.freeze(), Compression::None).map_err(|_| unreadable())?;
        let Some(batch) = found.next() else { return Err(unreadable()) };
        let batch = batch.map_err(|_| unreadable())?;
        if batch.num_columns() != self.fields || i64::try_from(batch.num_rows()) != Ok(answer.row_count) {
            return Err(unreadable());
        }
        self.seen += batch.num_rows() as u64;
        Ok(Some(batch))
    }
}

/// A session with its stream.
struct Made {
    server: GrpcServer,
    schema: Bytes,
    stream: String,
    patience: Patience,
}

async fn session(job: &Job) -> Result<Made, Error> {
    let client = job.client();
    let mut patience = Patience::default();
    let (server, session) = create(client, &job.destination().await?, &mut patience).await?;
    let (Some(schema), [ReadStream { name }]) = (session.arrow_schema, session.streams.as_slice()) else {
        return Err(errors::unreadable("a session without its stream"));
    };
    Ok(Made { server, schema: schema.serialized_schema, stream: name.clone(), patience })
}

/// Makes a session over a table, which costs nothing before rows are read.
async fn create(
    client: &Client,
    [project, dataset, table]: &[String; 3],
    patience: &mut Patience,
) -> Result<(GrpcServer, ReadSession), Error> {
    let Some(server) = &client.storage else { return Err(Error::internal("no Storage API was opened")) };
    let table = format!("projects/{project}/datasets/{dataset}/tables/{table}");
    let routing = format!("read_session.table={}", encoded(&table));
    let asked = CreateReadSessionRequest {
        parent: format!("projects/{}", client.settings.project),
        read_session: Some(ReadSession { data_format: ARROW, table, ..ReadSession::default() }),
        max_stream_count: 1,
    };
    loop {
        let token = patience.token(client).await?;
        let method = Method { path: CREATE, token: &token, routing: &routing };
        match server.ask(method, asked.clone()).await {
            Ok(session) => {
                patience.answered();
                return Ok((server.clone(), session));
            }
            Err(status) => patience.after(client, Some(&token), &status).await?,
        }
    }
}

/// Looks whether a session may be made over a table, if results are read by sessions.
pub async fn prove(client: &Client, names: &[String; 3], member: &str, checks: &mut Checks) {
    if client.storage.is_none() {
        return;
    }
    let project = &client.settings.project;
    let needed =
        Refused { permission: PERMISSION.to_owned(), kind: "Project".to_owned(), name: project.clone() };
    match create(client, names, &mut Patience::default()).await {
        Ok(_) => checks.pass(needed.check(), "granted"),
        Err(error) if error.kind() == ErrorKind::Denied => {
            checks.fail(needed.check(), error.message(), on_project(project, ROLE, member));
        }
        Err(error) => checks.fail("the Storage API", error.chain(), error.next_step()),
    }
}

/// How calls of the Storage API are repeated: a token that has ended is replaced once, and what gets no answer is
/// asked again.
#[derive(Default)]
struct Patience {
    poll: Poll,
    is_renewed: bool,
}

impl Patience {
    async fn token(&mut self, client: &Client) -> Result<Secret, Error> {
        loop {
            match client.auth.token().await {
                Ok(token) => return Ok(token),
                Err(error) => self.poll.unanswered(error, client.clock.now()).await?,
            }
        }
    }

    fn answered(&mut self) {
        self.is_renewed = false;
        self.poll.answered();
    }

    /// Waits after a status; returns its error if another call cannot help. `token` is that of a call that was
    /// refused as a whole.
    async fn after(&mut self, client: &Client, token: Option<&Secret>, status: &Status) -> Result<(), Error> {
        match token {
            Some(token) if status.code() == Code::Unauthenticated && !self.is_renewed => {
                self.is_renewed = true;
                client.auth.forget(token).await;
                Ok(())
            }
            _ => self.poll.unanswered(explained(status), client.clock.now()).await,
        }
    }
}

fn explained(status: &Status) -> Error {
    let error = grpc::explained(&format!("the Storage API of {VENDOR}"), status);
    match error.kind() {
        ErrorKind::Denied => error.hint(format!(
            "grant {PERMISSION}: the role BigQuery Read Session User on the project; or remove `storage_read`"
        )),
        _ => error,
    }
}
