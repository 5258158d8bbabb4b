//! OpenSearch: events of the log to a receiver that takes every document, beside OpenSearch's own client for Python,
//! which sends the same events from a file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Result, ensure};

use super::{Asks, Plan};
use crate::events_out::{fill, project};
use crate::load::beside;
use crate::peer::Peer;
use crate::receiver::{Counting, Receiver};
use crate::report::{self, Heading, Measure, Series};
use crate::samples::Samples;
use crate::tidegate::Tidegate;

/// Measures, and prints the report on stdout.
pub(super) async fn run(plan: &Plan) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
    let tidegate = Tidegate::new(&plan.tidegate, folder.path())?;
    let receiver = Receiver::new(Counting::Documents);
    let address = receiver.start()?;
    let peers = plan.peers.iter().map(|peer| Peer::find(peer)).collect::<Result<Vec<_>>>()?;
    let file = folder.path().join("events.jsonl");
    let connections = format!("  search: {{ type: opensearch, endpoint: \"http://{address}\" }}\n");
    let syncs = "  documents:\n    source: { connection: web }\n    destination: { connection: search, index: bench, template: false }\n";

    let (mut all, mut there) = (Vec::new(), 0);
    for &events in &plan.rows {
        fill(&tidegate, there, events).await?;
        let to = file.clone();
        beside(move || write(&to, events)).await?;
        there = events;
        tidegate.project(&project(&connections, syncs))?;
        let names = peers.iter().map(|peer| format!("{}, from a file", peer.name));
        let series = |name| Series { name, rows: events, rounds: Vec::new() };
        let mut ways: Vec<Series> =
            names.chain(["`tidegate run`, from the log".to_owned()]).map(series).collect();
        for round in 1..=plan.rounds {
            for (at, series) in ways.iter_mut().enumerate() {
                receiver.reset();
                let (took, memory) = match peers.get(at) {
                    Some(peer) => {
                        let asks = Asks { endpoint: address, rows: events, braze: None, file: Some(&file) };
                        asks.of(peer, folder.path()).await?
                    }
                    None => {
                        tidegate.forget_progress()?;
                        tidegate.run("documents").await?
                    }
                };
                let arrived = receiver.counts();
                ensure!(arrived.objects == events, "{} of {events} events arrived", arrived.objects);
                let measure = Measure { took, memory: Some(memory), arrived: Some(arrived) };
                eprintln!("{events} events, round {round}, {}: {:.2} s", series.name, took.as_secs_f64());
                series.rounds.push(measure);
            }
        }
        all.extend(ways);
    }

    println!("## Warehouses: events to OpenSearch\n");
    println!("{}. Events of {} bytes as JSON.", report::machine(), Samples::new().bytes());
    println!(
        "Rounds of each way: {}, taking turns; the median stands here. The receiver answers every document with \
         *created*, on the same cores, without TLS on loopback.\n",
        plan.rounds
    );
    let limit = peers.first().map(|peer| peer.name.as_str());
    print!("{}", report::table(&Heading { items: "events", limit }, &all));
    Ok(())
}

/// Writes events as lines of JSON: those that are in the log.
fn write(file: &Path, events: u64) -> Result<()> {
    let (samples, mut line) = (Samples::new(), Vec::new());
    let mut file = BufWriter::new(File::create(file)?);
    for number in 0..events {
        line.clear();
        samples.write(number, 0, &mut line);
        line.push(b'\n');
        file.write_all(&line)?;
    }
    Ok(file.flush()?)
}
