//! What is about to be sent, durable before it is sent.
//!
//! Many requests are in flight at once and each needs its intent on the disk first. One task writes
//! them: whatever waits while a commit is under way goes into the next one, as a single row. So sixteen
//! requests cost one statement and one fsync, not sixteen. In SQLite, which has one writer, the commit of a batch
//! takes the notes of its run along that wait by then.

mod change;
mod group;

use std::collections::HashMap;
use std::mem::take;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_model::store::{IntendedRequest, IntentId};
use tidegate_model::{Error, Outcome, RunId};
use tokio::sync::{MutexGuard, Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::dialect::{Database, Tx};
use super::runs;
use super::statement::Statement;
use crate::history::outcomes;
pub(super) use change::{erase, keep_undecided, open_of, recall};
use group::{Group, NotedIntent};

/// Notes that wait at once.
const WAITING_MAX: usize = 256;

/// Hands notes to the task that writes them.
pub(super) struct Intents {
    queue: Arc<Queue>,
    next: AtomicU64,
}

/// Notes that wait.
struct Queue {
    waiting: Mutex<Vec<(Note, OwnedSemaphorePermit)>>,
    /// One permit for each note that waits.
    room: Arc<Semaphore>,
    arrived: Notify,
    /// Held from taking notes until they are written, so that whoever gets it finds all earlier ones written.
    turn: tokio::sync::Mutex<()>,
    /// Groups that were written so far.
    groups: AtomicU64,
    is_closed: AtomicBool,
}

/// The right to take notes and to write them.
pub(super) type Turn<'a> = MutexGuard<'a, ()>;

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

impl Note {
    fn is_of(&self, of: &RunId) -> bool {
        match self {
            Note::Intended { run, .. } | Note::Answered { run, .. } => run == of,
            Note::Flush { .. } => false,
        }
    }
}

impl Queue {
    async fn push(&self, note: Note) -> Result<(), Error> {
        let permit = Arc::clone(&self.room).acquire_owned().await.map_err(|_| gone())?;
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((note, permit));
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes what waits as the next group; only what a run noted, if one is given.
    fn group(&self, _: &Turn<'_>, of: Option<&RunId>) -> Waiting {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = match of {
            None => take(&mut *waiting),
            Some(run) => waiting.extract_if(.., |(note, _)| note.is_of(run)).collect(),
        };
        drop(waiting);
        let number = self.groups.fetch_add(1, Ordering::Relaxed) + 1;
        Waiting::of(number, taken.into_iter().map(|(note, _)| note))
    }
}

/// Lets nothing wait for a task that has ended.
struct Ended(Arc<Queue>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.room.close();
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Intents {
    /// Starts the task; it ends when this is dropped. All notes of a run go through one of these.
    pub(super) fn new(database: Arc<Database>) -> Intents {
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            room: Arc::new(Semaphore::new(WAITING_MAX)),
            arrived: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            groups: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        });
        tokio::spawn(write_in_groups(database, Arc::clone(&queue)));
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
        self.queue.push(Note::Answered { run: run.clone(), intent, outcomes }).await
    }

    /// Returns once everything is written that was noted before.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        self.wait(|caller| Note::Flush { caller }).await
    }

    async fn wait(&self, note: impl FnOnce(Caller) -> Note) -> Result<(), Error> {
        let (caller, written) = oneshot::channel();
        self.queue.push(note(caller)).await?;
        written.await.map_err(|_| gone())?
    }

    /// Waits until nothing else writes notes, which is asked for before the one writer of the database is.
    pub(super) async fn turn(&self) -> Turn<'_> {
        self.queue.turn.lock().await
    }

    /// Takes the notes of a run that wait, to be written in a transaction that writes anyway.
    pub(super) fn waiting_of(&self, run: &RunId, turn: &Turn<'_>) -> Waiting {
        self.queue.group(turn, Some(run))
    }
}

impl Drop for Intents {
    fn drop(&mut self) {
        self.queue.is_closed.store(true, Ordering::Release);
        self.queue.arrived.notify_one();
    }
}

