//! What is kept does not grow with the number of runs, nor a run with what is kept.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use jiff::SignedDuration;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};
use tempfile::TempDir;
use tidegate_model::store::{BatchCommit, LookbackChunk, NextRun, RowStatus, RowVersion, RunEnd};
use tidegate_model::{
    Cause, Checkpoint, Clock as _, Counts, Ending, ObjectKind, RowHash, Store, SyncId, Value,
};
use tidegate_state::StateConfig;
use tidegate_testkit::{ManualClock, rows};

use crate::embedded::config;

/// Runs that a process has at once: those that are due together wait for their turn.
const AT_ONCE: usize = 8;

/// Syncs that run for a number of days, a number of times a day.
struct Months {
    syncs: u64,
    runs_a_day: u64,
    days: u64,
}

/// What stands at the end of a day.
#[derive(Debug)]
struct Standing {
    files: usize,
    rows: i64,
    /// Of a run, on average.
    took: Duration,
}

/// One run as the engine makes it: three new rows, one of which fails every other time.
async fn run(store: &dyn Store, clock: &ManualClock, sync: &SyncId, number: u64) {
    let claim = store.claim(sync).await.expect("asked").taken().expect("free");
    store.sync_state(sync).await.expect("state");
    store.open_intents(sync).await.expect("intents");
    store.failed_row_totals(sync).await.expect("totals");
    let (at, id) = (clock.now(), i64::try_from(number).expect("small") * 3);
    let run = store.start_run(&claim, ObjectKind::User, Cause::Schedule, at).await.expect("started");
    let lookback = store.lookback(sync).await.expect("opened");
    lookback.find(&[rows::key(id)]).await.expect("found");
    let seq = lookback.chunks().last().map_or(0, |(seq, _)| seq + 1);
    let status = if number.is_multiple_of(2) { rows::rejected() } else { RowStatus::Delivered };
    let results = vec![
        rows::result(id, RowStatus::Delivered),
        rows::result(id + 1, RowStatus::Delivered),
        rows::result(1, status.clone()),
    ];
    let remembered = results.iter().map(|row| RowVersion { key: row.key, row: row.row }).collect();
    let commit = BatchCommit {
        checkpoint: Some(Checkpoint(serde_json::json!({ "at": number }))),
        counts: Counts { read: 3, delivered: 2, ..Counts::default() },
        remember: Some(LookbackChunk { seq, high: Some(Value::Int(id)), rows: remembered }),
        forget_through: seq.checked_sub(2),
        solved: if status == RowStatus::Delivered { vec![rows::key(1)] } else { Vec::new() },
        results,
        ..BatchCommit::default()
    };
    store.commit_batch(&run.id, commit).await.expect("committed");
    let end = RunEnd { complete: true, ..RunEnd::new(Ending::Succeeded, clock.now()) };
    store.finish_run(&run.id, end).await.expect("finished");
    let next = NextRun { schedule: "every 15m".to_owned(), at };
    store.plan_run(sync, next).await.expect("planned");
    claim.release().await;
}

/// The number of files below a folder.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("listed");
    entries
        .map(|entry| entry.expect("entry").path())
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

/// The number of rows in all tables.
async fn table_rows(data: &Path) -> i64 {
    let url = data.join("tidegate.db").display().to_string();
    let mut database = SqliteConnection::connect(&url).await.expect("database");
    let tables = sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table'");
    let mut sum = 0;
    for table in tables.fetch_all(&mut database).await.expect("tables") {
        let count = format!("SELECT COUNT(*) FROM {}", table.get::<String, _>(0));
        sum +=
            sqlx::query_scalar::<_, i64>(AssertSqlSafe(count)).fetch_one(&mut database).await.expect("count");
    }
    sum
}

/// Drives the clock through the months. Returns what stands at the end of day 10 and of the last.
async fn drive(data: &Path, months: &Months) -> (Standing, Standing) {
    let clock = ManualClock::default();
    let open = StateConfig { history_days: 7, ..config(data, &clock) };
    let store = tidegate_state::open(open).await.expect("opened");
    let syncs: Vec<SyncId> = (0..months.syncs).map(|number| SyncId::new(format!("sync-{number}"))).collect();
    let span = SignedDuration::from_hours(24) / i32::try_from(months.runs_a_day).expect("small");
    let mut on_day_10 = None;
    for day in 1..=months.days {
        let began = Instant::now();
        for number in 0..months.runs_a_day {
            clock.advance(span);
            let number = day * months.runs_a_day + number;
            let due = stream::iter(&syncs);
            due.for_each_concurrent(AT_ONCE, |sync| run(&*store, &clock, sync, number)).await;
        }
        let runs = u32::try_from(months.runs_a_day * months.syncs).expect("small");
        let took = began.elapsed() / runs;
        if day == 10 || day == months.days {
            let standing = Standing { files: files(data), rows: table_rows(data).await, took };
            if day == months.days {
                return (on_day_10.expect("more than ten days"), standing);
            }
            on_day_10 = Some(standing);
        }
    }
    unreachable!("the last day was driven")
}

