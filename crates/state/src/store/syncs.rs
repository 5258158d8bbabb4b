//! Where each sync stands.

use tidegate_model::store::{LookbackChunk, Pause, SyncState};
use tidegate_model::{Checkpoint, Error, SyncId};

use super::dialect::Database;
use super::payload;
use super::statement::{from_word, sql, to_json};
use crate::codec;

pub(super) async fn state(database: &Database, sync: &SyncId) -> Result<SyncState, Error> {
    let statement = sql("SELECT object, paused, checkpoint, complete FROM syncs WHERE id = $1");
    let Some(record) = database.first(statement.bind(sync)).await? else {
        return Ok(SyncState::default());
    };
    let object: Option<String> = record.get("object")?;
    Ok(SyncState {
        paused: record.maybe_json("paused")?,
        object: object.map(|word| from_word(&word, "object")).transpose()?,
        checkpoint: record.maybe_json("checkpoint")?.map(Checkpoint),
        complete: record.count("complete")? != 0,
    })
}

pub(super) async fn set_paused(
    database: &Database,
    sync: &SyncId,
    paused: Option<Pause>,
) -> Result<(), Error> {
    let paused = paused.map(|pause| to_json(&pause, "a pause")).transpose()?;
    let statement = sql("INSERT INTO syncs (id, paused) VALUES ($1, $2)
        ON CONFLICT (id) DO UPDATE SET paused = excluded.paused");
    database.execute(statement.bind(sync).bind(paused)).await?;
    Ok(())
}

pub(super) async fn reset(database: &Database, sync: &SyncId) -> Result<(), Error> {
    let mut tx = database.write().await?;
    tx.execute(sql("UPDATE syncs SET checkpoint = NULL, complete = 0 WHERE id = $1").bind(sync)).await?;
    tx.execute(sql("DELETE FROM lookback WHERE sync = $1").bind(sync)).await?;
    let intents = sql("DELETE FROM intents WHERE run IN (SELECT id FROM runs WHERE sync = $1)");
    tx.execute(intents.bind(sync)).await?;
    tx.commit().await
}

pub(super) async fn lookback(database: &Database, sync: &SyncId) -> Result<Vec<LookbackChunk>, Error> {
    let statement = sql("SELECT seq, high, hashes FROM lookback WHERE sync = $1 ORDER BY seq");
    let mut chunks = Vec::new();
    for record in database.all(statement.bind(sync)).await? {
        let high: Option<String> = record.get("high")?;
        chunks.push(LookbackChunk {
            seq: record.count("seq")?,
            high: high.map(|text| payload::value_from_text(&text)).transpose()?,
            rows: codec::unpack(&record.get::<Vec<u8>>("hashes")?)?,
        });
    }
    Ok(chunks)
}

pub(super) async fn clear_lookback(database: &Database, sync: &SyncId) -> Result<(), Error> {
    database.execute(sql("DELETE FROM lookback WHERE sync = $1").bind(sync)).await?;
    Ok(())
}
