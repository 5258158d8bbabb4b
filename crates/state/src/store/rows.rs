//! Looks rows up, in tables and history files alike.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use tidegate_model::store::{RowEntry, RowQuery};
use tidegate_model::{Error, ObjectKind, RowHash, RunId, SyncId};

use super::archive::Archive;
use super::contents::Contents;
use super::dialect::{Database, Tx};
use super::statement::{Arg, Conditions, Record, Statement, from_word};
use super::{failed_rows, runs};
use crate::history::block::{Block, BlockRow};
use crate::history::{Filter, HistoryFile, Line};

/// Blocks that are read at once: at first, and at most.
const PAGE_MIN: u64 = 4;
const PAGE_MAX: u64 = 64;

/// A block that is still in the tables.
struct Pending {
    run: RunId,
    seq: u64,
    sync: SyncId,
    object: ObjectKind,
    at: Timestamp,
}

/// The rows that a query asks for, newest first.
pub(super) async fn find(
    database: &Database,
    contents: &Contents,
    archive: &Archive,
    query: &RowQuery,
) -> Result<Vec<RowEntry>, Error> {
    let filter = Filter {
        run: query.run.clone(),
        user: query.user.clone(),
        status: query.status,
        from: query.from,
        to: query.to,
    };
    loop {
        // At one moment: a block that becomes a file is seen as one of both.
        let mut tx = database.snapshot().await?;
        let query = &narrowed(&mut tx, query).await?;
        let files = archive.files(&mut tx, query).await?;
        let mut lines = newest_pending(&mut tx, query, &filter).await?;
        drop(tx);
        let Some(of_files) = newest_in_files(archive, &files, &filter, query.limit).await? else { continue };
        lines.extend(of_files);
        lines.sort_by_key(|line| Reverse(line.entry.at));
        lines.truncate(query.limit);
        if query.without_payload {
            return Ok(lines.into_iter().map(|line| line.entry).collect());
        }
        return with_payloads(database, contents, lines).await;
    }
}

/// Adds the sync of the run of a query, so that only its files are looked at.
async fn narrowed(tx: &mut Tx, query: &RowQuery) -> Result<RowQuery, Error> {
    let (Some(run), None) = (&query.run, &query.sync) else { return Ok(query.clone()) };
    let sync = runs::beginning(tx, run).await?.map(|(sync, _)| sync);
    Ok(RowQuery { sync, ..query.clone() })
}

/// The newest wanted rows of blocks that are still in the tables.
async fn newest_pending(tx: &mut Tx, query: &RowQuery, filter: &Filter) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    let mut before: Option<Pending> = None;
    // The first blocks usually have enough rows, unless it is one user's.
    let mut page = PAGE_MIN;
    while lines.len() < query.limit {
        let records = tx.all(blocks_before(before.as_ref(), query, page)).await?;
        for record in &records {
            let place = Pending::of(record)?;
            let block = Block::decode(&record.get::<Vec<u8>>("body")?)?;
            let wanted = block.iter().rev().filter(|row| filter.wants(row));
            lines.extend(wanted.take(query.limit - lines.len()).map(|row| line(&place, &row)));
            before = Some(place);
        }
        if (records.len() as u64) < page {
            break;
        }
        page = PAGE_MAX.min(2 * page);
    }
    Ok(lines)
}

/// Selects the newest blocks that can have wanted rows, of those before one.
fn blocks_before(before: Option<&Pending>, query: &RowQuery, page: u64) -> Statement {
    let mut wanted = Conditions::default();
    wanted.add("sync =", query.sync.as_ref().map(Arg::from));
    wanted.add("run =", query.run.as_ref().map(|run| Arg::from(run.as_str())));
    wanted.add("committed_at >=", query.from.map(Arg::from));
    wanted.add("committed_at <", query.to.map(Arg::from));
    if let Some(before) = before {
        let at = wanted.next();
        wanted.and(
            &format!("(committed_at, run, seq) < (${at}, ${}, ${})", at + 1, at + 2),
            [Arg::from(before.at), before.run.as_str().into(), before.seq.into()],
        );
    }
    wanted.select("blocks", "committed_at DESC, run DESC, seq DESC", page as usize)
}

impl Pending {
    fn of(record: &Record) -> Result<Pending, Error> {
        Ok(Pending {
            run: RunId::new(record.get::<String>("run")?),
            seq: record.count("seq")?,
            sync: SyncId::new(record.get::<String>("sync")?),
            object: from_word(&record.get::<String>("object")?, "object")?,
            at: record.time("committed_at")?,
        })
    }
}

fn line(place: &Pending, row: &BlockRow<'_>) -> Line {
    let entry = RowEntry {
        at: place.at,
        sync: place.sync.clone(),
        run: place.run.clone(),
        object: place.object,
        user: row.user.to_string(),
        key: row.key_text.to_string(),
        status: row.status.kind(),
        reason: row.status.reason().cloned(),
        payload: None,
    };
    Line { entry, row: row.row }
}

/// The newest wanted rows of files, day by day; `None` where another file is listed in the place of
/// one. Runs of one sync follow each other, so its newest file has its newest rows; those of
/// different syncs mix.
async fn newest_in_files(
    archive: &Archive,
    files: &[HistoryFile],
    filter: &Filter,
    limit: usize,
) -> Result<Option<Vec<Line>>, Error> {
    let mut lines: Vec<Line> = Vec::new();
    for day in files.chunk_by(|a, b| a.day == b.day) {
        if lines.len() >= limit {
            break;
        }
        let wanted = limit - lines.len();
        let mut found: HashMap<&str, Vec<Line>> = HashMap::new();
        for file in day {
            let of_sync = found.entry(&file.folder).or_default();
            if of_sync.len() < wanted {
                let newest = archive.newest(file, filter, wanted - of_sync.len()).await?;
                let Some(newest) = newest else { return Ok(None) };
                of_sync.extend(newest);
            }
        }
        let mut of_day: Vec<Line> = found.into_values().flatten().collect();
        of_day.sort_by(|a, b| (b.entry.at, &b.entry.sync).cmp(&(a.entry.at, &a.entry.sync)));
        of_day.truncate(wanted);
        lines.extend(of_day);
    }
    Ok(Some(lines))
}

/// Adds the contents of rows that still count as failed.
async fn with_payloads(
    database: &Database,
    contents: &Contents,
    lines: Vec<Line>,
) -> Result<Vec<RowEntry>, Error> {
    let mut asked: HashMap<SyncId, HashSet<RowHash>> = HashMap::new();
    for line in lines.iter().filter(|line| line.entry.reason.is_some()) {
        asked.entry(line.entry.sync.clone()).or_default().insert(line.row);
    }
    let mut kept = HashMap::new();
    if !asked.is_empty() {
        let opening = contents.opening().await?;
        for (sync, rows) in asked {
            let found = failed_rows::payloads(database, &opening, &sync, &rows).await?;
            kept.insert(sync, found);
        }
    }
    let entry = |Line { mut entry, row }: Line| {
        let rows = kept.get(&entry.sync).filter(|_| entry.reason.is_some());
        entry.payload = rows.and_then(|rows| rows.get(&row)).cloned();
        entry
    };
    Ok(lines.into_iter().map(entry).collect())
}
