//! The cursor boundary: ties, late commits, future and empty cursors.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use tidegate_engine::service::Engine;
use tidegate_model::{
    Body, Cause, Checks, Connector, ConnectorContext, Destination, Ending, Error, Idempotency, Limits,
    ObjectKind, ObjectSpec, Platform, PlatformRole, Progress, Reason, Receipt, Record, Run, Settings, SyncId,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::{self, Database};

/// Counts how often each row took effect.
static EFFECTS: Mutex<Option<HashMap<String, u32>>> = Mutex::new(None);

struct Counting;

#[async_trait]
impl Destination<Record> for Counting {
    async fn check(&self) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    fn limits(&self) -> Limits {
        Limits { max_items: 75, max_in_flight: 4, linger: Duration::ZERO, ..Limits::GENEROUS }
    }

    fn estimated_size(&self, _: &Record) -> usize {
        1
    }

    fn validate(&self, _: &Record) -> Result<(), Reason> {
        Ok(())
    }

    async fn deliver(&self, items: &[Record]) -> Result<Receipt, Error> {
        let mut effects = EFFECTS.lock().expect("no panic while counting");
        let effects = effects.get_or_insert_default();
        for item in items {
            let Body::Event { name, .. } = &item.body else { panic!("an event") };
            *effects.entry(format!("{}:{}", name, item.label())).or_default() += 1;
        }
        Ok(Receipt::delivered(items.len()))
    }
}

impl Platform for Counting {
    fn object(&self) -> ObjectSpec {
        ObjectSpec { kind: ObjectKind::Event, idempotency: Idempotency::None, identifiers: &["external_id"] }
    }
}

const COUNTING: Connector = Connector {
    kind: "counting",
    title: "Counting",
    readme: "",
    icon: "",
    settings: || schemars::Schema::default(),
    platform: Some(PlatformRole {
        objects: &[ObjectKind::Event],
        target: || schemars::Schema::default(),
        open: |_: &Settings, _, _: &Settings, _: &ConnectorContext| Ok(Arc::new(Counting)),
        dry_run_response: |_| http::Response::new(bytes::Bytes::new()),
    }),
    ..Connector::EMPTY
};

/// One project over one table, with its state on disk.
struct Bench {
    engine: Engine,
    sync: SyncId,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(database: &Database, name: &str, rest: &str) -> Bench {
        let yaml = format!(
            "connections:\n  db: {}\n  platform: {{ type: counting }}\nsyncs:\n  {name}:\n{rest}    \
             destination: {{ connection: platform, object: event }}\n    \
             mapping: {{ external_id: id, name: {{ value: {name} }} }}\n    in_doubt: resend\n",
            database.connection().replace("tls: require", "tls: disable")
        );
        let folder = tempfile::tempdir().expect("a folder");
        let engine = support::engine(COUNTING, &yaml, folder.path()).await;
        Bench { engine, sync: SyncId::new(name), _folder: folder }
    }

    async fn run(&self) -> Run {
        let (progress, _) = watch::channel(Progress::default());
        let run = self
            .engine
            .run(&self.sync, Cause::Manual, CancellationToken::new(), progress)
            .await
            .expect("a run");
        assert!(matches!(run.ending, Some(Ending::Succeeded | Ending::Partial)), "{run:?}");
        run
    }

    /// How often each id took effect.
    fn effects(&self) -> HashMap<i64, u32> {
        let effects = EFFECTS.lock().expect("no panic while counting");
        let prefix = format!("{}:", self.sync);
        (effects.iter().flatten())
            .filter_map(|(key, count)| Some((key.strip_prefix(&prefix)?.parse().ok()?, *count)))
            .collect()
    }
}

fn cursor_on(table: &str) -> String {
    format!("    source: {{ connection: db, table: {table} }}\n    cursor: at\n    lookback: 10m\n")
}

fn once(ids: impl IntoIterator<Item = i64>) -> HashMap<i64, u32> {
    ids.into_iter().map(|id| (id, 1)).collect()
}

#[tokio::test]
async fn cursor_a_hundred_thousand_rows_with_one_timestamp_arrive_once() {
    let database = Database::create().await;
    database
        .run(
            "CREATE TABLE ties (id bigint PRIMARY KEY, at timestamptz NOT NULL);
             INSERT INTO ties SELECT n, '2026-01-01T00:00:00Z' FROM generate_series(1, 100000) n;
             CREATE INDEX ON ties (at)",
        )
        .await;
    let bench = Bench::new(&database, "ties", &cursor_on("ties")).await;
    let first = bench.run().await;
    assert_eq!((first.counts.read, first.counts.delivered), (100_000, 100_000));
    // A second run sees all of them again and sends none; one more tie is found among them.
    database.run("INSERT INTO ties VALUES (100001, '2026-01-01T00:00:00Z')").await;
    let second = bench.run().await;
    assert_eq!((second.counts.delivered, second.counts.skipped), (1, 100_000));
    assert_eq!(bench.effects(), once(1..=100_001));
}

#[tokio::test]
async fn cursor_a_row_that_commits_after_the_run_with_an_earlier_time_arrives_once() {
    let database = Database::create().await;
    database.run("CREATE TABLE late (id bigint PRIMARY KEY, at timestamptz NOT NULL)").await;
    let mut writer = database.another().await;
    let slow = writer.transaction().await.expect("a transaction");
    slow.batch_execute("INSERT INTO late VALUES (1, now() - interval '2 minutes')").await.expect("written");
    database.run("INSERT INTO late VALUES (2, now() - interval '1 minute')").await;
    let bench = Bench::new(&database, "late", &cursor_on("late")).await;
    assert_eq!(bench.run().await.counts.delivered, 1);
    slow.commit().await.expect("committed");
    assert_eq!(bench.run().await.counts.delivered, 1);
    assert_eq!(bench.run().await.counts.delivered, 0);
    assert_eq!(bench.effects(), once([1, 2]));
}

#[tokio::test]
async fn cursor_a_row_one_year_in_the_future_waits_and_hides_nothing() {
    let database = Database::create().await;
    database
        .run(
            "CREATE TABLE future (id bigint PRIMARY KEY, at timestamptz NOT NULL);
             INSERT INTO future VALUES (1, now() - interval '1 hour'), (2, now() + interval '1 year')",
        )
        .await;
    let bench = Bench::new(&database, "future", &cursor_on("future")).await;
    let run = bench.run().await;
    assert_eq!((run.counts.delivered, run.counts.not_due), (1, 1));
    database.run("INSERT INTO future VALUES (3, now())").await;
    assert_eq!(bench.run().await.counts.delivered, 1);
    // Its time comes.
    database.run("UPDATE future SET at = now() WHERE id = 2").await;
    let run = bench.run().await;
    assert_eq!((run.counts.delivered, run.counts.not_due), (1, 0));
    assert_eq!(bench.effects(), once([1, 2, 3]));
}

#[tokio::test]
async fn cursor_an_empty_cursor_is_rejected_with_its_reason_and_arrives_once_fixed() {
    let database = Database::create().await;
    database
        .run(
            "CREATE TABLE nulls (id bigint PRIMARY KEY, at timestamptz);
             INSERT INTO nulls VALUES (1, now()), (2, NULL)",
        )
        .await;
    let bench = Bench::new(&database, "nulls", &cursor_on("nulls")).await;
    let run = bench.run().await;
    assert_eq!((run.counts.delivered, run.counts.rejected), (1, 1));
    assert_eq!(run.ending, Some(Ending::Partial));
    let failed_rows = bench.engine.store().failed_rows(&bench.sync).await.expect("failed rows");
    assert_eq!(failed_rows.len(), 1);
    assert_eq!(failed_rows[0].entry.reason.as_ref().expect("a reason").code, "null_cursor");
    database.run("UPDATE nulls SET at = now() WHERE id = 2").await;
    assert_eq!(bench.run().await.counts.delivered, 1);
    assert!(bench.engine.store().failed_rows(&bench.sync).await.expect("failed rows").is_empty());
    assert_eq!(bench.effects(), once([1, 2]));
}

#[tokio::test]
async fn cursor_numbers_texts_and_wall_clocks_work_as_cursors() {
    let database = Database::create().await;
    for (name, column, values) in [
        ("ints", "bigint", ["1", "2", "2"]),
        (
            "decimals",
            "numeric",
            ["1.00000000000000000001", "1.00000000000000000002", "1.00000000000000000002"],
        ),
        ("texts", "text", ["'01J'", "'01K'", "'01K'"]),
        ("days", "date", ["'2026-01-01'", "'2026-01-02'", "'2026-01-02'"]),
        (
            "walls",
            "timestamp",
            ["'2026-01-01 00:00:00.000001'", "'2026-01-01 00:00:00.000002'", "'2026-01-01 00:00:00.000002'"],
        ),
    ] {
        database.run(&format!("CREATE TABLE {name} (id bigint PRIMARY KEY, at {column} NOT NULL)")).await;
        let source = format!("    source: {{ connection: db, table: {name} }}\n    cursor: at\n");
        let bench = Bench::new(&database, name, &source).await;
        for (id, value) in values.iter().enumerate() {
            database.run(&format!("INSERT INTO {name} VALUES ({id}, {value})")).await;
            assert_eq!(bench.run().await.counts.delivered, 1, "{name}: {value}");
        }
        assert_eq!(bench.run().await.counts.delivered, 0, "{name}");
        assert_eq!(bench.effects(), once(0..3), "{name}");
    }
}

#[tokio::test]
async fn cursor_a_wall_clock_ahead_of_utc_is_read_in_its_own_zone() {
    let database = Database::create().await;
    database
        .run(
            "CREATE TABLE zoned (id bigint PRIMARY KEY, at timestamp NOT NULL);
             INSERT INTO zoned VALUES (1, now() AT TIME ZONE 'Asia/Tokyo')",
        )
        .await;
    let utc = Bench::new(&database, "zoned_utc", &cursor_on("zoned")).await;
    assert_eq!(utc.run().await.counts.not_due, 1, "nine hours in the future of UTC");
    let local = cursor_on("zoned").replace("table: zoned", "table: zoned, time_zone: Asia/Tokyo");
    let tokyo = Bench::new(&database, "zoned_tokyo", &local).await;
    assert_eq!(tokyo.run().await.counts.delivered, 1);
}

/// What a writer or the sync does next.
#[derive(Clone, Debug)]
enum Step {
    /// Writer 0, 1 or 2 inserts a row some seconds back, beginning a transaction if it has none.
    Insert {
        writer: usize,
        seconds_back: u8,
    },
    /// The writer commits.
    Commit(usize),
    /// The writer gives up.
    Rollback(usize),
    Run,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3usize, 0..4u8).prop_map(|(writer, seconds_back)| Step::Insert { writer, seconds_back }),
        3 => (0..3usize).prop_map(Step::Commit),
        1 => (0..3usize).prop_map(Step::Rollback),
        3 => Just(Step::Run),
    ]
}

