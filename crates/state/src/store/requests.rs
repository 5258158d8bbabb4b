//! Work on a sync that its holder is asked for.
//!
//! The clock of the database says when a request was last asked for: that of the server, or of the
//! machine whose data folder it is. A time that is ahead of it counts as little as an old one: the
//! clock was set back.

use async_trait::async_trait;
use tidegate_model::store::{ASKED_FOR, AbandonedWork, FORGOTTEN, RequestState, WorkRequest, WorkRequests};
use tidegate_model::{Claim, Error, SyncId};
use uuid::Uuid;

use super::dialect::{Database, Tx};
use super::leases::micros;
use super::statement::{Record, Statement, sql};
use super::{SqlStore, leases};

#[async_trait]
impl WorkRequests for SqlStore {
    async fn request_work(&self, sync: &SyncId, work: &str) -> Result<String, Error> {
        // Names sort by the time of asking.
        let id = Uuid::now_v7().simple().to_string();
        let now = now(&self.database);
        let text = format!("INSERT INTO requests (id, sync, work, asked_at) VALUES ($1, $2, $3, {now})");
        let args = vec![id.as_str().into(), sync.into(), work.into()];
        self.database.execute(Statement::assembled(text, args)).await?;
        Ok(id)
    }

    async fn keep_request(&self, id: &str) -> Result<RequestState, Error> {
        let now = now(&self.database);
        let text = format!("UPDATE requests SET asked_at = {now} WHERE id = $1 RETURNING begun, answer");
        let mut tx = self.database.write().await?;
        let record = tx.first(Statement::assembled(text, vec![id.into()])).await?;
        tx.commit().await?;
        let Some(record) = record else { return Ok(RequestState::Gone) };
        Ok(match (record.get::<Option<String>>("answer")?, record.count("begun")?) {
            (Some(_), _) => RequestState::Answered,
            (None, 0) => RequestState::Open,
            (None, _) => RequestState::Begun,
        })
    }

    async fn requested_work(&self, claim: &Claim) -> Result<Vec<WorkRequest>, Error> {
        let may_begin = may_begin(&self.database);
        let text = format!("SELECT id, work FROM requests WHERE sync = $1 AND {may_begin} ORDER BY id");
        let args = vec![claim.sync().into(), claim.token().into()];
        let records = self.database.all(Statement::assembled(text, args)).await?;
        let request = |record: &Record| Ok(WorkRequest { id: record.get("id")?, work: record.get("work")? });
        records.iter().map(request).collect()
    }

    async fn begin_work(&self, claim: &Claim, id: &str) -> Result<bool, Error> {
        let may_begin = may_begin(&self.database);
        let text = format!("UPDATE requests SET begun = $2 WHERE sync = $1 AND {may_begin} AND id = $3");
        let args = vec![claim.sync().into(), claim.token().into(), id.into()];
        let mut tx = self.held(claim).await?;
        let begun = tx.execute(Statement::assembled(text, args)).await?;
        tx.commit().await?;
        Ok(begun == 1)
    }

    async fn answer_work(&self, claim: &Claim, id: &str, answer: &str) -> Result<bool, Error> {
        let mut tx = self.held(claim).await?;
        let statement = sql("UPDATE requests SET answer = $2 WHERE id = $1 AND sync = $3");
        let answered = tx.execute(statement.bind(id).bind(answer).bind(claim.sync())).await?;
        tx.commit().await?;
        Ok(answered == 1)
    }

    async fn take_answer(&self, id: &str) -> Result<Option<String>, Error> {
        let statement = sql("DELETE FROM requests WHERE id = $1 AND answer IS NOT NULL RETURNING answer");
        let mut tx = self.database.write().await?;
        let record = tx.first(statement.bind(id)).await?;
        tx.commit().await?;
        record.map(|record| record.get("answer")).transpose()
    }

    async fn withdraw_work(&self, id: &str) -> Result<bool, Error> {
        let statement = sql("DELETE FROM requests WHERE id = $1 AND begun = 0").bind(id);
        Ok(self.database.execute(statement).await? == 1)
    }

    async fn forget_requests(&self) -> Result<Vec<AbandonedWork>, Error> {
        let (now, span) = (now(&self.database), micros(FORGOTTEN));
        let text = format!(
            "DELETE FROM requests WHERE asked_at < {now} - {span} OR asked_at > {now} + {span}
            RETURNING sync, work, answer"
        );
        let mut tx = self.database.write().await?;
        let records = tx.all(Statement::assembled(text, Vec::new())).await?;
        tx.commit().await?;
        let mut abandoned = Vec::new();
        for record in records {
            if let Some(answer) = record.get::<Option<String>>("answer")? {
                let sync = SyncId::new(record.get::<String>("sync")?);
                abandoned.push(AbandonedWork { sync, work: record.get("work")?, answer });
            }
        }
        Ok(abandoned)
    }
}

impl SqlStore {
    /// Begins a transaction of the holder of a sync.
    async fn held(&self, claim: &Claim) -> Result<Tx, Error> {
        let mut tx = self.database.write().await?;
        leases::check(&mut tx, claim).await?;
        Ok(tx)
    }
}

/// Whether the holder whose token is `$2` may begin with a request: it is asked for now, and what
/// an earlier holder began was left behind by it.
fn may_begin(database: &Database) -> String {
    let (now, span) = (now(database), micros(ASKED_FOR));
    format!("answer IS NULL AND begun <> $2 AND asked_at > {now} - {span} AND asked_at < {now} + {span}")
}

/// The time of the database, in microseconds since the epoch.
fn now(database: &Database) -> &'static str {
    match database {
        Database::Sqlite { .. } => "CAST(unixepoch('subsec') * 1000000 AS BIGINT)",
        Database::Postgres { .. } => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
    }
}
