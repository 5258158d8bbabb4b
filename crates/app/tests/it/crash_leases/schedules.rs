//! Three processes share the syncs of one project, and one after the other is killed at random.
//!
//! Each run that falls due is done once or taken over, none is lost, each row takes effect once or is
//! listed as in doubt, and together they stay within the limit of their connection.
//! `TIDEGATE_TEST_SECONDS` says for how long; `make bench WHAT=schedules` does it for ten minutes.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::machines::{Machine, project_on};
use crate::support::{Database, Project, Sandbox, pause};

/// Syncs of the project; each is due again a second after its last run began.
const SYNCS: usize = 5;
/// Requests in three seconds, by the settings of the connection.
const RATE: u32 = 60;
/// What the sandbox takes in three seconds. A busy machine sends some requests later than it decided to.
const TAKEN: u32 = 72;
/// Rows that wait at the beginning.
const WAITING: usize = 160;
/// Rows that come each second: nearly as many as the limit allows.
const COMING: usize = 17;
/// How long a sync may stand still: the lease of a process that is gone, and the start of another one.
const STANDSTILL: Duration = Duration::from_secs(20);
const LEASE_SECONDS: u32 = 2;

struct Trio {
    source: Database,
    state: Database,
    sandbox: Sandbox,
    machines: Vec<Machine>,
    reader: Project,
}

/// A run that a schedule began.
#[derive(Debug)]
struct Attempt {
    started: f64,
    finished: Option<f64>,
    completed: bool,
}

impl Trio {
    async fn new() -> Trio {
        let (source, state) = (Database::create().await, Database::create().await);
        let sandbox = Sandbox::start(&["--memory"]);
        let limits = format!("{{ \"hourly\": 1000000, \"burst\": {TAKEN} }}");
        let put = reqwest::Client::new().put(format!("{}/_sandbox/braze/limits", sandbox.url)).body(limits);
        assert!(put.send().await.expect("an answer").status().is_success());
        let connections = sandbox.connections().replace(
            "type: braze,",
            &format!("type: braze, objects_per_request: 1, rates: {{ track_per_3s: {RATE} }},"),
        );
        let mut yaml = format!("connections:\n  db: {}\n{connections}syncs:\n", source.connection());
        for number in 0..SYNCS {
            let table = "(id bigserial PRIMARY KEY, who text NOT NULL, at timestamptz NOT NULL)";
            source.run(&format!("CREATE TABLE r{number} {table}; CREATE INDEX ON r{number} (at)")).await;
            yaml += &format!(
                "  s{number}:\n    source: {{ connection: db, table: r{number} }}\n    cursor: at\n    \
                 destination: {{ connection: braze, object: event }}\n    in_doubt: hold\n    \
                 mapping: {{ external_id: who, name: {{ value: r{number} }}, timestamp: at, properties: [id] }}\n    \
                 schedule: {{ every: 1s }}\n"
            );
        }
        let mut machines = Vec::new();
        for _ in 0..3 {
            machines.push(Machine::new(&yaml, &state, state.port(), LEASE_SECONDS).await);
        }
        let reader = project_on(&yaml, &state, state.port());
        Trio { source, state, sandbox, machines, reader }
    }

    /// Writes rows, spread over all tables.
    async fn write(&self, rows: usize, chance: &mut Chance) {
        for number in 0..rows {
            let table = chance.below(SYNCS);
            self.source
                .run(&format!("INSERT INTO r{table} (who, at) VALUES ('u{number}', clock_timestamp())"))
                .await;
        }
    }

    /// The rows that neither took effect nor are in doubt, and those that took effect twice.
    async fn lost_and_doubled(&self) -> (usize, usize) {
        let mut effects: HashMap<(String, i64), u32> = HashMap::new();
        for event in self.sandbox.effects("braze/events").await {
            let name = event["name"].as_str().expect("a name").to_owned();
            *effects.entry((name, event["properties"]["id"].as_i64().expect("an id"))).or_default() += 1;
        }
        let open = self.reader.rows(&["--open"]);
        let listed: HashSet<(String, i64)> = open
            .iter()
            .filter(|row| row["status"] == "in_doubt")
            .map(|row| {
                let sync = row["sync"].as_str().expect("a sync").replacen('s', "r", 1);
                (sync, row["key"].as_str().expect("a key").parse().expect("a number"))
            })
            .collect();
        let mut lost = 0;
        for number in 0..SYNCS {
            let name = format!("r{number}");
            let rows = self.source.client.query(&format!("SELECT id FROM {name}"), &[]).await.expect("rows");
            let keys = rows.iter().map(|row| (name.clone(), row.get::<_, i64>(0)));
            lost += keys.filter(|key| !effects.contains_key(key) && !listed.contains(key)).count();
        }
        (lost, effects.values().filter(|times| **times > 1).count())
    }

