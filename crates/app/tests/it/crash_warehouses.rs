//! `kill -9` of an export to a warehouse, and a run after it: each event is in the table once, and
//! nothing is left where it was staged.
//!
//! Few events in the suite; `TIDEGATE_TEST_EVENTS=1000000` for many.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bigquery::BigQuery;
use crate::lakehouse::Lakehouse;
use crate::served::Served;
use crate::services::Machines;
use crate::snowflake::Snow;
use crate::support::{Project, pause};

const EVENTS: u64 = 5_000;
/// Events of a request.
const REQUEST: u64 = 5_000;
/// Runs that are killed: with something staged, each a little later than the one before it.
const KILLS: u32 = 4;
const EMPTY: &str = "connections: {}\nsyncs: {}\n";

/// Where events go.
trait Warehouse {
    /// Whether what a process has left stays until it is an hour old: its upload may still be under way.
    const LEFT_STAYS: bool;

    /// The connection as a project writes it.
    fn connection(&self) -> String;

    /// The destination of the sync `out`.
    fn destination(&self) -> String;

    /// What is staged now.
    async fn staged(&self) -> Vec<String>;

    /// The rows of the table, its ids, and the sum of the ids' numbers.
    async fn found(&self) -> Vec<Vec<String>>;
}

impl Warehouse for Lakehouse {
    const LEFT_STAYS: bool = true;

    fn connection(&self) -> String {
        self.connection()
    }

    fn destination(&self) -> String {
        format!("connection: lakehouse, schema: {}", self.schema)
    }

    async fn staged(&self) -> Vec<String> {
        self.files().await
    }

    async fn found(&self) -> Vec<Vec<String>> {
        let sums = "count(*), count(DISTINCT event_id), sum(CAST(substring(event_id, 2) AS BIGINT))";
        self.texts(&format!("SELECT {sums} FROM {{}}.events")).await
    }
}

impl Warehouse for BigQuery {
    const LEFT_STAYS: bool = false;

    fn connection(&self) -> String {
        self.connection()
    }

    fn destination(&self) -> String {
        format!("connection: warehouse, dataset: {}", self.dataset())
    }

    async fn staged(&self) -> Vec<String> {
        let tables = self.tables().await.into_iter();
        tables.filter(|table| table.starts_with("tidegate_staging_")).collect()
    }

    async fn found(&self) -> Vec<Vec<String>> {
        let sums = "COUNT(*), COUNT(DISTINCT event_id), SUM(CAST(SUBSTR(event_id, 2) AS INT64))";
        self.texts(&format!("SELECT {sums} FROM {{}}.events")).await
    }
}

/// A schema of Snowflake, and a bucket that its stage reads.
struct Stage {
    snow: Snow,
    bucket: crate::outside::Bucket,
}

impl Stage {
    async fn new() -> Stage {
        let (snow, bucket) = (Snow::new().await, crate::outside::Bucket::new("stage").await);
        let name = format!("SHOP.{}.STAGE", snow.schema);
        snow.set(&json!({ "stages": { name: format!("{}/events", bucket.address()) } })).await;
        Stage { snow, bucket }
    }
}

impl Warehouse for Stage {
    const LEFT_STAYS: bool = false;

    fn connection(&self) -> String {
        format!(
            "{}    stage:\n      name: STAGE\n      folder: {{ path: \"s3://{}/events\", {} }}\n",
            self.snow.connection(),
            self.bucket.name(),
            self.bucket.access()
        )
    }

    fn destination(&self) -> String {
        format!("connection: snow, schema: {}", self.snow.schema)
    }

    async fn staged(&self) -> Vec<String> {
        self.bucket.keys().await
    }

    async fn found(&self) -> Vec<Vec<String>> {
        let sums = "COUNT(*), COUNT(DISTINCT EVENT_ID), SUM(SUBSTR(EVENT_ID, 2)::NUMBER(38,0))";
        self.snow.texts(&format!("SELECT {sums} FROM {{}}.EVENTS")).await
    }
}

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

