//! What a commit changes among the failed rows of its sync.

use std::collections::{BTreeSet, HashSet};

use tidegate_model::{Error, ObjectKind, RowHash, RunId, SyncId};

use super::block::{FailedEntry, mark, read_marks};
use super::index::{self, ByKey, Index};
use super::table::{self, BlockRef, MarkColumn, NewBlock, Table};
use crate::store::contents::Keys;
use crate::store::dialect::Tx;
use crate::store::statement::sql;

/// The most rows of a block: as many as a batch of small rows has, which is one block then and not two.
const BLOCK_ROWS: usize = 2_560;
/// About how many bytes the contents of a block take.
const BLOCK_BYTES: u64 = 1 << 20;
/// How many blocks of one size become one of the next.
const MERGED: u64 = 8;
/// Up to this many keys are looked up by the marks of the blocks, more by an index.
const SCANNED_MAX: usize = 256;

/// What a commit says of failed rows.
pub(crate) struct Change<'a> {
    pub(crate) sync: &'a SyncId,
    pub(crate) run: &'a RunId,
    pub(crate) object: ObjectKind,
    /// Keys whose rows are closed.
    pub(crate) solved: &'a [RowHash],
    /// Rows that failed, one for each key.
    pub(crate) failed: Vec<FailedEntry>,
}

/// By how much the totals of a sync grow.
#[derive(Default)]
struct Growth {
    rows: i64,
    bytes: i64,
}

/// Makes sure that nothing else changes the failed rows of a sync until the end of the transaction.
/// Returns how many are open.
pub(crate) async fn lock(tx: &mut Tx, sync: &SyncId) -> Result<u64, Error> {
    // An update that changes nothing locks as well as `FOR UPDATE`, and in both databases.
    let statement = sql("UPDATE syncs SET failed_rows = failed_rows WHERE id = $1 RETURNING failed_rows");
    tx.first(statement.bind(sync)).await?.map_or(Ok(0), |record| record.count("failed_rows"))
}

/// Closes rows and records those that failed. A row that failed before keeps its position and gets its
/// latest reason and one more attempt; another row with the same key replaces it.
///
/// `keys` are there if a row has contents or some rows are open.
pub(crate) async fn apply(
    tx: &mut Tx,
    keys: Option<&Keys>,
    index: &mut Option<Index>,
    mut change: Change<'_>,
) -> Result<(), Error> {
    let open = lock(tx, change.sync).await?;
    let mut growth = Growth::default();
    if open > 0 {
        close(tx, keys, index, open, &mut change, &mut growth).await?;
    }
    let sync = change.sync;
    if !change.failed.is_empty() {
        add(tx, keys, index, change, &mut growth).await?;
    }
    count(tx, sync, &growth).await
}

