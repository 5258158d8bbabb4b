//! Many syncs over one database that fall due together.

use std::time::{Duration, Instant};

use crate::served::{Served, until};
use crate::support::{Database, Project, Sandbox};

const SYNCS: usize = 60;
/// Connections of syncs that are in use. One that is closed needs a moment to be gone.
const IN_USE: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidegate' \
                      AND datname = current_database() AND state IS DISTINCT FROM 'idle'";

/// A project whose syncs were never run: all of them are due when it is served.
async fn project(database: &Database, sandbox: &Sandbox) -> Project {
    database
        .run(
            "CREATE TABLE orders (id int PRIMARY KEY, customer text, at timestamptz NOT NULL);
             INSERT INTO orders SELECT n, 'u' || n, '2026-01-01Z' FROM generate_series(1, 5) n",
        )
        .await;
    let syncs: String = (0..SYNCS)
        .map(|n| {
            format!(
                "  s{n}:
    source: {{ connection: db, table: orders }}
    cursor: at
    destination: {{ connection: braze, object: event }}
    mapping: {{ external_id: customer, name: {{ value: s{n} }}, timestamp: at, properties: [id] }}
    schedule: {{ every: 24h }}\n"
            )
        })
        .collect();
    let (db, platforms) = (database.connection(), sandbox.connections());
    Project::new(&format!("connections:\n  db: {db}\n{platforms}syncs:\n{syncs}"))
}

/// Serves until each sync has ended a run, and returns how many connections to the database
/// its syncs had at once.
async fn all_finish(database: &Database, sandbox: &Sandbox, project: &Project) -> u64 {
    let served = Served::start(project);
    let mut most = 0;
    until("all runs", async || {
        most = most.max(database.count(IN_USE).await);
        let events = sandbox.stats("braze").await["events"].as_u64();
        (events == Some(5 * SYNCS as u64)).then_some(())
    })
    .await;
    let runs = until("all endings", async || {
        let runs = project.json(&["runs", "--limit", "1000"]);
        let ended = runs.as_array()?.iter().filter(|run| run["ending"] == "succeeded").count();
        (ended == SYNCS).then_some(runs)
    })
    .await;
    assert_eq!(runs.as_array().map(Vec::len), Some(SYNCS), "one run each: {runs:#}");
    let (code, said) = served.stop().await;
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    most
}

#[tokio::test]
async fn many_syncs_that_fall_due_together_all_finish_on_eight_connections() {
    let (database, sandbox) = (Database::create().await, Sandbox::start(&["--memory", "--no-limits"]));
    let project = project(&database, &sandbox).await;

    let most = all_finish(&database, &sandbox, &project).await;

    assert!(most <= 8, "{most} connections at once");
}

#[tokio::test]
async fn many_syncs_that_fall_due_together_all_finish_with_their_state_on_postgresql() {
    let (database, sandbox) = (Database::create().await, Sandbox::start(&["--memory", "--no-limits"]));
    let mut project = project(&database, &sandbox).await;
    let state = Database::create().await;
    project.set("TIDEGATE_STORE", format!("{}?sslmode=require", state.url()));

    all_finish(&database, &sandbox, &project).await;
}

#[tokio::test]
async fn serve_stops_within_ten_seconds_while_many_runs_wait_for_a_platform_that_does_not_answer() {
    let (database, sandbox) = (Database::create().await, Sandbox::start(&["--memory", "--no-limits"]));
    let project = project(&database, &sandbox).await;
    sandbox.put_faults(r#"{"latency_ms": 60000}"#).await;
    let served = Served::start(&project);
    until("runs under way", async || {
        let runs = project.json(&["runs", "--limit", "1000"]);
        (runs.as_array()?.len() == 8).then_some(())
    })
    .await;

    let asked = Instant::now();
    let (code, said) = served.stop().await;

    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(code, 0, "{said}");
}
