//! Systems that rows are read from.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::bookkeeping::Bookkeeping;
use crate::{Batch, Checkpoint, Checks, DataType, Error, Feed, Lag, Row, Settings, SyncId, Value};

/// What a sync reads: the part of `source:` that belongs to the source, for
/// example `table: public.orders` or `path: orders/*.csv`.
pub type Selection = Settings;

/// A table, view, query or file that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Its name, as written in a selection.
    pub name: String,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// The columns of the primary key; empty if the source knows none.
    pub key: Vec<String>,
    /// Whether rows may have columns beyond `columns`, as JSON Lines may.
    #[serde(default)]
    pub open: bool,
}

/// A column and its type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The name, as the source has it.
    pub name: String,
    /// The type. Behavior depends on this alone.
    pub data_type: DataType,
    /// The name of the type at the source, for messages.
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
    /// Rows by a cursor column, lowest first. Rows with a null cursor come before all others; rows
    /// later than the source's own clock are left out.
    Incremental {
        /// The name of the cursor column.
        column: String,
        /// The lowest value to read, inclusive; all rows if absent.
        from: Option<Value>,
        /// The time zone of a cursor without one (IANA name).
        time_zone: String,
    },
    /// Rows after a checkpoint that the source made.
    Resume {
        /// The checkpoint; from the beginning if there is none.
        checkpoint: Option<Checkpoint>,
        /// Whether the feed waits for what comes later, until it is dropped.
        follow: bool,
    },
}

/// The rows that [`Source::hashed`] reads, and what of them.
#[derive(Clone, Copy, Debug)]
pub enum Hashed<'a> {
    /// The key columns of all rows.
    Keys,
    /// All columns of all rows.
    Rows,
    /// All columns of the rows with these keys.
    These(&'a [Vec<Value>]),
}

/// A system that rows can be read from.
///
/// Methods may be called in parallel. A failure of a method concerns the whole call:
/// [`Settings`](crate::ErrorKind::Settings) if the selection cannot work,
/// [`Missing`](crate::ErrorKind::Missing) if the table, file or topic does not exist,
/// [`Denied`](crate::ErrorKind::Denied) without the privilege to read it, and
/// [`Unavailable`](crate::ErrorKind::Unavailable) if the source cannot be reached.
#[async_trait]
pub trait Source: Send + Sync {
    /// Checks each privilege that reading `selection` needs, and returns the statement that grants
    /// what is missing. With `None`, checks only that the connection works.
    ///
    /// # Errors
    /// If the checks themselves cannot be carried out. A missing privilege is a failed check.
    async fn check(&self, selection: Option<&Selection>) -> Result<Checks, Error>;

    /// Refuses a selection that can never be read, as far as that shows without a connection. Does no network I/O.
    ///
    /// # Errors
    /// [`Settings`](crate::ErrorKind::Settings) with the setting that cannot work.
    fn accepts(&self, selection: &Selection) -> Result<(), Error> {
        let _ = selection;
        Ok(())
    }

    /// Lists what can be read.
    ///
    /// # Errors
    /// If the source cannot be reached or refuses the list.
    async fn discover(&self) -> Result<Vec<Dataset>, Error>;

    /// Returns advice that would make reading a selection faster or safer, and whether its columns may
    /// be read; `cursor` is the column that rows are read by. Returns none by default.
    ///
    /// # Errors
    /// If the selection cannot be described or read.
    async fn advise(&self, selection: &Selection, cursor: Option<&str>) -> Result<Checks, Error> {
        let _ = (selection, cursor);
        Ok(Checks::default())
    }

    /// Checks that the columns of `key` identify a row, as far as the source knows without reading rows.
    /// Returns no checks by default.
    ///
    /// # Errors
    /// If the selection cannot be described.
    async fn check_key(&self, selection: &Selection, key: &[String]) -> Result<Checks, Error> {
        let _ = (selection, key);
        Ok(Checks::default())
    }

    /// Returns `selection` restricted to `columns`, named as `describe` names them: rows that are
    /// read through it have only these columns, in this order. `None` if rows are always read whole.
    fn narrow(&self, selection: &Selection, columns: &[String]) -> Option<Selection> {
        let _ = (selection, columns);
        None
    }

    /// Returns the columns of a selection, without reading its rows.
    ///
    /// # Errors
    /// If the selection does not exist or may not be read.
    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error>;

    /// Reads batches of about `batch_rows` rows, all from one consistent state of the source if it
    /// has one. The feed ends when nothing is left for now, unless the mode is
    /// [`ReadMode::Resume`] with `follow: true`.
    ///
    /// # Errors
    /// If reading cannot begin. A failure afterwards is an item of the feed and ends it.
    async fn read(
        &self,
        selection: &Selection,
        mode: &ReadMode,
        batch_rows: usize,
    ) -> Result<Feed<Row>, Error>;