/// Plays one interleaving and says which rows did not take effect exactly once.
async fn interleave(
    database: &Database,
    writers: &[tokio_postgres::Client],
    name: &str,
    steps: &[Step],
) -> Vec<String> {
    database
        .run(&format!(
            "CREATE TABLE {name} (id bigint NOT NULL, at timestamptz NOT NULL); CREATE SEQUENCE {name}_ids"
        ))
        .await;
    let bench = Bench::new(database, name, &cursor_on(name)).await;
    let mut open = [false; 3];
    for step in steps {
        match step {
            Step::Insert { writer, seconds_back } => {
                let begin = if open[*writer] { "" } else { "BEGIN;" };
                open[*writer] = true;
                // Whole seconds make ties; the time is set when the row is written, not when it commits.
                let sql = format!(
                    "{begin} INSERT INTO {name} VALUES (nextval('{name}_ids'), date_trunc('second', clock_timestamp()) - interval '{seconds_back} s')"
                );
                writers[*writer].batch_execute(&sql).await.expect("written");
            }
            Step::Commit(writer) => {
                open[*writer] = false;
                writers[*writer].batch_execute("COMMIT").await.expect("committed");
            }
            Step::Rollback(writer) => {
                open[*writer] = false;
                writers[*writer].batch_execute("ROLLBACK").await.expect("rolled back");
            }
            Step::Run => {
                bench.run().await;
            }
        }
    }
    for writer in writers {
        writer.batch_execute("COMMIT").await.expect("committed");
    }
    bench.run().await;
    let rows = database.client.query(&format!("SELECT id FROM {name}"), &[]).await.expect("rows");
    let expected = once(rows.iter().map(|row| row.get::<_, i64>(0)));
    let effects = bench.effects();
    database.run(&format!("DROP TABLE {name}")).await;
    let mut wrong = Vec::new();
    for (id, times) in &effects {
        if expected.get(id) != Some(times) {
            wrong.push(format!("row {id} took effect {times} times"));
        }
    }
    wrong
        .extend(expected.keys().filter(|id| !effects.contains_key(id)).map(|id| format!("row {id} is lost")));
    wrong
}

