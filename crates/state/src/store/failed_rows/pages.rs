//! Failed rows of all syncs, page by page.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use tidegate_model::store::{DismissedRow, FailedRow, FailedRowQuery, RowEntry, RowVersion, StatusKind};
use tidegate_model::{Error, KeptRow, RowHash, SyncId};

use super::block::FailedEntry;
use super::table::{self, BlockRef, Marked, Table};
use crate::store::contents::{Contents, Opening};
use crate::store::dialect::{Database, Tx};
use crate::store::{payload, runs};

/// By how much a clock may be set back during a run.
const CLOCK_STEP: SignedDuration = SignedDuration::from_hours(1);

/// An order of rows: a time, and what comes first at the same time.
trait Order {
    type Tie: Ord;

    /// Whether the last one that failed comes first.
    const IS_NEWEST: bool;

    /// Returns the position of a row.
    fn of(place: &BlockRef, entry: &FailedEntry) -> (i64, Self::Tie);

    /// Returns the first time of the rows of a block, and the last one.
    fn span(place: &BlockRef) -> (i64, i64);
}

/// The last one that failed first: the order of [`FailedRowQuery`].
struct Newest;

impl Order for Newest {
    type Tie = (SyncId, RowHash);

    const IS_NEWEST: bool = true;

    fn of(place: &BlockRef, entry: &FailedEntry) -> (i64, Self::Tie) {
        (-entry.last_at, (place.sync.clone(), entry.key))
    }

    fn span(place: &BlockRef) -> (i64, i64) {
        (-place.last.1, -place.last.0)
    }
}

/// As they came up.
struct AsTheyCame;

impl Order for AsTheyCame {
    type Tie = (u64, RowHash);

    const IS_NEWEST: bool = false;

    fn of(_: &BlockRef, entry: &FailedEntry) -> (i64, Self::Tie) {
        (entry.first_at, (entry.position, entry.key))
    }

    fn span(place: &BlockRef) -> (i64, i64) {
        place.first
    }
}

/// A row of a page, and where it is stored.
struct Chosen<T> {
    order: (i64, T),
    entry: FailedEntry,
    /// The index of its block, and its own in the block.
    block: usize,
    at: usize,
}

/// Returns whether a query asks for a row, whatever its page is.
pub(super) fn wants(query: &FailedRowQuery, entry: &FailedEntry) -> bool {
    query.run.as_ref().is_none_or(|run| entry.run == *run)
        && query.user.as_ref().is_none_or(|user| *entry.user == **user)
        && query.key.is_none_or(|key| entry.key == key)
        && query.status.is_none_or(|status| entry.kind() == status)
        && query.reason.as_ref().is_none_or(|code| entry.reason().is_some_and(|reason| reason.code == **code))
        && query.from.is_none_or(|from| entry.last_at >= from.as_microsecond())
        && query.to.is_none_or(|to| entry.last_at < to.as_microsecond())
}

/// Chooses the rows of a page, those behind `after`, in their order. Blocks are read in the order of
/// their rows until the page is full.
async fn choose<O: Order>(
    tx: &mut Tx,
    table: Table,
    query: &FailedRowQuery,
    after: Option<&(i64, O::Tie)>,
) -> Result<(Vec<BlockRef>, Vec<Chosen<O::Tie>>), Error> {
    let mut blocks = Blocks { is_paged: O::IS_NEWEST && Marked::of(query).is_none(), ..Blocks::default() };
    let mut chosen: Vec<Chosen<O::Tie>> = Vec::new();
    let mut block = 0;
    loop {
        if block == blocks.read.len() && !blocks.read_more::<O>(tx, table, query, after).await? {
            break;
        }
        let Some(place) = blocks.read.get(block) else { continue };
        let full = chosen.len() >= query.limit;
        if full && chosen.last().is_none_or(|last| last.order.0 < O::span(place).0) {
            break;
        }
        let entries = table::entries(tx, table, place).await?;
        chosen.extend(entries.into_iter().enumerate().filter(|(_, entry)| wants(query, entry)).filter_map(
            |(at, entry)| {
                let order = O::of(place, &entry);
                let is_behind = after.is_none_or(|after| order > *after);
                is_behind.then_some(Chosen { order, entry, block, at })
            },
        ));
        if chosen.len() >= query.limit {
            arrange(&mut chosen, query.limit);
        }
        block += 1;
    }
    arrange(&mut chosen, query.limit);
    Ok((blocks.read, chosen))
}

