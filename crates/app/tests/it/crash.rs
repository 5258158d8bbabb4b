//! `kill -9` of imports at random moments; what took effect is counted by the sandbox.
//!
//! Each suite runs twice: on a machine with a data folder that starts again, and on machines that share PostgreSQL,
//! a bucket and Kafka, each of which takes the place of the one before it with an empty disk.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::services::Machines;
use crate::support::{Database, Project, Sandbox};

/// How often a machine is killed that starts again: together at least two hundred times.
const KILLS: u64 = 70;
/// How often one is killed that is replaced.
const REPLACED: u64 = 6;
/// Rows that are written before each start.
const ROWS: u64 = 600;

/// One sync that is killed again and again.
struct Victim {
    machines: Machines,
    database: Database,
    project: Project,
    sandbox: Sandbox,
    sync: &'static str,
}

impl Victim {
    async fn new(machines: Machines, sync: &'static str, rest: &str) -> Victim {
        let database = Database::create().await;
        database
            .run(
                "CREATE TABLE rows (id bigserial PRIMARY KEY, who text NOT NULL, at timestamptz NOT NULL, data jsonb NOT NULL);
                 CREATE INDEX ON rows (at);
                 CREATE TABLE people AS SELECT 'u' || n AS who, 'u' || n || '@example.com' AS email FROM generate_series(0, 99) n",
            )
            .await;
        let sandbox = Sandbox::start(&["--no-limits", "--faults", r#"{"latency_ms": 15}"#]);
        let connections =
            sandbox.connections().replace("type: braze,", "type: braze, objects_per_request: 7,");
        let yaml = format!(
            "connections:\n  db: {}\n{connections}{}syncs:\n{rest}",
            database.connection(),
            machines.connections()
        );
        let project = machines.machine(&yaml);
        Victim { machines, database, project, sandbox, sync }
    }

    async fn write_rows(&self) {
        self.database
            .run(&format!(
                "INSERT INTO rows (who, at, data)
                 SELECT 'u' || (id % 100), clock_timestamp(), jsonb_build_object('k' || id, id)
                 FROM generate_series((SELECT coalesce(max(id), 0) + 1 FROM rows), (SELECT coalesce(max(id), 0) + {ROWS} FROM rows)) id"
            ))
            .await;
    }

    /// Runs the sync to its end, with new rows. Returns how long it took.
    async fn run_whole(&self) -> Duration {
        self.write_rows().await;
        let started = Instant::now();
        let ended = self.project.done(&["run", self.sync]);
        assert!(matches!(ended.code, 0 | 3), "{ended:?}");
        started.elapsed()
    }

    /// Starts the sync and kills it at a random moment, again and again; then lets it end. Returns how often.
    async fn kill_and_finish(&mut self) -> u64 {
        let kills = self.machines.kills(KILLS, REPLACED);
        let mut whole = self.run_whole().await;
        if let Machines::Replaced(_) = self.machines {
            // The first run also made the tables of the state.
            self.machines.replace(&mut self.project);
            whole = self.run_whole().await;
        }
        let mut died = 0;
        for kill in 0..kills {
            self.write_rows().await;
            let mut process = self
                .project
                .tidegate(&["run", self.sync, "--output", "json"])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("tidegate starts");
            // Random, but never so early that nothing was sent at all.
            let share = RandomState::new().hash_one(kill) % 1_000;
            let moment = whole / 5 + whole * u32::try_from(share).expect("small") / 1_000;
            crate::support::pause(moment).await;
            died += u64::from(process.try_wait().expect("a state").is_none());
            process.kill().expect("killed");
            process.wait().expect("ended");
            self.machines.replace(&mut self.project);
        }
        assert!(died >= kills / 2, "only {died} of {kills} kills met a running process");
        let last = self.project.done(&["run", self.sync]);
        assert!(matches!(last.code, 0 | 3), "{last:?}");
        // Requests of processes that died may still be on their way to their effect.
        crate::support::pause(Duration::from_millis(500)).await;
        eprintln!("{}: {died} processes were killed while they ran", self.sync);
        if let Machines::Replaced(services) = &self.machines {
            let files = services.bucket.keys().await;
            assert!(
                files.iter().any(|file| file.contains("/history/")),
                "no history in the bucket: {files:?}"
            );
            self.each_row_is_listed().await;
        }
        kills
    }

    /// The machine that has run last lists each row, whichever machine sent it.
    async fn each_row_is_listed(&self) {
        let listed = self.project.json(&["rows", "--sync", self.sync, "--limit", "1000000"]);
        let listed: HashSet<i64> = listed.as_array().expect("a list").iter().map(key).collect();
        let missing: Vec<i64> = self.ids().await.into_iter().filter(|id| !listed.contains(id)).collect();
        assert_eq!(missing, [0_i64; 0], "{}: not listed", self.sync);
    }

    async fn ids(&self) -> HashSet<i64> {
        let rows = self.database.client.query("SELECT id FROM rows", &[]).await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// How often each row took effect as an event.
    async fn effects(&self, vendor: &str) -> HashMap<i64, u32> {
        let mut effects = HashMap::new();
        for event in self.sandbox.effects(&format!("{vendor}/events")).await {
            let id = event["properties"]["id"].as_i64().unwrap_or_else(|| panic!("an id: {event}"));
            *effects.entry(id).or_default() += 1;
        }
        effects
    }
}

/// The key of a row of the ledger.
fn key(row: &Value) -> i64 {
    row["key"].as_str().and_then(|key| key.parse().ok()).unwrap_or_else(|| panic!("a key: {row}"))
}

#[tokio::test]
async fn crash_attributes_are_never_lost_and_repeating_them_changes_nothing() {
    no_attribute_is_lost(Machines::Restarted).await;
}

#[tokio::test]
async fn crash_of_machines_that_are_replaced_loses_no_attribute() {
    no_attribute_is_lost(Machines::replaced().await).await;
}

async fn no_attribute_is_lost(machines: Machines) {
    let mut victim = Victim::new(
        machines,
        "users",
        "  users:\n    source: { connection: db, table: rows }\n    cursor: at\n    \
         destination: { connection: braze, object: user }\n    mapping: { external_id: who, attributes: data }\n",
    )
    .await;
    victim.kill_and_finish().await;
    let mut seen: HashMap<i64, i64> = HashMap::new();
    for user in victim.sandbox.effects("braze/users").await {
        let attributes = user["attributes"].as_object().unwrap_or_else(|| panic!("attributes: {user}"));
        for (name, value) in attributes {
            let id = name.strip_prefix('k').and_then(|id| id.parse().ok());
            if let (Some(id), Some(value)) = (id, value.as_i64()) {
                seen.insert(id, value);
            }
        }
    }
    let lost: Vec<i64> = victim.ids().await.into_iter().filter(|id| seen.get(id) != Some(id)).collect();
    assert_eq!(lost, [0_i64; 0], "lost");
}

#[tokio::test]
async fn crash_keyed_events_take_effect_exactly_once() {
    keyed_events_take_effect_once(Machines::Restarted).await;
}

#[tokio::test]
async fn crash_of_machines_that_are_replaced_loses_and_doubles_no_keyed_event() {
    keyed_events_take_effect_once(Machines::replaced().await).await;
}

async fn keyed_events_take_effect_once(machines: Machines) {
    let mut victim = Victim::new(
        machines,
        "events",
        "  people:\n    source: { connection: db, table: people }\n    mode: full\n    \
         destination: { connection: onesignal, object: user }\n    mapping: { external_id: who, attributes: [email] }\n  \
         events:\n    source: { connection: db, table: rows }\n    cursor: at\n    \
         destination: { connection: onesignal, object: event }\n    \
         mapping: { external_id: who, name: { value: e }, properties: [id] }\n",
    )
    .await;
    assert_eq!(victim.project.done(&["run", "people"]).code, 0);
    victim.kill_and_finish().await;
    let effects = victim.effects("onesignal").await;
    let ids = victim.ids().await;
    let lost: Vec<&i64> = ids.iter().filter(|id| !effects.contains_key(id)).collect();
    let doubled: Vec<_> = effects.iter().filter(|(_, times)| **times > 1).collect();
    assert!(lost.is_empty() && doubled.is_empty(), "lost {lost:?}, doubled {doubled:?}");
}

#[tokio::test]
async fn crash_held_events_are_never_doubled_and_every_doubtful_row_is_listed() {
    held_events_are_not_doubled(Machines::Restarted).await;
}

#[tokio::test]
async fn crash_of_machines_that_are_replaced_doubles_no_held_event_and_lists_every_doubtful_row() {
    held_events_are_not_doubled(Machines::replaced().await).await;
}

async fn held_events_are_not_doubled(machines: Machines) {
    let mut victim = Victim::new(
        machines,
        "held",
        "  held:\n    source: { connection: db, table: rows }\n    cursor: at\n    \
         destination: { connection: braze, object: event }\n    in_doubt: hold\n    \
         mapping: { external_id: who, name: { value: e }, timestamp: at, properties: [id] }\n",
    )
    .await;
    let kills = victim.kill_and_finish().await;
    let effects = victim.effects("braze").await;
    let doubled: Vec<_> = effects.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "doubled {doubled:?}");
    let listed = victim.project.json(&["rows", "--in-doubt", "--limit", "1000000"]);
    let doubtful: HashSet<i64> = listed.as_array().expect("a list").iter().map(key).collect();
    let lost: Vec<i64> = victim
        .ids()
        .await
        .into_iter()
        .filter(|id| !effects.contains_key(id) && !doubtful.contains(id))
        .collect();
    assert_eq!(lost, [0_i64; 0], "neither took effect nor listed");
    eprintln!(
        "{} rows in doubt, {} of them took effect",
        doubtful.len(),
        doubtful.iter().filter(|id| effects.contains_key(id)).count()
    );
    // Only what was under way at a kill may be in doubt: some dozens of requests of 7 rows, as many as
    // the latency of a busy machine asks for.
    let most = kills * 64 * 7;
    assert!((doubtful.len() as u64) < most, "{} rows in doubt", doubtful.len());
    // A person decides: what never took effect is sent once more, by user here.
    let stats: Value = victim.sandbox.stats("braze").await;
    assert!(stats["events"].as_u64() >= Some(effects.len() as u64));
}
