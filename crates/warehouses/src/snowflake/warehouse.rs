//! The warehouse that statements run on: its state, and resuming it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tidegate_model::Error;
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::{literal, quote};

use super::client::{Client, VENDOR};
use super::statement::{ResultColumn, Sql, Statement};

/// What is known of a warehouse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warehouse {
    /// `STARTED`, `SUSPENDED`, `RESUMING` …
    pub state: String,
    /// Whether a statement resumes it.
    pub resumes: bool,
}

impl Client {
    /// Returns the rows of a `SHOW` command whose `name` is exactly this one.
    ///
    /// Source: Snowflake docs, `SHOW`: without a privilege on something, it is not listed; the pattern
    /// is compared without case.
    ///
    /// # Errors
    /// What Snowflake said, or what kept it from answering.
    pub async fn show(self: &Arc<Client>, what: &str, name: &str, place: &str) -> Result<Vec<Shown>, Error> {
        // A `_` in a name is a wildcard of the pattern, too: what it finds besides is left out below.
        let found = self.show_like(what, name, place).await?;
        Ok(found.into_iter().filter(|row| row.get("name") == name).collect())
    }

    /// Returns the rows of a `SHOW` command whose `name` is like a pattern.
    ///
    /// # Errors
    /// What Snowflake said, or what kept it from answering.
    pub async fn show_like(
        self: &Arc<Client>,
        what: &str,
        pattern: &str,
        place: &str,
    ) -> Result<Vec<Shown>, Error> {
        let text = format!("SHOW {what} LIKE {}{place}", literal(&pattern.replace('\\', "\\\\")));
        let sql = Sql { text, is_quiet: true, ..Sql::default() };
        let listed = self.query(&sql, &format!("looking for {pattern}")).await;
        Ok(Shown::all(listed.map_err(RequestError::into_error)?))
    }

    /// Returns what is known of the warehouse; `None` if the role may not know of it.
    ///
    /// # Errors
    /// What Snowflake said, or what kept it from answering.
    pub async fn warehouse(self: &Arc<Client>, name: &str) -> Result<Option<Warehouse>, Error> {
        let found = self.show("WAREHOUSES", name, "").await?;
        Ok(found.first().map(|row| Warehouse {
            state: row.get("state").to_owned(),
            resumes: row.get("auto_resume").eq_ignore_ascii_case("true"),
        }))
    }

    /// Resumes a warehouse without `AUTO_RESUME`. Returns whether it may be up now.
    pub async fn resume_warehouse(self: &Arc<Client>) -> bool {
        let Some(name) = &self.names.warehouse else { return false };
        let sql: Sql = format!("ALTER WAREHOUSE {} RESUME IF SUSPENDED", quote(name)).into();
        let resumed = Statement::run(self, &sql, "resuming the warehouse").await;
        if resumed.is_ok() {
            tracing::info!("{VENDOR}: the warehouse {name} was resumed");
        }
        resumed.is_ok()
    }

    /// Says what a statement waits for.
    pub fn tell_what_is_waited_for(self: &Arc<Client>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Some(name) = &self.names.warehouse else { return };
            // This command needs no warehouse.
            match self.warehouse(name).await {
                Ok(Some(found)) if matches!(found.state.as_str(), "SUSPENDED" | "RESUMING") => {
                    tracing::warn!(
                        "{VENDOR}: the warehouse {name} is resuming; this takes seconds as a rule"
                    );
                }
                _ => tracing::info!(
                    "{VENDOR}: the statement is running, or waits in the queue of the warehouse {name}"
                ),
            }
        })
    }
}

/// A row of a `SHOW` command.
pub struct Shown(Vec<(String, String)>);

impl Shown {
    /// Returns the rows of a result.
    pub fn all((columns, rows): (Vec<ResultColumn>, Vec<Vec<Option<String>>>)) -> Vec<Shown> {
        let named = |row: Vec<Option<String>>| {
            let cells = columns.iter().zip(row);
            Shown(
                cells.map(|(column, cell)| (column.name.to_lowercase(), cell.unwrap_or_default())).collect(),
            )
        };
        rows.into_iter().map(named).collect()
    }

    /// Returns a cell; empty if it is null or not there.
    pub fn get(&self, column: &str) -> &str {
        self.0.iter().find(|(name, _)| name == column).map_or("", |(_, cell)| cell.as_str())
    }
}
