//! Two machines share the syncs of one project, and one of them fails under load.
//!
//! Whatever fails, each event takes effect once or is listed as in doubt, and within a minute
//! the sync continues. Effects are counted by the sandbox. `TIDEGATE_TEST_ROUNDS` says how
//! often; `make bench WHAT=leases` does it 300 times.

mod machines;
mod schedules;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::support::{Database, Project, Sandbox, pause};
use machines::{Machine, Pooler, project_on};

/// Rows that are written before each failure.
const ROWS: u64 = 400;
/// How many of them have arrived when it happens.
const ARRIVED: u64 = 40;
/// How long a machine is gone that comes back: longer than the short lease.
const GONE: Duration = Duration::from_secs(3);
/// How long it may take until every row is accounted for.
const TAKE_OVER: Duration = Duration::from_secs(60);
/// Failures that one pair of machines goes through.
const ROUNDS: usize = 10;

/// What happens to the machine that holds the sync.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// The server ends every session, as in a failover.
    Sessions,
    /// The pooler ends, and starts again.
    Pooler,
    /// The process is killed, and starts again.
    Killed,
    /// The state database cannot be reached, and no connection ends.
    CutOff,
    /// It stands still, and continues later.
    Frozen,
}

const DIRECT: [Failure; 4] = [Failure::Sessions, Failure::Killed, Failure::CutOff, Failure::Frozen];
const POOLED: [Failure; 5] =
    [Failure::Pooler, Failure::Sessions, Failure::CutOff, Failure::Killed, Failure::Frozen];

/// Two machines, a source, a platform, and the state that they share.
struct Pair {
    source: Database,
    state: Database,
    sandbox: Sandbox,
    pooler: Option<Pooler>,
    machines: [Machine; 2],
    /// Looks at the state, and is never cut off.
    reader: Project,
}

