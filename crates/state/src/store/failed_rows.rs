//! Rows that were rejected or are in doubt, until they are delivered.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use tidegate_model::store::{FailedRow, FailedRowTotals, RowEntry, RowResult};
use tidegate_model::{Error, Reason, Row, RowHash, RunId, SyncId};

use super::contents::{Opening, Sealing};
use super::dialect::{Database, Tx};
use super::statement::{Arg, Record, Statement, from_word, placeholders, sql};

/// Rows in one statement: PostgreSQL takes 65,535 values, SQLite 32,766.
const ROWS_MAX: usize = 500;
const COLUMNS: &str = "sync, key_hash, row_hash, run, object, user_label, key_text, status, reason_code, \
    reason, payload, position, first_at, last_at, attempts, bytes";
const WIDTH: usize = 16;

/// What a commit changes in the totals of a sync.
#[derive(Default)]
pub(super) struct Change {
    rows: i64,
    bytes: i64,
}

/// Adds a change to the totals of a sync.
pub(super) async fn count(tx: &mut Tx, sync: &str, change: Change) -> Result<(), Error> {
    if (change.rows, change.bytes) == (0, 0) {
        return Ok(());
    }
    let statement = sql("UPDATE syncs SET failed_rows = failed_rows + $2, failed_bytes = failed_bytes + $3
        WHERE id = $1");
    tx.execute(statement.bind(sync).bind(change.rows).bind(change.bytes)).await?;
    Ok(())
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

/// A failed row of a batch, as text.
pub(super) struct Found<'a> {
    position: usize,
    result: &'a RowResult,
    payload: Option<Vec<u8>>,
}

/// Returns the rows that a batch leaves failed, one for each key, in the order of the rows.
///
/// A key that was delivered in this batch stays failed only if the row that failed comes
/// after the delivered one.
///
/// Their contents are sealed with `sealing`, which is there if a row has any.
pub(super) fn of_batch<'a>(
    rows: &'a [RowResult],
    solved: &[RowHash],
    sealing: Option<&Sealing>,
) -> Result<Vec<Found<'a>>, Error> {
    let solved: HashSet<&RowHash> = solved.iter().collect();
    let mut open: HashMap<RowHash, usize> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        if row.status.reason().is_some() {
            open.insert(row.key, at);
        } else if !open.is_empty() && solved.contains(&row.key) {
            open.remove(&row.key);
        }
    }
    let mut positions: Vec<usize> = open.into_values().collect();
    positions.sort_unstable();
    let found = |position: usize| {
        let result = &rows[position];
        let contents = result.payload.as_ref().zip(sealing);
        let payload = contents.map(|(row, sealing)| sealing.seal(row, result.row.0)).transpose()?;
        Ok(Found { position, result, payload })
    };
    positions.into_iter().map(found).collect()
}

/// Removes the failed rows with these keys; the history keeps their story.
pub(super) async fn solve(
    tx: &mut Tx,
    sync: &str,
    solved: &[RowHash],
    change: &mut Change,
) -> Result<(), Error> {
    for keys in solved.chunks(ROWS_MAX) {
        let list: Vec<String> = (0..keys.len()).map(|at| format!("${}", at + 2)).collect();
        let text = format!(
            "DELETE FROM failed_rows WHERE sync = $1 AND key_hash IN ({}) RETURNING bytes",
            list.join(", ")
        );
        let mut args = vec![Arg::from(sync)];
        args.extend(keys.iter().map(|key| Arg::from(*key)));
        for record in tx.all(Statement::in_order(text, args)).await? {
            change.rows -= 1;
            change.bytes -= record.get::<i64>("bytes")?;
        }
    }
    Ok(())
}

/// Records failed rows. A row that failed before only gets its latest reason and one more
/// attempt; another row with the same key replaces it.
pub(super) async fn record(
    tx: &mut Tx,
    run_record: &Record,
    run: &RunId,
    at: Timestamp,
    found: Vec<Found<'_>>,
    change: &mut Change,
) -> Result<(), Error> {
    let sync: String = run_record.get("sync")?;
    let object: String = run_record.get("object")?;
    let mut found = found.into_iter().peekable();
    while found.peek().is_some() {
        let mut args = Vec::with_capacity(ROWS_MAX * WIDTH);
        for Found { position, result, payload } in found.by_ref().take(ROWS_MAX) {
            let reason = result.status.reason();
            args.push(sync.as_str().into());
            args.push(result.key.into());
            args.push(result.row.into());
            args.push(run.as_str().into());
            args.push(object.as_str().into());
            args.push((&*result.user).into());
            args.push((&*result.key_text).into());
            args.push(result.status.kind().as_str().into());
            args.push(reason.map_or("", |reason| &reason.code).into());
            args.push(reason.map_or("", |reason| &reason.message).into());
            let bytes = payload.as_ref().map_or(0, Vec::len);
            args.push(Arg::Bytes(payload));
            args.push((position as u64).into());
            args.push(at.into());
            args.push(at.into());
            args.push(1_i64.into());
            args.push((bytes as u64).into());
        }
        for record in tx.all(upsert(args)).await? {
            change.rows += i64::from(record.get::<i64>("times")? == 1);
            change.bytes += record.get::<i64>("bytes")? - record.get::<i64>("bytes_before")?;
        }
    }
    Ok(())
}

