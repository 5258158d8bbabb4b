//! What a mirror keeps in a dataset of BigQuery, so that BigQuery compares, and hashes that it makes of rows.
//!
//! BigQuery enforces no keys: rows of one key are found by the statement itself, and are rejected.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::{Checks, Error, ErrorKind, Feed, Row, Value};
use tidegate_transport::arena::Alone;
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::bookkeeping::{self, COLUMNS, Entry, Keeper, SCHEMA, Schema};
use tidegate_transport::sql::hashed::{HashedColumn as _, HashedTable};
use tidegate_transport::sql::table::Relation as _;

use super::checks::refuse;
use super::client::Client;
use super::decode;
use super::errors;
use super::grants::{self, grant};
use super::job::{Job, Work};
use super::pages::Pages;
use super::reading;
use super::relation::{Names, quote};
use super::source::Found;
use super::types::Field;

/// The bookkeeping in the dataset `tidegate` of the connection's project.
pub(super) struct BigQueryKeeper {
    client: Arc<Client>,
    found: Found,
    schema: Schema<Names>,
}

impl BigQueryKeeper {
    /// Returns the keeper of a table, and the table with its hashes.
    ///
    /// # Errors
    /// For a query, and for columns of which no hashes can be made.
    pub(super) fn new(
        client: &Arc<Client>,
        found: Found,
        key: &[String],
    ) -> Result<(BigQueryKeeper, HashedTable), Error> {
        let (_, hashed) = bookkeeping::compared(&found.table, key)?;
        let schema = Schema::new(&client.settings.project, SCHEMA);
        Ok((BigQueryKeeper { client: Arc::clone(client), found, schema }, hashed))
    }

    fn doing(&self) -> String {
        format!("comparing {}", self.found.table.relation.label())
    }

    async fn member(&self) -> Result<String, Error> {
        self.client.auth.member().await
    }
}

#[async_trait]
impl Keeper for BigQueryKeeper {
    const TEXT: &'static str = "STRING";

    fn schema(&self) -> String {
        self.schema.label()
    }

    fn table(&self, name: &str) -> String {
        self.schema.table(name)
    }

    fn column(&self, name: &str) -> String {
        quote(name)
    }

    fn upsert(&self, name: &str, entries: &[Entry]) -> Vec<String> {
        let rows: Vec<String> =
            entries.iter().map(|entry| format!("({})", entry.values().join(", "))).collect();
        let member = |name: &str| format!("{name} STRING");
        let members = ["tidegate_k", "tidegate_s", "tidegate_h"].map(member).join(", ");
        let rows = format!("SELECT * FROM UNNEST(ARRAY<STRUCT<{members}>>[{}])", rows.join(", "));
        vec![bookkeeping::merge(self, name, &rows)]
    }

    async fn run(&self, sql: &str) -> Result<(), Error> {
        let doing = self.doing();
        let ended = async {
            let sql = sql.to_owned().into();
            let job = Job::begin(&self.client, Work::Query(&sql), self.found.location.as_deref()).await?;
            job.end(&doing).await
        };
        ended.await.map_err(|error| bookkeeping::refused(RequestError::into_error(error), &self.schema()))
    }

    async fn ask(&self, sql: &str) -> Result<Vec<Option<String>>, Error> {
        let job = Job::submit(&self.client, &sql.to_owned().into(), self.found.location.as_deref()).await?;
        let fields = vec![Field::of_texts("tidegate_cell")];
        let mut pages = Pages::new(Arc::new(job), fields.clone(), &self.doing());
        let mut texts = Vec::new();
        while let Some(mut page) = pages.next().await? {
            while let Some(row) = page.next_row() {
                let cells = decode::cells(&row).map_err(|_| errors::unreadable("a row"))?;
                texts.push(match cells.values(&fields, &mut Alone).next() {
                    Some(Ok(Value::Text(text))) => Some(text.to_string()),
                    Some(Ok(Value::Null)) => None,
                    _ => return Err(errors::unreadable("a text")),
                });
            }
        }
        Ok(texts)
    }

    async fn rows(&self, sql: String, batch_rows: usize) -> Result<Feed<Row>, Error> {
        let table = self.found.table.clone().followed_by(COLUMNS.map(Field::of_texts));
        let found = Found { table, location: self.found.location.clone(), info: None };
        Ok(reading::feed(&self.client, &found, sql.into(), None, batch_rows))
    }

    async fn prove_making(&self, checks: &mut Checks) -> Result<(), Error> {
        let member = self.member().await?;
        let ([project, dataset], name) = (self.schema.names(), self.schema.label());
        let creation = self.creation().into_iter().next().unwrap_or_default();
        let tried = match self.client.dataset_location(project, dataset).await {
            Ok(_) => self.client.forecast(&creation.into(), self.found.location.as_deref()).await.map(drop),
            Err(error) => Err(error),
        };
        match tried {
            Ok(()) => checks.pass(bookkeeping::CHECK, format!("tables can be made in the dataset {name}")),
            Err(error) if error.kind() == ErrorKind::Missing => {
                let quoted = self.schema.quoted();
                let place = self.found.location.as_deref().unwrap_or("US");
                let made = format!("CREATE SCHEMA IF NOT EXISTS {quoted} OPTIONS (location = '{place}');");
                let remedy = format!("{made}\n{}", grant("bigquery.dataEditor", "SCHEMA", &quoted, &member));
                checks.fail(bookkeeping::CHECK, format!("the dataset {name} is not there"), remedy);
            }
            Err(error) => refuse(checks, bookkeeping::CHECK.to_owned(), &error, &member),
        }
        Ok(())
    }

    fn grant(&self) -> String {
        let quoted = self.schema.quoted();
        let member = self.client.auth.known_member();
        grant("bigquery.dataEditor", "SCHEMA", &quoted, member.as_deref().unwrap_or(grants::UNKNOWN))
    }

    fn is_dry_run(&self) -> bool {
        self.client.dry_run
    }
}
