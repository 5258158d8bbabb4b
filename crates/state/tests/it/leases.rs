//! Leases on PostgreSQL, when their holder is cut off.

use std::time::{Duration, Instant};

use tidegate_model::store::{BatchCommit, RowStatus};
use tidegate_model::{Cause, Claim, Claimed, Clock as _, ErrorKind, ObjectKind, Store, SyncId};
use tidegate_state::StateConfig;
use tidegate_testkit::rows;
use tidegate_testkit::store::Backend as _;

use crate::postgres::{Database, on_server};

const SPAN: Duration = Duration::from_secs(2);

fn orders() -> SyncId {
    SyncId::new("orders")
}

fn config(database: &Database) -> StateConfig {
    StateConfig { lease: SPAN, ..database.config() }
}

async fn a_while() {
    let _ = tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await;
}

async fn take(store: &dyn Store) -> Claim {
    store.claim(&orders()).await.expect("asked").taken().expect("free")
}

/// Waits until the sync is free. Returns how long that took.
async fn taken_over(store: &dyn Store) -> (Claim, Duration) {
    let asked = Instant::now();
    loop {
        match store.claim(&orders()).await.expect("asked") {
            Claimed::Taken(claim) => return (claim, asked.elapsed()),
            Claimed::Held(holder) => {
                assert!(holder.process.contains("process") && holder.until.is_some(), "{holder:?}");
                assert!(asked.elapsed() < Duration::from_secs(30), "still held by {holder}");
                a_while().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_renewed_for_as_long_as_its_holder_can_reach_the_store() {
    let database = Database::new().await;
    let store = tidegate_state::open(config(&database)).await.expect("opened");
    let other = tidegate_state::open(config(&database)).await.expect("opened");
    let claim = take(&*store).await;
    let began = Instant::now();
    while began.elapsed() < 2 * SPAN {
        assert!(!claim.remaining().is_zero(), "lost after {:?}", began.elapsed());
        assert!(other.claim(&orders()).await.expect("asked").taken().is_none());
        a_while().await;
    }
    // The end of every session is no end of a lease.
    let end =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = ";
    on_server(format!("{end}'{}'", database.name)).await;
    let began = Instant::now();
    while began.elapsed() < SPAN {
        a_while().await;
    }
    assert!(!claim.remaining().is_zero());
    assert!(other.claim(&orders()).await.expect("asked").taken().is_none());
}

/// The holder is on a runtime of its own, which goes away without a word.
#[test]
fn the_sync_of_a_machine_that_went_silent_is_taken_over_and_what_it_writes_later_has_no_effect() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().expect("a runtime")
    };
    let (far, near) = (runtime(), runtime());
    let (database, claim, run) = far.block_on(async {
        let database = Database::new().await;
        let store = tidegate_state::open(config(&database)).await.expect("opened");
        let claim = take(&*store).await;
        let at = database.clock().now();
        let run = store.start_run(&claim, ObjectKind::Event, Cause::Schedule, at).await.expect("started");
        std::mem::forget(store);
        (database, claim, run)
    });
    far.shutdown_background();

    near.block_on(async {
        let store = tidegate_state::open(config(&database)).await.expect("opened");
        let (new, waited) = taken_over(&*store).await;
        assert!(waited > SPAN / 4 && waited < 5 * SPAN, "taken over after {waited:?}");
        assert!(claim.remaining().is_zero(), "it has stopped sending by then");
        assert!(new.token() > claim.token());

        let results = vec![rows::result(1, RowStatus::Delivered)];
        let late = store.commit_batch(&run.id, BatchCommit { results, ..BatchCommit::default() }).await;
        assert_eq!(late.expect_err("its run has ended").kind(), ErrorKind::Held);
    });
    std::mem::forget(claim);
}

/// A transaction that is open when the machine goes silent ends with its lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_silent_machine_has_locked_do_not_block_others_for_long() {
    use sqlx::{Connection as _, Executor as _, PgConnection};

    let database = Database::new().await;
    let store = tidegate_state::open(config(&database)).await.expect("opened");
    let claim = take(&*store).await;
    let at = database.clock().now();
    store.start_run(&claim, ObjectKind::Event, Cause::Schedule, at).await.expect("started");
    // As a commit leaves it whose machine loses its power: begun, and never ended.
    let mut silent = PgConnection::connect(&database.url).await.expect("connected");
    let begun = format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {}", SPAN.as_millis());
    silent.execute(sqlx::AssertSqlSafe(begun)).await.expect("begun");
    silent.execute("UPDATE runs SET commits = commits + 1").await.expect("locked");
    claim.release().await;

    let asked = Instant::now();
    let (_, _) = taken_over(&*store).await;
    assert!(asked.elapsed() < 3 * SPAN, "{:?}", asked.elapsed());
}
