//! Rows with a hash that the server has made of them, so that a mirror reads those whose hash it does not
//! know (`compare: hashes`).
//!
//! The hash is that of the text of a row. A transaction renders texts the same whatever the server, the
//! database and the role are set to (`client.rs`), and two rows with the same text are the same row. If a newer
//! server renders one differently, the row is read, and nothing is sent that has not changed.

use tidegate_model::source::Hashed;
use tidegate_model::{Error, Feed, Row, Selection};
use tidegate_transport::sql::hashed::{HASH, Needs};
use tidegate_transport::sql::table::{Relation as _, SelectedColumn as _};

use super::bookkeeping::hash_of;
use super::decode::Shape;
use super::lookup::{LOOKUP_KEYS, lookups_by};
use super::query::{SourceColumn, Table};
use super::reading::{Reading, Step};
use super::settings::PostgresSelection;
use super::source::PostgresSource;

/// The statement for these columns and a hash of all columns that are read.
fn statement(table: &Table, asked: &[&SourceColumn], condition: Option<&str>) -> String {
    let all: Vec<&SourceColumn> = table.columns.iter().collect();
    let quoted: Vec<String> = all.iter().map(|column| column.quoted()).collect();
    let (columns, from, hash) = (quoted.join(", "), table.relation.from(), hash_of(&all));
    let asked: Vec<String> = asked.iter().map(|column| column.asked()).collect();
    let condition = condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
    format!(
        "SELECT {}, {HASH} FROM (SELECT {columns}, {hash} AS {HASH} FROM {from}{condition}) \
         AS tidegate_hashed",
        asked.join(", ")
    )
}

impl PostgresSource {
    /// Reads rows with their hashes.
    ///
    /// # Errors
    /// If the selection has no such unique key, or cannot be read.
    pub(super) async fn read_hashed(
        &self,
        selection: &Selection,
        key: &[String],
        what: Hashed<'_>,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error> {
        let selected: PostgresSelection = selection.parse()?;
        let session = self.access.begin().await?;
        if !matches!(what, Hashed::These(_)) {
            self.unique_key(&session, &selected, key, Needs::HASHES).await?;
        }
        let table = self.readable(&session, &selected).await?;
        let all: Vec<&SourceColumn> = table.columns.iter().collect();
        let whole = |condition: Option<&str>| statement(&table, &all, condition);
        let step = |sql| Step { sql, parameters: Vec::new() };
        let (asked, steps, batch_rows) = match what {
            Hashed::Keys => {
                let asked = key.iter().map(|name| table.find(name)).collect::<Result<Vec<_>, _>>()?;
                let steps = vec![step(statement(&table, &asked, None))];
                (asked, steps, batch_rows)
            }
            Hashed::Rows => (all.clone(), vec![step(whole(None))], batch_rows),
            Hashed::These(keys) => {
                let steps = lookups_by(&table, key, keys, |condition| whole(Some(condition)))?;
                (all.clone(), steps, LOOKUP_KEYS)
            }
        };
        let shapes = asked.iter().map(|column| column.shape.clone()).chain([Shape::Uuid]).collect();
        let names = asked.iter().map(|column| column.name()).chain([HASH]);
        let columns = tidegate_model::Columns::new(names);
        let reading = Reading {
            access: self.access.clone(),
            session,
            columns,
            shapes,
            relation: table.relation.clone(),
            steps: steps.into(),
            waiting: None,
            batch_rows,
        };
        Ok(reading.feed())
    }
}
