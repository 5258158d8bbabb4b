//! Processes that share the limit of a connection.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_model::{Clock as _, ConnectionId, Rate, SyncId, SystemClock, Unshared};
use tidegate_testkit::MemoryStore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::pipeline::RateLimiters;
use crate::pipeline::deliver::rate_limiter::RateLimiter;
use crate::pipeline::shutdown::Shutdown;
use crate::pipeline::wait;

const RATE: Rate = Rate { requests: 300, per: Duration::from_secs(3) };

/// The requests of all processes.
type Sent = Arc<Mutex<Vec<Instant>>>;

/// The rate limiter of a process on a store.
fn process(store: &MemoryStore) -> Arc<RateLimiter> {
    let all = RateLimiters::shared_by(Arc::new(store.clone()));
    all.rate_limiter(&ConnectionId::new("braze"), "users", Some(RATE))
}

/// Sends as fast as the limit allows, until it is stopped. Returns how often.
async fn send(limiter: Arc<RateLimiter>, sent: Sent, stop: CancellationToken) -> usize {
    let shutdown = Shutdown::new(stop, Unshared::lease(&SyncId::new("s")));
    let mut count = 0;
    while limiter.acquire(&shutdown).await {
        sent.lock().expect("free").push(Instant::now());
        count += 1;
        tokio::task::yield_now().await;
    }
    count
}

/// The most requests that a window of the documented length holds.
fn most_in_a_window(sent: &Sent) -> usize {
    let mut sent = sent.lock().expect("free").clone();
    sent.sort();
    let within = |from: usize| sent[from..].iter().take_while(|at| **at - sent[from] < RATE.per).count();
    (0..sent.len()).map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn three_processes_send_together_what_one_may_send_and_each_has_its_share() {
    let store = MemoryStore::new(Arc::new(SystemClock));
    store.share_limits(true);
    let (sent, stop) = (Sent::default(), CancellationToken::new());
    let sending: Vec<_> =
        (0..3).map(|_| tokio::spawn(send(process(&store), sent.clone(), stop.clone()))).collect();
    wait::span(Duration::from_secs(30)).await;
    stop.cancel();
    let mut shares = Vec::new();
    for sender in sending {
        shares.push(sender.await.expect("no panic"));
    }
    let total: usize = shares.iter().sum();
    assert!(most_in_a_window(&sent) <= 300, "{} in a window", most_in_a_window(&sent));
    assert!(total >= 2_600, "most of the documented rate: {total} of 3,000");
    assert!(shares.iter().all(|share| *share >= total / 5), "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_alone_asks_the_store_for_nothing() {
    let store = MemoryStore::new(Arc::new(SystemClock));
    let (sent, stop) = (Sent::default(), CancellationToken::new());
    let sender = tokio::spawn(send(process(&store), sent.clone(), stop.clone()));
    wait::span(Duration::from_secs(30)).await;
    stop.cancel();
    assert!(sender.await.expect("no panic") >= 2_850);
    assert_eq!(store.asked_for_limits(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_comes_and_one_that_goes_never_make_it_more_than_documented() {
    let store = MemoryStore::new(Arc::new(SystemClock));
    let sent = Sent::default();
    let (first, second) = (process(&store), process(&store));
    let stop = CancellationToken::new();
    let staying = tokio::spawn(send(first, sent.clone(), stop.clone()));
    for _ in 0..5 {
        wait::span(Duration::from_millis(3_700)).await;
        store.share_limits(true);
        let gone = CancellationToken::new();
        let visitor = tokio::spawn(send(second.clone(), sent.clone(), gone.clone()));
        wait::span(Duration::from_millis(4_100)).await;
        gone.cancel();
        assert!(visitor.await.expect("no panic") > 50);
        store.share_limits(false);
    }
    stop.cancel();
    let total = staying.await.expect("no panic");
    assert!(most_in_a_window(&sent) <= 300, "{} in a window", most_in_a_window(&sent));
    assert!(total > 1_900, "{total}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_asked_to_wait_tells_the_others() {
    let store = MemoryStore::new(Arc::new(SystemClock));
    store.share_limits(true);
    let (first, second) = (process(&store), process(&store));
    let closed = Instant::now();
    let until = SystemClock.now() + jiff::SignedDuration::from_secs(60);
    first.block_until(Some(until), &SystemClock);
    first.share_closing().await;
    first.share_closing().await;
    assert_eq!(store.asked_for_limits(), 1, "they are told once");

    let shutdown = Shutdown::new(CancellationToken::new(), Unshared::lease(&SyncId::new("s")));
    assert!(second.acquire(&shutdown).await);
    assert!(closed.elapsed() > Duration::from_secs(58), "{:?}", closed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_turns_of_a_process_that_has_died_are_lost_for_a_second_at_most() {
    let store = MemoryStore::new(Arc::new(SystemClock));
    store.share_limits(true);
    let (sent, stop) = (Sent::default(), CancellationToken::new());
    let dead = tokio::spawn(send(process(&store), sent.clone(), stop.clone()));
    let other = tokio::spawn(send(process(&store), sent.clone(), stop.clone()));
    wait::span(Duration::from_secs(10)).await;
    dead.abort();
    let before = sent.lock().expect("free").len();
    wait::span(Duration::from_secs(10)).await;
    let alone = sent.lock().expect("free").len() - before;
    assert!(alone >= 750, "{alone} of 1,000");
    stop.cancel();
    other.await.expect("no panic");
}