impl Pair {
    async fn new(lease_seconds: u32, pooled: bool) -> Pair {
        let (source, state) = (Database::create().await, Database::create().await);
        source
            .run(
                "CREATE TABLE rows (id bigserial PRIMARY KEY, who text NOT NULL, at timestamptz NOT NULL);
                 CREATE INDEX ON rows (at)",
            )
            .await;
        // Most rows have not left when a machine fails: a request for each, and few at once.
        let sandbox = Sandbox::start(&["--no-limits", "--faults", r#"{"latency_ms": 20}"#]);
        let connections =
            sandbox.connections().replace("type: braze,", "type: braze, objects_per_request: 1,");
        let yaml = format!(
            "connections:\n  db: {}\n{connections}syncs:\n  held:\n    source: {{ connection: db, table: rows }}\n    \
             cursor: at\n    destination: {{ connection: braze, object: event }}\n    in_doubt: hold\n    \
             mapping: {{ external_id: who, name: {{ value: e }}, timestamp: at, properties: [id] }}\n    \
             schedule: {{ every: 1s }}\n",
            source.connection()
        );
        let pooler = if pooled { Some(Pooler::before(&state).await) } else { None };
        let port = pooler.as_ref().map_or(state.port(), |pooler| pooler.port);
        let first = Machine::new(&yaml, &state, port, lease_seconds).await;
        let second = Machine::new(&yaml, &state, port, lease_seconds).await;
        let reader = project_on(&yaml, &state, state.port());
        Pair { source, state, sandbox, pooler, machines: [first, second], reader }
    }

    /// Writes rows and waits until some of them have arrived. Returns the machine that sends
    /// the others.
    async fn begin(&self) -> usize {
        let before = self.sandbox.stats("braze").await["events"].as_u64().unwrap_or_default();
        self.source
            .run(&format!(
                "INSERT INTO rows (who, at) SELECT 'u' || n, clock_timestamp() FROM generate_series(1, {ROWS}) n"
            ))
            .await;
        self.sandbox.wait_for("braze", "events", before + ARRIVED).await;
        self.holder().await
    }

    /// Lets the machine that sends rows fail. Returns how long it took until every row was
    /// accounted for.
    async fn fail(&mut self, failure: Failure) -> Duration {
        let holder = self.begin().await;
        let failed = Instant::now();
        match failure {
            Failure::Sessions => {
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
                self.state.run(end).await;
            }
            Failure::Pooler => self.pooler.as_mut().expect("a pooler").restart().await,
            Failure::Killed => self.machines[holder].restart(),
            Failure::CutOff => {
                self.machines[holder].wire.cut();
                pause(GONE).await;
                self.machines[holder].wire.join();
            }
            Failure::Frozen => {
                self.machines[holder].signal("-STOP");
                pause(GONE).await;
                self.machines[holder].signal("-CONT");
            }
        }
        self.wait_for_every_row(&format!("{failure:?}")).await;
        failed.elapsed()
    }

    /// Waits until every row took effect or is listed. Returns how long that took.
    async fn wait_for_every_row(&self, failure: &str) -> Duration {
        let failed = Instant::now();
        while !self.lost().await.is_empty() {
            let elapsed = failed.elapsed();
            assert!(
                elapsed < TAKE_OVER,
                "{failure}: {} rows are missing after a minute",
                self.lost().await.len()
            );
            pause(Duration::from_millis(200)).await;
        }
        failed.elapsed()
    }

    /// The machine whose process holds the sync, as the state says.
    async fn holder(&self) -> usize {
        let rows = self.state.client.query("SELECT process FROM leases WHERE sync = 'held'", &[]).await;
        let process: String = rows.expect("leases")[0].get(0);
        let holder = self.machines.iter().position(|machine| machine.is(&process));
        holder.unwrap_or_else(|| panic!("no machine is {process}"))
    }

    /// How often each row took effect.
    async fn effects(&self) -> HashMap<i64, u32> {
        let mut effects = HashMap::new();
        for event in self.sandbox.effects("braze/events").await {
            *effects.entry(event["properties"]["id"].as_i64().expect("an id")).or_default() += 1;
        }
        effects
    }

    /// The rows that are in doubt.
    fn listed(&self) -> HashSet<i64> {
        let open = self.reader.rows(&["--open"]);
        let in_doubt = open.iter().filter(|row| row["status"] == "in_doubt");
        in_doubt.map(|row| row["key"].as_str().expect("a key").parse().expect("a number")).collect()
    }

    /// The rows that neither took effect nor are in doubt.
    async fn lost(&self) -> Vec<i64> {
        let effects = self.effects().await;
        let ids = self.source.client.query("SELECT id FROM rows", &[]).await.expect("rows");
        let ids = ids.iter().map(|row| row.get::<_, i64>(0));
        let mut missing: Vec<i64> = ids.filter(|id| !effects.contains_key(id)).collect();
        if !missing.is_empty() {
            let listed = self.listed();
            missing.retain(|id| !listed.contains(id));
        }
        missing
    }

    async fn nothing_is_doubled(&self) {
        // Requests of a machine that failed may still be on their way to their effect.
        pause(Duration::from_millis(500)).await;
        let effects = self.effects().await;
        let doubled: Vec<_> = effects.iter().filter(|(_, times)| **times > 1).collect();
        assert!(doubled.is_empty(), "doubled {doubled:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_a_machine_that_holds_a_sync_loses_and_doubles_nothing() {
    let rounds = std::env::var("TIDEGATE_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds: usize = rounds.unwrap_or(20);
    let mut took: BTreeMap<String, (usize, Duration)> = BTreeMap::new();
    let (mut rows, mut listed) = (0, 0);
    for (pair, begun) in (0..rounds).step_by(ROUNDS).enumerate() {
        let pooled = pair % 2 == 1;
        let failures: &[Failure] = if pooled { &POOLED } else { &DIRECT };
        let mut machines = Pair::new(2, pooled).await;
        for round in begun..rounds.min(begun + ROUNDS) {
            let failure = failures[round % failures.len()];
            let elapsed = machines.fail(failure).await;
            let entry = took.entry(format!("{failure:?}")).or_default();
            *entry = (entry.0 + 1, entry.1.max(elapsed));
        }
        machines.nothing_is_doubled().await;
        rows += machines.source.count("SELECT count(*) FROM rows").await;
        listed += machines.listed().len();
        println!("{} of {rounds} failures, {rows} rows", rounds.min(begun + ROUNDS));
    }
    println!("{rounds} failures with leases of 2 s, {rows} rows: lost 0, doubled 0, in doubt {listed}");
    for (failure, (times, longest)) in took {
        println!("  {failure}: {times} times, every row accounted for within {:.1} s", longest.as_secs_f64());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_by_a_cut_network_is_taken_over_within_a_minute_with_the_usual_lease() {
    let pair = Pair::new(30, false).await;
    let holder = pair.begin().await;
    // It stays cut off: only the other machine can send the rest.
    pair.machines[holder].wire.cut();
    let took = pair.wait_for_every_row("cut off for good").await;
    pair.nothing_is_doubled().await;
    println!("taken over after {:.1} s with the usual lease of 30 s", took.as_secs_f64());
}
