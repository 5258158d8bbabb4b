//! Systems that rows are read from.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Batch, Checkpoint, Checks, DataType, Error, Feed, Lag, Row, Settings, Value};

/// What a sync reads: the part of `source:` that belongs to the source, for
/// example `table: public.orders` or `path: orders/*.csv`.
pub type Selection = Settings;

/// A table, view, query or file that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Its name as one writes it in a selection.
    pub name: String,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// The columns that name a row, where the source knows them (a primary key).
    pub key: Vec<String>,
    /// Whether rows may have columns that are not listed: those of JSON Lines beyond what
    /// was looked at, all of a folder that is empty.
    #[serde(default)]
    pub open: bool,
}

/// A column and its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type: what everything is decided by.
    pub data_type: DataType,
    /// Type as the source calls it, for people. Nothing depends on this text.
    pub type_name: String,
}

impl fmt::Display for Column {
    /// Writes name and type, for example `id integer`, and what the source
    /// calls the type if that is another word: `total decimal(9,2) (numeric(9,2))`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.data_type.to_string();
        write!(f, "{} {shown}", self.name)?;
        match shown.eq_ignore_ascii_case(&self.type_name) {
            true => Ok(()),
            false => write!(f, " ({})", self.type_name),
        }
    }
}

/// Which rows of a selection to read.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadMode {
    /// All of them, in no particular order.
    Full,
    /// Rows by a cursor column, lowest first; rows whose cursor is null come
    /// before all others, rows later than the source's own clock not at all.
    Incremental {
        /// The column.
        column: String,
        /// The lowest value wanted, itself included; all if absent.
        from: Option<Value>,
        /// The time zone of a cursor without one (IANA name).
        time_zone: String,
    },
    /// What the source itself knows to be behind a checkpoint that it made.
    Resume {
        /// The checkpoint; from the beginning if there is none.
        checkpoint: Option<Checkpoint>,
        /// Whether the feed waits for what comes later, until it is dropped.
        follow: bool,
    },
}

/// A system that rows can be read from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Proves each privilege that reading `selection` needs; what is missing
    /// comes with the statement that grants it.
    ///
    /// # Errors
    /// Only what prevents looking at all.
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error>;

    /// Lists what can be read.
    async fn discover(&self) -> Result<Vec<Dataset>, Error>;

    /// Returns what would make reading a selection faster or safer, and whether
    /// its columns may be read; `cursor` is the column that rows are read by.
    /// Nothing by default.
    ///
    /// # Errors
    /// What prevents reading it.
    async fn advise(&self, selection: &Selection, cursor: Option<&str>) -> Result<Checks, Error> {
        let _ = (selection, cursor);
        Ok(Checks::default())
    }

    /// Returns the selection that has only these columns of `selection`, named as
    /// they are described: everything that is read through it has them alone, in
    /// this order. `None` if rows are always read whole.
    fn narrow(&self, selection: &Selection, columns: &[String]) -> Option<Selection> {
        let _ = (selection, columns);
        None
    }

    /// The columns of a selection, without reading its rows.
    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error>;

    /// Reads batches of about `batch_rows`, all from one consistent state of
    /// the source where it has one. Ends when nothing is left for now.
    async fn read(
        &self,
        selection: &Selection,
        mode: &ReadMode,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error>;

    /// Reads the current rows with the given keys; `None` where the source cannot. Rows that
    /// cannot be read are listed as such: they are there.
    async fn lookup(
        &self,
        selection: &Selection,
        key: &[String],
        values: &[Vec<Value>],
    ) -> Result<Option<Batch<Row>>, Error> {
        let _ = (selection, key, values);
        Ok(None)
    }

    /// Reads once more what stands at these locations, as [`crate::MalformedRecord::location`]
    /// says them; `None` if the source cannot. Each item comes with its location as its origin,
    /// what still cannot be read is listed as such, and what is gone is missing.
    async fn reread(&self, selection: &Selection, locations: &[String]) -> Result<Option<Batch<Row>>, Error> {
        let _ = (selection, locations);
        Ok(None)
    }

    /// Returns whether a row may be another one when it is read again. Messages of a stream do
    /// not change: what was kept of one is sent again as it is, also if the stream has it no more.
    fn rows_change(&self) -> bool {
        true
    }

    /// Returns the highest value of a cursor column, as [`ReadMode::Incremental`] orders
    /// and ends it; `None` if there is none, or the source cannot say.
    async fn highest(
        &self,
        selection: &Selection,
        column: &str,
        time_zone: &str,
    ) -> Result<Option<Value>, Error> {
        let _ = (selection, column, time_zone);
        Ok(None)
    }

    /// Whether the source makes its own checkpoints ([`ReadMode::Resume`]), as files do.
    fn supports_checkpoints(&self) -> bool {
        false
    }

    /// Whether [`ReadMode::Resume`] can follow, as it can for streams.
    fn supports_streaming(&self) -> bool {
        false
    }

    /// How far behind a checkpoint a selection is, by partition; empty where
    /// the source has no such notion.
    async fn lag(&self, selection: &Selection, after: Option<&Checkpoint>) -> Result<Vec<Lag>, Error> {
        let _ = (selection, after);
        Ok(Vec::new())
    }

    /// Notifies the source that everything up to `checkpoint` is committed. Advisory only:
    /// progress is never stored here.
    async fn committed(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let _ = checkpoint;
        Ok(())
    }
}
