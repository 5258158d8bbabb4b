//! Warehouses: a result to requests, against fetching its parts and dropping them, and against the vendor's
//! own client, which makes rows of the same result.

mod bigquery;
mod databricks;
mod rows;
mod server;
mod snowflake;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use memchr::memmem;
use tokio::process::Command;

use crate::memory;
use crate::peer::Peer;
use crate::receiver::{Counting, Receiver};
use crate::report::{self, Heading, Measure, Series};
use crate::tidegate::Tidegate;
use server::Double;

/// What is measured with what.
pub(crate) struct Plan {
    /// The program under test.
    pub(crate) tidegate: PathBuf,
    /// What is read from.
    pub(crate) system: System,
    /// Sizes of the result, smallest first.
    pub(crate) rows: Vec<u64>,
    /// Rounds of each way.
    pub(crate) rounds: usize,
    /// Programs of other projects that read the same.
    pub(crate) peers: Vec<PathBuf>,
}

/// A warehouse, as a double of the bench plays it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum System {
    /// The Statement Execution API: Arrow behind links.
    Databricks,
    /// The SQL API: partitions of JSON.
    Snowflake,
    /// The REST API: pages of JSON.
    Bigquery,
}

/// A double that is serving.
#[derive(Clone, Copy)]
struct Serving {
    address: SocketAddr,
    parts: usize,
    bytes: usize,
}

impl System {
    fn name(self) -> &'static str {
        match self {
            System::Databricks => "Databricks",
            System::Snowflake => "Snowflake",
            System::Bigquery => "BigQuery",
        }
    }

    /// Encodes a number of rows, and serves them.
    fn start(self, rows: u64, has_peer: bool) -> Result<Serving> {
        fn serving(double: impl Double) -> Result<Serving> {
            let parts = (0..).map_while(|at| double.part(at)).map(|part| part.bytes.len());
            let (parts, bytes) = parts.fold((0, 0), |(parts, all), bytes| (parts + 1, all + bytes));
            Ok(Serving { address: server::start(double)?, parts, bytes })
        }
        match self {
            System::Databricks => serving(databricks::Workspace::new(rows)?),
            System::Snowflake => serving(snowflake::Account::new(rows, has_peer)?),
            System::Bigquery => serving(bigquery::Service::new(rows)),
        }
    }

    fn connection(self, address: SocketAddr) -> String {
        match self {
            System::Databricks => databricks::connection(address),
            System::Snowflake => snowflake::connection(address),
            System::Bigquery => bigquery::connection(address),
        }
    }
}

enum Way {
    /// Every part fetched and dropped: the double's own ceiling.
    Fetched,
    /// A program that makes rows of the parts and drops them.
    Peer(Peer),
    /// The program under test: rows, mapping, requests, ledger.
    Tidegate,
}

impl Way {
    fn name(&self) -> String {
        match self {
            Way::Fetched => "parts fetched and dropped".into(),
            Way::Peer(peer) => format!("{}, rows made and dropped", peer.name),
            Way::Tidegate => "`tidegate run`, rows sent on".into(),
        }
    }
}

