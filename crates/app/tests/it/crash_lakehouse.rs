//! `kill -9` of an export to a lakehouse, and a run after it: each event is in the table once, and
//! nothing is left in the volume.
//!
//! Few events in the suite; `TIDEGATE_TEST_EVENTS=1000000` for many.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lakehouse::Lakehouse;
use crate::served::Served;
use crate::support::{Project, pause};

const EVENTS: u64 = 5_000;
/// Events of a request.
const REQUEST: u64 = 5_000;
/// Runs that are killed: with a file in the volume, each a little later than the one before it.
const KILLS: u32 = 4;

pub(super) async fn fill(project: &Project, events: u64) {
    let served = Served::start(project);
    let authorization = format!("Bearer {}", super::serve::TOKEN);
    for first in (0..events).step_by(usize::try_from(REQUEST).expect("small")) {
        let lines: String = (first..events.min(first + REQUEST))
            .map(|number| {
                let event = json!({ "id": format!("e{number}"), "kind": "order.placed", "user_id": format!("u{}", number % 997) });
                event.to_string() + "\n"
            })
            .collect();
        let answer =
            served.post("/in/events/shop", &[("authorization", authorization.as_str())], lines).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }
    let (code, said) = served.stop().await;
    assert_eq!(code, 0, "{said}");
}

/// Starts a run and kills it `after` its file has come to the volume. Tells whether it was running.
async fn killed(project: &Project, lakehouse: &Lakehouse, after: Duration) -> bool {
    let mut command = project.tidegate(&["run", "out"]);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("tidegate starts");
    while lakehouse.files().await.is_empty() && run.try_wait().expect("a state").is_none() {
        pause(Duration::from_millis(2)).await;
    }
    pause(after).await;
    let running = run.try_wait().expect("a state").is_none();
    run.kill().expect("killed");
    run.wait().expect("ended");
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_lakehouse_each_event_is_in_the_table_once_whenever_an_export_dies() {
    let events: u64 =
        std::env::var("TIDEGATE_TEST_EVENTS").map_or(EVENTS, |events| events.parse().expect("a number"));
    let lakehouse = Lakehouse::new().await;
    let head = format!("connections:\n{}{}", super::serve::SHOP, lakehouse.connection());
    let project = Project::new(&format!("{head}syncs: {{}}\n"));
    fill(&project, events).await;
    project.write(
        "tidegate.yaml",
        &format!(
            "{head}syncs:\n  out: {{ source: {{ connection: shop }}, destination: {{ connection: lakehouse, schema: {}, commit_every: 0 }} }}\n",
            lakehouse.schema
        ),
    );

    let mut met = 0;
    for kill in 0..KILLS {
        // Further along each time, whatever the number of events.
        let after = Duration::from_millis(u64::from(kill) * (120 + events / 200));
        met += u32::from(killed(&project, &lakehouse, after).await);
    }
    assert!(met > 0, "no run was killed before its end");
    let started = Instant::now();
    let run: Value = project.run("out");
    assert_eq!(run["ending"], "succeeded", "{run:#}");
    let sums = "count(*), count(DISTINCT event_id), sum(CAST(substring(event_id, 2) AS BIGINT))";
    let found = lakehouse.texts(&format!("SELECT {sums} FROM {{}}.events")).await;
    let expected = [events, events, events * (events - 1) / 2].map(|number| number.to_string());
    assert_eq!(found, [expected], "rows, ids, and their sum");
    assert_eq!(lakehouse.files().await, Vec::<String>::new(), "the volume is empty");
    eprintln!(
        "{met} of {KILLS} runs killed with a file in the volume; {events} events once each; the last run took {:?}",
        started.elapsed()
    );
}
