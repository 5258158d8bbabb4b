//! What differs between the warehouses that keep the bookkeeping of a mirror, and the SQL that they share.

use std::marker::PhantomData;

use async_trait::async_trait;
use tidegate_model::{Checks, Error, ErrorKind, Feed, Row, RowHash};

use crate::sql::hashed::{HASH, HashedColumn, HashedTable, KEY, Needs, SEVERAL};
use crate::sql::incremental::Dialect;
use crate::sql::relation::{Named, Naming};
use crate::sql::table::SqlTable;

/// The columns that a statement of [`Keeper::rows`] has after those of the table: texts, of which the last is null as a
/// rule.
pub const COLUMNS: [&str; 3] = [KEY, HASH, SEVERAL];
/// The columns of the table of entries.
pub const ENTRY: [&str; 4] = ["name", "key", "source_key", "hash"];

/// The schema of the tables, unless a system writes its name in another way.
pub const SCHEMA: &str = "tidegate";
/// The name of the check that proves the bookkeeping.
pub const CHECK: &str = "bookkeeping";
/// An entry as it is written: 32 hexadecimal digits in quotes, or `NULL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The hash of the key in the ledger.
    pub key: String,
    /// The hash of the key at the warehouse.
    pub source_key: String,
    /// The hash of the row that was committed.
    pub hash: String,
}

impl Entry {
    pub(super) fn new(key: RowHash, source_key: u128, hash: Option<u128>) -> Entry {
        let hash = hash.map_or_else(|| "NULL".to_owned(), quoted);
        Entry { key: quoted(key.0), source_key: quoted(source_key), hash }
    }

    /// Returns its values in the order of [`ENTRY`], without the name.
    pub fn values(&self) -> [&str; 3] {
        [&self.key, &self.source_key, &self.hash]
    }
}

pub(super) fn quoted(hash: u128) -> String {
    format!("'{hash:032x}'")
}

/// The schema of the tables in a database, by the two parts of its name.
pub struct Schema<N> {
    names: [String; 2],
    naming: PhantomData<N>,
}

impl<N: Naming> Schema<N> {
    /// Returns the schema of a database.
    pub fn new(database: &str, schema: &str) -> Schema<N> {
        Schema { names: [database.to_owned(), schema.to_owned()], naming: PhantomData }
    }

    /// Returns the names of the database and of the schema.
    pub fn names(&self) -> &[String; 2] {
        &self.names
    }

    /// Returns its full name for people.
    pub fn label(&self) -> String {
        N::label(&self.names)
    }

    /// Returns its full name in quotes.
    pub fn quoted(&self) -> String {
        N::quoted(&self.names)
    }

    /// Returns the full name of one of its tables, in quotes.
    pub fn table(&self, name: &str) -> String {
        let [database, schema] = &self.names;
        N::quoted(&[database.clone(), schema.clone(), name.to_owned()])
    }
}

/// A warehouse that keeps the bookkeeping of a mirror: what differs between them.
#[async_trait]
pub trait Keeper: Sized + Send + Sync + 'static {
    /// The most keys or entries of one statement.
    const CHUNK: usize = 5_000;
    /// The type of texts.
    const TEXT: &'static str = "VARCHAR";

    /// Returns the schema of the tables, for people.
    fn schema(&self) -> String {
        SCHEMA.to_owned()
    }

    /// Returns a table of the bookkeeping with its schema, in quotes.
    fn table(&self, name: &str) -> String;

    /// Returns a column of these tables in quotes.
    fn column(&self, name: &str) -> String;

    /// Returns the statements that make the tables unless they are there.
    fn creation(&self) -> Vec<String> {
        creation(self)
    }

    /// Returns the statements that write entries under their keys, whatever was there. No key is there twice. A run
    /// that ends between two of them has written what was there, and not all that is new.
    fn upsert(&self, name: &str, entries: &[Entry]) -> Vec<String>;

    /// Returns the condition that a column is one of these keys, which are in quotes.
    fn among(&self, column: &str, keys: &[String]) -> String {
        format!("{column} IN ({})", keys.join(", "))
    }

    /// Runs a statement that writes. It takes effect or does not. By default it is asked as a query is, which may ask
    /// twice: each statement has the same effect again.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] and [`ErrorKind::Denied`] with what an administrator has to do.
    async fn run(&self, sql: &str) -> Result<(), Error> {
        self.ask(sql).await.map(drop).map_err(|error| refused(error, &self.schema()))
    }

    /// Returns the first cell of each row of a query.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] if a table is not there.
    async fn ask(&self, sql: &str) -> Result<Vec<Option<String>>, Error>;

    /// Reads rows of the table and [`COLUMNS`] after them.
    ///
    /// # Errors
    /// If reading cannot begin.
    async fn rows(&self, sql: String, batch_rows: usize) -> Result<Feed<Row>, Error>;

    /// Proves that the tables can be made, once it is known that they are not there.
    ///
    /// # Errors
    /// Only what prevents looking.
    async fn prove_making(&self, checks: &mut Checks) -> Result<(), Error>;

    /// Returns the statement that lets the user write the tables that another one has made.
    fn grant(&self) -> String;

    /// Returns whether nothing may be written.
    fn is_dry_run(&self) -> bool;
}

