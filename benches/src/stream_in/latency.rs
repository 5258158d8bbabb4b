//! From the producer to the request.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Plan, Platform, project};
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
    tidegate.project(&project(&topic, "tidegate-bench-latency", None, Platform::Braze, address))?;
    let serving = tidegate.serve(&[]).await?;
    // A first second of load: the group is joined, everything is warm.
    let warm = u64::from(PACE);
    let filled = topic.clone();
    beside(move || filled.fill(0, warm, Some(PACE))).await?;
    receiver.wait_for(warm, PATIENCE).await?;
    receiver.reset();
    let before = serving.memory();

    let messages = u64::from(PACE) * u64::from(plan.seconds);
    let watched = topic.clone();
    let bare = tokio::spawn(beside(move || watched.watch(warm, messages)));
    let filled = topic.clone();
    beside(move || filled.fill(warm, messages, Some(PACE))).await?;
    receiver.wait_for(messages, PATIENCE).await?;

    let bare = bare.await??;
    let after = serving.memory();
    serving.stop().await?;
    let (latencies, arrived) = (receiver.latencies(), receiver.counts());
    ensure!(bare.count() == messages, "{} of {messages} messages came to the bare consumer", bare.count());
    ensure!(
        arrived.objects == messages && latencies.count() == messages,
        "{} of {messages} messages arrived",
        arrived.objects
    );
    println!(
        "### Latency\n\nFrom the producer's call to the consumer, at {} messages a second for {} s; both read at the \
         same time. Memory of ours: {} at the start, {} at the end.\n",
        grouped(PACE.into()),
        plan.seconds,
        mebibytes(before),
        mebibytes(after)
    );
    println!("| messages | to | median | p99 | longest | requests |");
    println!("|---:|---|---:|---:|---:|---:|");
    let requests = grouped(arrived.requests);
    for (to, times, requests) in
        [("a bare consumer", &bare, ""), ("the request of `tidegate serve`", &latencies, &requests)]
    {
        println!(
            "| {} | {to} | {} | {} | {} | {requests} |",
            grouped(messages),
            Millis(times.at(0.5)),
            Millis(times.at(0.99)),
            Millis(times.at(1.0)),
        );
    }
    println!();
    topic.remove().await
}
