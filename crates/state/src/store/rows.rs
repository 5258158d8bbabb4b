//! Looks rows up, in tables and history files alike.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use tidegate_model::store::{RowEntry, RowQuery};
use tidegate_model::{Error, ObjectKind, RowHash, RunId, SyncId};

use super::archive::Archive;
use super::contents::Contents;
use super::dialect::Database;
use super::failed_rows;
use super::statement::{Arg, from_word, sql};
use crate::history::block::{Block, BlockRow};
use crate::history::{Filter, HistoryFile, Line};

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
        // Tables first, files second: what moves in between is seen in both, and is gone when it is
        // read from the tables. The other way round it would be seen in neither.
        let mut pending = pending(database, query).await?;
        let files = archive.files(query).await?;
        pending.retain(|block| filter.wants_time(block.at));
        let Some(mut lines) = newest_pending(database, &pending, &filter, query.limit).await? else {
            // A block moved into a file after the files were listed: look again.
            continue;
        };
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

async fn pending(database: &Database, query: &RowQuery) -> Result<Vec<Pending>, Error> {
    let statement = sql("SELECT run, seq, sync, object, committed_at FROM blocks
        WHERE ($1 IS NULL OR sync = $1) AND ($2 IS NULL OR run = $2)
        ORDER BY committed_at DESC, run DESC, seq DESC");
    let sync = Arg::Text(query.sync.as_ref().map(ToString::to_string));
    let run = Arg::Text(query.run.as_ref().map(ToString::to_string));
    let records = database.all(statement.bind(sync).bind(run)).await?;
    let pending = records.iter().map(|record| {
        Ok(Pending {
            run: RunId::new(record.get::<String>("run")?),
            seq: record.count("seq")?,
            sync: SyncId::new(record.get::<String>("sync")?),
            object: from_word(&record.get::<String>("object")?, "object")?,
            at: record.time("committed_at")?,
        })
    });
    pending.collect()
}

/// The newest wanted rows of blocks in the tables; `None` where one has gone.
async fn newest_pending(
    database: &Database,
    pending: &[Pending],
    filter: &Filter,
    limit: usize,
) -> Result<Option<Vec<Line>>, Error> {
    let mut lines = Vec::new();
    for place in pending {
        if lines.len() >= limit {
            break;
        }
        let statement = sql("SELECT body FROM blocks WHERE run = $1 AND seq = $2");
        let record = database.first(statement.bind(place.run.as_str()).bind(place.seq)).await?;
        let Some(record) = record else {
            return Ok(None);
        };
        let block = Block::decode(&record.get::<Vec<u8>>("body")?)?;
        let wanted = block.iter().rev().filter(|row| filter.wants(row));
        lines.extend(wanted.take(limit - lines.len()).map(|row| line(place, &row)));
    }
    Ok(Some(lines))
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
