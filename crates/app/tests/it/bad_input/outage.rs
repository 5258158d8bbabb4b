//! A platform that goes away in the middle of a run.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{PEOPLE, ended, says};
use crate::support::{Database, Project};

/// The sandbox on one port and folder, that can be killed and started again.
struct Platform {
    address: String,
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl Platform {
    fn start() -> Platform {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port").to_string();
        let mut platform =
            Platform { address, folder: tempfile::tempdir().expect("a folder"), process: None };
        platform.start_again();
        platform
    }

    fn start_again(&mut self) {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["sandbox", "--no-limits", "--faults", r#"{"latency_ms": 30}"#])
            .args(["--listen", &self.address, "--data"])
            .arg(self.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the sandbox starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert!(line.contains(&self.address), "{line}");
        self.process = Some(process);
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("killed");
            process.wait().expect("ended");
        }
    }

    async fn get(&self, path: &str) -> String {
        let url = format!("http://{}/_sandbox/braze/{path}", self.address);
        reqwest::get(&url).await.expect("an answer").text().await.expect("text")
    }

    /// Waits until something has arrived.
    async fn until_busy(&self) {
        loop {
            let stats: Value = serde_json::from_str(&self.get("stats").await).expect("JSON");
            if stats["users"].as_u64() > Some(0) {
                return;
            }
            crate::support::pause(Duration::from_millis(10)).await;
        }
    }

    /// Each user with the number of their events.
    async fn events(&self) -> std::collections::BTreeMap<String, usize> {
        let mut seen = std::collections::BTreeMap::new();
        for line in self.get("events").await.lines() {
            let event: Value = serde_json::from_str(line).expect("JSON");
            *seen.entry(super::user_of(&event)).or_default() += 1;
        }
        seen
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn project(platform: &Platform, sync: &str, rows: u32) -> (Database, Project) {
    let database = Database::create().await;
    database.run(&PEOPLE.replace("200", &rows.to_string())).await;
    let yaml = format!(
        "connections:\n  db: {}\n  braze: {{ type: braze, endpoint: \"http://{}\", api_key: test }}\nsyncs:\n  s:\n    \
         source: {{ connection: db, table: people }}\n{sync}",
        database.connection(),
        platform.address
    );
    (database, Project::new(&yaml))
}

fn spawn(project: &Project) -> Child {
    let mut command = project.tidegate(&["run", "s"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tidegate starts")
}

const USERS: &str = "    cursor: at\n    destination: { connection: braze, object: user }\n    \
                     mapping: { external_id: id, attributes: [note] }\n";

#[tokio::test]
async fn bad_input_a_platform_that_comes_back_within_the_budget_is_waited_for() {
    let mut platform = Platform::start();
    let (_database, project) = project(&platform, USERS, 20_000).await;
    let running = spawn(&project);
    platform.until_busy().await;
    platform.kill();
    crate::support::pause(Duration::from_secs(1)).await;
    platform.start_again();
    says(&ended(running), 0, &[]);
    let stats: Value = serde_json::from_str(&platform.get("stats").await).expect("JSON");
    assert_eq!(stats["users"], 20_000);
}

/// The rows of the table that a run does not finish.
const ROWS: u32 = 60_000;

#[tokio::test]
async fn bad_input_a_platform_that_stays_away_fails_the_run_and_the_next_goes_on() {
    let mut platform = Platform::start();
    let sync = format!("{}    retry_for: 1s\n", super::EVENTS);
    // More than can be in flight at once, on a machine on which answers take long.
    let (_database, project) = project(&platform, &sync, ROWS).await;
    let running = spawn(&project);
    platform.until_busy().await;
    platform.kill();
    let failed = ended(running);
    says(&failed, 1, &["error: gave up after ", "attempts: ", "cannot be reached", "Next: "]);
    platform.start_again();
    // Requests whose answer the kill swallowed are in doubt: they are listed, not sent twice.
    let next = project.done(&["run", "s"]);
    assert!(next.code == 0 || next.code == 3, "{next:?}");
    let in_doubt = project.json(&["rows", "--in-doubt", "--limit", "100000"]);
    let in_doubt: Vec<&str> =
        in_doubt.as_array().expect("a list").iter().map(|row| row["key"].as_str().expect("a key")).collect();
    let seen = platform.events().await;
    assert!(seen.values().all(|times| *times == 1), "nothing was sent twice");
    for id in 1..=ROWS {
        let id = id.to_string();
        assert!(seen.contains_key(&id) || in_doubt.contains(&id.as_str()), "row {id} is lost");
    }
}
