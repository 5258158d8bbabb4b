//! The same work while processes are killed at random: what was lost, and what took effect twice.
//!
//! A process that is killed starts again in its folder. What took effect is what the receiver got, whether or not
//! the process lived to hear the answer. Messages become events of OneSignal, which takes a repeated idempotency key for a
//! repetition: processes with folders of their own know nothing of each other's requests. Rows of syncs become events of
//! Braze, which has no such key, so that a row whose answer was not heard is held as in doubt.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::time;
use tokio_postgres::Client;

use super::{JOINED, PATIENCE, Plan, ROWS, STATE, make_rows, make_state, project_of_syncs, project_of_topic};
use crate::load::beside;
use crate::receiver::{Counting, Effect, Receiver};
use crate::report::grouped;
use crate::rows_in::Server;
use crate::tidegate::{Serving, Tidegate};
use crate::topic::{Format, PARTITIONS, Topic};

/// Messages for each process.
const MESSAGES: u64 = 200_000;
/// A process works again when one of this many events arrived since the last kill.
const SHARE: u64 = 40;
/// The longest that it then works until the next kill.
const LIFE_MS: u64 = 3_000;
/// The key of what is sealed, which processes with one state share.
const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// What becomes of a message at OneSignal.
const TO_ONESIGNAL: &str = "    destination: { connection: platform, object: event }
    mapping: { name: name, external_id: user, timestamp: at, properties: [id] }
";

/// Measures, and prints a table on stdout.
pub(super) async fn run(plan: &Plan, server: &Server, client: &Client) -> Result<()> {
    println!("Processes are killed at random and started again.\n");
    println!("| work | processes | kills | a second | lost | doubled | in doubt |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for &processes in &plan.processes {
        let messages = MESSAGES * processes as u64;
        let line = of_topic(plan, processes, messages).await?;
        line.print(&format!("{} messages of a topic, to OneSignal", grouped(messages)), processes);
    }
    for &processes in &plan.processes {
        let line = of_syncs(plan, server, client, processes).await?;
        line.print(&format!("{} syncs, due together, to Braze", grouped(plan.syncs)), processes);
    }
    println!();
    Ok(())
}

/// What came of one measurement.
struct Line {
    kills: u32,
    per_second: f64,
    lost: usize,
    doubled: usize,
    /// Rows that are listed as in doubt, whether they took effect or not.
    in_doubt: usize,
}

impl Line {
    fn print(&self, work: &str, processes: usize) {
        let Line { kills, per_second, lost, doubled, in_doubt } = self;
        println!("| {work} | {processes} | {kills} | {per_second:.1} | {lost} | {doubled} | {in_doubt} |");
    }
}

/// The processes that are killed.
struct Fleet {
    programs: Vec<Tidegate>,
    serving: Vec<Serving>,
    kills: u32,
}

impl Fleet {
    async fn start(
        plan: &Plan,
        folder: &Path,
        processes: usize,
        project: &str,
        variables: &[(&str, &str)],
    ) -> Result<Fleet> {
        let mut fleet = Fleet { programs: Vec::new(), serving: Vec::new(), kills: 0 };
        for n in 1..=processes {
            let program = Tidegate::new(&plan.tidegate, &folder.join(n.to_string()))?;
            let program = variables.iter().fold(program, |program, (name, value)| program.with(name, value));
            program.project(project)?;
            fleet.serving.push(program.serve(&[]).await?);
            fleet.programs.push(program);
        }
        Ok(fleet)
    }

    /// Kills one of them and starts it again, at a random moment after the work has moved on, as often as is
    /// planned, or until fewer than a share of it is left.
    async fn kill_at_random(&mut self, plan: &Plan, receiver: &Receiver, events: u64) -> Result<()> {
        let share = events / SHARE;
        while self.kills < plan.kills {
            let enough = receiver.arrived_and_doubled().0 as u64 + share;
            if enough + share > events {
                return Ok(());
            }
            arrived(receiver, enough).await?;
            wait(Duration::from_millis(random(LIFE_MS))).await;
            let which = usize::try_from(random(self.serving.len() as u64))?;
            let killed = self.serving.swap_remove(which);
            killed.kill().await?;
            self.kills += 1;
            let program = self.programs.swap_remove(which);
            self.serving.push(program.serve(&[]).await?);
            self.programs.push(program);
        }
        Ok(())
    }

