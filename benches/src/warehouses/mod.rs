//! Warehouses: a result read, and sent on as requests, against the vendor's own client in a script that does the same,
//! and against fetching the parts of the result and dropping them.

mod bigquery;
mod databricks;
mod opensearch;
mod redshift;
mod rows;
mod server;
mod snowflake;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
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
    /// PostgreSQL's wire: rows of texts, fetched from a cursor.
    Redshift,
    /// Events to documents: this one is written to.
    Opensearch,
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
            System::Redshift => "Redshift",
            System::Opensearch => "OpenSearch",
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
            System::Redshift => {
                let cluster = redshift::Cluster::new(rows, has_peer);
                let bytes = cluster.bytes();
                Ok(Serving { address: cluster.start()?, parts: 1, bytes })
            }
            System::Opensearch => bail!("OpenSearch is only written to"),
        }
    }

    fn connection(self, address: SocketAddr) -> String {
        match self {
            System::Databricks => databricks::connection(address),
            System::Snowflake => snowflake::connection(address),
            System::Bigquery => bigquery::connection(address),
            System::Redshift => redshift::connection(address),
            System::Opensearch => String::new(),
        }
    }

    /// Fetches everything that a double serves; how long that took.
    fn fetch(self, serving: Serving) -> Result<Duration> {
        let started = Instant::now();
        match self {
            System::Redshift => redshift::fetch(serving.address)?,
            _ => fetch(serving.address, serving.parts)?,
        }
        Ok(started.elapsed())
    }
}

/// A way of reading the result.
enum Way {
    /// Every part fetched and dropped: the double's own ceiling.
    Fetched,
    /// A program that makes rows of the parts and drops them.
    PeerReads(Peer),
    /// The program under test as far as it sends nothing: rows, mapping, requests.
    Planned,
    /// A program that makes events of the rows and posts them.
    PeerSends(Peer),
    /// The program under test: rows, mapping, requests, ledger.
    Ran,
}

impl Way {
    fn name(&self) -> String {
        match self {
            Way::Fetched => "parts fetched and dropped".into(),
            Way::PeerReads(peer) => format!("{}, rows made and dropped", peer.name),
            Way::Planned => "`tidegate plan`, requests made and dropped".into(),
            Way::PeerSends(peer) => format!("{}, rows posted by the script", peer.name),
            Way::Ran => "`tidegate run`, rows sent on".into(),
        }
    }

    /// Every way, the ceiling first.
    fn all(peers: &[PathBuf]) -> Result<Vec<Way>> {
        let peers = peers.iter().map(|peer| Peer::find(peer)).collect::<Result<Vec<_>>>()?;
        let reads = peers.iter().cloned().map(Way::PeerReads);
        let sends = peers.iter().cloned().map(Way::PeerSends);
        let ways = [Way::Fetched].into_iter().chain(reads).chain([Way::Planned]).chain(sends);
        Ok(ways.chain([Way::Ran]).collect())
    }
}

/// One size of the result, and what reads it.
struct Bench<'a> {
    system: System,
    serving: Serving,
    rows: u64,
    tidegate: Tidegate,
    folder: &'a Path,
    receiver: &'a Receiver,
    braze: SocketAddr,
}

impl Bench<'_> {
    async fn measure(&self, way: &Way) -> Result<Measure> {
        let (system, serving, rows) = (self.system, self.serving, self.rows);
        self.receiver.reset();
        let asks = Asks { endpoint: serving.address, rows, braze: None, file: None };
        let (took, memory, sends) = match way {
            Way::Fetched => {
                let took = tokio::task::spawn_blocking(move || system.fetch(serving)).await??;
                return Ok(Measure { took, memory: None, arrived: None });
            }
            Way::PeerReads(peer) => {
                let (took, memory) = asks.of(peer, self.folder).await?;
                (took, memory, false)
            }
            Way::PeerSends(peer) => {
                let asks = Asks { braze: Some(self.braze), ..asks };
                let (took, memory) = asks.of(peer, self.folder).await?;
                (took, memory, true)
            }
            Way::Planned => {
                self.tidegate.forget()?;
                let (read, took, memory) = self.tidegate.plan("rows_in").await?;
                ensure!(read == rows, "{read} of {rows} rows were read");
                (took, memory, false)
            }
            Way::Ran => {
                self.tidegate.forget()?;
                let (took, memory) = self.tidegate.run("rows_in").await?;
                (took, memory, true)
            }
        };
        let arrived = self.receiver.counts();
        let expected = if sends { rows } else { 0 };
        ensure!(arrived.objects == expected, "{} of {expected} rows arrived", arrived.objects);
        Ok(Measure { took, memory: Some(memory), arrived: sends.then_some(arrived) })
    }
}

