//! What goes wrong where events go to: throttled streams, full disks, tables
//! that others change, buckets that are gone, credentials that ran out.
//!
//! Each journey asserts the words that tell a stranger the thing, the cause and
//! the next step; then the cause is fixed, the export continues, and no event is
//! missing.

pub(crate) mod aws;
mod disk;
mod double;
mod gone;
mod proxy;
mod throttled;
mod writers;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::served::{Answer, Served, until};
use crate::support::{Project, variable};

/// What senders of the connection `app` carry.
const BEARER: &str = "Bearer a-token-of-these-journeys";

/// How many users the events are about.
const USERS: u32 = 20;

/// A project whose export `out` takes the events of `app` to `sink`.
fn project(sink: &str, to: &str) -> Project {
    Project::new(&yaml(sink, to))
}

fn yaml(sink: &str, to: &str) -> String {
    format!(
        "connections:\n  app: {{ type: events, token: a-token-of-these-journeys }}\n  sink: {sink}\nsyncs:\n  \
         out:\n    source: {{ connection: app }}\n    destination: {{ connection: sink, {to} }}\n    retry_for: 10s\n"
    )
}

/// Event `at` as it is sent, larger by `more` bytes.
fn event(at: u32, more: usize) -> String {
    let (user, more) = (at % USERS, "x".repeat(more));
    format!(
        "{{\"id\":\"e-{at}\",\"kind\":\"seen\",\"time\":\"2026-03-01T12:00:00Z\",\"user\":\"u-{user}\",\"at\":{at},\"more\":\"{more}\"}}\n"
    )
}

/// The id of event `at`.
fn id(at: u32) -> String {
    format!("e-{at}")
}

/// Offers events in one request.
async fn offer(served: &Served, events: std::ops::Range<u32>, more: usize) -> Answer {
    let body: String = events.map(|at| event(at, more)).collect();
    let headers = [("authorization", BEARER), ("content-type", "application/x-ndjson")];
    served.post("/in/events/app", &headers, body).await
}

/// Sends events, a request for each hundred.
async fn send(served: &Served, events: std::ops::Range<u32>) {
    let mut from = events.start;
    while from < events.end {
        let to = events.end.min(from + 100);
        let answer = offer(served, from..to, 0).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        from = to;
    }
}

/// Waits until the server says each of these.
async fn says(served: &Served, words: &[&str]) {
    for word in words {
        until(&format!("`{word}` is said"), async || served.said().contains(word).then_some(())).await;
    }
}

/// Waits until the export is paused, and asserts why.
async fn paused(project: &Project, words: &[&str]) {
    let why = until("the export is paused", async || {
        project.json(&["status", "out"])[0]["paused"]["why"].as_str().map(str::to_owned)
    })
    .await;
    for word in words {
        assert!(why.contains(word), "`{word}` is missing in: {why}");
    }
}

/// An operator fixed the cause and resumes the export.
fn resume(project: &Project) {
    let told = project.done(&["resume", "out"]);
    assert_eq!(told.code, 0, "{told:?}");
}

/// Waits until the export has nothing more to do.
async fn committed(project: &Project) {
    until("the export has committed everything", async || {
        (project.json(&["status", "out"])[0]["lag"][0]["behind"] == 0).then_some(())
    })
    .await;
}

/// Each of the events, once.
fn once(events: std::ops::Range<u32>) -> BTreeMap<String, u32> {
    events.map(|at| (id(at), 1)).collect()
}

/// How often each event is in the files below a folder.
fn in_files(folder: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // A folder that is not made yet has nothing in it.
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "jsonl") {
                count_lines(&std::fs::read_to_string(&path).unwrap_or_default(), &mut found);
            }
        }
    }
    found
}

fn count_lines(text: &str, found: &mut BTreeMap<String, u32>) {
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap_or_else(|cause| panic!("{cause}: {line}"));
        let id = row["event_id"].as_str().unwrap_or_else(|| panic!("an event id: {row}"));
        *found.entry(id.to_owned()).or_default() += 1;
    }
}

/// Runs a program of `clients/python/lake`, and reads what it prints.
fn lake(program: &str, arguments: &[&str]) -> Value {
    let script = crate::support::repository().join("clients/python/lake").join(program);
    let done = Command::new(variable("TIDEGATE_TEST_LAKE_PYTHON"))
        .arg(script)
        .args(arguments)
        .output()
        .expect("Python starts");
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

/// How many rows of each kind a Delta table has, read by three third-party
/// programs; each id is there once.
fn in_table(table: &Path) -> BTreeMap<String, u64> {
    let seen = lake("read.py", &[table.to_str().expect("a path")]);
    assert_eq!(seen["rows"], seen["ids"], "an event is there twice: {seen}");
    serde_json::from_value(seen["kinds"].clone()).expect("counts")
}
