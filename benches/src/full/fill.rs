//! Fills a store: the runs and rows of three months through the store itself, events over HTTP.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use jiff::SignedDuration;
use tidegate_model::store::{BatchCommit, Delivered, NextRun, RowResult, RowStatus, RunEnd};
use tidegate_model::{
    Cause, Clock as _, Columns, Counts, Ending, ObjectKind, Reason, Row, RowHash, Store, SyncId, SystemClock,
    Value,
};
use tidegate_state::{MasterKeys, StateConfig, StoreLocation};
use tidegate_testkit::ManualClock;

use crate::load::{Load, beside};
use crate::report::grouped;
use crate::rows_in::Server;
use crate::tidegate::Tidegate;

/// The secret of the sender of events.
const TOKEN: &str = "a-token-for-the-bench";
/// The number of days over which the runs are spread.
const DAYS: i64 = 90;
/// Users that the rows are of: those of the events.
const USERS: u64 = 400_000;
/// Why rows failed.
const REASONS: [(&str, &str); 5] = [
    ("missing_name", "an event needs a name"),
    ("no_identifier", "the row has no identifier of a user: the column is empty"),
    ("not_a_time", "at is not a time in ISO 8601"),
    ("too_long", "the name is longer than 255 bytes"),
    ("refused", "the platform says: invalid currency"),
];

/// What is in the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    /// Syncs.
    pub(crate) syncs: u64,
    /// Runs of each.
    pub(crate) runs: u64,
    /// Rows that fail in each run; others than in the runs before.
    pub(crate) failed: u64,
    /// Rows that each run delivers.
    pub(crate) delivered: u64,
    /// Events in the log.
    pub(crate) events: u64,
}

/// The project: many syncs that are not due, one that imports when it is asked to, and events.
pub(crate) fn project(server: &Server, receiver: &str, syncs: u64) -> String {
    let sync = |name: &str, table: &str| {
        format!(
            "  {name}:
    source: {{ connection: pg, table: {table} }}
    mode: full
    destination: {{ connection: braze, object: event }}
    mapping: {{ name: event_name, external_id: user_id, timestamp: event_timestamp, properties: event_data }}
"
        )
    };
    let syncs: String = (0..syncs).map(|number| sync(&name(number), "bench_events")).collect();
    format!(
        "connections:
  pg: {}
  braze: {{ type: braze, endpoint: \"http://{receiver}\", api_key: bench }}
  web: {{ type: events, token: {TOKEN} }}
syncs:
{syncs}{}",
        server.connection(),
        sync("import", "bench_events")
    )
}

fn name(number: u64) -> String {
    format!("s{number}")
}

/// Fills the folder, unless an earlier call has.
pub(crate) async fn fill(tidegate: &Tidegate, folder: &Path, amounts: &Amounts) -> Result<()> {
    let filled = folder.join("filled");
    if filled.exists() {
        return Ok(());
    }
    let began = Instant::now();
    runs(folder, amounts).await?;
    eprintln!("{} runs made in {:.0?}", grouped(amounts.syncs * amounts.runs), began.elapsed());
    let began = Instant::now();
    let serving = tidegate.serve(&[("PGPASSWORD", "unused")]).await?;
    let load = Load {
        address: serving.address,
        path: "/in/events/web",
        token: TOKEN,
        connections: 8,
        events_per_request: 100,
        first: 0,
        events: amounts.events,
        pace: None,
    };
    beside(move || load.post()).await?;
    serving.stop().await?;
    eprintln!("{} events posted in {:.0?}", grouped(amounts.events), began.elapsed());
    std::fs::write(filled, "")?;
    Ok(())
}

/// Makes the runs, oldest first, on a clock that is driven up to now.
async fn runs(folder: &Path, amounts: &Amounts) -> Result<()> {
    let now = SystemClock.now();
    let clock = ManualClock::at(now - SignedDuration::from_hours(24 * DAYS));
    let config = StateConfig {
        data: folder.join("data"),
        store: StoreLocation::Embedded,
        clock: Arc::new(clock.clone()),
        history_days: 2 * DAYS as u32,
        failed_row_days: 0,
        master_keys: MasterKeys::default(),
        lease: tidegate_state::LEASE,
        bucket: None,
    };
    let store = tidegate_state::open(config).await?;
    let between = SignedDuration::from_hours(24 * DAYS) / i32::try_from(amounts.syncs * amounts.runs)?;
    for number in 0..amounts.runs {
        for sync in 0..amounts.syncs {
            clock.advance(between);
            let first = (number * amounts.syncs + sync) * (amounts.failed + amounts.delivered);
            run(&*store, &clock, &SyncId::new(name(sync)), first, amounts).await?;
        }
        eprintln!("{} of {} runs of each sync", number + 1, amounts.runs);
    }
    Ok(())
}

/// One run, with rows that no other has.
async fn run(
    store: &dyn Store,
    clock: &ManualClock,
    sync: &SyncId,
    first: u64,
    amounts: &Amounts,
) -> Result<()> {
    let Amounts { failed, delivered, .. } = *amounts;
    let claim = store.claim(sync).await?.taken().context("another process uses the folder")?;
    let run = store.start_run(&claim, ObjectKind::Event, Cause::Schedule, clock.now()).await?;
    let mut sent = Delivered::default();
    for (index, id) in (0..).zip(first + failed..first + failed + delivered) {
        let row = result(id, RowStatus::Delivered);
        sent.push(index, row.key, row.row, |text| text.push_str(&row.key_text), &row.user);
    }
    let counts = Counts { read: failed + delivered, delivered, rejected: failed, ..Counts::default() };
    let results = (first..first + failed).map(|id| result(id, rejected(id))).collect();
    let commit = BatchCommit { counts, delivered: vec![sent], results, ..BatchCommit::default() };
    store.commit_batch(&run.id, commit).await?;
    let end = RunEnd { complete: true, ..RunEnd::new(Ending::Partial, clock.now()) };
    store.finish_run(&run.id, end).await?;
    let next = NextRun { schedule: "every 24h".to_owned(), at: clock.now() };
    store.plan_run(sync, next).await?;
    claim.release().await;
    Ok(())
}

/// A row with this number, and what became of it.
fn result(id: u64, status: RowStatus) -> RowResult {
    let user = format!("user-{:08}", id.wrapping_mul(7_919) % USERS);
    let at = Value::Text("yesterday".into());
    let row = Row {
        columns: Columns::new(["id", "user_id", "event_timestamp"]),
        values: vec![Value::Int(id as i64), Value::Text(user.as_str().into()), at],
    };
    let mut scratch = Vec::new();
    RowResult {
        key: RowHash::of_values(&row.values[..1], &mut scratch),
        key_text: id.to_string().into(),
        row: row.hash(&mut scratch),
        user: user.into(),
        payload: status.reason().is_some().then(|| row.into()),
        status,
    }
}

fn rejected(id: u64) -> RowStatus {
    let (code, text) = REASONS[(id % REASONS.len() as u64) as usize];
    RowStatus::Rejected(Reason::new(code, text))
}
