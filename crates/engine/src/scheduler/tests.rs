//! The scheduler on a driven clock.

mod calendar;
mod requested_work;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use tidegate_model::alert::ChannelType;
use tidegate_model::connector::{PlatformRole, SourceRole};
use tidegate_model::source::{Column, Dataset};
use tidegate_model::store::{RunHistory as _, RunLedger as _};
use tidegate_model::{
    Batch, Cause, Checkpoint, Checks, Clock, Columns, Connector, DataType, Destination, Ending, Error,
    ErrorKind, Feed, Http, HttpFailure, Idempotency, Lag, Limits, Mode, ObjectKind, ObjectSpec, Platform,
    Progress, ReadMode, Reason, Receipt, Record, Row, Run, Selection, Source, SyncId, Value,
};
use tidegate_testkit::{MemoryEventLog, MemoryStore};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::run;
use crate::pipeline::wait;
use crate::service::{Config, Engine};

thread_local! {
    /// Whether the source cannot be reached.
    pub(crate) static AWAY: Cell<bool> = const { Cell::new(false) };
    /// Whether a stream cannot be opened.
    static LOCKED: Cell<bool> = const { Cell::new(false) };
    /// How long the platform takes to answer.
    static LATENCY: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// Requests under way, and the most that there were.
    static UNDER_WAY: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
    /// The position of a stream that is read, and its end.
    pub(crate) static BEHIND: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
    /// How far the clock is ahead.
    pub(crate) static AHEAD: Cell<SignedDuration> = const { Cell::new(SignedDuration::ZERO) };
}

/// A clock that goes with the timers of the runtime.
struct Driven(Instant);

impl Clock for Driven {
    fn now(&self) -> Timestamp {
        let gone = SignedDuration::try_from(self.0.elapsed()).expect("a short time");
        Timestamp::UNIX_EPOCH + gone + AHEAD.get()
    }
}

struct Nowhere;

#[async_trait]
impl Http for Nowhere {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        panic!("nothing speaks HTTP here")
    }
}

/// A table of one row.
struct Table;

#[async_trait]
impl Source for Table {
    async fn check(&self, _: Option<&Selection>) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        Ok(Vec::new())
    }

    async fn describe(&self, _: &Selection) -> Result<Dataset, Error> {
        if AWAY.get() {
            return Err(Error::new(ErrorKind::Unavailable, "the table cannot be reached"));
        }
        let id = Column { name: "id".into(), data_type: DataType::Integer, type_name: "bigint".into() };
        Ok(Dataset { name: "t".into(), columns: vec![id], key: vec!["id".into()], open: false })
    }

    async fn read(&self, _: &Selection, _: &ReadMode, _: usize) -> Result<Feed<Row>, Error> {
        let row = Row { columns: Columns::new(["id"]), values: vec![Value::Int(1)] };
        Ok(futures_util::stream::iter([Ok(Batch::of(vec![row]))]).boxed())
    }

    async fn lag(&self, _: &Selection, _: Option<&Checkpoint>) -> Result<Vec<Lag>, Error> {
        let lag = |(position, end)| Lag {
            partition: "t[0]".to_owned(),
            position,
            end,
            behind: end - position,
            last_seen: None,
            per_minute: None,
            trouble: None,
        };
        Ok(BEHIND.get().map(lag).into_iter().collect())
    }
}

/// A platform that takes everything; with what sending it twice does.
struct Everything(Idempotency);

#[async_trait]
impl Destination<Record> for Everything {
    async fn check(&self) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    fn limits(&self) -> Limits {
        Limits { max_items: 10, max_in_flight: 1, ..Limits::GENEROUS }
    }

    fn estimated_size(&self, _: &Record) -> usize {
        1
    }

    fn validate(&self, _: &Record) -> Result<(), Reason> {
        Ok(())
    }

    async fn deliver(&self, items: &[Record]) -> Result<Receipt, Error> {
        let (now, most) = UNDER_WAY.get();
        UNDER_WAY.set((now + 1, most.max(now + 1)));
        wait::span(LATENCY.get()).await;
        let (now, most) = UNDER_WAY.get();
        UNDER_WAY.set((now - 1, most));
        Ok(Receipt::delivered(items.len()))
    }
}

impl Platform for Everything {
    fn object(&self) -> ObjectSpec {
        ObjectSpec { kind: ObjectKind::Event, idempotency: self.0, identifiers: &["external_id"] }
    }
}

