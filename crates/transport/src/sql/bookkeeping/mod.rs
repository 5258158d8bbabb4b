//! What a mirror keeps in a warehouse, so that the warehouse compares (`state: source`): one flow, whatever the
//! system is.
//!
//! The table `mirrors` says under which name the entries of a sync are. The table `mirror_rows` has an entry for each
//! key: the hash of the key in the ledger, the hash of the key at the warehouse, and the hash of the row that was
//! committed. (Tables that were made before have a column `pending`, which is null.)
//!
//! Each step is one statement that takes effect or does not, and may be repeated. So a run that ends between two of
//! them leaves entries that say too little, which costs a look at the ledger, and never too much.

mod keeper;
mod proof;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tidegate_model::bookkeeping::{Bookkeeping, DifferingRows, NotedRow, SourceHashes};
use tidegate_model::{Batch, Error, ErrorKind, Row, RowHash, SyncId, Value};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::hashed::{Entries, HashedTable};
use super::literal;
use keeper::quoted;
pub use keeper::{
    CHECK, COLUMNS, ENTRY, Entry, Keeper, SCHEMA, Schema, compared, first_cells, merge, refused,
};
pub use proof::prove;

/// The mark of a name whose entries are being removed.
const ENDED: char = '-';
/// The mark of a name whose entries are not yet those of all keys.
const BEGUN: char = '+';

/// Opens the bookkeeping of a sync, by its keeper and the table with its hashes. Nothing is asked yet.
pub fn open<K: Keeper>((keeper, hashed): (K, HashedTable), sync: &SyncId) -> Arc<dyn Bookkeeping> {
    let (name, held) = (Mutex::default(), Mutex::default());
    Arc::new(SqlBookkeeping { keeper, hashed, sync: sync.clone(), name, held })
}

/// The bookkeeping of one sync.
struct SqlBookkeeping<K> {
    keeper: K,
    hashed: HashedTable,
    sync: SyncId,
    /// The name of the entries, once it is known; `None` before, and if a dry run has none.
    name: Mutex<Option<String>>,
    /// Entries that are to be written.
    held: Mutex<HashMap<RowHash, Entry>>,
}

impl<K: Keeper> SqlBookkeeping<K> {
    /// The name of the entries; empty if there are none.
    async fn name(&self) -> String {
        self.name.lock().await.clone().unwrap_or_default()
    }

    async fn run(&self, sql: &str) -> Result<(), Error> {
        match self.keeper.is_dry_run() {
            true => Ok(()),
            false => self.keeper.run(sql).await.map_err(at_source),
        }
    }

    async fn upsert(&self, name: &str, entries: &[Entry]) -> Result<(), Error> {
        for statement in self.keeper.upsert(name, entries) {
            self.run(&statement).await?;
        }
        Ok(())
    }