fn gone() -> Error {
    Error::internal("the task that writes intents has ended")
}

/// Writes what waits, group by group.
async fn write_in_groups(database: Arc<Database>, queue: Arc<Queue>) {
    let _ended = Ended(Arc::clone(&queue));
    let mut is_closed = false;
    while !is_closed {
        queue.arrived.notified().await;
        is_closed = queue.is_closed.load(Ordering::Acquire);
        let turn = queue.turn.lock().await;
        // Nothing if a commit took it along.
        let mut waiting = queue.group(&turn, None);
        let written = waiting.write_alone(&database).await;
        drop(turn);
        waiting.tell(written.as_ref().err());
    }
}

/// Notes that are written together.
#[derive(Default)]
pub(super) struct Waiting {
    number: u64,
    runs: HashMap<RunId, Pending>,
    flushed: Pending,
}

impl Waiting {
    fn of(number: u64, notes: impl Iterator<Item = Note>) -> Waiting {
        let mut waiting = Waiting { number, ..Waiting::default() };
        for note in notes {
            match note {
                Note::Intended { run, intent, request, caller } => {
                    let pending = waiting.runs.entry(run).or_default();
                    pending.group.intents.push(NotedIntent::whole(intent, request));
                    pending.callers.push(caller);
                }
                Note::Answered { run, intent, outcomes } => {
                    waiting.runs.entry(run).or_default().group.answer(intent, outcomes);
                }
                Note::Flush { caller } => waiting.flushed.callers.push(caller),
            }
        }
        waiting
    }

    /// Writes a row for each run, in a transaction of its own. The callers are told afterwards.
    pub(super) async fn write_alone(&mut self, database: &Database) -> Result<(), Error> {
        if self.runs.len() > 1 {
            // What takes time is done before the one writer is taken.
            let bodies = self.bodies()?;
            let mut tx = database.write().await?;
            self.write_bodies(&mut tx, bodies).await?;
            return tx.commit().await;
        }
        let Some((run, pending)) = self.runs.iter_mut().next() else { return Ok(()) };
        let body = pending.group.encode()?;
        // Alone it is a transaction.
        let statement = insert(database.for_share(), run, self.number, pending.group.last_batch(), body);
        if database.execute(statement).await? == 0 {
            pending.refused = Some(runs::not_open(&mut database.snapshot().await?, run).await);
        }
        Ok(())
    }

    /// Writes a row for each run. The callers are told after the commit.
    pub(super) async fn write(&mut self, tx: &mut Tx) -> Result<(), Error> {
        let bodies = self.bodies()?;
        self.write_bodies(tx, bodies).await
    }

    fn bodies(&self) -> Result<Vec<Vec<u8>>, Error> {
        self.runs.values().map(|pending| pending.group.encode()).collect()
    }

    /// Writes rows. A run that has ended is the failure of its callers and not of the others.
    async fn write_bodies(&mut self, tx: &mut Tx, bodies: Vec<Vec<u8>>) -> Result<(), Error> {
        for ((run, pending), body) in self.runs.iter_mut().zip(bodies) {
            let statement = insert(tx.for_share(), run, self.number, pending.group.last_batch(), body);
            if tx.execute(statement).await? == 0 {
                pending.refused = Some(runs::not_open(tx, run).await);
            }
        }
        Ok(())
    }

    /// Tells the callers that it is written, or why it is not.
    pub(super) fn tell(self, failed: Option<&Error>) {
        for pending in self.runs.into_values().chain([self.flushed]) {
            pending.tell(failed);
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

/// Adds a group, if the run is open.
fn insert(for_share: &str, run: &RunId, number: u64, last_batch: u64, body: Vec<u8>) -> Statement {
    let text = format!(
        "INSERT INTO intents (run, id, last_batch, body)
            SELECT id, $2, $3, $4 FROM runs WHERE id = $1 AND ending IS NULL{for_share}"
    );
    Statement::assembled(text, vec![run.as_str().into(), number.into(), last_batch.into(), body.into()])
}

/// The same failure for one more caller.
fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.chain()).hint(error.next_step())
}
