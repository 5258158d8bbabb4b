//! What an operator reads in the log of a server that works.

use crate::served::{Served, until};
use crate::support::{Database, Project, Sandbox};

/// The log lines: level, origin, text.
fn lines(said: &str) -> Vec<(&str, &str, &str)> {
    let line = |line| -> Option<(&str, &str, &str)> {
        let (_, rest): (&str, &str) = str::split_once(line, ' ')?;
        let (level, rest) = rest.trim_start().split_once(' ')?;
        let (origin, text) = rest.split_once(": ")?;
        ["ERROR", "WARN", "INFO", "DEBUG"].contains(&level).then_some((level, origin, text))
    };
    said.lines().filter_map(line).collect()
}

#[tokio::test]
async fn the_log_has_no_line_of_libraries_no_statement_and_no_error_for_what_is_retried() {
    let (database, state) = (Database::create().await, Database::create().await);
    database
        .run(
            "CREATE TABLE orders (id int PRIMARY KEY, customer text, at timestamptz NOT NULL);
             INSERT INTO orders SELECT n, 'u' || n, '2026-01-01Z' FROM generate_series(1, 2000) n",
        )
        .await;
    let sandbox = Sandbox::start(&["--memory", "--no-limits"]);
    sandbox.put_faults(r#"{"unavailable": 0.2, "throttled": 0.1, "seed": 5}"#).await;
    let mut project = Project::new(&format!(
        "connections:
  db: {}
{}  shop: {{ type: events, token: a-token-of-the-shops-own }}
  lake: {{ type: delta, path: lake }}
syncs:
  orders:
    source: {{ connection: db, table: orders }}
    cursor: at
    destination: {{ connection: braze, object: event }}
    mapping: {{ external_id: customer, name: {{ value: ordered }}, timestamp: at, properties: [id] }}
    schedule: {{ every: 24h }}
  out: {{ source: {{ connection: shop }}, destination: {{ connection: lake, commit_every: 0 }} }}
",
        database.connection(),
        sandbox.connections()
    ));
    project.set("TIDEGATE_STORE", format!("{}?sslmode=require", state.url()));
    project.set("RUST_LOG", "info");
    let served = Served::start(&project);
    for number in 0..5 {
        let event = format!(r#"{{"id":"e{number}","kind":"order.placed","user_id":"u1","app_id":"web"}}"#);
        let token = [("authorization", "Bearer a-token-of-the-shops-own")];
        assert_eq!(served.post("/in/events/shop", &token, event).await.status, 202);
        until("a commit", async || {
            let lag = project.json(&["status", "out"])[0]["lag"][0]["behind"].as_u64();
            (lag == Some(0)).then_some(())
        })
        .await;
    }
    until("all orders", async || {
        (sandbox.stats("braze").await["events"].as_u64() == Some(2_000)).then_some(())
    })
    .await;
    let (code, said) = served.stop().await;

    assert_eq!(code, 0, "{said}");
    let lines = lines(&said);
    assert!(!lines.is_empty(), "it says something: {said}");
    for (level, origin, text) in lines {
        assert!(origin.starts_with("tidegate"), "a line of a library: {level} {origin}: {text}");
        assert_ne!(level, "ERROR", "{origin}: {text}");
        for statement in ["SELECT ", "INSERT ", "UPDATE ", "DELETE "] {
            assert!(!text.contains(statement), "{level} {origin}: {text}");
        }
    }
}
