//! Turns of limits that processes on one server share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_model::{Booked, Claim, Store, SyncId};
use tidegate_state::StateConfig;

use crate::postgres::Database;

const SPAN: Duration = Duration::from_secs(2);
const LIMIT: &str = "braze/users.track";
const LOT: Duration = Duration::from_millis(400);

async fn process(database: &Database) -> Arc<dyn Store> {
    let config = StateConfig { lease: SPAN, ..database.config() };
    tidegate_state::open(config).await.expect("opened")
}

async fn take(store: &dyn Store, sync: &str) -> Claim {
    store.claim(&SyncId::new(sync)).await.expect("asked").taken().expect("free")
}

async fn book(store: &dyn Store) -> Booked {
    store.shared_limits().book(LIMIT, LOT).await.expect("asked")
}

async fn a_while() {
    let _ = tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await;
}

/// Waits until a process may lease turns. Returns how long that took, and when the turns begin.
async fn first_lot(store: &dyn Store) -> (Duration, Duration) {
    let asked = Instant::now();
    loop {
        if let Booked::In(wait) = book(store).await {
            return (asked.elapsed(), wait);
        }
        assert!(asked.elapsed() < 4 * SPAN, "no turns after {:?}", asked.elapsed());
        a_while().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_comes_gets_turns_once_the_one_that_was_alone_has_noticed_it() {
    let database = Database::new().await;
    let (first, second) = (process(&database).await, process(&database).await);
    let _orders = take(&*first, "orders").await;
    assert!(first.shared_limits().is_alone());
    let _users = take(&*first, "users").await;
    assert!(first.shared_limits().is_alone());

    let carts = take(&*second, "carts").await;
    assert!(!second.shared_limits().is_alone());
    if first.shared_limits().is_alone() {
        assert_eq!(book(&*second).await, Booked::NotYet);
    }
    let (waited, _) = first_lot(&*second).await;
    assert!(!first.shared_limits().is_alone(), "it has noticed");
    assert!(waited < SPAN, "{waited:?}");

    carts.release().await;
    let released = Instant::now();
    while !first.shared_limits().is_alone() {
        assert!(released.elapsed() < SPAN, "it does not notice that it is alone again");
        a_while().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_of_processes_follow_each_other_and_none_is_given_twice() {
    let database = Database::new().await;
    let (first, second) = (process(&database).await, process(&database).await);
    let (_orders, _carts) = (take(&*first, "orders").await, take(&*second, "carts").await);
    first_lot(&*first).await;
    first_lot(&*second).await;
    let began = Instant::now();
    let booking = (0..20).map(|number| {
        let store = if number % 2 == 0 { first.clone() } else { second.clone() };
        tokio::spawn(async move {
            let Booked::In(wait) = book(&*store).await else { panic!("no turns") };
            began.elapsed() + wait
        })
    });
    let mut starts = Vec::new();
    for booked in booking.collect::<Vec<_>>() {
        starts.push(booked.await.expect("no panic"));
    }
    starts.sort();
    let apart = starts.windows(2).map(|two| two[1] - two[0]);
    // The answers arrive a little later than they were true.
    assert!(apart.clone().all(|gap| gap > LOT - Duration::from_millis(150)), "{starts:?}");
    let all = starts[19] - starts[0];
    assert!(all > 19 * LOT - Duration::from_millis(150) && all < 20 * LOT, "{all:?}");

    first.shared_limits().close(LIMIT, Duration::from_secs(60)).await.expect("closed");
    let Booked::In(wait) = book(&*second).await else { panic!("no turns") };
    assert!(wait > Duration::from_secs(59), "the other side asked to wait: {wait:?}");
}

/// The first one is on a runtime of its own, which goes away without a word.
#[test]
fn a_machine_that_was_alone_and_went_silent_is_waited_for_until_its_leases_have_ended() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().expect("a runtime")
    };
    let (far, near) = (runtime(), runtime());
    let (database, claim) = far.block_on(async {
        let database = Database::new().await;
        let store = process(&database).await;
        let claim = take(&*store, "orders").await;
        assert!(store.shared_limits().is_alone());
        std::mem::forget(store);
        (database, claim)
    });
    far.shutdown_background();

    near.block_on(async {
        let store = process(&database).await;
        let _carts = take(&*store, "carts").await;
        assert_eq!(book(&*store).await, Booked::NotYet);
        let (waited, _) = first_lot(&*store).await;
        assert!(waited > SPAN / 4 && waited < 2 * SPAN, "{waited:?}");
        assert!(claim.remaining().is_zero(), "it has stopped sending by then");
    });
    std::mem::forget(claim);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_processes_that_begin_at_the_same_moment_not_two_take_themselves_for_alone() {
    let database = Database::new().await;
    let stores = [process(&database).await, process(&database).await, process(&database).await];
    for round in 0..10 {
        let taking = stores.iter().cloned().enumerate().map(|(number, store)| {
            tokio::spawn(async move {
                let claim = take(&*store, &format!("s{number}-{round}")).await;
                (store.shared_limits().is_alone(), claim)
            })
        });
        let mut held = Vec::new();
        for taken in taking.collect::<Vec<_>>() {
            held.push(taken.await.expect("no panic"));
        }
        let alone = stores.iter().filter(|store| store.shared_limits().is_alone()).count();
        let sends = async || first_lot(&*stores[0]).await;
        if alone > 1 {
            panic!("{alone} processes take themselves for alone in round {round}");
        }
        if alone == 0 {
            sends().await;
        }
        for (_, claim) in held {
            claim.release().await;
        }
    }
}
