//! The state of each sync.

use std::collections::HashMap;

use jiff::Timestamp;
use tidegate_model::store::{NextRun, Pause, PauseChange, PausedBy, SyncState};
use tidegate_model::{Checkpoint, Claim, Error, RunFailure, RunId, SyncId, Systems, Wait};

use super::dialect::{Database, Tx};
use super::statement::{Record, Statement, from_word, sql, to_json};
use super::{leases, runs};

pub(super) async fn state(database: &Database, sync: &SyncId) -> Result<SyncState, Error> {
    let statement =
        sql("SELECT object, paused, checkpoint, systems, complete, next_run, wait FROM syncs WHERE id = $1");
    let record = database.first(statement.bind(sync)).await?;
    record.map_or_else(|| Ok(SyncState::default()), |record| state_of(&record))
}

pub(super) async fn states(database: &Database) -> Result<HashMap<SyncId, SyncState>, Error> {
    let statement =
        sql("SELECT id, object, paused, checkpoint, systems, complete, next_run, wait FROM syncs");
    let records = database.all(statement).await?;
    let states =
        records.iter().map(|record| Ok((SyncId::new(record.get::<String>("id")?), state_of(record)?)));
    states.collect()
}

fn state_of(record: &Record) -> Result<SyncState, Error> {
    let object: Option<String> = record.get("object")?;
    Ok(SyncState {
        paused: record.maybe_json("paused")?,
        object: object.map(|word| from_word(&word, "object")).transpose()?,
        checkpoint: record.maybe_json("checkpoint")?.map(Checkpoint),
        systems: record.maybe_json("systems")?,
        complete: record.count("complete")? != 0,
        next_run: record.maybe_json("next_run")?,
        wait: record.maybe_json("wait")?,
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

pub(super) async fn plan_run(database: &Database, sync: &SyncId, next: &NextRun) -> Result<(), Error> {
    let next = to_json(next, "the time of a run")?;
    let statement = sql("INSERT INTO syncs (id, next_run) VALUES ($1, $2)
        ON CONFLICT (id) DO UPDATE SET next_run = excluded.next_run");
    database.execute(statement.bind(sync).bind(next.as_str())).await?;
    Ok(())
}

pub(super) async fn note_wait(database: &Database, run: &RunId, wait: Option<&Wait>) -> Result<(), Error> {
    let mut tx = database.write().await?;
    let sync = runs::sync_of(&mut tx, run).await?;
    let wait = wait.map(|wait| to_json(wait, "a wait")).transpose()?;
    tx.execute(sql("UPDATE syncs SET wait = $2 WHERE id = $1").bind(sync.as_str()).bind(wait)).await?;
    tx.commit().await
}

pub(super) async fn lift_pause(database: &Database, run: &RunId) -> Result<(), Error> {
    let mut tx = database.write().await?;
    let sync = SyncId::new(runs::sync_of(&mut tx, run).await?);
    let change = PauseChange::Lift;
    change_pause(&mut tx, &sync, change, None, Timestamp::UNIX_EPOCH).await?;
    tx.commit().await
}

/// Changes a pause that Tidegate set; one that a person set stays.
pub(super) async fn change_pause(
    tx: &mut Tx,
    sync: &SyncId,
    change: PauseChange,
    failure: Option<RunFailure>,
    at: Timestamp,
) -> Result<(), Error> {
    if change == PauseChange::Keep {
        return Ok(());
    }
    let text = format!("SELECT paused FROM syncs WHERE id = $1{}", tx.for_update());
    let record = tx.first(Statement::assembled(text, vec![sync.into()])).await?;
    let now: Option<Pause> = record.map(|record| record.maybe_json("paused")).transpose()?.flatten();
    if now.as_ref().is_some_and(|pause| pause.by != PausedBy::System) {
        return Ok(());
    }
    let pause = match change {
        PauseChange::Explain(_) if now.is_none() => return Ok(()),
        PauseChange::Set(why) | PauseChange::Explain(why) => {
            Some(to_json(&Pause { by: PausedBy::System, why, at, failure }, "a pause")?)
        }
        PauseChange::Lift | PauseChange::Keep => None,
    };
    tx.execute(sql("UPDATE syncs SET paused = $2 WHERE id = $1").bind(sync).bind(pause)).await?;
    Ok(())
}

pub(super) async fn note_systems(database: &Database, claim: &Claim, systems: &Systems) -> Result<(), Error> {
    let systems = to_json(systems, "the systems of a sync")?;
    let mut tx = database.write().await?;
    leases::check(&mut tx, claim).await?;
    let statement = sql("INSERT INTO syncs (id, systems) VALUES ($1, $2)
        ON CONFLICT (id) DO UPDATE SET systems = excluded.systems");
    tx.execute(statement.bind(claim.sync()).bind(systems.as_str())).await?;
    tx.commit().await
}

pub(super) async fn reset(database: &Database, claim: &Claim) -> Result<(), Error> {
    let sync = claim.sync();
    let mut tx = database.write().await?;
    leases::check(&mut tx, claim).await?;
    let statement = sql("UPDATE syncs SET checkpoint = NULL, systems = NULL, complete = 0 WHERE id = $1");
    tx.execute(statement.bind(sync)).await?;
    tx.execute(sql("DELETE FROM lookback WHERE sync = $1").bind(sync)).await?;
    tx.execute(sql("DELETE FROM kept_users WHERE sync = $1").bind(sync)).await?;
    tx.execute(sql("DELETE FROM sent_users WHERE sync = $1").bind(sync)).await?;
    let intents = sql("DELETE FROM intents WHERE run IN (SELECT id FROM runs WHERE sync = $1)");
    tx.execute(intents.bind(sync)).await?;
    tx.commit().await
}

pub(super) async fn clear_lookback(database: &Database, run: &RunId) -> Result<(), Error> {
    let mut tx = database.write().await?;
    let sync = runs::sync_of(&mut tx, run).await?;
    tx.execute(sql("DELETE FROM lookback WHERE sync = $1").bind(sync.as_str())).await?;
    tx.commit().await
}