const SYSTEM: Connector = Connector {
    kind: "system",
    title: "System",
    settings: schemars::Schema::default,
    source: Some(SourceRole {
        selection: schemars::Schema::default,
        modes: &[Mode::Full],
        keeps_checkpoint: false,
        open: |_, _| Ok(Arc::new(Table)),
    }),
    platform: Some(PlatformRole {
        objects: &[ObjectKind::Event],
        target: schemars::Schema::default,
        open: |_, _, _, _| Ok(Arc::new(Everything(Idempotency::Idempotent))),
        dry_run_response: |_| http::Response::new(Bytes::new()),
    }),
    ..Connector::EMPTY
};

fn table() -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "properties": { "table": { "type": "string" } } })
}

/// A system at which what is sent twice counts twice.
const COUNTER: Connector = Connector {
    kind: "counter",
    title: "Counter",
    source: Some(SourceRole {
        selection: table,
        modes: &[Mode::Full],
        keeps_checkpoint: false,
        open: |_, _| Ok(Arc::new(Table)),
    }),
    platform: Some(PlatformRole {
        objects: &[ObjectKind::Event, ObjectKind::Deletion],
        target: schemars::Schema::default,
        open: |_, _, _, _| Ok(Arc::new(Everything(Idempotency::None))),
        dry_run_response: |_| http::Response::new(Bytes::new()),
    }),
    ..SYSTEM
};

/// A stream that cannot be opened while its password is not there.
const STREAM: Connector = Connector {
    kind: "stream",
    title: "Stream",
    source: Some(SourceRole {
        selection: schemars::Schema::default,
        modes: &[Mode::Stream],
        keeps_checkpoint: true,
        open: |_, _| match LOCKED.get() {
            true => Err(Error::new(ErrorKind::Missing, "there is no password")),
            false => Ok(Arc::new(Table)),
        },
    }),
    ..SYSTEM
};

/// A project with syncs `s0`, `s1` … that run every quarter of an hour.
fn yaml(syncs: usize) -> String {
    let mut yaml = "connections:\n  a: { type: system }\nsyncs:\n".to_owned();
    for number in 0..syncs {
        yaml += &format!(
            "  s{number}:\n    source: {{ connection: a }}\n    mode: full\n    \
             destination: {{ connection: a, object: event }}\n    \
             mapping: {{ external_id: id, name: {{ value: e }} }}\n    schedule: {{ every: 15m }}\n"
        );
    }
    yaml
}

/// An engine and its scheduler.
pub(crate) struct Stage {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: MemoryStore,
    pub(crate) stop: CancellationToken,
    pub(crate) scheduler: JoinHandle<()>,
    /// Gives the scheduler the engine of another version of the project.
    engines: watch::Sender<Arc<Engine>>,
}

impl Stage {
    pub(crate) fn start(syncs: usize, runs_at_once: usize) -> Stage {
        Stage::of(&yaml(syncs), &[], runs_at_once)
    }

    pub(crate) fn of(yaml: &str, channels: &'static [ChannelType], runs_at_once: usize) -> Stage {
        let clock: Arc<dyn Clock> = Arc::new(Driven(Instant::now()));
        Stage::on(MemoryStore::new(clock), yaml, channels, runs_at_once)
    }

    /// The same on what is in a store.
    pub(crate) fn on(
        store: MemoryStore,
        yaml: &str,
        channels: &'static [ChannelType],
        runs_at_once: usize,
    ) -> Stage {
        let clock = store.clock();
        let project = tidegate_project::parse(yaml, "tidegate.yaml", &[SYSTEM, STREAM, COUNTER], channels);
        let engine = Arc::new(Engine::new(Config {
            connectors: &[SYSTEM, STREAM, COUNTER],
            channels,
            store: Arc::new(store.clone()),
            run_store: Arc::new(store.clone()),
            log: Arc::new(MemoryEventLog::new(clock.clone())),
            http: Arc::new(Nowhere),
            clock,
            project: project.unwrap_or_else(|error| panic!("{error:?}")),
            folder: "/".into(),
            data: "/".into(),
            log_days: 90,
            log_bytes: None,
            log_connection: None,
            runs_at_once,
        }));
        let stop = CancellationToken::new();
        let engines = watch::Sender::new(engine.clone());
        let scheduler = tokio::spawn(run(engines.subscribe(), stop.clone()));
        Stage { engine, store, stop, scheduler, engines }
    }

