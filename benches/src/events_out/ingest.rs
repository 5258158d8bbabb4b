//! Durable ingest, beside the same server with the log switched off.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{CONNECTIONS, EVENTS_PER_REQUEST, PATH, Plan, TOKEN, project};
use crate::latency::{Latencies, Millis};
use crate::load::{Load, Posted, beside};
use crate::report::{grouped, mebibytes};
use crate::tidegate::Tidegate;

/// Connections of a busy server, and of a quiet one, where few requests share one
/// flush of the disk.
const BUSY: u32 = 64;
const QUIET: u32 = CONNECTIONS;

/// A shape of load.
struct Shape {
    name: String,
    events: u64,
    events_per_request: u64,
    connections: u32,
}

/// One round of one way.
struct Round {
    took: Duration,
    answers: Latencies,
    memory: u64,
}

/// Measures all shapes of load.
pub(super) async fn measure(plan: &Plan, tidegate: &Tidegate) -> Result<()> {
    let mut shapes = Vec::new();
    for &events in &plan.events {
        for connections in [BUSY, QUIET] {
            let name = format!("{EVENTS_PER_REQUEST} a request, {connections} connections");
            shapes.push(Shape { name, events, events_per_request: EVENTS_PER_REQUEST, connections });
        }
    }
    if plan.singles > 0 {
        let name = format!("1 a request, {BUSY} connections");
        shapes.push(Shape { name, events: plan.singles, events_per_request: 1, connections: BUSY });
    }
    tidegate.project(&project("", "  {}\n"))?;
    let mut text = String::from(
        "### Durable ingest\n\n\
         | events | load | log | events/s | of log off | median | p99 | longest | peak memory | spread |\n\
         |---:|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for shape in &shapes {
        let (mut off, mut on) = (Vec::new(), Vec::new());
        for round in 1..=plan.rounds {
            for (log, rounds) in [("off", &mut off), ("on", &mut on)] {
                let measured = one(tidegate, shape, log).await?;
                eprintln!(
                    "{} events, {}, log {log}, round {round}: {:.2} s",
                    shape.events,
                    shape.name,
                    measured.took.as_secs_f64()
                );
                rounds.push(measured);
            }
        }
        off.sort_by_key(|round: &Round| round.took);
        on.sort_by_key(|round: &Round| round.took);
        let base = rate(shape, &off[off.len() / 2]);
        for (log, rounds) in [("off", &off), ("on", &on)] {
            write_row(&mut text, shape, log, rounds, base);
        }
    }
    println!("{text}");
    Ok(())
}

/// One round on a program that remembers nothing. With the log on, every event is found in it afterwards.
async fn one(tidegate: &Tidegate, shape: &Shape, log: &str) -> Result<Round> {
    tidegate.forget()?;
    let serving = match log {
        "off" => tidegate.forgetful()?.serve(&[("BENCH_LOG", log)]).await?,
        _ => tidegate.serve(&[]).await?,
    };
    let load = Load {
        address: serving.address,
        path: PATH,
        token: TOKEN,
        connections: shape.connections,
        events_per_request: shape.events_per_request,
        first: 0,
        events: shape.events,
        pace: None,
    };
    let Posted { took, answers } = beside(move || load.post()).await?;
    let memory = serving.stop().await?;
    let found = tidegate.events().await?;
    let expected = if log == "on" { shape.events } else { 0 };
    ensure!(found == expected, "{found} of {expected} events are in the log");
    Ok(Round { took, answers, memory })
}

fn rate(shape: &Shape, round: &Round) -> f64 {
    shape.events as f64 / round.took.as_secs_f64()
}

/// `rounds` are sorted by time.
fn write_row(text: &mut String, shape: &Shape, log: &str, rounds: &[Round], base: f64) {
    let round = &rounds[rounds.len() / 2];
    let per_second = rate(shape, round);
    let far = rounds.iter().map(|other| other.took.abs_diff(round.took)).max().unwrap_or_default();
    writeln!(
        text,
        "| {} | {} | {log} | {} | {:.2} | {} | {} | {} | {} | ±{:.0} % |",
        grouped(shape.events),
        shape.name,
        grouped(per_second as u64),
        per_second / base,
        Millis(round.answers.at(0.5)),
        Millis(round.answers.at(0.99)),
        Millis(round.answers.at(1.0)),
        mebibytes(round.memory),
        100.0 * far.as_secs_f64() / round.took.as_secs_f64()
    )
    .expect("writing to a string cannot fail");
}
