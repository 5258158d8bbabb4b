//! Runs: their names, their beginnings and their endings.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tidegate_model::store::{HourCounts, RunEnd, RunQuery};
use tidegate_model::{Cause, Claim, Compared, Counts, Ending, Error, ObjectKind, Run, RunId, SyncId};
use uuid::Uuid;

use super::dialect::{Database, Tx};
use super::statement::{Arg, Conditions, Record, Statement, from_word, sql, to_json, to_word};
use super::{leases, syncs};

/// Digits and letters that people do not confuse, in the order of their bytes.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TAIL_CHARS: u32 = 4;
const TAILS: u32 = 1 << (5 * TAIL_CHARS);
const NAMING_ATTEMPTS: usize = 8;

/// Opens a run, and closes earlier ones that never ended; those are named too.
pub(super) async fn start(
    database: &Database,
    claim: &Claim,
    object: ObjectKind,
    cause: Cause,
    at: Timestamp,
) -> Result<(Run, Vec<RunId>), Error> {
    let sync = claim.sync();
    let mut tx = database.write().await?;
    leases::check(&mut tx, claim).await?;
    let known = sql("INSERT INTO syncs (id, object) VALUES ($1, $2)
        ON CONFLICT (id) DO UPDATE SET object = COALESCE(syncs.object, excluded.object)");
    tx.execute(known.bind(sync).bind(object.as_str())).await?;
    let dead = sql("UPDATE runs SET ending = $2, finished_at = $3
        WHERE sync = $1 AND ending IS NULL RETURNING id");
    let dead = dead.bind(sync).bind(Ending::Interrupted.as_str()).bind(at);
    let mut interrupted = Vec::new();
    for record in tx.all(dead).await? {
        interrupted.push(RunId::new(record.get::<String>("id")?));
    }
    let id = insert(&mut tx, sync, object, cause, at).await?;
    tx.commit().await?;
    let run = Run {
        id,
        sync: sync.clone(),
        cause,
        started_at: at,
        finished_at: None,
        ending: None,
        counts: Counts::default(),
        compared: None,
        error: None,
        failure: None,
    };
    Ok((run, interrupted))
}

async fn insert(
    tx: &mut Tx,
    sync: &SyncId,
    object: ObjectKind,
    cause: Cause,
    at: Timestamp,
) -> Result<RunId, Error> {
    let stem = stem(at);
    for _ in 0..NAMING_ATTEMPTS {
        let id = format!("{stem}{}", base32(next_tail(tx, &stem).await?, TAIL_CHARS));
        let statement = sql("INSERT INTO runs (id, sync, object, cause, started_at)
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING");
        let statement = statement.bind(id.as_str()).bind(sync).bind(object.as_str());
        if tx.execute(statement.bind(to_word(&cause)?.as_str()).bind(at)).await? == 1 {
            return Ok(RunId::new(id));
        }
    }
    Err(Error::internal("no free name was found for a run"))
}

/// `20261122T034501-f7`: the second, then the millisecond. Fits into a file name
/// and can be typed.
fn stem(at: Timestamp) -> String {
    let civil = at.to_zoned(TimeZone::UTC).datetime();
    let millisecond = u32::from(civil.millisecond().unsigned_abs());
    format!("{}-{}", civil.strftime("%Y%m%dT%H%M%S"), base32(millisecond, 2))
}

/// Random if the millisecond is new, higher than the last name if it is not.
async fn next_tail(tx: &mut Tx, stem: &str) -> Result<u32, Error> {
    let chance = (Uuid::new_v4().as_u128() & 0xffff_ffff) as u32;
    let statement = sql("SELECT MAX(id) AS id FROM runs WHERE id >= $1 AND id < $2");
    let record = tx.first(statement.bind(stem).bind(format!("{stem}~").as_str())).await?;
    let last = record.map(|record| record.get::<Option<String>>("id")).transpose()?.flatten();
    let last = last.and_then(|id| id.strip_prefix(stem).and_then(from_base32));
    Ok(match last {
        // The lower half, so that there is room above.
        None => chance % (TAILS / 2),
        Some(last) => (last + 1 + chance % 32).min(TAILS - 1),
    })
}

fn base32(value: u32, chars: u32) -> String {
    let digit = |at: u32| char::from(ALPHABET[((value >> (5 * at)) & 31) as usize]);
    (0..chars).rev().map(digit).collect()
}

fn from_base32(text: &str) -> Option<u32> {
    if text.len() != TAIL_CHARS as usize {
        return None;
    }
    text.bytes().try_fold(0, |value, byte| {
        let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
        Some((value << 5) | digit as u32)
    })
}

/// Records an attempt that could not begin.
pub(super) async fn fail(
    database: &Database,
    claim: &Claim,
    object: ObjectKind,
    cause: Cause,
    end: RunEnd,
) -> Result<Run, Error> {
    let mut tx = database.write().await?;
    leases::check(&mut tx, claim).await?;
    tx.execute(sql("INSERT INTO syncs (id) VALUES ($1) ON CONFLICT (id) DO NOTHING").bind(claim.sync()))
        .await?;
    let run = insert(&mut tx, claim.sync(), object, cause, end.at).await?;
    let failed = close(&mut tx, &run, end).await?;
    tx.commit().await?;
    Ok(failed)
}

/// Closes a run, and with it pauses or resumes its sync, and plans its next run.
pub(super) async fn finish(database: &Database, run: &RunId, end: RunEnd) -> Result<Run, Error> {
    let mut tx = database.write().await?;
    let finished = close(&mut tx, run, end).await?;
    tx.commit().await?;
    Ok(finished)
}

/// Notes how the source differed from what was committed before an open run.
pub(super) async fn note_compared(database: &Database, run: &RunId, compared: Compared) -> Result<(), Error> {
    let mut tx = database.write().await?;
    let statement = sql("UPDATE runs SET compared = $2 WHERE id = $1 AND ending IS NULL");
    let statement = statement.bind(run.as_str()).bind(to_json(&compared, "a comparison")?.as_str());
    if tx.execute(statement).await? == 0 {
        return Err(not_open(&mut tx, run).await);
    }
    tx.commit().await
}

async fn close(tx: &mut Tx, run: &RunId, end: RunEnd) -> Result<Run, Error> {
    let statement = sql("UPDATE runs SET ending = $2, error = $3, finished_at = $4, failure = $5
        WHERE id = $1 AND ending IS NULL RETURNING *");
    let statement = statement.bind(run.as_str()).bind(end.ending.as_str()).bind(end.error).bind(end.at);
    let failure = end.failure.as_ref().map(|failure| to_json(failure, "a failure")).transpose()?;
    let statement = statement.bind(failure);
    let Some(record) = tx.first(statement).await? else { return Err(not_open(tx, run).await) };
    let finished = from_record(&record)?;
    syncs::change_pause(tx, &finished.sync, end.pause, end.failure, end.at).await?;
    if let Some(next) = end.next_run {
        let next = to_json(&next, "the time of a run")?;
        let planned = sql("UPDATE syncs SET next_run = $2 WHERE id = $1");
        tx.execute(planned.bind(&finished.sync).bind(next.as_str())).await?;
    }
    tx.execute(sql("UPDATE syncs SET wait = NULL WHERE id = $1 AND wait IS NOT NULL").bind(&finished.sync))
        .await?;
    // Answers that were written after their batch.
    let done = sql("DELETE FROM intents WHERE run = $1
        AND last_batch <= (SELECT committed FROM runs WHERE id = $1)");
    tx.execute(done.bind(run.as_str())).await?;
    if end.complete {
        // A read that was not completed leaves the mark alone: `commit`
        // takes it away with the first new checkpoint, and not before that.
        tx.execute(sql("UPDATE syncs SET complete = 1 WHERE id = $1").bind(&finished.sync)).await?;
        let intents = sql("DELETE FROM intents WHERE run IN (SELECT id FROM runs WHERE sync = $1)");
        tx.execute(intents.bind(&finished.sync)).await?;
    }
    Ok(finished)
}

/// Runs, newest first.
pub(super) async fn list(
    database: &Database,
    sync: Option<&SyncId>,
    limit: usize,
) -> Result<Vec<Run>, Error> {
    let statement = match sync {
        Some(sync) => {
            sql("SELECT * FROM runs WHERE sync = $2 ORDER BY id DESC LIMIT $1").bind(limit as u64).bind(sync)
        }
        None => sql("SELECT * FROM runs ORDER BY id DESC LIMIT $1").bind(limit as u64),
    };
    database.all(statement).await?.iter().map(from_record).collect()
}

/// The last run of each sync.
pub(super) async fn last_of_each(database: &Database) -> Result<HashMap<SyncId, Run>, Error> {
    let statement = sql("SELECT runs.* FROM runs JOIN (
            SELECT (SELECT MAX(of_sync.id) FROM runs AS of_sync WHERE of_sync.sync = syncs.id) AS id FROM syncs
        ) AS last ON runs.id = last.id");
    let records = database.all(statement).await?;
    let runs = records.iter().map(|record| from_record(record).map(|run| (run.sync.clone(), run)));
    runs.collect()
}

/// A run by its name.
pub(super) async fn one(database: &Database, id: &RunId) -> Result<Option<Run>, Error> {
    let statement = sql("SELECT * FROM runs WHERE id = $1").bind(id.as_str());
    database.first(statement).await?.as_ref().map(from_record).transpose()
}

/// A page of runs, newest first.
pub(super) async fn find(database: &Database, query: &RunQuery) -> Result<Vec<Run>, Error> {
    let mut wanted = Conditions::default();
    wanted.add("sync =", query.sync.as_ref().map(Arg::from));
    wanted.add("ending =", query.ending.map(|ending| Arg::from(ending.as_str())));
    wanted.add("started_at >=", query.from.map(Arg::from));
    // Names of runs begin with their time, and have an index.
    wanted.add("id >=", query.from.map(|from| Arg::from(stem(from).as_str())));
    wanted.add("id <", query.before.as_ref().map(|run| Arg::from(run.as_str())));
    let statement = wanted.select("runs", "id DESC", query.limit);
    database.all(statement).await?.iter().map(from_record).collect()
}

/// Returns what happened to the rows of runs that started at `started` or later, and ended after `ended` or are in
/// progress.
pub(super) async fn hour_counts(
    database: &Database,
    sync: Option<&SyncId>,
    started: Timestamp,
    ended: Timestamp,
) -> Result<Vec<HourCounts>, Error> {
    let mut wanted = Conditions::default();
    wanted.add("sync =", sync.map(Arg::from));
    wanted.add("started_at >=", Some(started.into()));
    // Names of runs begin with their time, and have an index.
    wanted.add("id >=", Some(stem(started).as_str().into()));
    wanted.and(&format!("(finished_at IS NULL OR finished_at > ${})", wanted.next()), [Arg::from(ended)]);
    let (conditions, args) = wanted.parts();
    let text = format!(
        "SELECT sync, finished_at / 3600000000 AS hour, CAST(SUM(delivered) AS BIGINT) AS delivered,
            CAST(SUM(rejected) AS BIGINT) AS rejected, CAST(SUM(in_doubt) AS BIGINT) AS in_doubt
        FROM runs{conditions} GROUP BY sync, finished_at / 3600000000"
    );
    let records = database.all(Statement::assembled(text, args)).await?;
    let counts = |record: &Record| {
        Ok(HourCounts {
            sync: SyncId::new(record.get::<String>("sync")?),
            hour: record.get("hour")?,
            delivered: record.count("delivered")?,
            rejected: record.count("rejected")?,
            in_doubt: record.count("in_doubt")?,
        })
    };
    records.iter().map(counts).collect()
}

/// Returns the sync of a run and when it started, if it is known.
pub(super) async fn beginning(tx: &mut Tx, run: &RunId) -> Result<Option<(SyncId, Timestamp)>, Error> {
    let statement = sql("SELECT sync, started_at FROM runs WHERE id = $1").bind(run.as_str());
    let record = tx.first(statement).await?;
    record
        .map(|record| Ok((SyncId::new(record.get::<String>("sync")?), record.time("started_at")?)))
        .transpose()
}

/// Returns the sync of a run that is open.
///
/// # Errors
/// As [`not_open`].
pub(super) async fn open_sync(database: &Database, run: &RunId) -> Result<SyncId, Error> {
    let mut tx = database.write().await?;
    let sync = sync_of(&mut tx, run).await?;
    tx.commit().await?;
    Ok(SyncId::new(sync))
}

/// Returns the sync of a run that is open, and keeps the run open until the transaction ends.
///
/// # Errors
/// As [`not_open`].
pub(super) async fn sync_of(tx: &mut Tx, run: &RunId) -> Result<String, Error> {
    let text = format!("SELECT sync FROM runs WHERE id = $1 AND ending IS NULL{}", tx.for_share());
    match tx.first(Statement::assembled(text, vec![run.as_str().into()])).await? {
        Some(record) => record.get("sync"),
        None => Err(not_open(tx, run).await),
    }
}

/// Returns why nothing may be written for a run: it has ended, so that its sync was taken
/// over, or there is no such run.
pub(super) async fn not_open(tx: &mut Tx, run: &RunId) -> Error {
    let statement = sql("SELECT sync FROM runs WHERE id = $1").bind(run.as_str());
    match tx.first(statement).await.map(|record| record.map(|record| record.get::<String>("sync"))) {
        Ok(Some(Ok(sync))) => leases::lost(&sync),
        Ok(None) => Error::internal(format!("there is no run `{run}`")),
        Ok(Some(Err(error))) | Err(error) => error,
    }
}

fn from_record(record: &Record) -> Result<Run, Error> {
    let ending: Option<String> = record.get("ending")?;
    Ok(Run {
        id: RunId::new(record.get::<String>("id")?),
        sync: SyncId::new(record.get::<String>("sync")?),
        cause: from_word(&record.get::<String>("cause")?, "cause")?,
        started_at: record.time("started_at")?,
        finished_at: record.maybe_time("finished_at")?,
        ending: ending.map(|word| from_word(&word, "ending")).transpose()?,
        counts: Counts {
            read: record.count("rows_read")?,
            skipped: record.count("skipped")?,
            ignored: record.count("ignored")?,
            delivered: record.count("delivered")?,
            rejected: record.count("rejected")?,
            in_doubt: record.count("in_doubt")?,
            not_due: record.count("not_due")?,
            requests: record.count("requests")?,
            retries: record.count("retries")?,
        },
        compared: record.maybe_json("compared")?,
        error: record.get("error")?,
        failure: record.maybe_json("failure")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_sort_by_their_start() {
        let times = ["2026-11-22T03:45:01Z", "2026-11-22T03:45:01.001Z", "2026-11-22T03:45:01.999Z"];
        let stems: Vec<String> = times.iter().map(|at| stem(at.parse().expect("time"))).collect();
        assert_eq!(stems, ["20261122T034501-00", "20261122T034501-01", "20261122T034501-z7"]);
    }

    #[test]
    fn tails_read_back_and_sort_as_numbers() {
        assert_eq!(from_base32(&base32(TAILS - 1, TAIL_CHARS)), Some(TAILS - 1));
        assert!(base32(9, TAIL_CHARS) < base32(10, TAIL_CHARS));
        assert_eq!(from_base32("00u0"), None);
    }
}
