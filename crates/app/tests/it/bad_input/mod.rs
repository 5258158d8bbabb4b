//! Bad input: what people, tables, networks and disks do wrong.
//!
//! Each journey asserts the exit code and the words that tell a stranger the
//! thing, the cause and the next step; then the cause is fixed, and all rows
//! arrive exactly once.

pub(crate) mod disk;
mod outage;
mod project;
mod query;
mod rows;
mod schema;
mod shifting;
mod source;

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Database, Ended, Project, Sandbox};

/// The one sync of most journeys: events, which must never be sent twice.
const EVENTS: &str = "    cursor: at\n    destination: { connection: braze, object: event }\n    \
                      mapping: { external_id: id, name: { value: seen }, properties: [note] }\n";

/// A table `people` of rows that nothing is wrong with.
const PEOPLE: &str = "CREATE TABLE people (id bigint PRIMARY KEY, note text, at timestamptz NOT NULL);
                      INSERT INTO people SELECT n, 'note ' || n, now() - interval '1 day' \
                      FROM generate_series(1, 200) n";

/// A database, the sandbox and a project between them.
struct Scene {
    database: Database,
    sandbox: Sandbox,
    project: Project,
}

impl Scene {
    /// Over tables; `sync` is the sync `s` from its `source:` on.
    async fn new(sql: &str, sync: &str) -> Scene {
        let database = Database::create().await;
        database.run(sql).await;
        let sandbox = Sandbox::start(&["--no-limits"]);
        let scene = Scene { project: Project::new(""), database, sandbox };
        scene.write(&scene.database.connection(), sync);
        scene
    }

    /// Over `people`.
    async fn of_people() -> Scene {
        Scene::new(PEOPLE, &from_people()).await
    }

    /// Writes the project with this source and this sync.
    fn write(&self, source: &str, sync: &str) {
        let platforms = self.sandbox.connections();
        let yaml = format!("connections:\n  db: {source}\n{platforms}syncs:\n  s:\n{sync}");
        self.project.write("tidegate.yaml", &yaml);
    }

    fn run(&self) -> Ended {
        self.project.done(&["run", "s"])
    }

    /// Starts a command and does not wait for its end.
    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.project.tidegate(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tidegate starts")
    }

    /// Waits until a run is open.
    async fn until_it_runs(&self) {
        for _ in 0..200 {
            let runs = self.project.json(&["runs"]);
            if runs.as_array().is_some_and(|runs| runs.iter().any(|run| run["ending"].is_null())) {
                return;
            }
            crate::support::pause(Duration::from_millis(20)).await;
        }
        panic!("no run began");
    }

    /// Waits until some events, but not all, have arrived.
    async fn until_events_arrive(&self) {
        for _ in 0..1_000 {
            if self.sandbox.stats("braze").await["events"].as_u64() > Some(0) {
                return;
            }
            crate::support::pause(Duration::from_millis(20)).await;
        }
        panic!("no event arrived");
    }

    /// How often each user has an event.
    async fn seen(&self) -> BTreeMap<String, usize> {
        let mut seen = BTreeMap::new();
        for event in self.sandbox.effects("braze/events").await {
            *seen.entry(user_of(&event)).or_default() += 1;
        }
        seen
    }

    /// The table is corrected: a run succeeds, and each of these has its event once.
    async fn arrives_once(&self, ids: impl IntoIterator<Item = i64>) {
        let ended = self.run();
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(self.seen().await, once(ids));
    }

    /// Why each rejected row was rejected, by its key.
    fn rejected(&self) -> BTreeMap<String, (String, String)> {
        let rows = self.project.json(&["rows", "--rejected", "--limit", "1000"]);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let rows = rows.as_array().expect("a list").iter();
        rows.map(|row| {
            let reason = &row["reason"];
            (text(&row["key"]), (text(&reason["code"]), text(&reason["message"])))
        })
        .collect()
    }
}

fn from_people() -> String {
    format!("    source: {{ connection: db, table: people }}\n{EVENTS}")
}

fn user_of(event: &Value) -> String {
    event["external_id"].as_str().unwrap_or_else(|| panic!("an external id: {event}")).to_owned()
}

fn once(ids: impl IntoIterator<Item = i64>) -> BTreeMap<String, usize> {
    ids.into_iter().map(|id| (id.to_string(), 1)).collect()
}

/// Waits for the end of a command.
fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().expect("an end");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// It ended with this code, and stderr holds each of these; it never panics.
#[track_caller]
fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is missing in:\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}
