//! What is about to be sent, durable before it is sent.
//!
//! Many requests are in flight at once and each needs its intent on the disk
//! first. One task writes them: whatever waits while a commit is under way goes
//! into the next one, so sixteen requests cost one fsync, not sixteen.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_model::store::{Intent, IntentId, IntentRow, RowVersion};
use tidegate_model::{Error, Outcome, RunId, SyncId};
use tokio::sync::{mpsc, oneshot};

use super::dialect::{Database, Tx};
use super::runs;
use super::statement::{Arg, Record, Statement, sql};
use crate::history::{block, outcomes};

/// Notes in one transaction.
const GROUP_MAX: usize = 256;

/// Hands notes to the task that writes them.
pub(super) struct Intents {
    queue: mpsc::Sender<Note>,
    next: AtomicU64,
}

struct Note {
    run: RunId,
    intent: IntentId,
    what: What,
    done: oneshot::Sender<Result<(), Error>>,
}

enum What {
    Intended { batch: u64, body: Vec<u8> },
    Answered { outcomes: Vec<u8> },
}

impl Intents {
    /// Starts the task; it ends when this is dropped.
    pub(super) async fn open(database: Arc<Database>) -> Result<Intents, Error> {
        let last = database.first(sql("SELECT COALESCE(MAX(id), 0) AS last FROM intents")).await?;
        let last = last.map(|record| record.count("last")).transpose()?.unwrap_or(0);
        let (queue, notes) = mpsc::channel(GROUP_MAX);
        tokio::spawn(write_in_groups(database, notes));
        Ok(Intents { queue, next: AtomicU64::new(last + 1) })
    }

    pub(super) async fn intend(
        &self,
        run: &RunId,
        batch: u64,
        rows: &[IntentRow],
    ) -> Result<IntentId, Error> {
        let intent = self.next.fetch_add(1, Ordering::Relaxed);
        let body = block::encode_intent(rows)?;
        self.note(run, intent, What::Intended { batch, body }).await?;
        Ok(intent)
    }

    pub(super) async fn answered(
        &self,
        run: &RunId,
        intent: IntentId,
        outcomes: &[Outcome],
    ) -> Result<(), Error> {
        let outcomes = outcomes::encode(outcomes)?;
        self.note(run, intent, What::Answered { outcomes }).await
    }

    async fn note(&self, run: &RunId, intent: IntentId, what: What) -> Result<(), Error> {
        let gone = || Error::internal("the task that writes intents has ended");
        let (done, written) = oneshot::channel();
        let note = Note { run: run.clone(), intent, what, done };
        self.queue.send(note).await.map_err(|_| gone())?;
        written.await.map_err(|_| gone())?
    }
}

async fn write_in_groups(database: Arc<Database>, mut notes: mpsc::Receiver<Note>) {
    let mut group = Vec::new();
    while notes.recv_many(&mut group, GROUP_MAX).await > 0 {
        let mut callers = Vec::with_capacity(group.len());
        let written = write(&database, group.drain(..), &mut callers).await;
        for (done, found) in callers {
            // A caller that has gone away needs no answer.
            let _ = done.send(match &written {
                Err(error) => Err(again(error)),
                Ok(()) => found,
            });
        }
    }
}

type Caller = (oneshot::Sender<Result<(), Error>>, Result<(), Error>);

async fn write(
    database: &Database,
    notes: impl Iterator<Item = Note>,
    callers: &mut Vec<Caller>,
) -> Result<(), Error> {
    let mut pending = Vec::new();
    for Note { run, intent, what, done } in notes {
        // Whoever waits hears of a failure even if the transaction never begins.
        callers.push((done, Ok(())));
        pending.push((run, intent, what));
    }
    let mut tx = database.write().await?;
    for ((run, intent, what), (_, found)) in pending.into_iter().zip(callers) {
        if write_one(&mut tx, &run, intent, what).await? == 0 {
            *found = Err(match runs::sync_of(&mut tx, &run).await {
                Ok(_) => Error::internal(format!("the run `{run}` has no intent {intent}")),
                Err(error) => error,
            });
        }
    }
    tx.commit().await
}

async fn write_one(tx: &mut Tx, run: &RunId, intent: IntentId, what: What) -> Result<u64, Error> {
    // Only for a run that is open: a wrong run is its caller's failure and not the group's.
    let open = format!("FROM runs WHERE id = $1 AND ending IS NULL{}", tx.for_share());
    let (text, args) = match what {
        What::Intended { batch, body } => (
            format!("INSERT INTO intents (run, id, batch, body) SELECT id, $2, $3, $4 {open}"),
            vec![run.as_str().into(), intent.into(), batch.into(), body.into()],
        ),
        What::Answered { outcomes } => (
            format!(
                "UPDATE intents SET outcomes = $3 WHERE run = $1 AND id = $2 AND EXISTS (SELECT 1 {open})"
            ),
            vec![run.as_str().into(), intent.into(), outcomes.into()],
        ),
    };
    tx.execute(Statement::assembled(text, args)).await
}