fn upsert(args: Vec<Arg>) -> Statement {
    let values = placeholders(args.len() / WIDTH, WIDTH);
    let text = format!(
        "INSERT INTO failed_rows ({COLUMNS}) VALUES {values}
        ON CONFLICT (sync, key_hash) DO UPDATE SET
            first_at = CASE WHEN failed_rows.row_hash = excluded.row_hash
                THEN failed_rows.first_at ELSE excluded.first_at END,
            position = CASE WHEN failed_rows.row_hash = excluded.row_hash
                THEN failed_rows.position ELSE excluded.position END,
            attempts = CASE WHEN failed_rows.row_hash = excluded.row_hash
                THEN failed_rows.attempts + 1 ELSE 1 END,
            payload = CASE WHEN failed_rows.row_hash = excluded.row_hash
                THEN COALESCE(excluded.payload, failed_rows.payload) ELSE excluded.payload END,
            bytes_before = failed_rows.bytes, times = failed_rows.times + 1,
            bytes = CASE WHEN failed_rows.row_hash = excluded.row_hash AND excluded.payload IS NULL
                THEN failed_rows.bytes ELSE excluded.bytes END,
            row_hash = excluded.row_hash, run = excluded.run, object = excluded.object,
            user_label = excluded.user_label, key_text = excluded.key_text, status = excluded.status,
            reason_code = excluded.reason_code, reason = excluded.reason, last_at = excluded.last_at
        RETURNING times, bytes, bytes_before"
    );
    Statement::in_order(text, args)
}

pub(super) fn from_record(record: &Record, opening: &Opening) -> Result<FailedRow, Error> {
    let row = record.hash("row_hash")?;
    let payload: Option<Vec<u8>> = record.get("payload")?;
    let entry = RowEntry {
        payload: payload.map(|sealed| opening.open(&sealed, row.0)).transpose()?.flatten(),
        ..entry_of(record, "last_at")?
    };
    Ok(FailedRow {
        key: record.hash("key_hash")?,
        row,
        entry,
        first_at: record.time("first_at")?,
        attempts: record.count("attempts")?,
        position: record.count("position")?,
    })
}

/// What the ledger says of a row, without its contents.
pub(super) fn entry_of(record: &Record, time: &str) -> Result<RowEntry, Error> {
    Ok(RowEntry {
        at: record.time(time)?,
        sync: SyncId::new(record.get::<String>("sync")?),
        run: RunId::new(record.get::<String>("run")?),
        object: from_word(&record.get::<String>("object")?, "object")?,
        user: record.get("user_label")?,
        key: record.get("key_text")?,
        status: from_word(&record.get::<String>("status")?, "status")?,
        reason: Some(Reason::new(record.get::<String>("reason_code")?, record.get::<String>("reason")?)),
        payload: None,
    })
}

/// Returns the contents of failed rows of a sync, of those asked for.
pub(super) async fn payloads(
    database: &Database,
    opening: &Opening,
    sync: &SyncId,
    rows: &[RowHash],
) -> Result<HashMap<RowHash, Row>, Error> {
    let mut found = HashMap::new();
    for chunk in rows.chunks(ROWS_MAX) {
        let list: Vec<String> = (0..chunk.len()).map(|at| format!("${}", at + 2)).collect();
        let text = format!(
            "SELECT row_hash, payload FROM failed_rows \
            WHERE sync = $1 AND payload IS NOT NULL AND row_hash IN ({})",
            list.join(", ")
        );
        let mut args = vec![Arg::from(sync)];
        args.extend(chunk.iter().map(|row| Arg::from(*row)));
        for record in database.all(Statement::in_order(text, args)).await? {
            let hash = record.hash("row_hash")?;
            let row = opening.open(&record.get::<Vec<u8>>("payload")?, hash.0)?;
            found.extend(row.map(|row| (hash, row)));
        }
    }
    Ok(found)
}
