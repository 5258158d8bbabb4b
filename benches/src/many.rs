//! Many syncs over one database: all due at once, then none for a day.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio_postgres::Config;

use crate::receiver::{Counting, Receiver};
use crate::report::{self, grouped, mebibytes};
use crate::rows_in::{self, Server};
use crate::tidegate::Tidegate;

/// Rows that each sync has to send.
const ROWS: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(120);
/// The state database beside the one that is read.
const STATE: &str = "bench_state";

/// What is measured with what.
pub(crate) struct Plan {
    /// The program under test.
    pub(crate) tidegate: PathBuf,
    /// The database's address.
    pub(crate) postgres: String,
    /// How many syncs there are.
    pub(crate) syncs: u64,
    /// For how many seconds it is watched when nothing is due.
    pub(crate) seconds: u32,
}

/// Measures, and prints the report on stdout; progress goes to stderr.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    let postgres: Config = plan.postgres.parse().context("--postgres is not an address of a database")?;
    let client = rows_in::connect(&postgres).await?;
    let server = Server::of(&postgres)?;
    client
        .batch_execute(&format!(
            "DROP TABLE IF EXISTS bench_many; CREATE TABLE bench_many AS
             SELECT n AS id, 'u' || n AS customer, timestamptz '2024-01-01Z' AS at FROM generate_series(1, {ROWS}) n"
        ))
        .await?;
    println!("## Many syncs over one database\n");
    println!(
        "{}. {} syncs `every: 24h`, {ROWS} rows each, all due when `tidegate serve` starts.\n",
        report::machine(),
        grouped(plan.syncs)
    );
    println!("| state in | all delivered after | peak memory | processor time at rest | stopped after |");
    println!("|---|---:|---:|---:|---:|");
    for (name, store) in [("SQLite", None), ("PostgreSQL", Some(server.url(STATE)))] {
        if store.is_some() {
            client.batch_execute(&format!("DROP DATABASE IF EXISTS {STATE} WITH (FORCE)")).await?;
            client.batch_execute(&format!("CREATE DATABASE {STATE}")).await?;
        }
        measure(plan, name, &server, store.as_deref()).await?;
    }
    println!();
    Ok(())
}

async fn measure(plan: &Plan, name: &str, server: &Server, store: Option<&str>) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
    let tidegate = Tidegate::new(&plan.tidegate, folder.path())?;
    let receiver = Receiver::new(Counting::Objects);
    let address = receiver.start()?;
    let syncs: String = (0..plan.syncs)
        .map(|n| {
            format!(
                "  s{n}:
    source: {{ connection: pg, table: bench_many }}
    cursor: at
    destination: {{ connection: braze, object: event }}
    mapping: {{ external_id: customer, name: {{ value: s{n} }}, timestamp: at, properties: [id] }}
    schedule: {{ every: 24h }}\n"
            )
        })
        .collect();
    tidegate.project(&format!(
        "connections:
  pg: {}
  braze: {{ type: braze, endpoint: \"http://{address}\", api_key: bench }}
syncs:\n{syncs}",
        server.connection()
    ))?;
    let mut variables = vec![("PGPASSWORD", server.password())];
    variables.extend(store.map(|url| ("TIDEGATE_STORE", url)));
    let started = Instant::now();
    let serving = tidegate.serve(&variables).await?;
    receiver.wait_for(plan.syncs * ROWS, PATIENCE).await?;
    let took = started.elapsed();
    // The last runs write down that they have ended, and their histories.
    tokio::time::timeout(PATIENCE, at_rest(&serving)).await.context("the server does not come to rest")?;
    let before = serving.processor_time();
    tokio::time::interval_at(
        tokio::time::Instant::now() + Duration::from_secs(plan.seconds.into()),
        Duration::from_secs(1),
    )
    .tick()
    .await;
    let used = serving.processor_time().saturating_sub(before);
    let asked = Instant::now();
    let memory = serving.stop().await?;
    println!(
        "| {name} | {:.1} s | {} | {:.2} s in {} s | {:.1} s |",
        took.as_secs_f64(),
        mebibytes(memory),
        used.as_secs_f64(),
        plan.seconds,
        asked.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Waits until the server has used no more than a hundredth of a second in one.
async fn at_rest(serving: &crate::tidegate::Serving) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut before = Duration::ZERO;
    loop {
        ticks.tick().await;
        let now = serving.processor_time();
        if now.saturating_sub(before) <= Duration::from_millis(20) {
            return;
        }
        before = now;
    }
}