/// Measures, and prints the report on stdout; progress goes to stderr.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    ensure!(plan.rounds > 0, "--rounds must be at least 1");
    let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
    let tidegate = Tidegate::new(&plan.tidegate, folder.path())?;
    let receiver = Receiver::new(Counting::Objects);
    let braze = receiver.start()?;
    let mut ways = vec![Way::Fetched];
    for peer in &plan.peers {
        ways.push(Way::Peer(Peer::find(peer)?));
    }
    ways.push(Way::Tidegate);

    let mut all = Vec::new();
    for &rows in &plan.rows {
        let serving = plan.system.start(rows, !plan.peers.is_empty())?;
        let Serving { address, parts, bytes } = serving;
        eprintln!("{rows} rows are {parts} parts of {} MiB together", bytes >> 20);
        tidegate.project(&project(&plan.system.connection(address), braze))?;
        // BigQuery's tokens come from the metadata server of the machine, as Google's own clients are told.
        let tidegate = tidegate.with("GCE_METADATA_HOST", &address.to_string());
        let mut series: Vec<Series> =
            ways.iter().map(|way| Series { name: way.name(), rows, rounds: Vec::new() }).collect();
        for round in 1..=plan.rounds {
            for (way, series) in ways.iter().zip(&mut series) {
                let measure = match way {
                    Way::Fetched => {
                        let took = tokio::task::spawn_blocking(move || fetch(address, parts)).await??;
                        Measure { took, memory: None, arrived: None }
                    }
                    Way::Peer(peer) => read(peer, address, rows, folder.path()).await?,
                    Way::Tidegate => {
                        tidegate.forget()?;
                        receiver.reset();
                        let (took, memory) = tidegate.run("rows_in").await?;
                        let arrived = receiver.counts();
                        ensure!(arrived.objects == rows, "{} of {rows} rows arrived", arrived.objects);
                        Measure { took, memory: Some(memory), arrived: Some(arrived) }
                    }
                };
                eprintln!("{rows} rows, round {round}, {}: {:.2} s", series.name, measure.took.as_secs_f64());
                series.rounds.push(measure);
            }
        }
        all.extend(series);
    }

    println!("## Warehouses: a result of {} to requests\n", plan.system.name());
    println!("{}.", report::machine());
    println!(
        "Rounds of each way: {}, taking turns; the median stands here. The parts are encoded beforehand, and \
         served from memory on the same cores, without TLS on loopback.\n",
        plan.rounds
    );
    let heading = Heading { items: "rows", limit: Some("fetching") };
    print!("{}", report::table(&heading, &all));
    Ok(())
}

fn project(connection: &str, braze: SocketAddr) -> String {
    format!(
        "connections:
  warehouse:
    {connection}
  braze:
    type: braze
    endpoint: http://{braze}
    api_key: bench
    rates: {{ track_per_3s: 4000000000 }} # unlimited

syncs:
  rows_in:
    source: {{ connection: warehouse, table: main.bench.events }}
    cursor: event_timestamp
    primary_key: id
    destination: {{ connection: braze, object: event }}
    mapping:
      name: event_name
      external_id: user_id
      timestamp: event_timestamp
      properties: event_data
    in_doubt: resend
"
    )
}

/// Fetches every part over one connection; how long that took.
fn fetch(double: SocketAddr, parts: usize) -> Result<Duration> {
    let started = Instant::now();
    let mut stream = TcpStream::connect(double)?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 1 << 20];
    for part in 0..parts {
        write!(stream, "GET /page/{part} HTTP/1.1\r\nhost: bench\r\n\r\n")?;
        let mut filled = 0;
        let mut left = loop {
            let read = stream.read(&mut buffer[filled..])?;
            ensure!(read > 0, "the double closed the connection");
            filled += read;
            if let Some(end) = memmem::find(&buffer[..filled], b"\r\n\r\n") {
                let head = std::str::from_utf8(&buffer[..end])?;
                let length =
                    head.rsplit("Content-Length: ").next().context("a length")?.trim().parse::<usize>()?;
                break (end + 4 + length).saturating_sub(filled);
            }
        };
        while left > 0 {
            let read = stream.read(&mut buffer)?;
            ensure!(read > 0, "the double closed the connection");
            left = left.saturating_sub(read);
        }
    }
    Ok(started.elapsed())
}

/// Runs a peer until it has made every row.
async fn read(peer: &Peer, double: SocketAddr, rows: u64, folder: &Path) -> Result<Measure> {
    let started = Instant::now();
    let mut child = Command::new(&peer.program)
        .current_dir(folder)
        .env("BENCH_ENDPOINT", format!("http://{double}"))
        .env("BENCH_ROWS", rows.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let (status, memory) = memory::wait(&mut child).await?;
    ensure!(status.success(), "{} ended with {status}: its reason stands above", peer.name);
    Ok(Measure { took: started.elapsed(), memory: Some(memory), arrived: None })
}