/// Measures, and prints the report on stdout; progress goes to stderr.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    ensure!(plan.rounds > 0, "--rounds must be at least 1");
    if matches!(plan.system, System::Opensearch) {
        return opensearch::run(plan).await;
    }
    let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
    let tidegate = Tidegate::new(&plan.tidegate, folder.path())?;
    let receiver = Receiver::new(Counting::Objects);
    let braze = receiver.start()?;
    let ways = Way::all(&plan.peers)?;

    let (mut all, mut ratios) = (Vec::new(), Vec::new());
    for &rows in &plan.rows {
        let serving = plan.system.start(rows, !plan.peers.is_empty())?;
        eprintln!("{rows} rows are {} parts of {} MiB together", serving.parts, serving.bytes >> 20);
        tidegate.project(&project(&plan.system.connection(serving.address), braze))?;
        // BigQuery's tokens come from the metadata server of the machine, as Google's own clients are told.
        let tidegate = tidegate.with("GCE_METADATA_HOST", &serving.address.to_string());
        let (system, folder, receiver) = (plan.system, folder.path(), &receiver);
        let bench = Bench { system, serving, rows, tidegate, folder, receiver, braze };
        let mut series: Vec<Series> =
            ways.iter().map(|way| Series { name: way.name(), rows, rounds: Vec::new() }).collect();
        for round in 1..=plan.rounds {
            for (way, series) in ways.iter().zip(&mut series) {
                let measure = bench.measure(way).await?;
                eprintln!("{rows} rows, round {round}, {}: {:.2} s", series.name, measure.took.as_secs_f64());
                series.rounds.push(measure);
            }
        }
        ratios.extend(beside_peers(&ways, &series));
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
    if !ratios.is_empty() {
        println!("\n{}", ratios.join("\n"));
    }
    Ok(())
}

/// Says how many times the rate of each peer ours is, in reading and in sending.
fn beside_peers(ways: &[Way], series: &[Series]) -> Vec<String> {
    let times = |is_theirs: fn(&Way) -> bool, is_ours: fn(&Way) -> bool| {
        let took = |at: usize| series[at].median().took.as_secs_f64();
        let ours = ways.iter().position(is_ours).map(took).unwrap_or(f64::NAN);
        ways.iter().enumerate().filter(|(_, way)| is_theirs(way)).map(|(at, _)| took(at) / ours).collect()
    };
    let reading: Vec<f64> = times(|way| matches!(way, Way::PeerReads(_)), |way| matches!(way, Way::Planned));
    let sending: Vec<f64> = times(|way| matches!(way, Way::PeerSends(_)), |way| matches!(way, Way::Ran));
    let peers = ways.iter().filter_map(|way| match way {
        Way::PeerReads(peer) => Some(&peer.name),
        _ => None,
    });
    let lines = peers.zip(reading).zip(sending).map(|((name, reading), sending)| {
        let rows = report::grouped(series[0].rows);
        format!(
            "- {rows} rows: `tidegate plan` is {reading:.1} times as fast as {name} that drops its rows, and \
             `tidegate run` {sending:.1} times as fast as the script that posts them."
        )
    });
    lines.collect()
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

/// Fetches every part over one connection.
fn fetch(double: SocketAddr, parts: usize) -> Result<()> {
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
    Ok(())
}

/// What a peer is told.
struct Asks<'a> {
    /// The double.
    endpoint: SocketAddr,
    rows: u64,
    /// Where it posts the rows; it drops them otherwise.
    braze: Option<SocketAddr>,
    /// The events that it sends.
    file: Option<&'a Path>,
}

impl Asks<'_> {
    /// Runs a peer until it has done that; how long it took, and its peak memory in bytes.
    async fn of(&self, peer: &Peer, folder: &Path) -> Result<(Duration, u64)> {
        let started = Instant::now();
        let mut command = Command::new(&peer.program);
        command
            .current_dir(folder)
            .env("BENCH_ENDPOINT", format!("http://{}", self.endpoint))
            .env("BENCH_ROWS", self.rows.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        if let Some(braze) = self.braze {
            command.env("BENCH_BRAZE", format!("http://{braze}"));
        }
        if let Some(file) = self.file {
            command.env("BENCH_FILE", file);
        }
        let mut child = command.spawn()?;
        let (status, memory) = memory::wait(&mut child).await?;
        ensure!(status.success(), "{} ended with {status}: its reason stands above", peer.name);
        Ok((started.elapsed(), memory))
    }
}
