//! A program of another project that moves the same records to the same place.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Plan, fill, kinesis, project, to_kinesis};
use crate::load::beside;
use crate::peer::Peer;
use crate::receiver::{Counting, Receiver};
use crate::report::{self, Heading, Measure, Series};
use crate::tidegate::Tidegate;
use crate::topic::{Format, Topic};

/// Measures, if there is a peer and a broker.
pub(super) async fn measure(plan: &Plan, tidegate: &Tidegate) -> Result<()> {
    let (Some(program), Some(brokers)) = (&plan.peer, &plan.brokers) else { return Ok(()) };
    let peer = Peer::find(program)?;
    let (name, events) = (&peer.name, plan.peer_events);
    let receiver = Receiver::new(Counting::Records);
    let address = receiver.start()?;
    let topic = Topic::make(brokers, "peer", Format::Json).await?;
    let filled = topic.clone();
    beside(move || filled.fill(0, events, None)).await?;
    let (connections, syncs) = to_kinesis(address);
    tidegate.forget()?;
    fill(tidegate, 0, events).await?;
    tidegate.project(&project(&connections, &syncs))?;

    let series = |name: String| Series { name, rows: events, rounds: Vec::new() };
    let mut ways =
        vec![series(format!("{name}, topic to Kinesis")), series("`tidegate run`, log to Kinesis".into())];
    for round in 1..=plan.rounds {
        let theirs = run(&peer, &topic, address, &receiver, events).await?;
        let mut ours = kinesis::one(tidegate, &receiver, events).await?;
        ours.took = receiver.moving();
        for (series, measure) in ways.iter_mut().zip([theirs, ours]) {
            eprintln!("{events} events, round {round}, {}: {:.2} s", series.name, measure.took.as_secs_f64());
            series.rounds.push(measure);
        }
    }
    topic.remove().await?;
    println!(
        "### Beside {name}\n\nThe same records to the same receiver; the seconds are those from the first request \
         to the last one, so that none pays for starting or for joining a group. What arrived beyond the number of \
         events was sent twice.\n"
    );
    println!("{}", report::table(&Heading { items: "events", limit: Some(name) }, &ways));
    Ok(())
}

/// Runs the peer until everything arrived and it has ended.
async fn run(
    peer: &Peer,
    topic: &Topic,
    kinesis: SocketAddr,
    receiver: &Receiver,
    events: u64,
) -> Result<Measure> {
    receiver.reset();
    let endpoint = ("BENCH_ENDPOINT", format!("http://{kinesis}"));
    let (took, memory) = peer.read(topic, events, &[endpoint]).await?;
    eprintln!("{}: {:.2} s with start and end", peer.name, took.as_secs_f64());
    let arrived = receiver.counts();
    ensure!(arrived.objects >= events, "{} of {events} events arrived", arrived.objects);
    Ok(Measure {
        took: receiver.moving().max(Duration::from_micros(1)),
        memory: Some(memory),
        arrived: Some(arrived),
    })
}
