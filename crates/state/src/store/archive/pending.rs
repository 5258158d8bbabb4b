//! Blocks that wait in tables for a file.

use jiff::Timestamp;
use jiff::civil::Date;
use tidegate_model::{Error, ObjectKind, RunId, SyncId};

use crate::history::{BlockId, day_of};
use crate::store::dialect::Database;
use crate::store::statement::{from_word, sql};

/// Rows in memory at a time.
const PAGE_ROWS: u64 = 20_000;

/// A block in the tables.
pub(super) struct Pending {
    pub(super) id: BlockId,
    pub(super) object: ObjectKind,
    pub(super) at: Timestamp,
    pub(super) day: Date,
    rows: u64,
}

/// Returns the blocks of a sync, in their order.
pub(super) async fn of_sync(database: &Database, sync: &SyncId) -> Result<Vec<Pending>, Error> {
    let statement = sql("SELECT run, seq, object, committed_at, row_count FROM blocks
        WHERE sync = $1 ORDER BY run, seq");
    let records = database.all(statement.bind(sync)).await?;
    let pending = records.iter().map(|record| {
        let at = record.time("committed_at")?;
        Ok(Pending {
            id: (RunId::new(record.get::<String>("run")?), record.count("seq")?),
            object: from_word(&record.get::<String>("object")?, "object")?,
            at,
            day: day_of(at),
            rows: record.count("row_count")?,
        })
    });
    pending.collect()
}

/// Returns the first and last blocks of portions that fit into memory.
pub(super) fn pages(group: &[Pending]) -> Vec<(&BlockId, &BlockId)> {
    let mut pages: Vec<(&BlockId, &BlockId)> = Vec::new();
    let mut rows = 0;
    for block in group {
        rows += block.rows;
        match pages.last_mut() {
            Some(page) if rows <= PAGE_ROWS => page.1 = &block.id,
            _ => {
                pages.push((&block.id, &block.id));
                rows = block.rows;
            }
        }
    }
    pages
}
