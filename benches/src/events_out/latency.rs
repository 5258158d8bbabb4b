//! From a request with an event to the request to Kinesis.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{PATH, Plan, TOKEN, project, to_kinesis};
use crate::latency::Millis;
use crate::load::{Load, beside};
use crate::receiver::{Counting, Receiver};
use crate::report::{grouped, mebibytes};
use crate::tidegate::Tidegate;

/// Events a second, one a request.
const PACE: u32 = 1_000;
const CONNECTIONS: u32 = 16;
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures an even load on a program that is up.
pub(super) async fn measure(plan: &Plan, tidegate: &Tidegate) -> Result<()> {
    let receiver = Receiver::timed(Counting::Records);
    let (connections, syncs) = to_kinesis(receiver.start()?);
    tidegate.forget()?;
    tidegate.project(&project(&connections, &syncs))?;
    let serving = tidegate.serve(&[]).await?;
    let load = |first: u64, events: u64| Load {
        address: serving.address,
        path: PATH,
        token: TOKEN,
        connections: CONNECTIONS,
        events_per_request: 1,
        first,
        events,
        pace: Some(PACE),
    };
    // A first second of load, so that everything is warm.
    let warm = load(0, PACE.into());
    beside(move || warm.post()).await?;
    receiver.wait_for(PACE.into(), PATIENCE).await?;
    receiver.reset();
    let before = serving.memory();

    let events = u64::from(PACE) * u64::from(plan.seconds);
    let even = load(PACE.into(), events);
    let posted = beside(move || even.post()).await?;
    receiver.wait_for(events, PATIENCE).await?;

    let after = serving.memory();
    serving.stop().await?;
    let (latencies, arrived) = (receiver.latencies(), receiver.counts());
    ensure!(
        arrived.objects == events && latencies.count() == events,
        "{} of {events} events arrived",
        arrived.objects
    );
    println!(
        "### Latency\n\nOne event a request, {} events a second for {} s. To the answer: the event is durable. \
         To `PutRecords`: the request with the event is there.\n",
        grouped(PACE.into()),
        plan.seconds
    );
    println!("| events | to | median | p99 | longest | memory at the start | at the end |");
    println!("|---:|---|---:|---:|---:|---:|---:|");
    for (to, times) in [("the answer", &posted.answers), ("`PutRecords`", &latencies)] {
        println!(
            "| {} | {to} | {} | {} | {} | {} | {} |",
            grouped(events),
            Millis(times.at(0.5)),
            Millis(times.at(0.99)),
            Millis(times.at(1.0)),
            mebibytes(before),
            mebibytes(after)
        );
    }
    println!();
    Ok(())
}