    fn entries<'a>(table: &'a str, columns: &'a [String; 4], name: &'a str) -> Entries<'a> {
        Entries { table, columns, name }
    }

    /// Names of the table of entries and its columns.
    fn places(&self) -> (String, [String; 4]) {
        (self.keeper.table("mirror_rows"), ENTRY.map(|column| self.keeper.column(column)))
    }

    /// Runs a statement over entries of these keys, chunk by chunk.
    async fn by_keys(&self, keys: &[RowHash], sql: impl Fn(&str) -> String) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        self.flush().await?;
        let name = self.name().await;
        let [of, key] = ["name", "key"].map(|column| self.keeper.column(column));
        for chunk in keys.chunks(K::CHUNK) {
            let keys: Vec<String> = chunk.iter().map(|key| quoted(key.0)).collect();
            let among = self.keeper.among(&key, &keys);
            self.run(&sql(&format!("{of} = '{name}' AND {among}"))).await?;
        }
        Ok(())
    }

    /// Returns the name of the entries as the warehouse has it, unless the tables are not there.
    async fn kept(&self) -> Result<(bool, Option<String>), Error> {
        let (table, of) = (self.keeper.table("mirrors"), self.keeper.column("sync"));
        let name = self.keeper.column("name");
        let sql = format!("SELECT {name} FROM {table} WHERE {of} = {}", literal(self.sync.as_str()));
        match self.keeper.ask(&sql).await {
            Ok(names) => Ok((true, names.into_iter().flatten().next())),
            Err(error) if error.kind() == ErrorKind::Missing => Ok((false, None)),
            Err(error) if error.kind() == ErrorKind::Denied => {
                Err(at_source(refused(error, &self.keeper.schema())))
            }
            Err(error) => Err(at_source(error)),
        }
    }

    /// Removes the entries of the name that is kept, and writes a new one in its place. The name is marked before, so
    /// that a run that ends here is known to have left some, and the new one until all entries are there.
    async fn rename(&self, there: bool, kept: Option<&str>, new: &str) -> Result<(), Error> {
        if !there {
            for statement in self.keeper.creation() {
                self.run(&statement).await?;
            }
        }
        let (table, rows) = (self.keeper.table("mirrors"), self.keeper.table("mirror_rows"));
        let [of, name] = ["sync", "name"].map(|column| self.keeper.column(column));
        let sync = literal(self.sync.as_str());
        let Some(kept) = kept else {
            let first = format!("INSERT INTO {table} ({of}, {name}) VALUES ({sync}, '{BEGUN}{new}')");
            return self.run(&first).await;
        };
        let old = kept.trim_start_matches([ENDED, BEGUN]);
        self.run(&self.renaming(&format!("{ENDED}{old}"))).await?;
        self.run(&format!("DELETE FROM {rows} WHERE {name} = {}", literal(old))).await?;
        self.run(&self.renaming(&format!("{BEGUN}{new}"))).await
    }

    /// The statement that gives the entries of the sync another name.
    fn renaming(&self, to: &str) -> String {
        let [of, name] = ["sync", "name"].map(|column| self.keeper.column(column));
        let (table, sync) = (self.keeper.table("mirrors"), literal(self.sync.as_str()));
        format!("UPDATE {table} SET {name} = {} WHERE {of} = {sync}", literal(to))
    }
}

/// Adds what the bookkeeping is for.
fn at_source(error: Error) -> Error {
    error.context("`state: source` keeps its bookkeeping at the server")
}

/// A hash as the warehouse sends it.
fn hash_in(text: &str) -> Result<u128, Error> {
    let hash = Uuid::parse_str(text.trim()).map_err(|cause| {
        Error::new(ErrorKind::Unexpected, "the source sent a hash that has not 32 hexadecimal digits")
            .caused_by(cause)
    })?;
    Ok(hash.as_u128())
}

/// Takes the columns of the hashes off the end of a row.
fn take_hashes(row: &mut Row) -> Result<SourceHashes, Error> {
    let several = row.values.pop().is_some_and(|several| !several.is_null());
    let mut next = || match row.values.pop() {
        Some(Value::Text(hash)) => hash_in(&hash),
        _ => Err(Error::new(ErrorKind::Unexpected, "the source sent a row without its hashes")),
    };
    let (hash, key) = (next()?, next()?);
    Ok(SourceHashes { key, row: hash, several })
}

fn split(mut batch: Batch<Row>) -> Result<DifferingRows, Error> {
    let hashes = batch.items.iter_mut().map(take_hashes).collect::<Result<_, _>>()?;
    let partial = batch.malformed.iter_mut().filter_map(|piece| piece.row.as_mut());
    let malformed = partial.map(|partial| take_hashes(&mut partial.row)).collect::<Result<_, _>>()?;
    Ok(DifferingRows { batch, hashes, malformed })
}