/// Blocks in the order of their rows, as far as they are needed.
#[derive(Default)]
struct Blocks {
    read: Vec<BlockRef>,
    /// Whether they are read page by page: then the table has them in this order.
    is_paged: bool,
    /// The last one of the page before.
    last: Option<BlockRef>,
    is_complete: bool,
}

impl Blocks {
    /// Reads the blocks that follow. Returns whether there were any.
    async fn read_more<O: Order>(
        &mut self,
        tx: &mut Tx,
        table: Table,
        query: &FailedRowQuery,
        after: Option<&(i64, O::Tie)>,
    ) -> Result<bool, Error> {
        if self.is_complete {
            return Ok(false);
        }
        let mut more = if self.is_paged {
            let page = table::newest(tx, table, query, after.map(|after| -after.0), self.last.take()).await?;
            (self.last, self.is_complete) = (page.last, page.is_last);
            page.places
        } else {
            self.is_complete = true;
            table::places(tx, table, query).await?
        };
        more.retain(|place| after.is_none_or(|after| O::span(place).1 >= after.0));
        more.sort_by_key(|place| O::span(place).0);
        self.read.extend(more);
        Ok(true)
    }
}

/// Puts rows in their order, at most `limit`.
fn arrange<T: Ord>(chosen: &mut Vec<Chosen<T>>, limit: usize) {
    chosen.sort_by(|one, other| one.order.cmp(&other.order));
    chosen.truncate(limit);
}

/// Gives the chosen rows their contents.
async fn with_contents<T>(
    tx: &mut Tx,
    opening: &Opening,
    places: &[BlockRef],
    chosen: &mut [Chosen<T>],
) -> Result<(), Error> {
    let mut of_block: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, row) in chosen.iter().enumerate() {
        of_block.entry(row.block).or_default().push(index);
    }
    for (block, rows) in of_block {
        let place = &places[block];
        if place.bytes == 0 {
            continue;
        }
        let mut texts = table::contents(tx, opening, place).await?;
        for index in rows {
            let row = &mut chosen[index];
            row.entry.text = texts.get_mut(row.at).and_then(Option::take);
        }
    }
    Ok(())
}

/// Adds the sync of the run of a query and the time when it began: no row failed in it elsewhere or earlier.
async fn narrowed(tx: &mut Tx, query: &FailedRowQuery) -> Result<FailedRowQuery, Error> {
    let mut query = query.clone();
    let Some(run) = &query.run else { return Ok(query) };
    if let Some((sync, began)) = runs::beginning(tx, run).await? {
        query.sync.get_or_insert(sync);
        query.from = query.from.max(began.checked_sub(CLOCK_STEP).ok());
    }
    Ok(query)
}

async fn page<O: Order>(
    database: &Database,
    contents: &Contents,
    query: &FailedRowQuery,
    after: Option<(i64, O::Tie)>,
) -> Result<Vec<FailedRow>, Error> {
    let opening = if query.without_payload { None } else { Some(contents.opening().await?) };
    let mut tx = database.snapshot().await?;
    let query = &narrowed(&mut tx, query).await?;
    let (places, mut chosen) = choose::<O>(&mut tx, Table::Open, query, after.as_ref()).await?;
    if let Some(opening) = &opening {
        with_contents(&mut tx, opening, &places, &mut chosen).await?;
    }
    chosen.into_iter().map(|row| failed_row(&places[row.block], &row.entry)).collect()
}