async fn count(tx: &mut Tx, sync: &SyncId, growth: &Growth) -> Result<(), Error> {
    if (growth.rows, growth.bytes) == (0, 0) {
        return Ok(());
    }
    let statement = sql("UPDATE syncs SET failed_rows = failed_rows + $2, failed_bytes = failed_bytes + $3
        WHERE id = $1");
    tx.execute(statement.bind(sync).bind(growth.rows).bind(growth.bytes)).await?;
    Ok(())
}

/// Takes rows that are solved or failed again out of their blocks.
async fn close(
    tx: &mut Tx,
    keys: Option<&Keys>,
    index: &mut Option<Index>,
    open: u64,
    change: &mut Change<'_>,
    growth: &mut Growth,
) -> Result<(), Error> {
    let places = locate(tx, index, open, change).await?;
    if places.is_empty() {
        return Ok(());
    }
    let solved: HashSet<RowHash> = change.solved.iter().copied().collect();
    let again: ByKey<usize> = change.failed.iter().enumerate().map(|(at, entry)| (entry.key, at)).collect();
    for seq in places {
        let Some((place, mut entries)) = table::find(tx, change.sync, seq).await? else { continue };
        let goes = |entry: &FailedEntry| solved.contains(&entry.key) || again.contains_key(&entry.key);
        let going = entries.iter().filter(|entry| goes(entry)).count();
        if going == 0 {
            continue;
        }
        let lacks = |entry: &FailedEntry| {
            let next = again.get(&entry.key).map(|at| &change.failed[*at]);
            next.is_some_and(|next| !next.is_whole() && next.row == entry.row)
        };
        // Contents that nothing needs any more are not even opened.
        if let Some(keys) = keys
            && (going < entries.len() || entries.iter().any(lacks))
        {
            table::open_contents(tx, &keys.opening, &place, &mut entries).await?;
        }
        let mut left = Vec::with_capacity(entries.len() - going);
        for entry in entries {
            if goes(&entry) {
                if let Some(index) = index {
                    index.remove(entry.key, seq);
                }
                if let Some(at) = again.get(&entry.key).filter(|_| !solved.contains(&entry.key)) {
                    change.failed[*at].follow(entry);
                }
            } else {
                left.push(entry);
            }
        }
        growth.rows -= going as i64;
        growth.bytes += table::replace(tx, &place, &left, keys.map(|keys| &*keys.sealing)).await?;
    }
    Ok(())
}

impl FailedEntry {
    /// Continues an entry of the same key: one of the same row keeps its position, and its contents if
    /// these are whole and the new ones are not.
    fn follow(&mut self, before: FailedEntry) {
        if self.row == before.row {
            self.first_at = before.first_at;
            self.position = before.position;
            self.attempts = before.attempts + 1;
            if !self.is_whole() && (before.is_whole() || self.text.is_none()) {
                self.text = before.text;
            }
        }
    }
}

/// Returns the blocks that may have rows of the keys of a change.
async fn locate(
    tx: &mut Tx,
    index: &mut Option<Index>,
    open: u64,
    change: &Change<'_>,
) -> Result<BTreeSet<u64>, Error> {
    let wanted = change.solved.iter().copied().chain(change.failed.iter().map(|entry| entry.key));
    let count = change.solved.len() + change.failed.len();
    if index.is_none() && count > SCANNED_MAX && open <= index::ROWS_MAX as u64 {
        *index = Some(Index::build(tx, change.sync, change.run).await?);
    }
    if let Some(index) = index {
        return Ok(wanted.flat_map(|key| index.find(key)).collect());
    }
    let marks: HashSet<u64> = wanted.map(mark).collect();
    let mut found = BTreeSet::new();
    table::each_mark(tx, change.sync, MarkColumn::Keys, |seq, known| {
        if read_marks(known).any(|mark| marks.contains(&mark)) {
            found.insert(seq);
        }
    })
    .await?;
    Ok(found)
}

/// Adds rows as blocks, together with the last ones as long as these are small.
async fn add(
    tx: &mut Tx,
    keys: Option<&Keys>,
    index: &mut Option<Index>,
    change: Change<'_>,
    growth: &mut Growth,
) -> Result<(), Error> {
    let Change { sync, object, failed: mut entries, .. } = change;
    growth.rows += entries.len() as i64;
    while let Some(small) = mergeable(tx, sync, object, &entries).await? {
        let mut older = Vec::new();
        for place in small.iter().rev() {
            let mut of_block = table::entries(tx, Table::Open, place).await?;
            if let Some(keys) = keys {
                table::open_contents(tx, &keys.opening, place, &mut of_block).await?;
            }
            if let Some(index) = index {
                of_block.iter().for_each(|entry| index.remove(entry.key, place.seq));
            }
            table::remove(tx, Table::Open, sync, place.seq).await?;
            growth.bytes -= place.bytes as i64;
            older.extend(of_block);
        }
        older.append(&mut entries);
        entries = older;
    }
    let mut seq = table::next_seq(tx, Table::Open, sync).await?;
    for block in blocks(&entries) {
        let place = NewBlock { sync, seq, object, note: None };
        let sealing = keys.map(|keys| &*keys.sealing);
        growth.bytes += table::insert(tx, Table::Open, place, block, sealing).await? as i64;
        if let Some(index) = index {
            block.iter().for_each(|entry| index.insert(entry.key, seq));
        }
        seq += 1;
    }
    Ok(())
}

/// Returns the last blocks, if they are enough of the size of these rows to become one with them.
async fn mergeable(
    tx: &mut Tx,
    sync: &SyncId,
    object: ObjectKind,
    entries: &[FailedEntry],
) -> Result<Option<Vec<BlockRef>>, Error> {
    if entries.len() > BLOCK_ROWS / 2 {
        return Ok(None);
    }
    let size = |rows: u64| rows.max(1).ilog(MERGED);
    let last = table::last(tx, sync, MERGED - 1).await?;
    let small =
        last.iter().all(|place| place.object == object && size(place.rows) <= size(entries.len() as u64));
    let rows = last.iter().map(|place| place.rows).sum::<u64>() + entries.len() as u64;
    let bytes: u64 = last.iter().map(|place| place.bytes).sum::<u64>() + bytes_of(entries);
    let fits = rows <= BLOCK_ROWS as u64 && bytes <= BLOCK_BYTES;
    Ok((last.len() as u64 == MERGED - 1 && small && fits).then_some(last))
}

fn bytes_of(entries: &[FailedEntry]) -> u64 {
    entries.iter().map(FailedEntry::bytes).sum()
}

/// Returns the rows in blocks.
pub(super) fn blocks(entries: &[FailedEntry]) -> impl Iterator<Item = &[FailedEntry]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let full = rest.iter().take(BLOCK_ROWS).position(|entry| {
            bytes += entry.bytes();
            bytes > BLOCK_BYTES
        });
        let end = full.map_or(rest.len().min(BLOCK_ROWS), |at| at.max(1));
        let (block, left) = rest.split_at(end);
        rest = left;
        (!block.is_empty()).then_some(block)
    })
}
