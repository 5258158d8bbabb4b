//! What is about to be sent, durable before it is sent.
//!
//! Many requests are in flight at once and each needs its intent on the disk first. One task writes
//! them: whatever waits while a commit is under way goes into the next one, as a single row. So sixteen
//! requests cost one statement and one fsync, not sixteen.

mod change;
mod group;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_model::store::{IntendedRequest, IntentId};
use tidegate_model::{Error, Outcome, RunId};
use tokio::sync::{mpsc, oneshot};

use super::dialect::Database;
use super::runs;
use super::statement::Statement;
use crate::history::outcomes;
pub(super) use change::{erase, keep_undecided, open_of, recall};
use group::{Group, NotedIntent};

/// Notes in one transaction.
const GROUP_MAX: usize = 256;

/// Hands notes to the task that writes them.
pub(super) struct Intents {
    queue: mpsc::Sender<Note>,
    next: AtomicU64,
}

/// Hears whether something is written.
type Caller = oneshot::Sender<Result<(), Error>>;

enum Note {
    /// A request that waits until its intent is written.
    Intended { run: RunId, intent: IntentId, request: IntendedRequest, caller: Caller },
    /// An answer, for which nothing waits.
    Answered { run: RunId, intent: IntentId, outcomes: Vec<u8> },
    /// A caller that waits for everything before.
    Flush { caller: Caller },
}

impl Intents {
    /// Starts the task; it ends when this is dropped. All notes of a run go through one of these.
    pub(super) fn new(database: Arc<Database>) -> Intents {
        let (queue, notes) = mpsc::channel(GROUP_MAX);
        tokio::spawn(write_in_groups(database, notes));
        Intents { queue, next: AtomicU64::new(1) }
    }

    /// Returns once an intent is written.
    pub(super) async fn intend(
        &self,
        run: &RunId,
        batch: u64,
        request: IntendedRequest,
    ) -> Result<IntentId, Error> {
        let intent = IntentId { number: self.next.fetch_add(1, Ordering::Relaxed), batch };
        self.wait(|caller| Note::Intended { run: run.clone(), intent, request, caller }).await?;
        Ok(intent)
    }

    /// Returns once an answer is among those to write.
    pub(super) async fn answered(
        &self,
        run: &RunId,
        intent: IntentId,
        outcomes: &[Outcome],
    ) -> Result<(), Error> {
        let outcomes = outcomes::encode(outcomes)?;
        let note = Note::Answered { run: run.clone(), intent, outcomes };
        self.queue.send(note).await.map_err(|_| gone())
    }

    /// Returns once everything is written that was noted before.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        self.wait(|caller| Note::Flush { caller }).await
    }

    async fn wait(&self, note: impl FnOnce(Caller) -> Note) -> Result<(), Error> {
        let (caller, written) = oneshot::channel();
        self.queue.send(note(caller)).await.map_err(|_| gone())?;
        written.await.map_err(|_| gone())?
    }
}

fn gone() -> Error {
    Error::internal("the task that writes intents has ended")
}

/// Writes what waits, group by group.
async fn write_in_groups(database: Arc<Database>, mut notes: mpsc::Receiver<Note>) {
    let mut waiting = Vec::new();
    let mut number = 0;
    while notes.recv_many(&mut waiting, GROUP_MAX).await > 0 {
        let mut runs: HashMap<RunId, Pending> = HashMap::new();
        let mut flushed = Pending::default();
        for note in waiting.drain(..) {
            match note {
                Note::Intended { run, intent, request, caller } => {
                    let pending = runs.entry(run).or_default();
                    pending.group.intents.push(NotedIntent::whole(intent, request));
                    pending.callers.push(caller);
                }
                Note::Answered { run, intent, outcomes } => {
                    runs.entry(run).or_default().group.answer(intent, outcomes);
                }
                Note::Flush { caller } => flushed.callers.push(caller),
            }
        }
        number += 1;
        let written = write(&database, &mut runs, number).await;
        for pending in runs.into_values().chain([flushed]) {
            pending.tell(written.as_ref().err());
        }
    }
}

/// What a group has for one run, and who waits for it.
#[derive(Default)]
struct Pending {
    group: Group,
    callers: Vec<Caller>,
    /// Why nothing may be written for this run.
    refused: Option<Error>,
}

impl Pending {
    /// Tells the callers that it is written, or why it is not.
    fn tell(self, failed: Option<&Error>) {
        let refused = failed.or(self.refused.as_ref());
        for caller in self.callers {
            // A caller that has gone away needs no answer.
            let _ = caller.send(refused.map_or(Ok(()), |error| Err(again(error))));
        }
    }
}

/// Writes a row for each run. One that has ended is the failure of its callers and not of the others.
async fn write(database: &Database, runs: &mut HashMap<RunId, Pending>, number: u64) -> Result<(), Error> {
    if runs.is_empty() {
        return Ok(());
    }
    // What takes time is done before the one writer is taken.
    let bodies: Vec<Vec<u8>> =
        runs.values().map(|pending| pending.group.encode()).collect::<Result<_, Error>>()?;
    let is_one = runs.len() == 1;
    let mut tx = if is_one { None } else { Some(database.write().await?) };
    for ((run, pending), body) in runs.iter_mut().zip(bodies) {
        let statement = insert(database, run, number, pending.group.last_batch(), body);
        let written = match &mut tx {
            Some(tx) => tx.execute(statement).await?,
            // Alone it is a transaction.
            None => database.execute(statement).await?,
        };
        if written == 0 {
            pending.refused = Some(match &mut tx {
                Some(tx) => runs::not_open(tx, run).await,
                None => runs::not_open(&mut database.snapshot().await?, run).await,
            });
        }
    }
    match tx {
        Some(tx) => tx.commit().await,
        None => Ok(()),
    }
}

/// Adds a group, if the run is open.
fn insert(database: &Database, run: &RunId, number: u64, last_batch: u64, body: Vec<u8>) -> Statement {
    let text = format!(
        "INSERT INTO intents (run, id, last_batch, body)
            SELECT id, $2, $3, $4 FROM runs WHERE id = $1 AND ending IS NULL{}",
        database.for_share()
    );
    Statement::assembled(text, vec![run.as_str().into(), number.into(), last_batch.into(), body.into()])
}

/// The same failure for one more caller.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.chain()).hint(error.next_step())
}
