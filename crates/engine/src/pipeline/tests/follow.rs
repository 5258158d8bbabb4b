//! Runs that follow a stream, and exports.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use tidegate_model::store::{BatchCommit, FailedRowQuery, Pause, PausedBy, RowResult, RowStatus, RunEnd};
use tidegate_model::{Checkpoint, Event, EventLog, EventSelection, Json, LoggedEvent, Sink, StreamId, Text};
use tidegate_testkit::MemoryEventLog;

use super::*;
use crate::pipeline::{Export, run_export};

/// A stream of rows that a test goes on writing to.
struct Topic {
    rows: Arc<tokio::sync::Mutex<tokio::sync::mpsc::UnboundedReceiver<Row>>>,
    committed: Arc<Mutex<Vec<i64>>>,
}

#[async_trait]
impl Source for Topic {
    async fn check(&self, _: Option<&Selection>) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        Ok(Vec::new())
    }

    async fn describe(&self, selection: &Selection) -> Result<Dataset, Error> {
        Table::default().describe(selection).await
    }

    async fn read(&self, _: &Selection, mode: &ReadMode, _: usize) -> Result<Feed<Row>, Error> {
        assert!(matches!(mode, ReadMode::Resume { follow: true, .. }), "{mode:?}");
        let rows = self.rows.clone().lock_owned().await;
        let batches = futures_util::stream::unfold(rows, |mut rows| async {
            let row = rows.recv().await?;
            let checkpoint = Checkpoint(serde_json::json!(row.get("id").and_then(|id| match id {
                Value::Int(id) => Some(*id),
                _ => None,
            })));
            Some((Ok(Batch { checkpoint: Some(checkpoint), ..Batch::of(vec![row]) }), rows))
        });
        Ok(batches.boxed())
    }

    fn supports_streaming(&self) -> bool {
        true
    }

    async fn committed(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.committed.lock().expect("no panic").push(checkpoint.0.as_i64().expect("a number"));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_follows_sends_what_comes_and_tells_the_source_after_the_effect() {
    let (write, rows) = tokio::sync::mpsc::unbounded_channel();
    let committed = Arc::new(Mutex::new(Vec::<i64>::new()));
    let told = committed.clone();
    // When an answer is given, nothing of it may have been told to the source.
    let early = Arc::new(AtomicU64::new(0));
    let seen = early.clone();
    let answer: Answer = Box::new(move |ids| {
        let told = told.lock().expect("no panic");
        seen.fetch_add(ids.iter().filter(|id| told.contains(id)).count() as u64, Ordering::Relaxed);
        Ok(vec![Outcome::Delivered; ids.len()])
    });
    let mut stage = Stage::new(&Table::default(), Idempotency::Idempotent, one_worker(), answer);
    stage.import.source = Arc::new(Topic { rows: Arc::new(rows.into()), committed: committed.clone() });
    stage.import.tracking = ChangeTracking::Checkpoint;
    let columns = columns();
    tokio::spawn(async move {
        for id in 0..50 {
            let values = vec![Value::Int(id), Value::Text("u".into()), Value::Int(id)];
            write.send(Row { columns: columns.clone(), values }).expect("somebody reads");
            crate::pipeline::wait::span(Duration::from_millis(100)).await;
        }
        std::future::pending::<()>().await;
    });
    let run = stage.run_until(stop_after(Duration::from_secs(10)), Input::Following).await;
    assert_eq!(run.ending, Some(Ending::Succeeded), "{:?}", run.error);
    assert_eq!(run.counts.delivered, 50);
    assert_eq!(early.load(Ordering::Relaxed), 0);
    assert_eq!(*committed.lock().expect("no panic"), (0..50).collect::<Vec<_>>());
}

/// Fills what is kept of a sync, and returns the key of the row that does.
async fn fill(stage: &Stage) -> RowHash {
    let at = Timestamp::UNIX_EPOCH;
    let run = stage.store.start_run(&stage.parts.lease, ObjectKind::Event, Cause::Manual, at).await;
    let run = run.expect("started").id;
    // The values share one text.
    let values = vec![Value::Text("x".repeat(64 << 10).into()); 4_096];
    let columns = Columns::new((0..values.len()).map(|at| at.to_string()));
    let row = RowResult {
        key: RowHash(1),
        key_text: "large".into(),
        row: RowHash(1),
        user: Text::new(),
        status: RowStatus::Rejected(Reason::new("bad", "bad")),
        payload: Some(Row { columns, values }.into()),
    };
    let commit = BatchCommit { results: vec![row], ..BatchCommit::default() };
    stage.store.commit_batch(&run, commit).await.expect("committed");
    stage.store.finish_run(&run, RunEnd::new(Ending::Partial, at)).await.expect("finished");
    RowHash(1)
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_dismissed_make_room_for_later_ones_of_a_run_that_follows() {
    let (write, rows) = tokio::sync::mpsc::unbounded_channel();
    let bad = || Outcome::Rejected(Reason::new("bad", "not like this"));
    let answer: Answer = Box::new(move |ids| Ok(ids.iter().map(|_| bad()).collect()));
    let mut stage = Stage::new(&Table::default(), Idempotency::Idempotent, one_worker(), answer);
    stage.import.source = Arc::new(Topic { rows: Arc::new(rows.into()), committed: Arc::default() });
    stage.import.tracking = ChangeTracking::Checkpoint;
    let key = Some(fill(&stage).await);
    let sync = SyncId::new("s");
    let send = |id| {
        let values = vec![Value::Int(id), Value::Text("u".into()), Value::Int(id)];
        write.send(Row { columns: columns(), values }).expect("the run reads");
    };
    send(7);
    let (_, dismissed) =
        tokio::join!(stage.run_until(stop_after(Duration::from_secs(60)), Input::Following), async {
            crate::pipeline::wait::span(Duration::from_secs(5)).await;
            let query =
                FailedRowQuery { sync: Some(sync.clone()), key, limit: 9, ..FailedRowQuery::default() };
            let at = Timestamp::UNIX_EPOCH;
            let dismissed = stage.store.dismiss_failed_rows(&query, "large", at).await;
            send(8);
            dismissed.expect("dismissed")
        });
    assert_eq!(dismissed, 1);
    let kept = stage.store.failed_rows(&sync).await.expect("failed rows").into_iter();
    let mut kept: Vec<_> = kept.map(|row| (row.entry.key, row.entry.payload.expect("kept"))).collect();
    kept.sort_by(|one, other| one.0.cmp(&other.0));
    let whole: Vec<_> = kept.iter().map(|(key, row)| (key.as_str(), row.is_whole())).collect();
    assert_eq!(whole, [("7", false), ("8", true)]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_follows_ends_the_pause_with_what_it_delivers_and_not_before() {
    let (write, rows) = tokio::sync::mpsc::unbounded_channel();
    let mut stage = Stage::new(&Table::default(), Idempotency::Idempotent, one_worker(), all_delivered());
    stage.import.source = Arc::new(Topic { rows: Arc::new(rows.into()), committed: Arc::default() });
    stage.import.tracking = ChangeTracking::Checkpoint;
    let sync = SyncId::new("s");
    let pause = Pause::new(PausedBy::System, "the key was revoked", Timestamp::MIN);
    stage.store.set_paused(&sync, Some(pause.clone())).await.expect("paused");

    let idle = stage.run_until(stop_after(Duration::from_secs(1)), Input::Following).await;
    assert_eq!(idle.ending, Some(Ending::Succeeded), "{:?}", idle.error);
    assert_eq!(stage.store.sync_state(&sync).await.expect("state").paused, Some(pause));

    let values = vec![Value::Int(1), Value::Text("u".into()), Value::Int(1)];
    write.send(Row { columns: columns(), values }).expect("somebody reads");
    let stop = stop_after(Duration::from_secs(60));
    let (run, paused) = tokio::join!(stage.run_until(stop, Input::Following), async {
        crate::pipeline::wait::span(Duration::from_secs(5)).await;
        stage.store.sync_state(&sync).await.expect("state").paused
    });
    assert_eq!(paused, None, "it is active while it goes on");
    assert_eq!(run.counts.delivered, 1);
}

/// Takes events, and answers as it is told.
struct Tank {
    limits: Limits,
    taken: Mutex<Vec<(Instant, Vec<LoggedEvent>)>>,
    fails: Mutex<Vec<Error>>,
}

#[async_trait]
impl Destination<LoggedEvent> for Tank {
    async fn check(&self) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn estimated_size(&self, logged: &LoggedEvent) -> usize {
        logged.event.estimated_size()
    }

    fn validate(&self, logged: &LoggedEvent) -> Result<(), Reason> {
        match logged.event.kind.as_ref() as &str {
            "bad" => Err(Reason::new("bad", "the sink does not take it")),
            _ => Ok(()),
        }
    }

    async fn deliver(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        crate::pipeline::wait::span(Duration::from_millis(10)).await;
        if let Some(error) = self.fails.lock().expect("no panic").pop() {
            return Err(error);
        }
        self.taken.lock().expect("no panic").push((Instant::now(), items.to_vec()));
        Ok(Receipt::delivered(items.len()))
    }
}

impl Tank {
    fn ids(&self) -> Vec<String> {
        let taken = self.taken.lock().expect("no panic");
        taken.iter().flat_map(|(_, items)| items).map(|logged| logged.event.id.to_string()).collect()
    }
}

pub(super) fn event(id: u64, kind: &str) -> Event {
    Event {
        id: id.to_string().into(),
        kind: kind.into(),
        at: Timestamp::UNIX_EPOCH,
        user: format!("u{}", id % 7).into(),
        app: Text::new(),
        message: Text::new(),
        template: Text::new(),
        payload: Json::empty_object(),
    }
}

/// An export of a log in memory.
pub(super) struct ExportStage {
    pub(super) export: Export,
    log: Arc<MemoryEventLog>,
    tank: Arc<Tank>,
    store: MemoryStore,
    parts: Parts,
}

impl ExportStage {
    pub(super) fn new(limits: Limits) -> ExportStage {
        let clock = Arc::new(ManualClock::default());
        let store = MemoryStore::new(clock.clone());
        let log = Arc::new(MemoryEventLog::new(clock.clone()));
        let tank = Arc::new(Tank { limits, taken: Mutex::default(), fails: Mutex::default() });
        let sink: Arc<Sink> = tank.clone();
        let export = Export {
            sync: SyncId::new("s"),
            log: log.clone(),
            stream: StreamId::new("in"),
            selection: EventSelection::default(),
            since: Timestamp::MIN,
            connection: ConnectionId::new("lake"),
            sink,
            retry_for: Duration::from_secs(60),
        };
        let parts = Parts {
            store: Arc::new(store.clone()),
            clock,
            rate_limiters: Arc::new(RateLimiters::default()),
            lease: Unshared::lease(&export.sync),
            next_run: None,
        };
        ExportStage { export, log, tank, store, parts }
    }

    pub(super) async fn log(&self, events: impl IntoIterator<Item = Event>) {
        self.log.append(&self.export.stream, events.into_iter().collect()).await.expect("logged");
    }

    pub(super) async fn run(&self, follow: bool, stop: CancellationToken) -> Run {
        let (progress, _) = watch::channel(Progress::default());
        run_export(&self.export, &self.parts, Cause::Schedule, follow, stop, progress)
            .await
            .expect("the ledger works")
    }
}

#[tokio::test(start_paused = true)]
async fn an_export_takes_what_is_chosen_once_and_goes_on_where_it_was() {
    let mut stage = ExportStage::new(Limits { max_items: 10, ..Limits::GENEROUS });
    stage.export.selection = serde_json::from_str(r#"{"kinds":["a","bad"]}"#).expect("a selection");
    stage.log((0..100).map(|id| event(id, if id % 2 == 0 { "a" } else { "b" }))).await;
    stage.log([event(1_000, "bad")]).await;
    let run = stage.run(false, CancellationToken::new()).await;
    assert_eq!(run.ending, Some(Ending::Partial));
    assert_eq!((run.counts.delivered, run.counts.rejected), (50, 1));
    stage.log([event(200, "a"), event(201, "b")]).await;
    let run = stage.run(false, CancellationToken::new()).await;
    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Succeeded), 1));
    let mut ids = stage.tank.ids();
    ids.sort_by_key(|id| id.parse::<u64>().expect("a number"));
    assert_eq!(ids, (0..100).step_by(2).chain([200]).map(|id: u64| id.to_string()).collect::<Vec<_>>());
    // The ledger keeps what was not taken, with the event; the log keeps the rest.
    let failed_rows = stage.store.failed_rows(&stage.export.sync).await.expect("failed rows");
    assert_eq!(
        failed_rows.iter().map(|failed_row| failed_row.entry.key.as_str()).collect::<Vec<_>>(),
        ["1000"]
    );
    let payload = failed_rows[0].entry.payload.as_ref().expect("the event");
    assert_eq!(payload.row().get("event_kind"), Some(&Value::Text("bad".into())));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_others_only_while_others_can_come() {
    // Larger than everything that may be under way, and patient for an hour.
    let limits = Limits {
        max_items: 1_000_000,
        max_in_flight: 1,
        linger: Duration::from_secs(3_600),
        ..Limits::GENEROUS
    };
    let stage = ExportStage::new(limits);
    for part in 0..100 {
        stage.log((0..100).map(|id| event(part * 100 + id, "a"))).await;
    }
    let before = Instant::now();
    let run = stage.run(false, CancellationToken::new()).await;
    assert_eq!(run.counts.delivered, 10_000);
    assert!(before.elapsed() < Duration::from_secs(60), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_full_leaves_when_its_first_event_has_waited() {
    let linger = Duration::from_secs(5);
    let stage = ExportStage::new(Limits { max_items: 1_000, max_in_flight: 1, linger, ..Limits::GENEROUS });
    let began = Instant::now();
    let trickle = async {
        // Always another one before the wait is over: the wait must not begin again.
        for id in 0..20 {
            stage.log([event(id, "a")]).await;
            crate::pipeline::wait::span(Duration::from_secs(1)).await;
        }
    };
    let (run, ()) = tokio::join!(stage.run(true, stop_after(Duration::from_secs(30))), trickle);
    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Succeeded), 20));
    let first = stage.tank.taken.lock().expect("no panic")[0].0 - began;
    assert!(first < Duration::from_secs(7), "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn an_export_that_ends_early_sends_the_rest_with_its_next_run() {
    let stage = ExportStage::new(Limits { max_items: 10, max_in_flight: 3, ..Limits::GENEROUS });
    stage.log((0..5_000).map(|id| event(id, "a"))).await;
    for _ in 0..5 {
        stage.tank.fails.lock().expect("no panic").push(Error::new(ErrorKind::Denied, "no"));
        let run = stage.run(false, stop_after(Duration::from_millis(400))).await;
        assert_eq!(run.ending, Some(Ending::Failed));
        let run = stage.run(false, stop_after(Duration::from_millis(105))).await;
        assert_eq!(run.ending, Some(Ending::Interrupted), "{:?}", run.error);
    }
    stage.run(false, CancellationToken::new()).await;
    let ids = stage.tank.ids();
    assert_eq!(ids.len(), 5_000);
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_slow_stream_fills_requests_for_as_long_as_they_may_wait() {
    let linger = Duration::from_secs(60);
    let stage = ExportStage::new(Limits { max_items: 50_000, max_in_flight: 1, linger, ..Limits::GENEROUS });
    let began = Instant::now();
    let trickle = async {
        for id in 0..300 {
            stage.log([event(id, "a")]).await;
            crate::pipeline::wait::span(Duration::from_secs(1)).await;
        }
    };
    let (run, ()) = tokio::join!(stage.run(true, stop_after(Duration::from_secs(400))), trickle);
    assert_eq!((run.ending, run.counts.delivered), (Some(Ending::Succeeded), 300));
    let taken = stage.tank.taken.lock().expect("no panic");
    assert!(taken.len() <= 6, "{} requests for 300 events in five minutes", taken.len());
    let first = taken[0].0 - began;
    assert!(first < linger + linger / 2, "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_follows_is_no_longer_called_paused_once_something_was_delivered() {
    let stage = ExportStage::new(Limits { max_in_flight: 1, ..Limits::GENEROUS });
    let why = Pause::new(PausedBy::System, "denied", Timestamp::UNIX_EPOCH);
    stage.store.set_paused(&stage.export.sync, Some(why)).await.expect("paused");
    let paused = || async { stage.store.sync_state(&stage.export.sync).await.expect("state").paused };
    // One that only waited has proved nothing.
    stage.run(true, stop_after(Duration::from_secs(5))).await;
    assert!(paused().await.is_some());
    let look = async {
        stage.log([event(1, "a")]).await;
        crate::pipeline::wait::span(Duration::from_secs(5)).await;
        assert!(paused().await.is_none(), "it delivers and is still called paused");
    };
    tokio::join!(stage.run(true, stop_after(Duration::from_secs(10))), look);
}

/// Lines of a file: equal ones are different rows, and some are none; `!x` says that `x`
/// was fixed. The place is the number of lines before it.
fn lines_of(lines: Vec<&'static str>, batch: usize) -> GivenSource {
    GivenSource::new(dataset(), move |mode| {
        let ReadMode::Resume { checkpoint, .. } = mode else { panic!("{mode:?}") };
        let from = checkpoint.as_ref().and_then(|checkpoint| checkpoint.0.as_u64()).unwrap_or(0) as usize;
        let columns = columns();
        let batches = lines[from..].chunks(batch).enumerate().map(|(at, lines)| {
            let row = |id: i64| Row {
                columns: columns.clone(),
                values: vec![Value::Int(id), Value::Text(format!("u{id}").into()), Value::Int(0)],
            };
            let checkpoint = from + (at * batch) + lines.len();
            let mut batch = Batch::of(Vec::new());
            for line in lines {
                match (line.parse(), line.strip_prefix('!')) {
                    (Ok(id), _) => batch.items.push(row(id)),
                    (Err(_), Some(fixed)) => batch.fixed.push(fixed.to_owned()),
                    (Err(_), None) => batch.push_malformed(tidegate_model::MalformedRecord::new(
                        *line,
                        *line,
                        Reason::new("torn", "no row"),
                    )),
                }
            }
            batch.checkpoint = Some(Checkpoint(serde_json::json!(checkpoint)));
            batch
        });
        Ok(batches.collect())
    })
}

/// An import of lines; each occurrence of an id in `stuck` ends the run once.
fn lines(lines: &[&'static str], batch: usize, stuck: &[i64]) -> (Stage, Arc<Mutex<Vec<i64>>>) {
    let stuck = Arc::new(Mutex::new(stuck.to_vec()));
    let fatal = stuck.clone();
    let answer: Answer = Box::new(move |ids| {
        let mut stuck = stuck.lock().expect("no panic");
        match stuck.iter().position(|id| ids.contains(id)) {
            Some(at) => {
                stuck.remove(at);
                Err(Error::new(ErrorKind::Denied, "no"))
            }
            None => Ok(vec![Outcome::Delivered; ids.len()]),
        }
    });
    let limits = Limits { max_items: 1, max_in_flight: 2, linger: Duration::ZERO, ..Limits::GENEROUS };
    let mut stage = Stage::new(&Table::default(), Idempotency::Idempotent, limits, answer);
    stage.import.source = Arc::new(lines_of(lines.to_vec(), batch));
    stage.import.tracking = ChangeTracking::Checkpoint;
    (stage, fatal)
}

#[tokio::test(start_paused = true)]
async fn a_line_that_looks_like_one_committed_before_an_early_end_is_sent() {
    // Wherever two runs in a row end early: the lines 1 and 2 at the end are new ones.
    for first in 1..8 {
        for second in first..8 {
            let (stage, _) = lines(&["1", "2", "x", "3", "4", "5", "6", "7", "1", "2"], 2, &[first, second]);
            for _ in 0..3 {
                stage.run().await;
            }
            let sent = stage.sent();
            let failed = |id| u32::from(id == first) + u32::from(id == second);
            for (id, times) in [(1, 2), (2, 2), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1)] {
                assert_eq!(sent[&id], times + failed(id), "{id} after {first} and {second}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_is_told_once() {
    let (stage, _) = lines(&["1", "x", "2", "3"], 4, &[3]);
    stage.run().await;
    stage.run().await;
    let query = tidegate_model::store::RowQuery { limit: 100, ..Default::default() };
    let told = stage.store.rows(&query).await.expect("rows");
    assert_eq!(told.iter().filter(|row| row.key == "x").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_is_closed_when_it_was_fixed() {
    for (read, open) in [
        (vec!["1", "x", "y", "2", "!x", "3"], vec!["y"]),
        (vec!["1", "x", "!x", "2"], vec!["x"]),
        (vec!["!x", "1"], vec![]),
    ] {
        let (stage, _) = lines(&read, 3, &[]);
        stage.run().await;
        let failed_rows = stage.store.failed_rows(&stage.import.sync).await.expect("failed rows");
        let keys: Vec<&str> = failed_rows.iter().map(|failed_row| failed_row.entry.key.as_str()).collect();
        assert_eq!(keys, open, "{read:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_large_event_that_a_sink_does_not_take_the_id_is_kept() {
    let stage = ExportStage::new(Limits::GENEROUS);
    let large = Event {
        kind: "bad".into(),
        payload: Json::trusted(format!(r#"{{"text":"{}"}}"#, "x".repeat(1 << 20))),
        ..event(1, "a")
    };
    stage.log([large]).await;
    assert_eq!(stage.run(false, CancellationToken::new()).await.counts.rejected, 1);
    let failed_rows = stage.store.failed_rows(&stage.export.sync).await.expect("failed rows");
    let kept = failed_rows[0].entry.payload.as_ref().expect("the event").to_json();
    assert!(kept.as_str().starts_with(r#"{"cut":"payload","event_id":"1""#), "{}", kept.as_str());
}