    /// Activates another version of the project.
    fn activate(&mut self, yaml: &str) {
        let project = tidegate_project::parse(yaml, "tidegate.yaml", &[SYSTEM], &[]);
        let project = project.unwrap_or_else(|error| panic!("{error:?}"));
        self.engine = Arc::new(self.engine.with_project(project));
        self.engines.send_replace(self.engine.clone());
    }

    /// Runs of a sync, oldest first.
    pub(crate) async fn runs(&self, sync: &str) -> Vec<Run> {
        let mut runs = self.store.runs(Some(&SyncId::new(sync)), 10_000).await.expect("runs");
        runs.reverse();
        runs
    }

    async fn next_run(&self, sync: &str) -> Option<Timestamp> {
        let state = self.store.sync_state(&SyncId::new(sync)).await.expect("state");
        state.next_run.map(|next| next.at)
    }

    async fn run_by_hand(&self, sync: &str) -> Run {
        let progress = watch::Sender::new(Progress::default());
        let run =
            self.engine.run(&SyncId::new(sync), Cause::Manual, CancellationToken::new(), progress).await;
        run.expect("a run")
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_run_that_failed_does_not_count_as_the_run_of_its_span() {
    AWAY.set(true);
    let stage = Stage::start(1, 8);
    wait::span(5 * MINUTE).await;

    let failed = stage.runs("s0").await;
    assert!(failed.len() >= 5 && failed.len() < 12, "{} attempts in five minutes", failed.len());
    for run in &failed {
        assert_eq!((run.ending, run.cause), (Some(Ending::Failed), Cause::Schedule));
        let why = run.error.as_deref().unwrap_or_default();
        assert!(why.contains("the table cannot be reached"), "{why}");
    }

    AWAY.set(false);
    wait::span(2 * MINUTE).await;
    let runs = stage.runs("s0").await;
    let (last, earlier) = runs.split_last().expect("runs");
    assert_eq!(last.ending, Some(Ending::Succeeded), "within a minute, not after fifteen");
    assert!(earlier.iter().all(|run| run.ending == Some(Ending::Failed)));
    assert_eq!(stage.next_run("s0").await, Some(last.started_at + SignedDuration::from_mins(15)));
}

#[tokio::test(start_paused = true)]
async fn a_run_by_hand_does_not_move_the_schedule() {
    let stage = Stage::start(1, 8);
    wait::span(MINUTE).await;
    let planned = stage.next_run("s0").await;
    assert_eq!(planned, Some(stage.runs("s0").await[0].started_at + SignedDuration::from_mins(15)));

    wait::span(5 * MINUTE).await;
    assert_eq!(stage.run_by_hand("s0").await.ending, Some(Ending::Succeeded));
    assert_eq!(stage.next_run("s0").await, planned);

    wait::span(10 * MINUTE).await;
    let causes: Vec<Cause> = stage.runs("s0").await.iter().map(|run| run.cause).collect();
    assert_eq!(causes, [Cause::Schedule, Cause::Manual, Cause::Schedule]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_a_hundred_days_ahead_for_a_minute_stops_no_schedule() {
    let stage = Stage::start(1, 8);
    wait::span(5 * MINUTE).await;
    AHEAD.set(SignedDuration::from_hours(24 * 100));
    wait::span(MINUTE).await;
    AHEAD.set(SignedDuration::ZERO);
    assert_eq!(stage.runs("s0").await.len(), 2, "it was due by that clock");

    wait::span(31 * MINUTE).await;
    assert_eq!(stage.runs("s0").await.len(), 4, "every fifteen minutes as before");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_stopped_is_made_up_for_at_the_next_start() {
    LATENCY.set(MINUTE);
    let stage = Stage::start(1, 8);
    wait::span(Duration::from_secs(2)).await;
    stage.stop.cancel();
    let stopping = Instant::now();
    stage.scheduler.await.expect("no panic");

    assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
    let state = stage.store.sync_state(&SyncId::new("s0")).await.expect("state");
    let next = state.next_run.expect("planned").at;
    assert!(next <= stage.engine.config.clock.now(), "it is due: {next}");
    LATENCY.set(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ended_while_its_process_was_stopped_is_not_made_again_at_the_next_start() {
    let stage = Stage::start(1, 8);
    stage.store.end_runs_in(MINUTE);
    wait::span(2 * Duration::from_secs(1)).await;
    assert_eq!(stage.runs("s0").await[0].ending, Some(Ending::Succeeded), "all of it was sent");
    stage.stop.cancel();
    stage.scheduler.await.expect("no panic");

    stage.store.end_runs_in(Duration::ZERO);
    let next = Stage::on(stage.store, &yaml(1), &[], 8);
    wait::span(MINUTE).await;
    let runs = next.runs("s0").await;
    assert_eq!(runs.len(), 1, "everything was sent again: {runs:?}");
    wait::span(15 * MINUTE).await;
    assert_eq!(next.runs("s0").await.len(), 2, "on its schedule");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_syncs_that_are_due_together_take_their_turns_and_all_finish() {
    LATENCY.set(Duration::from_millis(50));
    UNDER_WAY.set((0, 0));
    let stage = Stage::start(1_000, 8);
    wait::span(Duration::from_secs(2)).await;
    let statuses = stage.engine.status().await.expect("status");
    let waiting = statuses.iter().filter(|status| status.waiting).count();
    assert!(waiting > 500, "{waiting} say that they wait for their turn");

    wait::span(2 * MINUTE).await;
    let runs = stage.store.runs(None, 10_000).await.expect("runs");
    let done = runs.iter().filter(|run| run.ending == Some(Ending::Succeeded)).count();
    assert_eq!((runs.len(), done), (1_000, 1_000));
    let (_, most) = UNDER_WAY.get();
    assert!(most <= 8, "{most} at once");
    LATENCY.set(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_is_held_is_reset_by_its_holder() {
    LATENCY.set(5 * Duration::from_secs(1));
    let stage = Stage::start(1, 8);
    wait::span(Duration::from_secs(2)).await;

    stage.engine.reset(&SyncId::new("s0")).await.expect("done by the process that holds it");

    assert_eq!(stage.runs("s0").await[0].ending, Some(Ending::Succeeded), "its run came to its end first");
    LATENCY.set(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_password_comes_late_is_said_to_fail_and_runs_once_it_is_there() {
    LOCKED.set(true);
    let yaml = "connections:\n  a: { type: stream }\n  b: { type: system }\nsyncs:\n  s:\n    \
                source: { connection: a }\n    destination: { connection: b, object: event }\n    \
                mapping: { external_id: id, name: { value: e } }\n";
    let stage = Stage::of(yaml, &[], 8);
    wait::span(Duration::from_secs(5)).await;
    let failed = stage.runs("s").await;
    let why = failed.first().and_then(|run| run.error.as_deref()).unwrap_or_default();
    assert!(why.contains("there is no password"), "{failed:?}");

    LOCKED.set(false);
    wait::span(2 * MINUTE).await;
    assert_eq!(stage.runs("s").await.last().and_then(|run| run.ending), Some(Ending::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_is_added_runs_at_once_one_that_is_removed_no_longer_and_the_others_as_before() {
    let mut stage = Stage::start(2, 8);
    wait::span(MINUTE).await;
    let planned = stage.next_run("s0").await;

    stage.activate(&yaml(3).replace("  s1:", "  other:"));
    wait::span(MINUTE).await;
    assert_eq!(stage.next_run("s0").await, planned, "nothing about it changed");
    assert_eq!((stage.runs("other").await.len(), stage.runs("s2").await.len()), (1, 1));

    wait::span(30 * MINUTE).await;
    assert_eq!(stage.runs("s0").await.len(), 3, "every fifteen minutes");
    assert_eq!(stage.runs("s1").await.len(), 1, "it is not in the project any more");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_under_way_while_its_sync_changes_comes_to_its_end() {
    LATENCY.set(MINUTE);
    let mut stage = Stage::start(1, 8);
    wait::span(Duration::from_secs(2)).await;

    stage.activate(&yaml(1).replace("every: 15m", "every: 5m"));
    wait::span(2 * MINUTE).await;
    let runs = stage.runs("s0").await;
    assert_eq!(runs[0].ending, Some(Ending::Succeeded), "it was not cut off");
    LATENCY.set(Duration::ZERO);

    wait::span(12 * MINUTE).await;
    let runs = stage.runs("s0").await;
    assert!(runs.len() >= 3, "{} runs by the new schedule", runs.len());
    assert!(runs.iter().all(|run| run.ending == Some(Ending::Succeeded)));
}
