//! Failed rows of all syncs, page by page and in groups.

use tidegate_model::store::{FailedRow, FailedRowGroup, FailedRowQuery};
use tidegate_model::{Error, Reason, SyncId};

use super::contents::Contents;
use super::dialect::Database;
use super::failed_rows::from_record;
use super::statement::{Arg, Conditions, Record, from_word, sql};

/// The order of [`FailedRowQuery`]; the index `failed_rows_by_time` has it.
const ORDER: &str = "last_at DESC, sync, key_hash";

/// Returns a page of failed rows, the last one that failed first.
pub(super) async fn find(
    database: &Database,
    contents: &Contents,
    query: &FailedRowQuery,
) -> Result<Vec<FailedRow>, Error> {
    let mut wanted = Conditions::default();
    wanted.add("sync =", query.sync.as_ref().map(Arg::from));
    wanted.add("run =", query.run.as_ref().map(|run| Arg::from(run.as_str())));
    wanted.add("user_label =", query.user.as_deref().map(Arg::from));
    wanted.add("key_hash =", query.key.map(Arg::from));
    wanted.add("status =", query.status.map(|status| Arg::from(status.as_str())));
    wanted.add("reason_code =", query.reason.as_deref().map(Arg::from));
    wanted.add("last_at >=", query.from.map(Arg::from));
    wanted.add("last_at <", query.to.map(Arg::from));
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
