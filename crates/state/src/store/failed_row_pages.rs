//! Failed rows of all syncs, page by page and in groups.

use jiff::Timestamp;
use tidegate_model::store::{DismissedRow, FailedRow, FailedRowGroup, FailedRowQuery};
use tidegate_model::{Error, Reason, SyncId};

use super::contents::Contents;
use super::dialect::Database;
use super::failed_rows::{entry_of, from_record};
use super::statement::{Arg, Conditions, Record, Statement, from_word, sql};

/// The order of [`FailedRowQuery`]; the index `failed_rows_by_time` has it, and within a sync
/// `failed_rows_of_sync_by_time`.
const ORDER: &str = "last_at DESC, sync, key_hash";

/// The order in which failed rows came up; the index `failed_rows_in_order` has it.
const IN_ORDER: &str = "first_at, position, key_hash";

/// The rows that a query asks for, whatever its page is.
fn wanted(query: &FailedRowQuery) -> Conditions {
    wanted_by("last_at", query)
}

fn wanted_by(time: &str, query: &FailedRowQuery) -> Conditions {
    let mut wanted = Conditions::default();
    wanted.add("sync =", query.sync.as_ref().map(Arg::from));
    wanted.add("run =", query.run.as_ref().map(|run| Arg::from(run.as_str())));
    wanted.add("user_label =", query.user.as_deref().map(Arg::from));
    wanted.add("key_hash =", query.key.map(Arg::from));
    wanted.add("status =", query.status.map(|status| Arg::from(status.as_str())));
    wanted.add("reason_code =", query.reason.as_deref().map(Arg::from));
    wanted.add(&format!("{time} >="), query.from.map(Arg::from));
    wanted.add(&format!("{time} <"), query.to.map(Arg::from));
    wanted
}

/// Returns a page of failed rows in the order in which they came up, those behind `after`.
pub(super) async fn in_order(
    database: &Database,
    contents: &Contents,
    query: &FailedRowQuery,
    after: Option<&FailedRow>,
) -> Result<Vec<FailedRow>, Error> {
    let mut wanted = wanted(query);
    if let Some(FailedRow { first_at, position, key, .. }) = after {
        let at = wanted.next();
        let behind = format!("(first_at, position, key_hash) > (${at}, ${}, ${})", at + 1, at + 2);
        wanted.and(&behind, [Arg::from(*first_at), Arg::from(*position), Arg::from(*key)]);
    }
    let statement = wanted.select("failed_rows", IN_ORDER, query.limit);
    let opening = contents.opening().await?;
    database.all(statement).await?.iter().map(|record| from_record(record, &opening)).collect()
}

/// Moves failed rows to those that were dismissed. Returns how many.
pub(super) async fn dismiss(
    database: &Database,
    query: &FailedRowQuery,
    note: &str,
    at: Timestamp,
) -> Result<u64, Error> {
    let (condition, args) = wanted(query).parts();
    let mut tx = database.write().await?;
    let text = format!(
        "SELECT sync, COUNT(*) AS row_count, COALESCE(SUM(bytes), 0)::BIGINT AS bytes FROM failed_rows{condition} GROUP BY sync"
    );
    let text = if database.is_server() { text } else { text.replace("::BIGINT", "") };
    let groups = tx.all(Statement::assembled(text, args.clone())).await?;
    let next = args.len() + 1;
    let text = format!(
        "INSERT INTO dismissed_rows (sync, key_hash, row_hash, run, object, user_label, key_text, status,
            reason_code, reason, note, dismissed_at)
        SELECT sync, key_hash, row_hash, run, object, user_label, key_text, status, reason_code, reason,
            CAST(${next} AS TEXT), CAST(${} AS BIGINT) FROM failed_rows{condition}",
        next + 1
    );
    let with_note = args.iter().cloned().chain([Arg::from(note), Arg::from(at)]).collect();
    tx.execute(Statement::assembled(text, with_note)).await?;
    tx.execute(Statement::assembled(format!("DELETE FROM failed_rows{condition}"), args)).await?;
    let mut dismissed = 0;
    for group in groups {
        let rows = group.count("row_count")?;
        dismissed += rows;
        let statement = sql("UPDATE syncs SET failed_rows = failed_rows - $2,
            failed_bytes = failed_bytes - $3, dismissed_rows = dismissed_rows + $2 WHERE id = $1");
        let sync: String = group.get("sync")?;
        tx.execute(statement.bind(sync.as_str()).bind(rows).bind(group.get::<i64>("bytes")?)).await?;
    }
    tx.commit().await?;
    Ok(dismissed)
}

/// Returns rows that were dismissed, the last one first.
pub(super) async fn dismissed(
    database: &Database,
    query: &FailedRowQuery,
) -> Result<Vec<DismissedRow>, Error> {
    let order = "dismissed_at DESC, sync, key_hash";
    let statement = wanted_by("dismissed_at", query).select("dismissed_rows", order, query.limit);
    let row = |record: &Record| {
        let entry = entry_of(record, "dismissed_at")?;
        Ok(DismissedRow { entry, note: record.get("note")? })
    };
    database.all(statement).await?.iter().map(row).collect()
}

/// Returns a page of failed rows, the last one that failed first.
pub(super) async fn find(
    database: &Database,
    contents: &Contents,
    query: &FailedRowQuery,
) -> Result<Vec<FailedRow>, Error> {
    let mut wanted = wanted(query);
    if let Some(after) = &query.after {
        let (at, sync, key) = (wanted.next(), wanted.next() + 1, wanted.next() + 2);
        let behind = format!(
            "(last_at < ${at} OR (last_at = ${at} AND (sync > ${sync} OR (sync = ${sync} AND key_hash > ${key}))))"
        );
        wanted.and(&behind, [Arg::from(after.at), Arg::from(&after.sync), Arg::from(after.key)]);
    }
    let statement = wanted.select("failed_rows", ORDER, query.limit);
    let opening = contents.opening().await?;
    database.all(statement).await?.iter().map(|record| from_record(record, &opening)).collect()
}

/// Returns the failed rows in groups, the group that failed last first.
pub(super) async fn groups(database: &Database, sync: Option<&SyncId>) -> Result<Vec<FailedRowGroup>, Error> {
    let sync = Arg::Text(sync.map(ToString::to_string));
    let statement = sql("SELECT sync, object, status, reason_code, MAX(reason) AS reason,
            COUNT(*) AS row_count, COUNT(DISTINCT NULLIF(user_label, '')) AS user_count,
            MIN(first_at) AS first_at, MAX(last_at) AS last_at
        FROM failed_rows WHERE ($1 IS NULL OR sync = $1)
        GROUP BY sync, object, status, reason_code
        ORDER BY MAX(last_at) DESC, sync, reason_code, status");
    database.all(statement.bind(sync)).await?.iter().map(group).collect()
}

fn group(record: &Record) -> Result<FailedRowGroup, Error> {
    Ok(FailedRowGroup {
        sync: SyncId::new(record.get::<String>("sync")?),
        object: from_word(&record.get::<String>("object")?, "object")?,
        status: from_word(&record.get::<String>("status")?, "status")?,
        reason: Reason::new(record.get::<String>("reason_code")?, record.get::<String>("reason")?),
        rows: record.count("row_count")?,
        users: record.count("user_count")?,
        first_at: record.time("first_at")?,
        last_at: record.time("last_at")?,
    })
}