/// Asserts that one number is within a tenth of another.
fn near(before: f64, after: f64, what: &str) {
    assert!((after - before).abs() <= before / 10.0, "{what}: {before} on day 10, {after} on the last day");
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn held(day_10: &Standing, last: &Standing) {
    near(day_10.files as f64, last.files as f64, "files");
    near(day_10.rows as f64, last.rows as f64, "rows in the store");
}

#[tokio::test]
async fn files_and_rows_of_a_month_of_runs_are_those_of_its_tenth_day() {
    let data = tempfile::tempdir().expect("folder");
    let (day_10, last) = drive(data.path(), &Months { syncs: 2, runs_a_day: 12, days: 24 }).await;
    held(&day_10, &last);
    assert!(last.files < 100, "{last:?}");
}

/// What is remembered for a sync, in rows.
async fn remembered_rows(data: &Path) -> i64 {
    let url = data.join("tidegate.db").display().to_string();
    let mut database = SqliteConnection::connect(&url).await.expect("database");
    let sum = "SELECT SUM(row_count) FROM lookback WHERE piece = 0";
    sqlx::query_scalar(sum).fetch_one(&mut database).await.expect("a sum")
}

#[tokio::test]
async fn a_mirror_whose_keys_are_new_every_day_remembers_those_of_one_day() {
    /// More than stay in blocks that are not merged.
    const ROWS: u64 = 140_000;
    let data = tempfile::tempdir().expect("folder");
    let clock = ManualClock::default();
    let store = tidegate_state::open(config(data.path(), &clock)).await.expect("opened");
    let sync = SyncId::new("people");
    let keys = |day: u64| (day * ROWS..(day + 1) * ROWS).map(|id| RowHash(u128::from(id) << 64));
    for day in 1..=3 {
        let claim = store.claim(&sync).await.expect("asked").taken().expect("free");
        let run =
            store.start_run(&claim, ObjectKind::User, Cause::Schedule, clock.now()).await.expect("started");
        let lookback = store.lookback(&sync).await.expect("opened");
        let seq = lookback.chunks().last().map_or(0, |(seq, _)| seq + 1);
        let new = keys(day).map(|key| RowVersion { key, row: RowHash(1 << 8) });
        let gone = keys(day - 1).filter(|_| day > 1).map(|key| RowVersion { key, row: RowHash::REMOVED });
        let chunk = LookbackChunk { seq, high: None, rows: new.chain(gone).collect() };
        let commit = BatchCommit { batch: 1, remember: Some(chunk), ..BatchCommit::default() };
        store.commit_batch(&run.id, commit).await.expect("committed");
        store.forget_removed_users(&run.id).await.expect("forgotten");
        let end = RunEnd { complete: true, ..RunEnd::new(Ending::Succeeded, clock.now()) };
        store.finish_run(&run.id, end).await.expect("finished");
        claim.release().await;

        assert_eq!(remembered_rows(data.path()).await, i64::try_from(ROWS).expect("small"), "day {day}");
    }
}

/// `cargo nextest run -p tidegate-state --run-ignored only --no-capture -E 'test(ninety_days)'`
#[tokio::test]
#[ignore = "takes minutes: 172,800 runs, with its figures"]
async fn ninety_days_of_twenty_syncs_every_quarter_of_an_hour() {
    // In memory if there is such a folder: the time of a disk is not asked for.
    let data = match Path::new("/dev/shm").is_dir() {
        true => TempDir::new_in("/dev/shm"),
        false => TempDir::new(),
    };
    let data = data.expect("folder");
    let began = Instant::now();
    let (day_10, last) = drive(data.path(), &Months { syncs: 20, runs_a_day: 96, days: 90 }).await;
    println!("172,800 runs in {:.0?}\nday 10: {day_10:?}\nday 90: {last:?}", began.elapsed());
    held(&day_10, &last);
    // Other work on the machine makes a run slower, never faster.
    assert!(last.took <= day_10.took * 11 / 10, "time of a run: {day_10:?}, {last:?}");
}