    /// Reads about `rows` rows of a selection, whichever, to try a mapping on them; `None` if reading a few costs
    /// as much as reading all, or nothing can be said by them. Nothing is committed at the source.
    ///
    /// # Errors
    /// As [`Source::read`].
    async fn sample(&self, selection: &Selection, rows: usize) -> Result<Option<Feed<Row>>, Error> {
        let _ = (selection, rows);
        Ok(None)
    }

    /// Proves what reading a selection with `mode: stream` needs besides [`Source::check`]. Nothing by
    /// default.
    ///
    /// # Errors
    /// Only what prevents looking at all.
    async fn check_changes(&self, selection: &Selection) -> Result<Checks, Error> {
        let _ = selection;
        Ok(Checks::default())
    }

    /// Reads the current rows with the given keys; `None` if the source cannot look up rows. A row
    /// that exists but cannot be decoded is listed as malformed; a row that is gone is missing.
    ///
    /// # Errors
    /// If the selection cannot be read.
    async fn lookup(
        &self,
        selection: &Selection,
        key: &[String],
        values: &[Vec<Value>],
    ) -> Result<Option<Feed<Row>>, Error> {
        let _ = (selection, key, values);
        Ok(None)
    }

    /// Reads the input at these locations again ([`crate::MalformedRecord::location`]); `None` if
    /// the source cannot. Each item has its location as its origin. Input that still cannot be
    /// decoded is listed as malformed, and input that is gone is missing.
    ///
    /// # Errors
    /// If the selection cannot be read.
    async fn reread(&self, selection: &Selection, locations: &[String]) -> Result<Option<Batch<Row>>, Error> {
        let _ = (selection, locations);
        Ok(None)
    }

    /// Returns whether a row may have changed when it is read again. Messages of a stream do not
    /// change: a retry sends the stored message, even if the stream no longer has it.
    fn rows_change(&self) -> bool {
        true
    }

    /// Returns the highest value of a cursor column that [`ReadMode::Incremental`] would read;
    /// `None` if there is no row, or the source cannot say.
    ///
    /// # Errors
    /// If the column cannot be read.
    async fn highest(
        &self,
        selection: &Selection,
        column: &str,
        time_zone: &str,
    ) -> Result<Option<Value>, Error> {
        let _ = (selection, column, time_zone);
        Ok(None)
    }

    /// Reads rows with a hash of all of their columns, made by the source, as text in the last column; `None` if
    /// it cannot. Rows with the same hash are the same, whenever they are read.
    ///
    /// # Errors
    /// If the rows of the selection have no such unique key, or reading cannot begin.
    async fn hashed(
        &self,
        selection: &Selection,
        key: &[String],
        what: Hashed<'_>,
        batch_rows: usize,
    ) -> Result<Option<Feed<Row>>, Error> {
        let _ = (selection, key, what, batch_rows);
        Ok(None)
    }

    /// Opens what a mirror keeps at the source, so that the source compares rows by `key`; `None` if it
    /// cannot. Nothing is written yet.
    ///
    /// # Errors
    /// If the rows of the selection have no such unique key.
    async fn bookkeeping(
        &self,
        sync: &SyncId,
        selection: &Selection,
        key: &[String],
    ) -> Result<Option<Arc<dyn Bookkeeping>>, Error> {
        let _ = (sync, selection, key);
        Ok(None)
    }

    /// Proves what [`Source::bookkeeping`] needs besides [`Source::check`]. Nothing by default.
    ///
    /// # Errors
    /// Only what prevents looking at all.
    async fn check_bookkeeping(&self, selection: &Selection, key: &[String]) -> Result<Checks, Error> {
        let _ = (selection, key);
        Ok(Checks::default())
    }

    /// Returns the names of the files that a selection is made of; `None` if the source has none.
    ///
    /// # Errors
    /// If they cannot be listed.
    async fn files(&self, selection: &Selection) -> Result<Option<Vec<String>>, Error> {
        let _ = selection;
        Ok(None)
    }

    /// Returns whether the source makes its own checkpoints ([`ReadMode::Resume`]) in every mode, as
    /// files do. With `mode: stream`, every source does.
    fn supports_checkpoints(&self) -> bool {
        false
    }

    /// Returns whether [`ReadMode::Resume`] can follow, as it can for streams and for tables with a
    /// change data feed.
    fn supports_streaming(&self) -> bool {
        false
    }

    /// Returns what was paid for to read from this source since it was opened, as a sentence for people;
    /// `None` if the source does not count it.
    fn cost(&self) -> Option<String> {
        None
    }

    /// Returns how many items of a selection are after a checkpoint, by partition; empty if the
    /// source does not count them.
    ///
    /// # Errors
    /// If the source cannot be asked.
    async fn lag(&self, selection: &Selection, after: Option<&Checkpoint>) -> Result<Vec<Lag>, Error> {
        let _ = (selection, after);
        Ok(Vec::new())
    }

    /// Notifies the source that everything up to `checkpoint` is committed. A source may store it,
    /// as Kafka group offsets; the checkpoint in the store decides.
    ///
    /// # Errors
    /// If the source cannot be notified. The engine logs it and continues.
    async fn committed(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let _ = checkpoint;
        Ok(())
    }
}
