//! Events out: durable ingest, the log, and what reads it.

mod ingest;
mod kinesis;
mod lake;
mod latency;
mod library;
mod peer;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::load::{Load, Posted, beside};
use crate::report;
use crate::tidegate::{Serving, Tidegate};

/// What is measured with what.
pub(crate) struct Plan {
    /// The program under test.
    pub(crate) tidegate: PathBuf,
    /// Events in the log, smallest first.
    pub(crate) events: Vec<u64>,
    /// Events that come one a request.
    pub(crate) singles: u64,
    /// Rounds of each way.
    pub(crate) rounds: usize,
    /// For how long the latency is measured.
    pub(crate) seconds: u32,
    /// Which parts.
    pub(crate) parts: Vec<Part>,
    /// The broker that the peer reads from.
    pub(crate) brokers: Option<String>,
    /// The peer.
    pub(crate) peer: Option<PathBuf>,
    /// Events that the peer moves.
    pub(crate) peer_events: u64,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// HTTP to the log.
    Ingest,
    /// The log to Parquet files and to a Delta table.
    Lake,
    /// The log to Kinesis.
    Kinesis,
    /// From a request with an event to the request to Kinesis.
    Latency,
    /// A program of another project beside ours.
    Peer,
}

/// Where events come in.
const PATH: &str = "/in/events/web";
const TOKEN: &str = "a-token-for-the-bench";
/// Requests that are under way at the same time where a request has many events.
const CONNECTIONS: u32 = 8;
const EVENTS_PER_REQUEST: u64 = 100;

/// Measures, and prints the report on stdout; progress goes to stderr.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    ensure!(plan.rounds > 0, "--rounds must be at least 1");
    ensure!(
        plan.events.iter().chain([&plan.peer_events]).all(|events| events.is_multiple_of(EVENTS_PER_REQUEST)),
        "--events and --peer-events must be multiples of {EVENTS_PER_REQUEST}"
    );
    let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
    let tidegate = Tidegate::new(&plan.tidegate, folder.path())?;
    println!("## Events out: ingest, log, sinks\n");
    println!(
        "{}. Events of {} bytes as JSON. Rounds of each way: {}, taking turns; the median stands here. \
         Load, program and receiver share the cores; the log lies on {}.\n",
        report::machine(),
        crate::samples::Samples::new().bytes(),
        plan.rounds,
        report::disk(folder.path())?
    );
    for part in &plan.parts {
        match part {
            Part::Ingest => ingest::measure(plan, &tidegate).await?,
            Part::Lake => lake::measure(plan, &tidegate).await?,
            Part::Kinesis => kinesis::measure(plan, &tidegate).await?,
            Part::Latency => latency::measure(plan, &tidegate).await?,
            Part::Peer => peer::measure(plan, &tidegate).await?,
        }
    }
    Ok(())
}

/// The project: events come in, and exports take them if there are any.
pub(crate) fn project(connections: &str, syncs: &str) -> String {
    format!("connections:\n  web: {{ type: events, token: {TOKEN} }}\n{connections}\nsyncs:\n{syncs}")
}

/// The connection and the export to a Kinesis that only counts.
fn to_kinesis(address: SocketAddr) -> (String, String) {
    (
        format!(
            "  stream:
    type: kinesis
    region: us-east-1
    endpoint: http://{address}
    access_key_id: bench
    secret_access_key: bench
"
        ),
        "  kinesis:
    source: { connection: web }
    destination: { connection: stream, stream: bench }
"
        .to_owned(),
    )
}

/// Posts events from `first` to `end`, many a request.
async fn post(serving: &Serving, first: u64, end: u64) -> Result<Posted> {
    let load = Load {
        address: serving.address,
        path: PATH,
        token: TOKEN,
        connections: CONNECTIONS,
        events_per_request: EVENTS_PER_REQUEST,
        first,
        events: end - first,
        pace: None,
    };
    beside(move || load.post()).await
}

/// Fills the log up to this many events; those that are there already stay.
/// Returns the program's peak memory in bytes, where it had to work.
pub(crate) async fn fill(tidegate: &Tidegate, there: u64, events: u64) -> Result<Option<u64>> {
    tidegate.project(&project("", "  {}\n"))?;
    if there < events {
        eprintln!("filling the log: {there} to {events} events");
        let serving = tidegate.serve(&[]).await?;
        post(&serving, there, events).await?;
        let memory = serving.stop().await?;
        let found = tidegate.events().await?;
        ensure!(found == events, "{found} of {events} events are in the log");
        return Ok(Some(memory));
    }
    Ok(None)
}
