//! Rows that were rejected or are in doubt, until they are delivered or dismissed.
//!
//! They are stored in blocks, as history is: a commit that rejects thousands of rows writes a few
//! rows of a table, and not thousands with an entry in each index. A row that fails again moves to the
//! block of that commit, and a row that is closed is removed from its block at once, with its
//! contents. Blocks of few rows are merged.
//!
//! A row is found without an index of its own: by the marks of each block, 8 bytes for each of its
//! keys, versions and users, of which a million is read in milliseconds.

pub(crate) mod block;
mod change;
mod groups;
mod index;
mod pages;
mod table;
mod whole;

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::store::{
    DismissedRow, FailedRow, FailedRowGroup, FailedRowGroupQuery, FailedRowQuery, FailedRowStore,
    FailedRowTotals, RowResult,
};
use tidegate_model::{Error, RowHash, RunId, SyncId};

use self::block::FailedEntry;
use super::SqlStore;
use super::dialect::Database;
use super::payload::RowTexts;
use super::statement::sql;

pub(super) use self::change::{Change, apply};
use self::index::ByKey;
pub(super) use self::index::Indexes;
pub(super) use self::pages::{payloads, rejected_versions};
pub(super) use self::whole::{discard, erase, forget};

#[async_trait]
impl FailedRowStore for SqlStore {
    async fn failed_rows_in_order(
        &self,
        query: &FailedRowQuery,
        after: Option<&FailedRow>,
    ) -> Result<Vec<FailedRow>, Error> {
        pages::in_order(&self.database, &self.contents, query, after).await
    }

    async fn find_failed_rows(&self, query: &FailedRowQuery) -> Result<Vec<FailedRow>, Error> {
        pages::find(&self.database, &self.contents, query).await
    }

    async fn failed_row_groups(&self, query: &FailedRowGroupQuery) -> Result<Vec<FailedRowGroup>, Error> {
        groups::groups(&self.database, query).await
    }

    async fn failed_row_counts(&self) -> Result<HashMap<SyncId, u64>, Error> {
        counts(&self.database).await
    }

    async fn dismiss_failed_rows(
        &self,
        query: &FailedRowQuery,
        note: &str,
        at: Timestamp,
    ) -> Result<u64, Error> {
        whole::dismiss(&self.database, &self.contents, query, note, at).await
    }

    async fn dismissed_rows(&self, query: &FailedRowQuery) -> Result<Vec<DismissedRow>, Error> {
        pages::dismissed(&self.database, query).await
    }
}

/// Returns the totals of a sync.
pub(super) async fn totals(database: &Database, sync: &SyncId) -> Result<FailedRowTotals, Error> {
    let statement = sql("SELECT failed_rows, failed_bytes, dismissed_rows FROM syncs WHERE id = $1");
    let Some(record) = database.first(statement.bind(sync)).await? else {
        return Ok(FailedRowTotals::default());
    };
    Ok(FailedRowTotals {
        rows: record.count("failed_rows")?,
        bytes: record.count("failed_bytes")?,
        dismissed: record.count("dismissed_rows")?,
    })
}

/// Returns how many failed rows each sync has that has any.
async fn counts(database: &Database) -> Result<HashMap<SyncId, u64>, Error> {
    let records = database.all(sql("SELECT id, failed_rows FROM syncs WHERE failed_rows > 0")).await?;
    let counts = records
        .iter()
        .map(|record| Ok((SyncId::new(record.get::<String>("id")?), record.count("failed_rows")?)));
    counts.collect()
}

/// Returns how many failed rows the sync of a run has; 0 if there is no such run.
pub(super) async fn of_run(database: &Database, run: &RunId) -> Result<u64, Error> {
    let statement =
        sql("SELECT syncs.failed_rows FROM runs JOIN syncs ON syncs.id = runs.sync WHERE runs.id = $1");
    let record = database.first(statement.bind(run.as_str())).await?;
    record.map_or(Ok(0), |record| record.count("failed_rows"))
}

/// Returns the rows that a batch leaves failed, one for each key, in the order of the rows.
///
/// A key that was delivered in this batch stays failed only if the row that failed comes
/// after the delivered one.
pub(super) fn of_batch(
    rows: Vec<RowResult>,
    solved: &[RowHash],
    run: &RunId,
    at: Timestamp,
) -> Result<Vec<FailedEntry>, Error> {
    let solved: HashSet<&RowHash> = solved.iter().collect();
    let mut open: ByKey<usize> = ByKey::with_capacity_and_hasher(rows.len(), BuildHasherDefault::default());
    for (position, row) in rows.iter().enumerate() {
        if row.status.reason().is_some() {
            open.insert(row.key, position);
        } else if !open.is_empty() && solved.contains(&row.key) {
            open.remove(&row.key);
        }
    }
    let mut failed = Vec::with_capacity(open.len());
    let (mut texts, mut written) = (RowTexts::default(), Vec::with_capacity(open.len()));
    for (position, row) in rows.into_iter().enumerate() {
        if open.get(&row.key) != Some(&position) {
            continue;
        }
        written.push(row.payload.as_ref().map(|row| texts.write(row)).transpose()?);
        failed.push(FailedEntry {
            key: row.key,
            row: row.row,
            run: run.clone(),
            user: row.user,
            key_text: row.key_text,
            status: row.status,
            position: position as u64,
            first_at: at.as_microsecond(),
            last_at: at.as_microsecond(),
            attempts: 1,
            text: None,
        });
    }
    // Shared by all: memory of its own for each row would cost more than writing it.
    let texts = texts.finish()?;
    for (entry, at) in failed.iter_mut().zip(written) {
        entry.text = at.map(|at| texts.slice_ref(&texts[at]));
    }
    Ok(failed)
}
