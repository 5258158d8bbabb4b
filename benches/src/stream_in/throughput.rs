//! How many messages a second.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::{Plan, Platform, project};
use crate::load::beside;
use crate::peer::Peer;
use crate::receiver::{Counting, Receiver};
use crate::report::{self, Heading, Measure, Series};
use crate::tidegate::Tidegate;
use crate::topic::{Format, Topic};
use crate::{clock, memory};

/// Nothing arrived for so long: nothing will.
const PATIENCE: Duration = Duration::from_secs(60);

/// Offsets that are not committed so long after the effect will never be.
const COMMITTED_WITHIN: Duration = Duration::from_secs(10);

/// Measures JSON, and Avro if there is a registry.
pub(super) async fn measure(plan: &Plan, tidegate: &Tidegate) -> Result<()> {
    let mut all = Vec::new();
    for &messages in &plan.messages {
        all.extend(one_topic(plan, tidegate, "JSON", Format::Json, messages).await?);
    }
    let mut avro = Vec::new();
    if let Some(registry) = &plan.registry {
        for &messages in &plan.messages {
            let registry = registry.clone();
            let schema = beside(move || registry.register()).await?;
            avro.extend(one_topic(plan, tidegate, "Avro", Format::Avro { schema }, messages).await?);
        }
    }
    println!(
        "Rounds of each way: {}, taking turns; the median stands here. The bare consumer and ours join a group; \
         their seconds are those from the first message to the last one, those of any other program are its \
         whole life. Each round of ours ends with every message at the receiver, which runs on the same cores, \
         and with every offset committed: a bare client looks.\n",
        plan.rounds
    );
    let heading = Heading { items: "messages", limit: Some("bare") };
    println!("{}", report::table(&heading, &all));
    if !avro.is_empty() {
        println!("{}", report::table(&heading, &avro));
    }
    Ok(())
}

async fn one_topic(
    plan: &Plan,
    tidegate: &Tidegate,
    name: &str,
    format: Format,
    messages: u64,
) -> Result<Vec<Series>> {
    let topic = Topic::make(&plan.brokers, &name.to_lowercase(), format).await?;
    eprintln!("filling {} with {messages} messages", topic.name);
    let filled = topic.clone();
    beside(move || filled.fill(0, messages, None)).await?;
    let receiver = Receiver::new(Counting::Objects);
    let address = receiver.start()?;
    let series = |way: &str| Series { name: format!("{way}, {name}"), rows: messages, rounds: Vec::new() };
    let mut ways = vec![series("bare consumer")];
    let peers = plan.peers.iter().map(|path| Peer::find(path)).collect::<Result<Vec<Peer>>>()?;
    ways.extend(peers.iter().map(|peer| series(&peer.name)));
    ways.extend(Platform::ALL.map(|platform| series(&format!("`tidegate serve` to {}", platform.name()))));
    for round in 1..=plan.rounds {
        let mut measures = vec![bare(&topic, messages).await?];
        for peer in &peers {
            let (took, memory) = peer.read(&topic, messages, &[]).await?;
            measures.push(Measure { took, memory: Some(memory), arrived: None });
        }
        for platform in Platform::ALL {
            let group = format!("tidegate-bench-{}", clock::micros());
            tidegate.project(&project(&topic, &group, plan.registry.as_ref(), platform, address))?;
            measures.push(ours(tidegate, &topic, &group, &receiver, messages).await?);
        }
        for (series, measure) in ways.iter_mut().zip(measures) {
            eprintln!(
                "{messages} messages, round {round}, {}: {:.2} s",
                series.name,
                measure.took.as_secs_f64()
            );
            series.rounds.push(measure);
        }
    }
    topic.remove().await?;
    Ok(ways)
}

/// This very program as a consumer that does nothing.
async fn bare(topic: &Topic, messages: u64) -> Result<Measure> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([
            "consume",
            "--brokers",
            &topic.brokers,
            "--topic",
            &topic.name,
            "--messages",
            &messages.to_string(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (status, memory) = memory::wait(&mut child).await?;
    ensure!(status.success(), "the bare consumer ended with {status}");
    let said = child.wait_with_output().await?;
    let micros =
        String::from_utf8(said.stdout)?.trim().parse().context("the bare consumer tells its time")?;
    Ok(Measure { took: Duration::from_micros(micros), memory: Some(memory), arrived: None })
}

async fn ours(
    tidegate: &Tidegate,
    topic: &Topic,
    group: &str,
    receiver: &Receiver,
    messages: u64,
) -> Result<Measure> {
    tidegate.forget()?;
    receiver.reset();
    let serving = tidegate.serve(&[]).await?;
    receiver.wait_for(messages, PATIENCE).await?;
    let took = receiver.moving();
    committed(topic, group, messages).await?;
    let memory = serving.stop().await?;
    let arrived = receiver.counts();
    ensure!(arrived.objects == messages, "{} of {messages} messages arrived", arrived.objects);
    Ok(Measure { took, memory: Some(memory), arrived: Some(arrived) })
}

/// Waits until another client sees all offsets committed.
async fn committed(topic: &Topic, group: &str, messages: u64) -> Result<()> {
    let started = Instant::now();
    loop {
        let (topic, group) = (topic.clone(), group.to_owned());
        let committed = beside(move || topic.committed(&group)).await?;
        if committed == messages {
            return Ok(());
        }
        ensure!(
            committed < messages && started.elapsed() < COMMITTED_WITHIN,
            "{committed} of {messages} offsets were committed {} s after the last message arrived",
            started.elapsed().as_secs()
        );
    }
}
