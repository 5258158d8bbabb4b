//! The changes of a table, version after version: `mode: stream`.
//!
//! The first run reads the table as it is at its newest version, later ones what its change data feed
//! says of the versions behind that. Both in an order that is always the same, so that a run that was
//! interrupted continues behind the row it committed last.
//!
//! Source: Databricks docs, "Use Delta Lake change data feed on Databricks", `table_changes`,
//! `DESCRIBE HISTORY`, "Work with table history" (`VERSION AS OF`).

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tidegate_model::{Batch, Checkpoint, Error, ErrorKind, Feed, Row};
use tidegate_transport::poll;
use tidegate_transport::sql::backtick;
use tidegate_transport::sql::relation::Naming as _;
use tidegate_transport::sql::table::{ColumnSql as _, Relation as _};

use super::client::Client;
use super::reading;
use super::relation::{Names, Relation, SourceColumn, Table};
use super::statement::Sql;
use super::types::SqlType;

/// Versions that one statement reads at most.
const VERSIONS_MAX: u64 = 100;
/// The property that switches the feed on.
const PROPERTY: &str = "delta.enableChangeDataFeed";

/// How far a table was followed: the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The id of the table: one that is created again has another.
    #[serde(default)]
    table: String,
    /// The version whose rows are all committed; none while the table is read for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// What is being read behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<Part>,
}

/// A part of the versions, some rows of which are committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    /// Its last version.
    to: u64,
    /// Rows that are committed.
    rows: u64,
    /// The columns that its rows are ordered by.
    columns: Vec<String>,
}

impl Progress {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for one that is not of this kind.
    pub fn of(checkpoint: Option<&Checkpoint>) -> Result<Progress, Error> {
        let Some(Checkpoint(written)) = checkpoint else { return Ok(Progress::default()) };
        serde_json::from_value(written.clone()).map_err(|_| {
            Error::settings("the checkpoint of the sync is none of `mode: stream`")
                .hint("begin at the beginning with `tidegate reset`")
        })
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        serde_json::to_value(self).ok().map(Checkpoint)
    }
}

/// A table that can be followed.
pub struct Followed {
    client: Arc<Client>,
    names: [String; 3],
    /// The id of the table; empty if it is not told.
    id: String,
    /// The columns that are read.
    table: Table,
    /// All columns, by which rows are ordered.
    order: Vec<SourceColumn>,
}

impl Followed {
    /// Finds the table of a selection. `whole` has all of its columns, `table` those that are read.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a query, and for a table without a change data feed.
    pub async fn new(client: &Arc<Client>, whole: Table, table: Table) -> Result<Followed, Error> {
        let Relation::Table(names, _) = table.relation.clone() else {
            return Err(Error::settings("`mode: stream` follows a table, and this is a query")
                .hint("name the table, or give a `cursor`"));
        };
        let info = client.table_info(&names).await?;
        let property = info.as_ref().and_then(|info| info.property(PROPERTY));
        if property.is_some_and(|value| !value.eq_ignore_ascii_case("true")) {
            return Err(switched_off(&names));
        }
        let id = info.map(|info| info.id().to_owned()).unwrap_or_default();
        Ok(Followed { client: Arc::clone(client), names, id, table, order: whole.columns })
    }

    /// Returns the newest version of the table.
    ///
    /// # Errors
    /// What the warehouse said, or what kept it from answering.
    pub async fn latest(&self) -> Result<u64, Error> {
        let doing = format!("reading the history of {}", self.table.relation.label());
        let sql: Sql = format!("DESCRIBE HISTORY {} LIMIT 1", Names::quoted(&self.names)).into();
        let (columns, rows) = self.client.ask(&sql, &doing).await?;
        let at = columns.iter().position(|column| column.name == "version");
        let cell = at.and_then(|at| rows.first()?.get(at)?.as_deref()?.parse().ok());
        cell.ok_or_else(|| super::errors::unreadable("a history"))
    }

