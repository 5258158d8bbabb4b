//! Warehouses: a result of Databricks to requests, against fetching its parts and dropping them, and
//! against Databricks' own SDK, which makes rows of the same parts.

mod double;
mod pages;

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
use double::{WAREHOUSE, Workspace};

/// What is measured with what.
pub(crate) struct Plan {
    /// The program under test.
    pub(crate) tidegate: PathBuf,
    /// Sizes of the result, smallest first.
    pub(crate) rows: Vec<u64>,
    /// Rounds of each way.
    pub(crate) rounds: usize,
    /// Programs of other projects that read the same.
    pub(crate) peers: Vec<PathBuf>,
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
        let pages = pages::encode(rows)?;
        let (parts, bytes) = (pages.len(), pages.iter().map(|page| page.bytes.len()).sum::<usize>());
        eprintln!("{rows} rows are {parts} parts of {} MiB together", bytes >> 20);
        let workspace = Workspace::start(pages)?;
        tidegate.project(&project(workspace, braze))?;
        let mut series: Vec<Series> =
            ways.iter().map(|way| Series { name: way.name(), rows, rounds: Vec::new() }).collect();
        for round in 1..=plan.rounds {
            for (way, series) in ways.iter().zip(&mut series) {
                let measure = match way {
                    Way::Fetched => {
                        let took = tokio::task::spawn_blocking(move || fetch(workspace, parts)).await??;
                        Measure { took, memory: None, arrived: None }
                    }
                    Way::Peer(peer) => read(peer, workspace, rows, folder.path()).await?,
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

    println!("## Warehouses: a result of Databricks to requests\n");
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

fn project(workspace: SocketAddr, braze: SocketAddr) -> String {
    format!(
        "connections:
  warehouse:
    type: databricks
    host: bench.example.com
    endpoint: http://{workspace}
    warehouse_id: {WAREHOUSE}
    client_id: bench
    client_secret: bench
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
fn fetch(workspace: SocketAddr, parts: usize) -> Result<Duration> {
    let started = Instant::now();
    let mut stream = TcpStream::connect(workspace)?;
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
async fn read(peer: &Peer, workspace: SocketAddr, rows: u64, folder: &Path) -> Result<Measure> {
    let started = Instant::now();
    let mut child = Command::new(&peer.program)
        .current_dir(folder)
        .env("BENCH_ENDPOINT", format!("http://{workspace}"))
        .env("BENCH_WAREHOUSE", WAREHOUSE)
        .env("BENCH_ROWS", rows.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let (status, memory) = memory::wait(&mut child).await?;
    ensure!(status.success(), "{} ended with {status}: its reason stands above", peer.name);
    Ok(Measure { took: started.elapsed(), memory: Some(memory), arrived: None })
}
