//! `kill -9` of an export to Redshift, and a run after it: each event is in the table once, and nothing is left
//! in the folder of S3.
//!
//! Few events in the suite; `TIDEGATE_TEST_EVENTS=1000000` for many.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::crash_warehouses::fill;
use crate::redshift::Redshift;
use crate::support::{Project, pause};

const EVENTS: u64 = 5_000;
/// Runs that are killed: with a file in the folder, each a little later than the one before it.
const KILLS: u32 = 4;

/// Starts a run and kills it `after` its file has come to the folder. Tells whether it was running.
async fn killed(project: &Project, redshift: &Redshift, after: Duration) -> bool {
    let mut command = project.tidegate(&["run", "out"]);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("tidegate starts");
    let before = redshift.files().await;
    while redshift.files().await == before && run.try_wait().expect("a state").is_none() {
        pause(Duration::from_millis(2)).await;
    }
    pause(after).await;
    let running = run.try_wait().expect("a state").is_none();
    run.kill().expect("killed");
    run.wait().expect("ended");
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_redshift_each_event_is_in_the_table_once_whenever_an_export_dies() {
    let events: u64 =
        std::env::var("TIDEGATE_TEST_EVENTS").map_or(EVENTS, |events| events.parse().expect("a number"));
    let redshift = Redshift::new().await;
    redshift.make_bucket().await;
    let head = format!("connections:\n{}{}", super::serve::SHOP, redshift.connection_with_staging());
    let project = Project::new(&format!("{head}syncs: {{}}\n"));
    fill(&project, events).await;
    project.write(
        "tidegate.yaml",
        &format!(
            "{head}syncs:\n  out: {{ source: {{ connection: shop }}, destination: {{ connection: red, commit_every: 0 }} }}\n"
        ),
    );

    let mut met = 0;
    for kill in 0..KILLS {
        // Further along each time, whatever the number of events.
        let after = Duration::from_millis(u64::from(kill) * (60 + events / 200));
        met += u32::from(killed(&project, &redshift, after).await);
    }
    assert!(met > 0, "no run was killed before its end");
    let started = Instant::now();
    let run: Value = project.run("out");
    assert_eq!(run["ending"], "succeeded", "{run:#}");
    let sums = "COUNT(*), COUNT(DISTINCT event_id), SUM(CAST(SUBSTRING(event_id, 2) AS BIGINT))";
    let found = redshift.run(&format!("SELECT {sums} FROM shop_events.events")).await;
    let expected = [events, events, events * (events - 1) / 2].map(|number| number.to_string());
    assert_eq!(found, [expected], "rows, ids, and their sum");
    assert!(redshift.files().await.is_empty(), "the folder is empty");
    eprintln!(
        "{met} of {KILLS} runs killed with a file in the folder; {events} events once each; the last run took {:?}",
        started.elapsed()
    );
}