/// Returns a page of failed rows, the last one that failed first.
pub(crate) async fn find(
    database: &Database,
    contents: &Contents,
    query: &FailedRowQuery,
) -> Result<Vec<FailedRow>, Error> {
    let after = query.after.as_ref();
    let after = after.map(|after| (-after.at.as_microsecond(), (after.sync.clone(), after.key)));
    page::<Newest>(database, contents, query, after).await
}

/// Returns a page of failed rows in the order in which they came up, those behind `after`.
pub(crate) async fn in_order(
    database: &Database,
    contents: &Contents,
    query: &FailedRowQuery,
    after: Option<&FailedRow>,
) -> Result<Vec<FailedRow>, Error> {
    let after = after.map(|after| (after.first_at.as_microsecond(), (after.position, after.key)));
    page::<AsTheyCame>(database, contents, query, after).await
}

/// Returns the keys and versions of the open rows of a sync that were rejected, without their contents.
pub(crate) async fn rejected_versions(database: &Database, sync: &SyncId) -> Result<Vec<RowVersion>, Error> {
    let query = FailedRowQuery {
        sync: Some(sync.clone()),
        status: Some(StatusKind::Rejected),
        ..FailedRowQuery::default()
    };
    let mut tx = database.snapshot().await?;
    let mut versions = Vec::new();
    for place in table::places(&mut tx, Table::Open, &query).await? {
        let entries = table::entries(&mut tx, Table::Open, &place).await?;
        let rejected = entries.iter().filter(|entry| entry.kind() == StatusKind::Rejected);
        versions.extend(rejected.map(|entry| RowVersion { key: entry.key, row: entry.row }));
    }
    Ok(versions)
}

/// Returns rows that were dismissed, the last one first.
pub(crate) async fn dismissed(
    database: &Database,
    query: &FailedRowQuery,
) -> Result<Vec<DismissedRow>, Error> {
    let mut tx = database.snapshot().await?;
    let (places, chosen) = choose::<Newest>(&mut tx, Table::Dismissed, query, None).await?;
    let row = |row: Chosen<_>| {
        let place = &places[row.block];
        Ok(DismissedRow {
            entry: ledger_entry(place, &row.entry)?,
            note: place.note.clone().unwrap_or_default(),
        })
    };
    chosen.into_iter().map(row).collect()
}

fn failed_row(place: &BlockRef, entry: &FailedEntry) -> Result<FailedRow, Error> {
    Ok(FailedRow {
        key: entry.key,
        row: entry.row,
        first_at: time(entry.first_at)?,
        attempts: entry.attempts,
        position: entry.position,
        entry: ledger_entry(place, entry)?,
    })
}

/// What the ledger says of a row.
fn ledger_entry(place: &BlockRef, entry: &FailedEntry) -> Result<RowEntry, Error> {
    Ok(RowEntry {
        at: time(entry.last_at)?,
        sync: place.sync.clone(),
        run: entry.run.clone(),
        object: place.object,
        user: entry.user.to_string(),
        key: entry.key_text.to_string(),
        status: entry.kind(),
        reason: entry.reason().cloned(),
        payload: entry.text.as_deref().map(payload::row_from_text).transpose()?,
    })
}

fn time(micros: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(micros).map_err(|_| crate::codec::damaged())
}

/// Returns the contents of open failed rows of a sync, of the versions that are asked for.
pub(crate) async fn payloads(
    database: &Database,
    opening: &Opening,
    sync: &SyncId,
    rows: &HashSet<RowHash>,
) -> Result<HashMap<RowHash, KeptRow>, Error> {
    let mut found = HashMap::new();
    let mut tx = database.snapshot().await?;
    for seq in table::with_versions(&mut tx, sync, rows).await? {
        let Some((place, mut entries)) = table::find(&mut tx, sync, seq).await? else { continue };
        table::open_contents(&mut tx, opening, &place, &mut entries).await?;
        for entry in entries.iter().filter(|entry| rows.contains(&entry.row)) {
            let row = entry.text.as_deref().map(payload::row_from_text).transpose()?;
            found.extend(row.map(|row| (entry.row, row)));
        }
    }
    Ok(found)
}