    async fn stop(self) -> Result<()> {
        for serving in self.serving {
            serving.stop().await?;
        }
        Ok(())
    }
}

async fn of_topic(plan: &Plan, processes: usize, messages: u64) -> Result<Line> {
    let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
    let receiver = Receiver::slow(Counting::Effects, Duration::from_millis(plan.millis));
    let platform = format!(
        "{{ type: onesignal, endpoint: \"http://{}\", api_key: bench, app_id: 11111111-2222-4333-8444-555555555555 }}",
        receiver.start()?
    );
    let topic = Topic::make(&plan.brokers, "kills", Format::Json).await?;
    let project = project_of_topic(&topic, &platform, TO_ONESIGNAL);
    let mut fleet = Fleet::start(plan, folder.path(), processes, &project, &[]).await?;
    // Every partition has a reader before the clock starts.
    let all = u64::try_from(PARTITIONS)? * 100;
    let filled = topic.clone();
    beside(move || filled.fill(0, all, None)).await?;
    arrived(&receiver, all).await?;
    wait(JOINED).await;
    let begun = Instant::now();
    let (filled, total) = (topic.clone(), all + messages);
    let filling = tokio::spawn(beside(move || filled.fill(all, messages, None)));
    fleet.kill_at_random(plan, &receiver, total).await?;
    arrived(&receiver, total).await?;
    let took = begun.elapsed();
    filling.await??;
    let kills = fleet.kills;
    // Whatever is sent again is sent until the processes have ended, and read before the topic goes.
    fleet.stop().await?;
    topic.remove().await?;
    let (found, doubled) = receiver.arrived_and_doubled();
    let lost = usize::try_from(total)?.saturating_sub(found);
    Ok(Line { kills, per_second: messages as f64 / took.as_secs_f64(), lost, doubled, in_doubt: 0 })
}

async fn of_syncs(plan: &Plan, server: &Server, client: &Client, processes: usize) -> Result<Line> {
    make_state(client).await?;
    make_rows(client).await?;
    let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
    let receiver = Receiver::slow(Counting::Effects, Duration::from_millis(plan.millis));
    let platform = format!(
        "{{ type: braze, endpoint: \"http://{}\", api_key: bench, rates: {{ track_per_3s: 4000000000 }} }}",
        receiver.start()?
    );
    let project = project_of_syncs(plan.syncs, server, &platform);
    let store = server.url(STATE);
    let variables = [
        ("PGPASSWORD", server.password()),
        ("TIDEGATE_STORE", store.as_str()),
        ("TIDEGATE_MASTER_KEY", MASTER_KEY),
    ];
    let begun = Instant::now();
    let mut fleet = Fleet::start(plan, folder.path(), processes, &project, &variables).await?;
    let total = plan.syncs * ROWS;
    fleet.kill_at_random(plan, &receiver, total).await?;
    let expected = || {
        (0..plan.syncs).flat_map(|sync| {
            (1..=ROWS).map(move |id| Effect { name: format!("s{sync}"), id: id.to_string() })
        })
    };
    let mut asked = 0;
    let (lost, listed) = loop {
        let mut missing = receiver.missing(expected());
        let listed = fleet.programs[0].in_doubt().await?;
        missing.retain(|row| !listed.iter().any(|(sync, key)| (sync, key) == (&row.name, &row.id)));
        asked += 1;
        if missing.is_empty() || asked > PATIENCE.as_secs() {
            break (missing.len(), listed.len());
        }
        wait(Duration::from_secs(1)).await;
    };
    let took = begun.elapsed();
    let kills = fleet.kills;
    fleet.stop().await?;
    let (_, doubled) = receiver.arrived_and_doubled();
    Ok(Line { kills, per_second: plan.syncs as f64 / took.as_secs_f64(), lost, doubled, in_doubt: listed })
}

/// Waits until this many different events took effect.
async fn arrived(receiver: &Receiver, events: u64) -> Result<()> {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        let now = receiver.arrived_and_doubled().0;
        if now as u64 >= events {
            return Ok(());
        }
        if now > seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() > PATIENCE {
            bail!("{now} of {events} events took effect, and none for {} s", PATIENCE.as_secs());
        }
        wait(Duration::from_millis(20)).await;
    }
}

async fn wait(span: Duration) {
    time::interval_at(time::Instant::now() + span, span).tick().await;
}

/// Something below `end`, new each time.
fn random(end: u64) -> u64 {
    RandomState::new().hash_one(end) % end
}