#[async_trait]
impl<K: Keeper> Bookkeeping for SqlBookkeeping<K> {
    async fn begin(&self, name: Option<&str>) -> Result<(String, bool), Error> {
        let (there, kept) = self.kept().await?;
        let mut own = self.name.lock().await;
        if let Some(kept) = kept.as_deref().filter(|kept| Some(*kept) == name) {
            *own = Some(kept.to_owned());
            return Ok((kept.to_owned(), true));
        }
        let new = Uuid::now_v7().to_string();
        if self.keeper.is_dry_run() {
            return Ok((new, false));
        }
        self.rename(there, kept.as_deref(), &new).await?;
        *own = Some(new.clone());
        Ok((new, false))
    }

    async fn rows(
        &self,
        all: bool,
        batch_rows: usize,
    ) -> Result<BoxStream<'static, Result<DifferingRows, Error>>, Error> {
        let name = self.name().await;
        let (table, columns) = self.places();
        let entries = (!all).then(|| Self::entries(&table, &columns, &name));
        let feed = self.keeper.rows(self.hashed.differing(entries), batch_rows).await?;
        Ok(feed.map(|batch| batch.and_then(split)).boxed())
    }

    async fn count(&self) -> Result<u64, Error> {
        let counted = self.keeper.ask(&self.hashed.count(K::TEXT)).await?;
        let count = counted.into_iter().flatten().next().and_then(|count| count.trim().parse().ok());
        count.ok_or_else(|| Error::new(ErrorKind::Unexpected, "the source sent no count of its rows"))
    }

    async fn removed(&self, after: Option<RowHash>, limit: usize) -> Result<Vec<RowHash>, Error> {
        let Some(name) = self.name.lock().await.clone() else { return Ok(Vec::new()) };
        let (table, columns) = self.places();
        let after = format!("{:032x}", after.map_or(0, |after| after.0));
        let sql = self.hashed.removed(Self::entries(&table, &columns, &name), &after, limit);
        let keys = self.keeper.ask(&sql).await?;
        keys.iter().flatten().map(|key| hash_in(key).map(RowHash)).collect()
    }

    async fn note(&self, rows: &[NotedRow]) -> Result<(), Error> {
        let mut held = self.held.lock().await;
        held.extend(rows.iter().map(|row| {
            let hash = row.known.then_some(row.hashes.row);
            (row.key, Entry::new(row.key, row.hashes.key, hash))
        }));
        let is_full = held.len() >= K::CHUNK;
        drop(held);
        if is_full { self.flush().await } else { Ok(()) }
    }

    async fn flush(&self) -> Result<(), Error> {
        let mut held = self.held.lock().await;
        let entries: Vec<Entry> = std::mem::take(&mut *held).into_values().collect();
        let name = self.name().await;
        for chunk in entries.chunks(K::CHUNK) {
            self.upsert(&name, chunk).await?;
        }
        Ok(())
    }

    async fn note_removed(&self, keys: &[RowHash]) -> Result<(), Error> {
        self.flush().await?;
        let name = self.name().await;
        for chunk in keys.chunks(K::CHUNK) {
            // No row has this hash of its key, so it is gone.
            let entries: Vec<Entry> = chunk.iter().map(|key| Entry::new(*key, key.0, None)).collect();
            self.upsert(&name, &entries).await?;
        }
        Ok(())
    }

    async fn complete(&self) -> Result<(), Error> {
        match self.name.lock().await.as_deref() {
            Some(name) => self.run(&self.renaming(name)).await,
            None => Ok(()),
        }
    }

    async fn doubt(&self, keys: &[RowHash]) -> Result<(), Error> {
        let table = self.keeper.table("mirror_rows");
        let hash = self.keeper.column("hash");
        self.by_keys(keys, |those| format!("UPDATE {table} SET {hash} = NULL WHERE {those}")).await
    }

    async fn forget(&self, keys: &[RowHash]) -> Result<(), Error> {
        let table = self.keeper.table("mirror_rows");
        self.by_keys(keys, |those| format!("DELETE FROM {table} WHERE {those}")).await
    }

    fn keeps(&self) -> bool {
        !self.keeper.is_dry_run()
    }
}