    /// Refuses a table that was created again since it was found.
    async fn prove_same(&self) -> Result<(), Error> {
        match self.client.table_info(&self.names).await? {
            Some(info) if info.id() != self.id => Err(self.created_again()),
            _ => Ok(()),
        }
    }

    /// Returns the error after which the table is found once more, and read from its beginning.
    fn created_again(&self) -> Error {
        let label = self.table.relation.label();
        Error::new(ErrorKind::Unavailable, format!("{label} was created again while it was followed"))
    }

    /// Returns the changes behind a checkpoint as a feed. With `every`, it looks for new versions so
    /// often until it is dropped; without, it ends at the newest one.
    pub fn feed(self, mut progress: Progress, every: Option<Duration>, batch_rows: usize) -> Feed<Row> {
        if !progress.table.is_empty() && progress.table != self.id {
            tracing::warn!(
                "{} was created again: it is read from its beginning",
                self.table.relation.label()
            );
            progress = Progress::default();
        }
        progress.table.clone_from(&self.id);
        Following { followed: self, progress, every, batch_rows, reading: None }.feed()
    }
}

/// A table that is being followed.
struct Following {
    followed: Followed,
    progress: Progress,
    every: Option<Duration>,
    batch_rows: usize,
    reading: Option<Feed<Row>>,
}

impl Following {
    fn feed(self) -> Feed<Row> {
        stream::try_unfold(self, |mut following| async move {
            let batch = following.next_batch().await?;
            Ok(batch.map(|batch| (batch, following)))
        })
        .boxed()
    }

    async fn next_batch(&mut self) -> Result<Option<Batch<Row>>, Error> {
        loop {
            if let Some(reading) = &mut self.reading {
                let Some(mut batch) = reading.try_next().await? else {
                    self.reading = None;
                    self.progress.version = self.progress.part.take().map(|part| part.to);
                    let end = Batch { checkpoint: self.progress.checkpoint(), ..Batch::of(Vec::new()) };
                    return Ok(Some(end));
                };
                if let Some(part) = &mut self.progress.part {
                    part.rows += (batch.items.len() + batch.malformed.len()) as u64;
                }
                batch.checkpoint = self.progress.checkpoint();
                return Ok(Some(batch));
            }
            let latest = self.followed.latest().await?;
            match (self.progress.version, &self.progress.part) {
                (Some(version), _) if version > latest => return Err(self.followed.created_again()),
                (Some(version), None) if version == latest => match self.every {
                    Some(every) => poll::pause(every).await,
                    None => return Ok(None),
                },
                _ => {
                    self.followed.prove_same().await?;
                    self.begin(latest);
                }
            }
        }
    }

    /// Begins to read the versions after the last one, or continues a read that was interrupted.
    fn begin(&mut self, latest: u64) {
        let columns: Vec<String> = self.followed.order.iter().map(|column| column.name.clone()).collect();
        let begun = self.progress.part.take().filter(|part| {
            let same = part.columns == columns;
            if !same {
                tracing::warn!(
                    "{} has other columns than when it was read last: rows that were read after version {} are read again",
                    self.followed.table.relation.label(),
                    self.progress.version.unwrap_or_default(),
                );
            }
            same
        });
        let part = begun.unwrap_or_else(|| {
            let to = self.progress.version.map_or(latest, |version| latest.min(version + VERSIONS_MAX));
            Part { to, rows: 0, columns }
        });
        let sql = statement(
            &self.followed.table,
            &self.followed.names,
            &self.followed.order,
            self.progress.version,
            &part,
        );
        self.progress.part = Some(part);
        let Followed { client, table, .. } = &self.followed;
        self.reading = Some(reading::feed(client, table, sql.into(), None, self.batch_rows));
    }
}

