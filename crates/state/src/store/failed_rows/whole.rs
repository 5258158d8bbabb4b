//! What is done to many failed rows at once: dismissing, erasing, forgetting.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidegate_model::store::FailedRowQuery;
use tidegate_model::{Error, SyncId};

use super::block::FailedEntry;
use super::change::{blocks, lock};
use super::pages::wants;
use super::table::{self, BlockRef, NewBlock, Table};
use crate::store::contents::{Contents, Keys};
use crate::store::dialect::{Database, Tx};
use crate::store::statement::sql;

/// By how much the totals of a sync change.
#[derive(Default)]
struct Left {
    rows: i64,
    bytes: i64,
    dismissed: i64,
}

async fn count(tx: &mut Tx, changes: BTreeMap<SyncId, Left>) -> Result<(), Error> {
    for (sync, Left { rows, bytes, dismissed }) in changes {
        let statement = sql("UPDATE syncs SET failed_rows = failed_rows + $2,
            failed_bytes = failed_bytes + $3, dismissed_rows = dismissed_rows + $4 WHERE id = $1");
        tx.execute(statement.bind(&sync).bind(rows).bind(bytes).bind(dismissed)).await?;
    }
    Ok(())
}

/// Locks the syncs of blocks, in their order, and returns the blocks.
async fn locked(tx: &mut Tx, query: &FailedRowQuery) -> Result<Vec<BlockRef>, Error> {
    let mut syncs: Vec<SyncId> =
        table::places(tx, Table::Open, query).await?.into_iter().map(|place| place.sync).collect();
    syncs.dedup();
    for sync in &syncs {
        lock(tx, sync).await?;
    }
    // A commit may have moved rows until its sync was locked.
    let mut places = table::places(tx, Table::Open, query).await?;
    places.retain(|place| syncs.contains(&place.sync));
    Ok(places)
}

/// Moves failed rows to those that were dismissed. Returns how many.
pub(crate) async fn dismiss(
    database: &Database,
    contents: &Contents,
    query: &FailedRowQuery,
    note: &str,
    at: Timestamp,
) -> Result<u64, Error> {
    if database.first(sql("SELECT seq FROM failed_blocks LIMIT 1")).await?.is_none() {
        return Ok(0);
    }
    let keys = contents.keys().await?;
    let mut tx = database.write().await?;
    let mut changes: BTreeMap<SyncId, Left> = BTreeMap::new();
    let mut count_all = 0;
    for place in locked(&mut tx, query).await? {
        let mut entries = table::entries(&mut tx, Table::Open, &place).await?;
        let going = entries.iter().filter(|entry| wants(query, entry)).count();
        if going == 0 {
            continue;
        }
        if going < entries.len() {
            table::open_contents(&mut tx, &keys.opening, &place, &mut entries).await?;
        }
        let (mut gone, left): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| wants(query, entry));
        for entry in &mut gone {
            entry.last_at = at.as_microsecond();
            entry.text = None;
        }
        let change = changes.entry(place.sync.clone()).or_default();
        change.bytes += table::replace(&mut tx, &place, &left, Some(&keys.sealing)).await?;
        change.rows -= gone.len() as i64;
        change.dismissed += gone.len() as i64;
        count_all += gone.len() as u64;
        let mut seq = table::next_seq(&mut tx, Table::Dismissed, &place.sync).await?;
        for block in blocks(&gone) {
            let place = NewBlock { sync: &place.sync, seq, object: place.object, note: Some(note) };
            table::insert(&mut tx, Table::Dismissed, place, block, None).await?;
            seq += 1;
        }
    }
    count(&mut tx, changes).await?;
    tx.commit().await?;
    Ok(count_all)
}

