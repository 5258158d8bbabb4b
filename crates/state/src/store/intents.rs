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
    let mut runs: HashMap<RunId, Pending> = HashMap::new();
    for (caller, Note { run, intent, what, done }) in notes.enumerate() {
        // Whoever waits hears of a failure even if the transaction never begins.
        callers.push((done, Ok(())));
        let pending = runs.entry(run).or_default();
        match what {
            What::Intended { batch, body } => pending.intended.push((caller, intent, batch, body)),
            What::Answered { outcomes } => {
                pending.answered.entry(outcomes).or_default().push((caller, intent));
            }
        }
    }
    let mut tx = database.write().await?;
    for (run, pending) in runs {
        // Only for a run that is open: a wrong run is its caller's failure and not the group's.
        if let Err(error) = runs::sync_of(&mut tx, &run).await {
            pending.callers().for_each(|caller| callers[caller].1 = Err(again(&error)));
            continue;
        }
        insert(&mut tx, &run, pending.intended).await?;
        for (outcomes, intents) in pending.answered {
            for caller in answer(&mut tx, &run, outcomes, &intents).await? {
                let intent = intents.iter().find(|(of, _)| *of == caller).map_or(0, |(_, intent)| *intent);
                callers[caller].1 = Err(Error::internal(format!("the run `{run}` has no intent {intent}")));
            }
        }
    }
    tx.commit().await
}

/// What a group has for one run. Each statement costs a change of threads in SQLite and a round trip in
/// PostgreSQL, so there are as few as the notes allow.
#[derive(Default)]
struct Pending {
    /// Each with the number of its caller.
    intended: Vec<(usize, IntentId, u64, Vec<u8>)>,
    /// By outcomes: most requests deliver all of their rows, and have the same ones.
    answered: HashMap<Vec<u8>, Vec<(usize, IntentId)>>,
}

impl Pending {
    fn callers(&self) -> impl Iterator<Item = usize> {
        let answered = self.answered.values().flatten().map(|(caller, _)| *caller);
        self.intended.iter().map(|(caller, ..)| *caller).chain(answered)
    }
}

/// Adds intents. The statements are of few lengths, so that each is prepared once.
async fn insert(
    tx: &mut Tx,
    run: &RunId,
    mut intended: Vec<(usize, IntentId, u64, Vec<u8>)>,
) -> Result<(), Error> {
    while !intended.is_empty() {
        let count = 1 << intended.len().ilog2();
        let values =
            (0..count).map(|row| format!("($1, ${}, ${}, ${})", row * 3 + 2, row * 3 + 3, row * 3 + 4));
        let text = format!(
            "INSERT INTO intents (run, id, batch, body) VALUES {}",
            values.collect::<Vec<_>>().join(", ")
        );
        let mut args: Vec<Arg> = vec![run.as_str().into()];
        for (_, intent, batch, body) in intended.drain(..count) {
            args.extend([intent.into(), batch.into(), body.into()]);
        }
        tx.execute(Statement::assembled(text, args)).await?;
    }
    Ok(())
}

/// Adds the same outcomes to intents. Returns the callers whose intents are not there.
async fn answer(
    tx: &mut Tx,
    run: &RunId,
    outcomes: Vec<u8>,
    intents: &[(usize, IntentId)],
) -> Result<Vec<usize>, Error> {
    let among = |from: usize| {
        // The last one again, up to one of few lengths: so each statement is prepared once.
        let count = intents.len().next_power_of_two();
        let places: Vec<_> = (from..from + count).map(|place| format!("${place}")).collect();
        let ids = intents.iter().chain(std::iter::repeat(&intents[intents.len() - 1]));
        let ids: Vec<Arg> = ids.take(count).map(|(_, intent)| (*intent).into()).collect();
        (places.join(", "), ids)
    };
    let (places, ids) = among(3);
    let text = format!("UPDATE intents SET outcomes = $2 WHERE run = $1 AND id IN ({places})");
    let args = [run.as_str().into(), outcomes.into()].into_iter().chain(ids).collect();
    if tx.execute(Statement::assembled(text, args)).await? == intents.len() as u64 {
        return Ok(Vec::new());
    }
    let (places, ids) = among(2);
    let text = format!("SELECT id FROM intents WHERE run = $1 AND id IN ({places})");
    let args = [run.as_str().into()].into_iter().chain(ids).collect();
    let found = tx.all(Statement::assembled(text, args)).await?;
    let found: Vec<u64> = found.iter().map(|record| record.count("id")).collect::<Result<_, _>>()?;
    let missing = intents.iter().filter(|(_, intent)| !found.contains(intent));
    Ok(missing.map(|(caller, _)| *caller).collect())
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