/// Returns the statement for a part: the table at its version, or the changes behind `after`.
fn statement(
    table: &Table,
    names: &[String; 3],
    order: &[SourceColumn],
    after: Option<u64>,
    part: &Part,
) -> String {
    let name = Names::quoted(names);
    let order = order_of(order);
    let (from, order) = match after {
        None => (format!("{name} VERSION AS OF {} AS tidegate_rows", part.to), order),
        Some(version) => {
            // A backslash is the escape inside of a literal.
            let text = name.replace('\\', "\\\\").replace('\'', "\\'");
            let changes = format!("table_changes('{text}', {}, {}) AS tidegate_rows", version + 1, part.to);
            (
                format!("{changes} WHERE _change_type IN ('insert', 'update_postimage')"),
                format!("_commit_version, {order}"),
            )
        }
    };
    let skipped = if part.rows > 0 { format!(" OFFSET {}", part.rows) } else { String::new() };
    format!("SELECT {} FROM {from} ORDER BY {order}{skipped}", table.list())
}

/// Returns the expression by which rows are ordered: a hash of all columns, of whatever type. The
/// hash of Spark leaves nulls out, so whether a column is null is hashed too: rows with the same values
/// in other columns would share a place otherwise, and a read that continues by `OFFSET` could give
/// one of them twice and the other never.
fn order_of(columns: &[SourceColumn]) -> String {
    let hashed: Vec<String> = columns
        .iter()
        .map(|column| {
            let name = format!("tidegate_rows.{}", backtick(&column.name));
            let value = match &column.sql_type {
                SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => format!("to_json({name})"),
                other => other.asked(&name).unwrap_or_else(|| name.clone()),
            };
            format!("{name} IS NULL, {value}")
        })
        .collect();
    format!("xxhash64({})", hashed.join(", "))
}

fn switched_off(names: &[String; 3]) -> Error {
    let label = names.join(".");
    Error::new(ErrorKind::Settings, format!("{label} has no change data feed, which `mode: stream` follows"))
        .hint(format!(
            "ALTER TABLE {} SET TBLPROPERTIES ({PROPERTY} = true); or read it by a `cursor`",
            Names::quoted(names)
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> (Table, [String; 3]) {
        let names = ["main", "it's", "t"].map(str::to_owned);
        let column = |name: &str, kind: &str| SourceColumn {
            name: name.to_owned(),
            sql_type: super::super::types::parse(kind),
        };
        let columns = vec![column("id", "BIGINT"), column("more", "MAP<STRING, INT>")];
        let relation = Relation::Table(names.clone(), Names);
        (
            Table::new(tidegate_transport::sql::incremental::Databricks, relation, columns, true).unwrap(),
            names,
        )
    }

    #[test]
    fn a_part_that_was_interrupted_continues_behind_its_last_row() {
        let (table, names) = table();
        let part = Part { to: 9, rows: 20, columns: Vec::new() };
        let order = "xxhash64(tidegate_rows.`id` IS NULL, tidegate_rows.`id`, \
                     tidegate_rows.`more` IS NULL, to_json(tidegate_rows.`more`))";
        let narrowed = table.clone().narrowed(Some(&["id".to_owned()])).unwrap();
        assert_eq!(
            statement(&narrowed, &names, &table.columns, None, &part),
            format!(
                "SELECT `id` FROM `main`.`it's`.`t` VERSION AS OF 9 AS tidegate_rows ORDER BY {order} OFFSET 20"
            )
        );
        let part = Part { rows: 0, ..part };
        assert_eq!(
            statement(&narrowed, &names, &table.columns, Some(4), &part),
            format!(
                "SELECT `id` FROM table_changes('`main`.`it\\'s`.`t`', 5, 9) AS tidegate_rows \
                 WHERE _change_type IN ('insert', 'update_postimage') ORDER BY _commit_version, {order}"
            )
        );
    }

    #[test]
    fn a_checkpoint_of_another_mode_is_refused() {
        let cursor = Checkpoint(serde_json::json!("2026-01-01"));
        assert_eq!(Progress::of(Some(&cursor)).unwrap_err().kind(), ErrorKind::Settings);
        assert_eq!(Progress::of(None).unwrap(), Progress::default());
    }
}