/// Removes open and dismissed rows, of which `of_user` says so. Returns how many open ones.
pub(crate) async fn erase(
    tx: &mut Tx,
    keys: &Keys,
    of_user: impl Fn(&FailedEntry) -> Result<bool, Error>,
    dismissed_of_user: impl Fn(&FailedEntry) -> bool,
) -> Result<u64, Error> {
    let everything = FailedRowQuery::default();
    let mut changes: BTreeMap<SyncId, Left> = BTreeMap::new();
    let mut removed = 0;
    for place in locked(tx, &everything).await? {
        let mut entries = table::entries(tx, Table::Open, &place).await?;
        table::open_contents(tx, &keys.opening, &place, &mut entries).await?;
        let before = entries.len();
        let mut left = Vec::with_capacity(before);
        for entry in entries {
            if !of_user(&entry)? {
                left.push(entry);
            }
        }
        if left.len() < before {
            let change = changes.entry(place.sync.clone()).or_default();
            change.bytes += table::replace(tx, &place, &left, Some(&keys.sealing)).await?;
            change.rows -= (before - left.len()) as i64;
            removed += (before - left.len()) as u64;
        }
    }
    count(tx, changes).await?;
    for place in table::places(tx, Table::Dismissed, &everything).await? {
        let entries = table::entries(tx, Table::Dismissed, &place).await?;
        let left: Vec<FailedEntry> =
            entries.iter().filter(|entry| !dismissed_of_user(entry)).cloned().collect();
        if left.len() < entries.len() {
            table::remove(tx, Table::Dismissed, &place.sync, place.seq).await?;
            let new = NewBlock {
                sync: &place.sync,
                seq: place.seq,
                object: place.object,
                note: place.note.as_deref(),
            };
            table::insert(tx, Table::Dismissed, new, &left, None).await?;
        }
    }
    Ok(removed)
}

/// Removes the contents of rows that failed last before a time. The rows stay listed with their
/// keys, users and reasons.
pub(crate) async fn forget(database: &Database, contents: &Contents, before: Timestamp) -> Result<(), Error> {
    let old = FailedRowQuery { to: Some(before), ..FailedRowQuery::default() };
    let is_mixed = |place: &BlockRef| place.last.1 >= before.as_microsecond();
    let mut places = table::places(&mut database.snapshot().await?, Table::Open, &old).await?;
    places.retain(|place| place.bytes > 0);
    if places.is_empty() {
        return Ok(());
    }
    let keys = if places.iter().any(is_mixed) { Some(contents.keys().await?) } else { None };
    let mut tx = database.write().await?;
    let mut changes: BTreeMap<SyncId, Left> = BTreeMap::new();
    for place in locked(&mut tx, &old).await?.into_iter().filter(|place| place.bytes > 0) {
        let mut entries = table::entries(&mut tx, Table::Open, &place).await?;
        if is_mixed(&place) {
            // One that became so meanwhile has its turn tomorrow.
            let Some(keys) = &keys else { continue };
            table::open_contents(&mut tx, &keys.opening, &place, &mut entries).await?;
            let outdated = entries.iter_mut().filter(|entry| entry.last_at < before.as_microsecond());
            outdated.for_each(|entry| entry.text = None);
        }
        let sealing = keys.as_ref().map(|keys| &*keys.sealing);
        let bytes = table::replace(&mut tx, &place, &entries, sealing).await?;
        changes.entry(place.sync).or_default().bytes += bytes;
    }
    count(&mut tx, changes).await?;
    tx.commit().await
}

/// Removes the contents that a data key sealed which is lost.
pub(crate) async fn discard(tx: &mut Tx, key: u32) -> Result<(), Error> {
    let rows = sql("UPDATE failed_blocks SET contents = NULL, bytes = 0 WHERE substr(contents, 1, 4) = $1");
    tx.execute(rows.bind(key.to_be_bytes().to_vec())).await?;
    let totals = sql("UPDATE syncs SET failed_bytes = (SELECT COALESCE(SUM(failed_blocks.bytes), 0)
        FROM failed_blocks WHERE failed_blocks.sync = syncs.id)");
    tx.execute(totals).await?;
    Ok(())
}