/// The same failure for one more caller.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.chain()).hint(error.next_step())
}

/// Takes rows off the intents of earlier runs, oldest first. Only a run after a
/// crash has any.
pub(super) async fn recall(
    tx: &mut Tx,
    sync: &str,
    run: &RunId,
    recalled: Vec<RowVersion>,
) -> Result<(), Error> {
    if recalled.is_empty() {
        return Ok(());
    }
    let earlier = sql("SELECT intents.run AS run, intents.id AS id, intents.body AS body,
            intents.outcomes AS outcomes FROM intents JOIN runs ON runs.id = intents.run
        WHERE runs.sync = $1 AND intents.run <> $2 ORDER BY intents.run, intents.id");
    take_off(tx, earlier.bind(sync).bind(run.as_str()), recalled, NoEffect::Stays).await
}

/// Takes rows that have a result, or had no effect, off the intents of an unfinished batch.
pub(super) async fn keep_undecided(
    tx: &mut Tx,
    run: &RunId,
    batch: u64,
    decided: Vec<RowVersion>,
) -> Result<(), Error> {
    let own = sql("SELECT run, id, body, outcomes FROM intents WHERE run = $1 AND batch = $2 ORDER BY id");
    take_off(tx, own.bind(run.as_str()).bind(batch), decided, NoEffect::Goes).await
}

/// What becomes of rows of an intent that are known to have had no effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NoEffect {
    Stays,
    Goes,
}

/// Takes each of the rows off the first of the intents that may have had an effect on it, and off
/// those of its repetitions.
async fn take_off(
    tx: &mut Tx,
    intents: Statement,
    rows: Vec<RowVersion>,
    no_effect: NoEffect,
) -> Result<(), Error> {
    let mut counts: HashMap<RowVersion, usize> = HashMap::with_capacity(rows.len());
    rows.into_iter().for_each(|row| *counts.entry(row).or_default() += 1);
    // A row that was sent more than once is in an intent of each time.
    let mut taken: HashMap<(RowVersion, u32), usize> = HashMap::new();
    for record in tx.all(intents).await? {
        let intent = from_record(&record)?;
        let before = intent.rows.len();
        let (mut rows_left, mut outcomes_left) = (Vec::new(), Vec::new());
        for (index, row) in intent.rows.iter().enumerate() {
            if intent.had_no_effect(index) {
                if no_effect == NoEffect::Goes {
                    continue;
                }
            } else {
                let version = RowVersion { key: row.key, row: row.row };
                let taken = taken.entry((version, row.sends)).or_default();
                if counts.get(&version).is_some_and(|count| *taken < *count) {
                    *taken += 1;
                    continue;
                }
            }
            rows_left.push(row.clone());
            outcomes_left.extend(intent.outcomes.iter().filter_map(|outcomes| outcomes.get(index)).cloned());
        }
        if rows_left.len() == before {
            continue;
        }
        let of: String = record.get("run")?;
        let statement = if rows_left.is_empty() {
            sql("DELETE FROM intents WHERE run = $1 AND id = $2").bind(of.as_str()).bind(record.count("id")?)
        } else {
            let response = intent.outcomes.map(|_| outcomes::encode(&outcomes_left)).transpose()?;
            sql("UPDATE intents SET body = $3, outcomes = $4 WHERE run = $1 AND id = $2")
                .bind(of.as_str())
                .bind(record.count("id")?)
                .bind(block::encode_intent(&rows_left)?)
                .bind(Arg::Bytes(response))
        };
        tx.execute(statement).await?;
    }
    Ok(())
}

/// Returns the intents of a sync that were never committed, in the order of their creation.
pub(super) async fn open_of(database: &Database, sync: &SyncId) -> Result<Vec<Intent>, Error> {
    let statement = sql("SELECT intents.body AS body, intents.outcomes AS outcomes FROM intents
        JOIN runs ON runs.id = intents.run WHERE runs.sync = $1 ORDER BY intents.run, intents.id");
    database.all(statement.bind(sync)).await?.iter().map(from_record).collect()
}

fn from_record(record: &Record) -> Result<Intent, Error> {
    let outcomes: Option<Vec<u8>> = record.get("outcomes")?;
    Ok(Intent {
        rows: block::decode_intent(&record.get::<Vec<u8>>("body")?)?,
        outcomes: outcomes.map(|outcomes| outcomes::decode(&outcomes)).transpose()?,
    })
}
