//! Rows in: PostgreSQL to requests, against `psql \copy` of the same rows to a file.

mod table;
mod ways;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use tokio_postgres::Config;

use crate::peer::Peer;
use crate::receiver::{Counting, Receiver};
use crate::report::{self, Heading, Series};
pub(crate) use ways::Compares;
use ways::{Stage, Way};

pub(crate) use table::{connect, fill};
pub(crate) use ways::Server;

/// What is measured with what.
pub(crate) struct Plan {
    /// The program under test.
    pub(crate) tidegate: PathBuf,
    /// The database's address.
    pub(crate) postgres: String,
    /// Sizes of the table.
    pub(crate) rows: Vec<u64>,
    /// Rounds of each way.
    pub(crate) rounds: usize,
    /// The mirrors that are measured instead, of rows that were sent before.
    pub(crate) mirror: Vec<Compares>,
    /// Programs of other projects that do the same.
    pub(crate) peers: Vec<PathBuf>,
}

/// A small table is moved this many times as often as a large one, at most: a moment of other work is much of a
/// second, and little of ten.
const SHORT_ROUNDS: usize = 8;
/// The seconds that the rounds of a way take, divided by how many were asked for.
const MEASURED_SECONDS: f64 = 2.0;

/// Returns whether each way was measured for long enough.
fn is_measured_enough(series: &[Series], rounds: usize) -> bool {
    let enough = MEASURED_SECONDS * rounds as f64;
    series.iter().all(|way| way.rounds.iter().map(|round| round.took.as_secs_f64()).sum::<f64>() >= enough)
}

/// Measures, and prints the report on stdout; progress goes to stderr.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    ensure!(plan.rounds > 0, "--rounds must be at least 1");
    let tidegate = plan
        .tidegate
        .canonicalize()
        .with_context(|| format!("no program at {}: run cargo build --release", plan.tidegate.display()))?;
    let postgres: Config = plan.postgres.parse().context("--postgres is not an address of a database")?;
    let client = connect(&postgres).await?;
    let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
    let receiver = Receiver::new(Counting::Objects);
    let address = receiver.start()?;
    let stage = Stage::new(tidegate, Server::of(&postgres)?, (receiver, address), folder.path())?;

    let mut ways = match plan.mirror.is_empty() {
        false => {
            let mirrors = |&compares| [false, true].map(|changed| Way::Mirror { compares, changed });
            [Way::Copy].into_iter().chain(plan.mirror.iter().flat_map(mirrors)).collect()
        }
        true => vec![Way::Copy, Way::Tidegate { ledger: false }, Way::Tidegate { ledger: true }],
    };
    for peer in &plan.peers {
        ways.push(Way::Peer(Peer::find(peer)?));
    }

    let mut all = Vec::new();
    for &rows in &plan.rows {
        fill(&client, rows).await?;
        let mut series: Vec<Series> =
            ways.iter().map(|way| Series { name: way.name(), rows, rounds: Vec::new() }).collect();
        for round in 1..=plan.rounds * SHORT_ROUNDS {
            if round > plan.rounds && is_measured_enough(&series, plan.rounds) {
                break;
            }
            for (way, series) in ways.iter().zip(&mut series) {
                let measure = stage.measure(way, rows).await?;
                eprintln!("{rows} rows, round {round}, {}: {:.2} s", series.name, measure.took.as_secs_f64());
                series.rounds.push(measure);
            }
        }
        all.extend(series);
    }

    println!("## Rows in: PostgreSQL to requests\n");
    println!("{}. {}.", report::machine(), table::describe(&client).await?);
    println!(
        "Rounds of each way: {}, or more until each has taken {MEASURED_SECONDS} s a round on average, taking turns; the median stands here. Whole processes, start included, \
         without TLS on loopback. The receiver runs on the same cores and counts every object.\n",
        plan.rounds
    );
    let heading = Heading { items: "rows", limit: Some("`\\copy`") };
    print!("{}", report::table(&heading, &all));
    Ok(())
}
