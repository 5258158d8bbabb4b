//! Work on a sync that its holder is asked for.

use async_trait::async_trait;
use tidegate_model::store::{WorkRequest, WorkRequests};
use tidegate_model::{Claim, Error, SyncId};
use uuid::Uuid;

use super::statement::{Record, sql};
use super::{SqlStore, leases};

#[async_trait]
impl WorkRequests for SqlStore {
    async fn request_work(&self, sync: &SyncId, work: &str) -> Result<String, Error> {
        // Names sort by the time of asking.
        let id = Uuid::now_v7().simple().to_string();
        let statement = sql("INSERT INTO requests (id, sync, work) VALUES ($1, $2, $3)");
        self.database.execute(statement.bind(id.as_str()).bind(sync).bind(work)).await?;
        Ok(id)
    }

    async fn requested_work(&self, sync: &SyncId) -> Result<Vec<WorkRequest>, Error> {
        let statement = sql("SELECT id, work FROM requests WHERE sync = $1 AND answer IS NULL ORDER BY id");
        let records = self.database.all(statement.bind(sync)).await?;
        let request = |record: &Record| Ok(WorkRequest { id: record.get("id")?, work: record.get("work")? });
        records.iter().map(request).collect()
    }

    async fn answer_work(&self, claim: &Claim, id: &str, answer: &str) -> Result<(), Error> {
        let mut tx = self.database.write().await?;
        leases::check(&mut tx, claim).await?;
        let statement = sql("UPDATE requests SET answer = $2 WHERE id = $1 AND sync = $3");
        tx.execute(statement.bind(id).bind(answer).bind(claim.sync())).await?;
        tx.commit().await
    }

    async fn take_answer(&self, id: &str) -> Result<Option<String>, Error> {
        let statement = sql("SELECT answer FROM requests WHERE id = $1 AND answer IS NOT NULL").bind(id);
        let Some(record) = self.database.first(statement).await? else { return Ok(None) };
        let answer: String = record.get("answer")?;
        self.database.execute(sql("DELETE FROM requests WHERE id = $1").bind(id)).await?;
        Ok(Some(answer))
    }

    async fn withdraw_work(&self, id: &str) -> Result<bool, Error> {
        let statement = sql("DELETE FROM requests WHERE id = $1 AND answer IS NULL").bind(id);
        Ok(self.database.execute(statement).await? == 1)
    }
}