/// Starts a run and kills it `after` something was staged. Tells whether it was running.
async fn killed(project: &Project, warehouse: &impl Warehouse, earlier: &[String], after: Duration) -> bool {
    let mut command = project.tidegate(&["run", "out"]);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("tidegate starts");
    // What the process before it has left is no sign of this one.
    let begun = |staged: Vec<String>| staged.iter().any(|one| !earlier.contains(one));
    while !begun(warehouse.staged().await) && run.try_wait().expect("a state").is_none() {
        pause(Duration::from_millis(2)).await;
    }
    pause(after).await;
    let running = run.try_wait().expect("a state").is_none();
    run.kill().expect("killed");
    run.wait().expect("ended");
    running
}

async fn each_event_is_there_once<W: Warehouse>(machines: &Machines, warehouse: &W, project: &mut Project) {
    let events: u64 =
        std::env::var("TIDEGATE_TEST_EVENTS").map_or(EVENTS, |events| events.parse().expect("a number"));
    let head =
        format!("connections:\n{}{}{}", super::serve::SHOP, machines.connections(), warehouse.connection());
    project.write("tidegate.yaml", &format!("{head}syncs: {{}}\n"));
    fill(project, events).await;
    project.write(
        "tidegate.yaml",
        &format!(
            "{head}syncs:\n  out: {{ source: {{ connection: shop }}, destination: {{ {}, commit_every: 0 }} }}\n",
            warehouse.destination()
        ),
    );

    let mut met = 0;
    for kill in 0..KILLS {
        // Further along each time, whatever the number of events.
        let after = Duration::from_millis(u64::from(kill) * (120 + events / 200));
        let earlier = warehouse.staged().await;
        met += u32::from(killed(project, warehouse, &earlier, after).await);
        machines.replace(project);
    }
    assert!(met > 0, "no run was killed before its end");
    let left = warehouse.staged().await;
    let started = Instant::now();
    let run: Value = project.run("out");
    assert_eq!(run["ending"], "succeeded", "{run:#}");
    let expected = [events, events, events * (events - 1) / 2].map(|number| number.to_string());
    assert_eq!(warehouse.found().await, [expected], "rows, ids, and their sum");
    let expected = if W::LEFT_STAYS { left } else { Vec::new() };
    assert!(expected.len() <= met as usize, "one file at most for each process that died: {expected:?}");
    assert_eq!(warehouse.staged().await, expected, "the last run leaves nothing where it was staged");
    eprintln!(
        "{met} of {KILLS} runs killed with something staged; {events} events once each; the last run took {:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_lakehouse_each_event_is_in_the_table_once_whenever_an_export_dies() {
    let mut project = Project::new(EMPTY);
    each_event_is_there_once(&Machines::Restarted, &Lakehouse::new().await, &mut project).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_lakehouse_each_event_is_in_the_table_once_although_each_machine_is_replaced() {
    let machines = Machines::replaced().await;
    let mut project = machines.machine(EMPTY);
    each_event_is_there_once(&machines, &Lakehouse::new().await, &mut project).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_bigquery_each_event_is_in_the_table_once_whenever_an_export_dies() {
    let (bigquery, mut project) = (BigQuery::new().await, Project::new(EMPTY));
    project.write("key.json", &bigquery.key());
    each_event_is_there_once(&Machines::Restarted, &bigquery, &mut project).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_snowflake_each_event_is_in_the_table_once_whenever_an_export_by_a_stage_dies() {
    let (stage, mut project) = (Stage::new().await, Project::new(EMPTY));
    each_event_is_there_once(&Machines::Restarted, &stage, &mut project).await;
    let sql = format!(
        "SELECT TABLE_NAME FROM SHOP.INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = '{}'",
        stage.snow.schema
    );
    assert_eq!(stage.snow.texts(&sql).await, [["EVENTS"]], "no staging table is left");
}
