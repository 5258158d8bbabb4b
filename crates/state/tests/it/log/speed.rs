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
