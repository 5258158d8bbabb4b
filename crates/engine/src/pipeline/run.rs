//! One execution of a sync, from opening the feed to the end of the run.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_model::store::{NextRun, PauseChange, RunEnd, RunStore};
use tidegate_model::{
    Cause, Claim, Clock, ConnectionId, Counts, Destination, Ending, Error, ErrorKind, Feed, Idempotency,
    ObjectKind, Progress, Reaction, Run, RunFailure, RunId, SyncId,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::pipeline::batch_size::batches_under_way;
use crate::pipeline::commit::committer::Committer;
use crate::pipeline::deliver::asked_to_wait::AskedToWait;
use crate::pipeline::deliver::budget::is_alone;
use crate::pipeline::deliver::delivery::Delivery;
use crate::pipeline::deliver::pool::Pool;
use crate::pipeline::deliver::rate_limiter::RateLimiters;
use crate::pipeline::deliver::worker::Worker;
use crate::pipeline::read::cursor_state::CursorState;
use crate::pipeline::read::equal_rows::EqualRows;
use crate::pipeline::read::mirror_state::SharedMirrorState;
use crate::pipeline::read::reader::Reader;
use crate::pipeline::read::restored::Restored;
use crate::pipeline::read::resume::ResumeState;
use crate::pipeline::repeat::RepeatPolicy;
use crate::pipeline::run_kind::{Retention, RunKind};
use crate::pipeline::shutdown::Shutdown;
use crate::pipeline::transform::Transform;
use crate::pipeline::unfinished;
use tidegate_project::Changed;

/// What every run is handed.
#[derive(Clone)]
pub struct Parts {
    /// What is remembered.
    pub store: Arc<dyn RunStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The rate limiters of this process.
    pub rate_limiters: Arc<RateLimiters>,
    /// The lease of the sync.
    pub lease: Claim,
    /// When the sync runs next, if a run that completes moves that time.
    pub next_run: Option<NextRunAfter>,
}

/// Returns when a sync runs after one of its runs, which completes now.
pub type NextRunAfter = Arc<dyn Fn(&Run, Timestamp) -> NextRun + Send + Sync>;

/// What a run does, whatever it transforms.
pub(crate) struct Job<F: Transform> {
    pub(crate) sync: SyncId,
    pub(crate) transform: Arc<F>,
    pub(crate) destination: Arc<dyn Destination<F::Sent>>,
    /// The connection of the destination, for its rate limiter.
    pub(crate) connection: ConnectionId,
    pub(crate) object: ObjectKind,
    pub(crate) idempotency: Idempotency,
    /// Whether items in doubt are sent again without asking.
    pub(crate) resend: bool,
    /// How long an unreachable system is tried.
    pub(crate) retry_for: Duration,
    /// Whether an item whose response is never certain is listed instead of ending the run.
    pub(crate) isolates: bool,
    pub(crate) retention: Retention,
    pub(crate) changed: Changed,
    /// How long keys of delivered rows are known if changes are ignored; `None` for good.
    pub(crate) keys_for: Option<Duration>,
    /// Whether the users of delivered rows are kept, so that they can be deleted.
    pub(crate) keeps_users: bool,
    /// Whether its items are rows of the source. A row that is gone was not read.
    pub(crate) counts_read: bool,
    /// Whether an intent is written even for idempotent objects. A mirror needs it: after a crash it must
    /// not take the previous version for the one at the platform.
    pub(crate) notes: bool,
    pub(crate) kind: RunKind,
    /// The state of the cursor before the run.
    pub(crate) cursor_state: Option<CursorState>,
    /// The checkpoint of a mirror.
    pub(crate) mirror: Option<SharedMirrorState>,
}

/// A feed, and what is done once all of it is committed.
pub(crate) struct Opened<F: Transform> {
    pub(crate) feed: Feed<F::Read>,
    pub(crate) then: Option<(Job<F>, Feed<F::Read>)>,
}

impl<F: Transform> Opened<F> {
    /// A feed alone.
    pub(crate) fn alone(feed: Feed<F::Read>) -> Opened<F> {
        Opened { feed, then: None }
    }
}

/// Runs a job to the end of its feed, or until `stop` fires.
pub(crate) async fn run_job<F: Transform, Opening: Future<Output = Result<Opened<F>, Error>>>(
    job: &Job<F>,
    parts: &Parts,
    cause: Cause,
    feed: impl FnOnce(RunId) -> Opening,
    stop: CancellationToken,
    progress: watch::Sender<Progress>,
) -> Result<Run, Error> {
    let run = parts.store.start_run(&parts.lease, job.object, cause, parts.clock.now()).await?;
    let feed = feed(run.id.clone());
    let shutdown = Arc::new(Shutdown::new(stop, parts.lease.clone()));
    let limits = parts.rate_limiters.limits(job.destination.limits());
    let asked_to_wait = AskedToWait {
        connection: job.connection.clone(),
        rate_limiter: parts.rate_limiters.rate_limiter(&job.connection, limits.bucket, limits.rate),
        run: run.id.clone(),
        store: parts.store.clone(),
        clock: parts.clock.clone(),
        progress: progress.clone(),
    };
    tokio::select! {
        ended = carry_out(job, parts, run, feed, &shutdown, progress) => ended,
        never = shutdown.watch_lease() => match never {},
        never = asked_to_wait.watch() => match never {},
    }
}

/// Carries out a run that has started, and ends it.
async fn carry_out<F: Transform>(
    job: &Job<F>,
    parts: &Parts,
    run: Run,
    feed: impl Future<Output = Result<Opened<F>, Error>>,
    shutdown: &Arc<Shutdown>,
    progress: watch::Sender<Progress>,
) -> Result<Run, Error> {
    let opened = async {
        // What ends the run before anything is read says more than what is remembered.
        // What interrupted runs have left may be taken over when the feed is opened.
        let opened = feed.await?;
        Ok((ResumeState::load(parts.store.as_ref(), &job.sync, &job.retention, job.kind).await?, opened))
    };
    let opened = tokio::select! {
        opened = opened => opened.map(Some),
        () = shutdown.halt() => Ok(None),
    };
    let moved = match opened {
        Ok(Some((resume, Opened { feed, then }))) => {
            let moved = Moved { resume, batches: 0, counts: Counts::default() };
            let mut moved = move_items(job, parts, &run.id, shutdown, feed, moved, progress.clone()).await;
            if let Some((job, feed)) = then.filter(|_| !shutdown.halted())
                && let Err(error) = remove(&job, parts, &run.id, shutdown, feed, &mut moved, progress).await
            {
                shutdown.fail(error);
            }
            Some(moved)
        }
        Ok(None) => None,
        Err(error) => {
            shutdown.fail(error);
            None
        }
    };
    let mut failure = shutdown.take_failure();
    let mut complete = failure.is_none() && !shutdown.stopped() && job.kind.moves_checkpoint();
    let mut counts = Counts::default();
    if let Some(moved) = moved {
        counts = moved.counts;
        if complete {
            match finish(job, parts, &run.id, moved.resume, moved.batches + 1).await {
                Ok(Some(rest)) => counts += rest,
                // The next run reads on.
                Ok(None) => complete = false,
                Err(error) => {
                    complete = false;
                    failure = Some(error.context("the ledger could not be written"));
                }
            }
        }
    }
    let ending = match &failure {
        Some(_) => Ending::Failed,
        // A run that follows has no end but this one.
        None if shutdown.stopped() && !job.kind.is_endless() => Ending::Interrupted,
        None if counts.rejected + counts.in_doubt > 0 => Ending::Partial,
        None => Ending::Succeeded,
    };
    let error = failure.as_ref().map(sentence);
    let pause = match (&failure, &error) {
        (Some(failure), Some(error)) if failure.reaction() == Reaction::Pause => {
            PauseChange::Set(error.clone())
        }
        // Paused or not: the newest reason is the one to act on.
        (Some(_), Some(error)) => PauseChange::Explain(error.clone()),
        // Only a run that completed proves that the cause is fixed; one that follows never
        // completes, and proves it by a delivery.
        _ if !job.kind.is_endless() && matches!(ending, Ending::Succeeded | Ending::Partial) => {
            PauseChange::Lift
        }
        _ => PauseChange::Keep,
    };
    let failure = failure.as_ref().map(RunFailure::from);
    let at = parts.clock.now();
    // After one that failed or was stopped the sync stays due.
    let next_run = match ending {
        Ending::Succeeded | Ending::Partial => parts.next_run.as_ref().map(|after| after(&run, at)),
        _ => None,
    };
    let end = RunEnd { error, failure, complete, pause, next_run, ..RunEnd::new(ending, at) };
    parts.store.finish_run(&run.id, end).await
}

/// Sends rows that are gone, after everything else.
async fn remove<F: Transform>(
    job: &Job<F>,
    parts: &Parts,
    run: &RunId,
    shutdown: &Arc<Shutdown>,
    feed: Feed<F::Read>,
    moved: &mut Moved,
    progress: watch::Sender<Progress>,
) -> Result<(), Error> {
    let resume = ResumeState::load(parts.store.as_ref(), &job.sync, &job.retention, job.kind).await?;
    let before = Moved { resume, batches: moved.batches, counts: Counts::default() };
    let removed = move_items(job, parts, run, shutdown, feed, before, progress).await;
    moved.batches = removed.batches;
    moved.counts += removed.counts;
    if removed.counts.delivered > 0 {
        parts.store.forget_removed_users(run).await?;
    }
    Ok(())
}

/// What people read of a failure: the sentence, its cause, the next step. Of a refused secret, they are told whose
/// it is.
fn sentence(error: &Error) -> String {
    let (why, next) = (error.chain(), error.next_step());
    match error.connection().filter(|_| error.kind() == ErrorKind::Denied) {
        Some(connection) if !why.contains(&format!("`{connection}`")) => {
            format!("connection `{connection}`: {why}. Next: {next}")
        }
        _ => format!("{why}. Next: {next}"),
    }
}

/// What a run has moved so far.
struct Moved {
    /// What is left to resume.
    resume: ResumeState,
    /// The number of the last batch.
    batches: u64,
    /// What was committed.
    counts: Counts,
}

/// The pipeline itself. Batches are numbered after those that were moved before.
async fn move_items<F: Transform>(
    job: &Job<F>,
    parts: &Parts,
    run: &RunId,
    shutdown: &Arc<Shutdown>,
    feed: Feed<F::Read>,
    before: Moved,
    progress: watch::Sender<Progress>,
) -> Moved {
    let Moved { mut resume, batches, mut counts } = before;
    let limits = parts.rate_limiters.limits(job.destination.limits());
    let repeats = RepeatPolicy { idempotency: job.idempotency, resend: job.resend, notes: job.notes };
    let committer = Committer {
        store: parts.store.clone(),
        transform: job.transform.clone(),
        run: run.clone(),
        sync: job.sync.clone(),
        shutdown: shutdown.clone(),
        retention: job.retention.clone(),
        keeps_keys: (job.changed == Changed::Ignore).then_some(job.keys_for),
        keeps_users: job.keeps_users,
        counts_read: job.counts_read,
        cursor_state: job.cursor_state.clone(),
        mirror: job.mirror.as_ref().map(SharedMirrorState::checkpoint),
        chunks: std::mem::take(&mut resume.chunks).into(),
        any_failed: resume.any_failed,
        progress,
        kind: job.kind,
        proved: false,
        done: batches,
    };
    let (events, received) = mpsc::channel(256);
    let committer = tokio::spawn(committer.commit_all(received));
    let delivery = Delivery {
        destination: job.destination.clone(),
        connection: job.connection.clone(),
        transform: job.transform.clone(),
        rate_limiter: parts.rate_limiters.rate_limiter(&job.connection, limits.bucket, limits.rate),
        store: parts.store.clone(),
        run: run.clone(),
        shutdown: shutdown.clone(),
        clock: parts.clock.clone(),
        repeats,
        interval: if limits.single_user { limits.min_user_interval } else { Duration::ZERO },
        retry_for: job.retry_for,
        isolates: job.isolates,
    };
    let under_way = batches_under_way(&limits);
    let (to_send, incoming) = mpsc::channel(under_way);
    let (urgent_through, urgent) = watch::channel(0);
    let in_order = is_alone(&limits) && !limits.single_user;
    let sender = if in_order {
        let shutdown = shutdown.clone();
        tokio::spawn(
            Worker { limits, delivery, shutdown, incoming, urgent_through: urgent, events: events.clone() }
                .send_all(),
        )
    } else {
        let shutdown = shutdown.clone();
        tokio::spawn(
            Pool { limits, delivery, shutdown, incoming, urgent_through: urgent, events: events.clone() }
                .send_all(),
        )
    };
    let reader = Reader {
        transform: job.transform.clone(),
        destination: job.destination.clone(),
        shutdown: shutdown.clone(),
        batches,
        resume,
        repeats,
        clock: parts.clock.clone(),
        kind: job.kind,
        retention: job.retention.clone(),
        changed: job.changed,
        numbers: EqualRows::default(),
        restored: Restored::default(),
        standing: job.cursor_state.as_ref().map(|cursor_state| cursor_state.cursor.0.clone()),
        to_send,
        partitions: !in_order,
        events,
        under_way,
        window: Arc::new(Semaphore::new(under_way)),
        urgent_through,
    };
    let (resume, batches) = reader.read_all(feed).await;
    if let Err(fault) = sender.await {
        shutdown.fail(Error::internal("the sender of the run ended by an internal error").caused_by(fault));
    }
    counts += committer.await.unwrap_or_else(|fault| {
        shutdown
            .fail(Error::internal("the committer of the run ended by an internal error").caused_by(fault));
        Counts::default()
    });
    Moved { resume, batches, counts }
}

/// After a completed read: items that an earlier run sent and that the source no longer shows are listed, and
/// what was kept in case of an early end is cleared. Returns `None` if such items are left to the next run.
async fn finish<F: Transform>(
    job: &Job<F>,
    parts: &Parts,
    run: &RunId,
    mut resume: ResumeState,
    batch: u64,
) -> Result<Option<Counts>, Error> {
    let store = parts.store.as_ref();
    let counts = match job.notes {
        // What a mirror was about to send was taken over when it began: it is not in doubt.
        true => Some(Counts::default()),
        false => unfinished::list(store, (&job.sync, run), &job.retention, &mut resume, batch).await?,
    };
    if !matches!(job.retention, Retention::Lookback(..) | Retention::ByKey) {
        store.clear_lookback(run).await?;
    }
    Ok(counts)
}