/// How many interleavings are played in all; a thousand were seen to pass.
const INTERLEAVINGS: &str = "TIDEGATE_TEST_INTERLEAVINGS";
const SHARES: u32 = 4;

/// A share of the interleavings, so that they run beside each other.
fn interleavings(share: &str) {
    let all: u32 = std::env::var(INTERLEAVINGS).map_or(400, |all| all.parse().expect("a number"));
    let cases = all.div_ceil(SHARES);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (database, writers) = runtime.block_on(async {
        let database = Database::create().await;
        let writers = [database.another().await, database.another().await, database.another().await];
        (database, writers)
    });
    let next = std::cell::Cell::new(0u32);
    let mut runner =
        TestRunner::new(Cases { cases, max_shrink_iters: 40, failure_persistence: None, ..Cases::default() });
    let result = runner.run(&proptest::collection::vec(step(), 4..24), |steps| {
        next.set(next.get() + 1);
        let name = format!("t_{share}_{}", next.get());
        let wrong = runtime.block_on(interleave(&database, &writers, &name, &steps));
        prop_assert!(wrong.is_empty(), "{}", wrong.join(", "));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    assert!(next.get() >= cases);
}

#[test]
fn cursor_interleavings_of_writers_and_runs_deliver_each_row_once_in_the_first_quarter() {
    interleavings("a");
}

#[test]
fn cursor_interleavings_of_writers_and_runs_deliver_each_row_once_in_the_second_quarter() {
    interleavings("b");
}

#[test]
fn cursor_interleavings_of_writers_and_runs_deliver_each_row_once_in_the_third_quarter() {
    interleavings("c");
}

#[test]
fn cursor_interleavings_of_writers_and_runs_deliver_each_row_once_in_the_last_quarter() {
    interleavings("d");
}
