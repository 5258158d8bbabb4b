//! Work on a sync that its holder is asked for.

use tidegate_model::store::WorkRequest;
use tidegate_model::{Claim, Error, SyncId};
use uuid::Uuid;

use super::dialect::Database;
use super::leases;
use super::statement::sql;

/// Asks for work. Names sort by the time of asking.
pub(super) async fn ask(database: &Database, sync: &SyncId, work: &str) -> Result<String, Error> {
    let id = Uuid::now_v7().simple().to_string();
    let statement = sql("INSERT INTO requests (id, sync, work) VALUES ($1, $2, $3)");
    database.execute(statement.bind(id.as_str()).bind(sync).bind(work)).await?;
    Ok(id)
}

/// Requests that were not answered, oldest first.
pub(super) async fn open_of(database: &Database, sync: &SyncId) -> Result<Vec<WorkRequest>, Error> {
    let statement = sql("SELECT id, work FROM requests WHERE sync = $1 AND answer IS NULL ORDER BY id");
    let records = database.all(statement.bind(sync)).await?;
    let request = |record: &super::statement::Record| {
        Ok(WorkRequest { id: record.get("id")?, work: record.get("work")? })
    };
    records.iter().map(request).collect()
}

/// Answers a request.
pub(super) async fn answer(database: &Database, claim: &Claim, id: &str, answer: &str) -> Result<(), Error> {
    let mut tx = database.write().await?;
    leases::check(&mut tx, claim).await?;
    let statement = sql("UPDATE requests SET answer = $2 WHERE id = $1 AND sync = $3");
    tx.execute(statement.bind(id).bind(answer).bind(claim.sync())).await?;
    tx.commit().await
}

/// Returns the answer to a request and forgets both.
pub(super) async fn take_answer(database: &Database, id: &str) -> Result<Option<String>, Error> {
    let statement = sql("SELECT answer FROM requests WHERE id = $1 AND answer IS NOT NULL").bind(id);
    let Some(record) = database.first(statement).await? else { return Ok(None) };
    let answer: String = record.get("answer")?;
    database.execute(sql("DELETE FROM requests WHERE id = $1").bind(id)).await?;
    Ok(Some(answer))
}

/// Takes a request back. Returns whether it had not been answered.
pub(super) async fn withdraw(database: &Database, id: &str) -> Result<bool, Error> {
    let statement = sql("DELETE FROM requests WHERE id = $1 AND answer IS NULL").bind(id);
    Ok(database.execute(statement).await? == 1)
}