    /// What the schedule began, by sync, in its order.
    async fn attempts(&self) -> HashMap<String, Vec<Attempt>> {
        let sql =
            "SELECT sync, started_at, finished_at, ending FROM runs WHERE cause = 'schedule' ORDER BY id";
        let mut attempts: HashMap<String, Vec<Attempt>> = HashMap::new();
        let seconds = |micros: i64| micros as f64 / 1e6;
        for row in self.state.client.query(sql, &[]).await.expect("runs") {
            let ending: Option<String> = row.get(3);
            attempts.entry(row.get(0)).or_default().push(Attempt {
                started: seconds(row.get(1)),
                finished: row.get::<_, Option<i64>>(2).map(seconds),
                completed: matches!(ending.as_deref(), Some("succeeded" | "partial")),
            });
        }
        attempts
    }
}

/// Numbers that look random, the same again for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_three_processes_at_random_loses_no_run_that_is_due_and_exceeds_no_limit() {
    let span = Duration::from_secs(number("TIDEGATE_TEST_SECONDS").unwrap_or(20));
    let seed = number("TIDEGATE_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let mut chance = Chance(seed);
    let mut trio = Trio::new().await;
    trio.write(WAITING, &mut chance).await;
    let (mut kills, began) = (0, Instant::now());
    while began.elapsed() < span {
        trio.write(COMING, &mut chance).await;
        pause(Duration::from_secs(1)).await;
        if chance.below(2) == 0 {
            let machine = chance.below(3);
            trio.machines[machine].kill();
            trio.write(chance.below(COMING), &mut chance).await;
            pause(Duration::from_millis(chance.below(1_500) as u64)).await;
            trio.machines[machine].start();
            kills += 1;
        }
    }
    let ended = Instant::now();
    while trio.lost_and_doubled().await.0 > 0 {
        let (lost, _) = trio.lost_and_doubled().await;
        assert!(ended.elapsed() < 3 * STANDSTILL, "{lost} rows are missing after a minute (seed {seed})");
        pause(Duration::from_millis(500)).await;
    }
    pause(Duration::from_secs(1)).await;

    let (lost, doubled) = trio.lost_and_doubled().await;
    assert_eq!((lost, doubled), (0, 0), "lost and doubled rows (seed {seed})");
    let stats = trio.sandbox.stats("braze").await;
    assert_eq!(stats["beyond_limits"], 0, "requests beyond the shared limit (seed {seed}): {stats}");
    let now = trio.state.client.query_one("SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8", &[]).await;
    let now: f64 = now.expect("a time").get(0);
    let (mut runs, mut taken_over) = (0, 0);
    let attempts = trio.attempts().await;
    assert_eq!(attempts.len(), SYNCS);
    for (sync, attempts) in &attempts {
        for two in attempts.windows(2) {
            let (before, next) = (&two[0], &two[1]);
            let told = format!("{sync}, seed {seed}: {before:?} {next:?}");
            assert!(before.finished.is_some_and(|end| end <= next.started), "two at a time: {told}");
            // A clock that ticks a moment early is no second run.
            let due = if before.completed { before.started + 0.99 } else { before.started };
            assert!(next.started >= due, "what was done is done again: {told}");
            let free = due.max(before.finished.unwrap_or(due));
            assert!(next.started < free + STANDSTILL.as_secs_f64(), "a run that was due is late: {told}");
            taken_over += usize::from(!before.completed);
        }
        let last = attempts.last().expect("runs");
        let quiet = now - last.finished.unwrap_or(now);
        assert!(quiet < STANDSTILL.as_secs_f64(), "{sync} stands still (seed {seed}): {last:?}");
        runs += attempts.len();
    }
    println!(
        "{} s, {kills} kills, {runs} runs, {taken_over} of them taken over or begun again, {} requests, \
         0 beyond the limit, seed {seed}",
        began.elapsed().as_secs(),
        stats["requests"],
    );
}
