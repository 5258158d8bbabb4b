//! How quick the log is on this machine: printed, never asserted.
//!
//! `cargo test -p tidegate-state --release --test it -- --ignored --nocapture log::speed`

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use tidegate_model::{Event, Json, Reading, SystemClock};
use tidegate_state::{LogAccess, LogConfig, open_log};
use tidegate_testkit::event_log::event;

use super::{Folder, shop};

fn sample(id: &str) -> Event {
    Event { payload: Json::trusted(format!(r#"{{"id":"{id}","text":"{}"}}"#, "x".repeat(250))), ..event(id) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn events_a_second() {
    const EVENTS: usize = 2_000_000;
    let folder = Folder::new();
    let config = || LogConfig::new(folder.log(), Arc::new(SystemClock), LogAccess::Append);
    let log = open_log(config()).expect("opened");
    let rate = |what: &str, events: usize, started: Instant| {
        let seconds = started.elapsed().as_secs_f64();
        println!("{what}: {:.0} events/s ({events} in {seconds:.2} s)", events as f64 / seconds);
    };

    for (size, count) in [(100, 200_000), (1_000, EVENTS)] {
        let batches: Vec<Vec<Event>> = (0..count / size)
            .map(|batch| (0..size).map(|at| sample(&format!("{size}/{batch}/{at}"))).collect())
            .collect();
        let started = Instant::now();
        for batch in batches {
            log.append(&shop(), batch).await.expect("appended");
        }
        rate(&format!("append, {size} at once, one task"), count, started);
    }

    for (tasks, size, count) in [(64, 1, 400_000), (16, 100, EVENTS)] {
        let started = Instant::now();
        let mut running = Vec::new();
        for task in 0..tasks {
            let log = Arc::clone(&log);
            running.push(tokio::spawn(async move {
                for at in 0..count / tasks / size {
                    let batch = (0..size).map(|part| sample(&format!("{size}-{task}-{at}-{part}"))).collect();
                    log.append(&shop(), batch).await.expect("appended");
                }
            }));
        }
        for task in running {
            task.await.expect("appended");
        }
        rate(&format!("append, {size} at once, {tasks} tasks"), count, started);
    }

    drop(log);
    let started = Instant::now();
    let log = open_log(config()).expect("opened");
    let waiting = log.lag(&shop(), None).await.expect("lag")[0].behind;
    println!("open with {waiting} ids in the window: {:.2} s", started.elapsed().as_secs_f64());

    let started = Instant::now();
    let reading = Reading { batch_events: 1_000, follow: false };
    let mut feed = log.read(&shop(), None, reading).await.expect("feed");
    let mut count = 0;
    while let Some(batch) = feed.next().await {
        count += batch.expect("batch").items.len();
    }
    rate("read, 1000 at once", count, started);
}

/// `TIDEGATE_TEST_EVENTS` says how many events there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "the thread that makes indexes does not say when it is done")]
async fn the_events_of_a_user() {
    const USERS: usize = 400_000;
    const SHOWN: usize = 201;
    let count = std::env::var("TIDEGATE_TEST_EVENTS").ok().and_then(|count| count.parse().ok());
    let count: usize = count.unwrap_or(2_000_000);
    let user = |number: usize| format!("user-{:08}", number.wrapping_mul(2_654_435_761) % USERS);
    let folder = Folder::new();
    let config = || LogConfig::new(folder.log(), Arc::new(SystemClock), LogAccess::Append);
    let log = open_log(config()).expect("opened");
    for from in (0..count).step_by(1_000) {
        let of = |number: usize| Event { user: user(number).into(), ..sample(&number.to_string()) };
        log.append(&shop(), (from..count.min(from + 1_000)).map(of).collect()).await.expect("appended");
    }
    let last = Instant::now();
    let bytes = |ending| -> u64 {
        folder.files(ending).iter().map(|path| path.metadata().map_or(0, |file| file.len())).sum()
    };
    while folder.files("users").len() + 1 < folder.files("log").len() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    println!(
        "closed files compressed and indexed {:.2} s after the last event",
        last.elapsed().as_secs_f64()
    );
    let (events, index) = (bytes("log") as f64 / count as f64, bytes("users") as f64 / count as f64);
    println!(
        "{count} events in {} files: {events:.1} bytes an event, {index:.2} of index",
        folder.files("log").len()
    );
    for (what, step) in [("other users", 7), ("one user", 0)] {
        let (mut took, mut found) = (Vec::new(), 0);
        for question in 0..300 {
            let asked = Instant::now();
            let events = log.events_of(&shop(), &user(question * step), SHOWN).await.expect("searched");
            took.push(asked.elapsed().as_secs_f64() * 1_000.0);
            found += events.map_or(0, |events| events.len());
        }
        took.sort_by(f64::total_cmp);
        println!("{what}: {} events each, median {:.1} ms, p99 {:.1} ms", found / 300, took[150], took[297]);
    }
    for path in folder.files("users") {
        std::fs::remove_file(path).expect("removed");
    }
    let asked = Instant::now();
    log.events_of(&shop(), &user(7), SHOWN).await.expect("searched");
    println!("without indexes: {:.0} ms", asked.elapsed().as_secs_f64() * 1_000.0);
}
