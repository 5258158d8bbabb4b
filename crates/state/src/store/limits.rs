//! Turns of the limits of connections, shared by the processes on one server.
//!
//! A limit is a row with the time at which its schedule is free; a process books the next span. Only
//! processes that hold a lease send, and one that is alone books nothing. Every row of its leases says
//! that it is alone, and it looks for others each time it renews them. One that comes later books
//! nothing until those rows say otherwise, or have ended.

use std::time::Duration;

use async_trait::async_trait;
use tidegate_model::{Booked, Error, SharedLimits};
use tokio::time::Instant;

use super::SqlStore;
use super::dialect::Database;
use super::leases::micros;
use super::process::Process;
use super::statement::sql;

#[async_trait]
impl SharedLimits for SqlStore {
    fn is_alone(&self) -> bool {
        self.leases.is_alone()
    }

    async fn book(&self, limit: &str, span: Duration) -> Result<Booked, Error> {
        let owner = self.leases.owner();
        let mut tx = self.database.write().await?;
        let statement = sql(
            "INSERT INTO shared_limits (name, free_at)
            SELECT $1, CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + $2
            WHERE NOT EXISTS (SELECT 1 FROM leases WHERE owner <> $3 AND alone = 1
                AND expires_at > CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT))
            ON CONFLICT (name) DO UPDATE SET free_at = GREATEST(shared_limits.free_at,
                CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)) + $2
            RETURNING free_at - $2 - CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS wait",
        );
        let record = tx.first(statement.bind(limit).bind(micros(span)).bind(owner)).await?;
        let told = Instant::now();
        tx.commit().await?;
        let Some(record) = record else {
            believe_no_dead(&self.database, owner).await?;
            return Ok(Booked::NotYet);
        };
        let wait = Duration::from_micros(u64::try_from(record.get::<i64>("wait")?).unwrap_or(0));
        Ok(Booked::In(wait.saturating_sub(told.elapsed())))
    }

    async fn close(&self, limit: &str, span: Duration) -> Result<(), Error> {
        let statement = sql("INSERT INTO shared_limits (name, free_at)
            VALUES ($1, CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + $2)
            ON CONFLICT (name) DO UPDATE SET free_at = GREATEST(shared_limits.free_at, excluded.free_at)");
        self.database.execute(statement.bind(limit).bind(micros(span))).await?;
        Ok(())
    }
}

/// Waits for no process of this machine that was killed while it was alone.
async fn believe_no_dead(database: &Database, owner: &str) -> Result<(), Error> {
    let alone = sql("SELECT DISTINCT owner, identity FROM leases WHERE owner <> $1 AND alone = 1");
    for record in database.all(alone.bind(owner)).await? {
        if Process::has_ended(&record.get::<String>("identity")?) {
            let statement = sql("UPDATE leases SET alone = 0 WHERE owner = $1");
            database.execute(statement.bind(record.get::<String>("owner")?.as_str())).await?;
        }
    }
    Ok(())
}
