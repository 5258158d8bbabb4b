//! The log to a Kinesis that only counts.

use anyhow::{Result, ensure};

use super::{Plan, fill, project, to_kinesis};
use crate::receiver::{Counting, Receiver};
use crate::report::{self, Heading, Measure, Series};
use crate::tidegate::Tidegate;

/// Measures.
pub(super) async fn measure(plan: &Plan, tidegate: &Tidegate) -> Result<()> {
    let receiver = Receiver::new(Counting::Records);
    let (connections, syncs) = to_kinesis(receiver.start()?);
    tidegate.forget()?;
    let (mut all, mut there) = (Vec::new(), 0);
    for &events in &plan.events {
        fill(tidegate, there, events).await?;
        there = events;
        tidegate.project(&project(&connections, &syncs))?;
        let mut series = Series { name: "`tidegate run`".into(), rows: events, rounds: Vec::new() };
        for round in 1..=plan.rounds {
            let measure = one(tidegate, &receiver, events).await?;
            eprintln!("{events} events to Kinesis, round {round}: {:.2} s", measure.took.as_secs_f64());
            series.rounds.push(measure);
        }
        all.push(series);
    }
    println!("### Log to Kinesis\n");
    println!("{}", report::table(&Heading { items: "events", limit: None }, &all));
    Ok(())
}

/// Exports the whole log once.
pub(super) async fn one(tidegate: &Tidegate, receiver: &Receiver, events: u64) -> Result<Measure> {
    tidegate.forget_progress()?;
    receiver.reset();
    let (took, memory) = tidegate.run("kinesis").await?;
    let arrived = receiver.counts();
    ensure!(arrived.objects == events, "{} of {events} events arrived", arrived.objects);
    Ok(Measure { took, memory: Some(memory), arrived: Some(arrived) })
}
