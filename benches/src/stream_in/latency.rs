//! From the producer to the request.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Plan, project};
use crate::latency::Millis;
use crate::load::beside;
use crate::receiver::{Counting, Receiver};
use crate::report::{grouped, mebibytes};
use crate::tidegate::Tidegate;
use crate::topic::{Format, Topic};

/// Messages a second.
const PACE: u32 = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures an even load on a program that is up.
pub(super) async fn measure(plan: &Plan, tidegate: &Tidegate) -> Result<()> {
    let topic = Topic::make(&plan.brokers, "latency", Format::Json).await?;
    let receiver = Receiver::timed(Counting::Objects);
    let address = receiver.start()?;
    tidegate.forget()?;
    tidegate.project(&project(&topic, "tidegate-bench-latency", None, address))?;
    let serving = tidegate.serve(&[]).await?;
    // A first second of load: the group is joined, everything is warm.
    let warm = u64::from(PACE);
    let filled = topic.clone();
    beside(move || filled.fill(0, warm, Some(PACE))).await?;
    receiver.wait_for(warm, PATIENCE).await?;
    receiver.reset();
    let before = serving.memory();

    let messages = u64::from(PACE) * u64::from(plan.seconds);
    let filled = topic.clone();
    beside(move || filled.fill(warm, messages, Some(PACE))).await?;
    receiver.wait_for(messages, PATIENCE).await?;

    let after = serving.memory();
    serving.stop().await?;
    let (latencies, arrived) = (receiver.latencies(), receiver.counts());
    ensure!(
        arrived.objects == messages && latencies.count() == messages,
        "{} of {messages} messages arrived",
        arrived.objects
    );
    println!(
        "### Latency\n\nFrom the producer's call to the request, at {} messages a second for {} s.\n",
        grouped(PACE.into()),
        plan.seconds
    );
    println!("| messages | median | p99 | longest | memory at the start | at the end | requests |");
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    println!(
        "| {} | {} | {} | {} | {} | {} | {} |\n",
        grouped(messages),
        Millis(latencies.at(0.5)),
        Millis(latencies.at(0.99)),
        Millis(latencies.at(1.0)),
        mebibytes(before),
        mebibytes(after),
        grouped(arrived.requests)
    );
    topic.remove().await
}
