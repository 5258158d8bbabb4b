//! A million failed rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tidegate_model::store::{BatchCommit, Delivered, FailedRowQuery, RowResult, RowStatus, RunEnd};
use tidegate_model::{Cause, Clock as _, Columns, Ending, ObjectKind, Row, RunId, Store, SyncId, Value};
use tidegate_testkit::rows;
use tidegate_testkit::store::Backend as _;

use crate::embedded::Folder;

const BATCH: i64 = 2_000;

async fn start(store: &dyn Store, folder: &Folder, sync: &SyncId) -> RunId {
    let claim = store.claim(sync).await.expect("asked").taken().expect("free");
    let run = store.start_run(&claim, ObjectKind::User, Cause::Manual, folder.clock.now()).await;
    claim.release().await;
    run.expect("started").id
}

/// Returns the processor time of this process so far.
fn processor_time() -> Duration {
    // Fields 14 and 15, in hundredths of a second; the second one is a name in parentheses. Source: proc_pid_stat(5).
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, behind_name) = stat.rsplit_once(')').expect("a name");
    let fields = behind_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(10 * ticks)
}

/// Returns what became of a row. All rows share their columns, as those of a source do.
fn result(id: i64, status: &RowStatus, columns: &Arc<Columns>) -> RowResult {
    let email = Value::Text(format!("{id}@example.com").into());
    let row = Row { columns: Arc::clone(columns), values: vec![Value::Int(id), email] };
    RowResult {
        key: rows::key(id),
        key_text: id.to_string().into(),
        row: row.hash(&mut Vec::new()),
        user: format!("user-{id}").into(),
        payload: status.reason().is_some().then(|| row.into()),
        status: status.clone(),
    }
}

/// Commits rows with one status, and returns how much processor time it took.
async fn commit(
    store: &dyn Store,
    folder: &Folder,
    sync: &SyncId,
    count: i64,
    status: &RowStatus,
) -> Duration {
    let run = start(store, folder, sync).await;
    let columns = rows::row(0).columns;
    let began = processor_time();
    for from in (0..count / BATCH).map(|number| number * BATCH) {
        let mut commit = BatchCommit::default();
        if *status == RowStatus::Delivered {
            let mut delivered = Delivered::default();
            for (index, id) in (from..from + BATCH).enumerate() {
                let row = result(id, status, &columns);
                let index = u32::try_from(index).expect("small");
                delivered.push(index, row.key, row.row, |text| text.push_str(&row.key_text), &row.user);
            }
            commit.delivered.push(delivered);
        } else {
            commit.results = (from..from + BATCH).map(|id| result(id, status, &columns)).collect();
        }
        store.commit_batch(&run, commit).await.expect("committed");
        // No two commits of a sync have one time.
        folder.clock.advance(SignedDuration::from_millis(1));
    }
    let took = processor_time() - began;
    let end = RunEnd { complete: true, ..RunEnd::new(Ending::Partial, folder.clock.now()) };
    store.finish_run(&run, end).await.expect("finished");
    took
}

/// What a run with nothing new, `status` and a page of `rows --open` ask the store.
async fn look(store: &dyn Store, folder: &Folder, sync: &SyncId) -> Duration {
    let began = Instant::now();
    let run = start(store, folder, sync).await;
    store.sync_state(sync).await.expect("state");
    store.failed_row_totals(sync).await.expect("totals");
    store.runs(Some(sync), 1).await.expect("runs");
    let query = FailedRowQuery { sync: Some(sync.clone()), limit: 50, ..FailedRowQuery::default() };
    assert!(store.find_failed_rows(&query).await.expect("a page").len() <= 50);
    assert!(store.failed_rows_in_order(&query, None).await.expect("a page").len() <= 50);
    let end = RunEnd { complete: true, ..RunEnd::new(Ending::Succeeded, folder.clock.now()) };
    store.finish_run(&run, end).await.expect("finished");
    began.elapsed()
}

/// Reads all failed rows page by page and delivers them. Returns how many these were.
async fn retry(store: &dyn Store, folder: &Folder, sync: &SyncId) -> u64 {
    let run = start(store, folder, sync).await;
    let query = FailedRowQuery { sync: Some(sync.clone()), limit: 1_000, ..FailedRowQuery::default() };
    let (mut after, mut count) = (None, 0);
    loop {
        let page = store.failed_rows_in_order(&query, after.as_ref()).await.expect("a page");
        let Some(last) = page.last().cloned() else { return count };
        after = Some(last);
        count += page.len() as u64;
        let solved = page.iter().map(|row| row.key).collect();
        store.commit_batch(&run, BatchCommit { solved, ..BatchCommit::default() }).await.expect("committed");
    }
}

async fn figures(count: i64) -> (Folder, String) {
    let folder = Folder::new();
    let store = folder.open().await;
    let (good, bad, none) = (SyncId::new("good"), SyncId::new("bad"), SyncId::new("none"));
    let delivering = commit(&*store, &folder, &good, count, &RowStatus::Delivered).await;
    let rejecting = commit(&*store, &folder, &bad, count, &rows::rejected()).await;
    let again = commit(&*store, &folder, &bad, count, &rows::rejected()).await;
    let rows = u64::try_from(count).expect("positive");
    assert_eq!(store.failed_row_totals(&bad).await.expect("totals").rows, rows, "each is one failed row");
    let (without, with) = (look(&*store, &folder, &none).await, look(&*store, &folder, &bad).await);
    let began = Instant::now();
    assert_eq!(retry(&*store, &folder, &bad).await, rows);
    let retried = began.elapsed();
    assert_eq!(store.failed_row_totals(&bad).await.expect("totals").rows, 0);
    let text = format!(
        "{count} rows, processor time: delivering {delivering:.2?}, rejecting {rejecting:.2?}, once more {again:.2?}\n\
         a run with nothing new, status and a page: {without:.2?} without failed rows, {with:.2?} with\n\
         paged through and closed in {retried:.2?}"
    );
    (folder, text)
}

#[tokio::test]
async fn each_of_many_rejected_rows_is_one_failed_row_until_it_is_retried() {
    figures(6_000).await;
}

/// `cargo nextest run -p tidegate-state --run-ignored only --no-capture -E 'test(a_million_rejected)'`
#[tokio::test]
#[ignore = "takes minutes: prints what a million rejected rows cost"]
async fn what_a_million_rejected_rows_cost() {
    let (_folder, text) = figures(1_000_000).await;
    println!("{text}");
}