/// Returns the first cell of each row.
pub fn first_cells(rows: Vec<Vec<Option<String>>>) -> Vec<Option<String>> {
    rows.into_iter().map(|row| row.into_iter().next().flatten()).collect()
}

/// Returns the name of a table and its hashes, for a system whose bookkeeping is in the database of the table.
///
/// # Errors
/// [`ErrorKind::Settings`] for a query, whose rows a warehouse does not compare, and as [`HashedTable::by_texts`] has
/// them.
pub fn compared<'a, D, N, T, C>(
    table: &'a SqlTable<D, Named<N, T>, C>,
    key: &[String],
) -> Result<(&'a T, HashedTable), Error>
where
    D: Dialect + Copy,
    N: Naming,
    T: AsRef<[String]>,
    C: HashedColumn,
{
    let Named::Table(names, _) = &table.relation else {
        return Err(Error::settings(
            "`state: source` compares rows of a table by its key, and a query has none",
        )
        .hint("name a `table`, or write `state: ours`"));
    };
    Ok((names, HashedTable::by_texts(table, key, Needs::BOOKKEEPING)?))
}

/// Says of a statement of the bookkeeping that fails what an administrator has to do.
pub fn refused(error: Error, schema: &str) -> Error {
    let setup = "as an administrator, uncomment and run the bookkeeping part of `tidegate setup NAME`";
    let what = match error.kind() {
        ErrorKind::Missing => format!("the schema `{schema}` is not there"),
        ErrorKind::Denied => format!("the tables of the schema `{schema}` may not be written"),
        _ => return error,
    };
    Error::new(error.kind(), what).hint(setup).caused_by(error)
}

/// Returns the statement that merges entries, for a system with `MERGE`. `rows` is the query that has them, in the
/// columns `tidegate_k`, `tidegate_s` and `tidegate_h`.
pub fn merge<K: Keeper>(keeper: &K, name: &str, rows: &str) -> String {
    let [of, key, source_key, hash] = ENTRY.map(|column| keeper.column(column));
    let table = keeper.table("mirror_rows");
    format!(
        "MERGE INTO {table} AS tidegate_there USING ({rows}) AS tidegate_new \
         ON tidegate_there.{of} = '{name}' AND tidegate_there.{key} = tidegate_new.tidegate_k \
         WHEN NOT MATCHED THEN INSERT ({of}, {key}, {source_key}, {hash}) \
         VALUES ('{name}', tidegate_new.tidegate_k, tidegate_new.tidegate_s, tidegate_new.tidegate_h) \
         WHEN MATCHED THEN UPDATE SET {source_key} = tidegate_new.tidegate_s, {hash} = tidegate_new.tidegate_h"
    )
}

/// Returns the statements that make the two tables.
fn creation<K: Keeper>(keeper: &K) -> Vec<String> {
    let column = |name: &str, null: &str| format!("{} {}{null}", keeper.column(name), K::TEXT);
    let made = |table: &str, columns: Vec<String>| {
        format!("CREATE TABLE IF NOT EXISTS {} ({})", keeper.table(table), columns.join(", "))
    };
    let [of, key, source_key, hash] = ENTRY;
    let required = [of, key, source_key].map(|name| column(name, " NOT NULL"));
    vec![
        made("mirrors", vec![column("sync", " NOT NULL"), column("name", " NOT NULL")]),
        made("mirror_rows", required.into_iter().chain([column(hash, "")]).collect()),
    ]
}
