//! One, two and four processes that share the work, and a platform that is slow to answer.

mod kills;

use std::iter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use tokio::time;
use tokio_postgres::{Client, Config};

use crate::clock;
use crate::load::beside;
use crate::receiver::{Counting, Receiver};
use crate::report::{self, grouped, mebibytes};
use crate::rows_in::{self, Server};
use crate::tidegate::{Serving, Tidegate};
use crate::topic::{Format, PARTITIONS, SESSION_MS, Topic};

/// The state that the processes share.
const STATE: &str = "bench_scale_state";
/// Rows that each sync has to send: one request.
const ROWS: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(120);
/// Messages that each process sends before it has as many requests under way as a slow platform needs.
const WARM_UP: u64 = 50_000;
/// After so long a group has given each member its partitions.
const JOINED: Duration = Duration::from_secs(15);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Processes that share a topic.
    Topic,
    /// Processes that share scheduled syncs.
    Syncs,
    /// Both, while processes are killed at random: what is lost and doubled.
    Kills,
}

/// What is measured with what.
pub(crate) struct Plan {
    /// The program under test.
    pub(crate) tidegate: PathBuf,
    /// The database's address.
    pub(crate) postgres: String,
    /// The broker.
    pub(crate) brokers: String,
    /// How many processes share the work, one measurement each.
    pub(crate) processes: Vec<usize>,
    /// After how many milliseconds the platform answers.
    pub(crate) millis: u64,
    /// Messages in the topic.
    pub(crate) messages: u64,
    /// Syncs that are due at the same time.
    pub(crate) syncs: u64,
    /// How many processes are killed in each measurement of the part `Kills`.
    pub(crate) kills: u32,
    /// Which parts are measured.
    pub(crate) parts: Vec<Part>,
}

impl Plan {
    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}

/// Measures, and prints the report on stdout; progress goes to stderr.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    let postgres: Config = plan.postgres.parse().context("--postgres is not an address of a database")?;
    let client = rows_in::connect(&postgres).await?;
    let server = Server::of(&postgres)?;
    println!("## Several processes\n");
    println!(
        "{}. The platform answers after {} ms. Processes that share a topic have a data folder each; the state of those \
         that share syncs is in one PostgreSQL database.\n",
        report::machine(),
        grouped(plan.millis)
    );
    if plan.has(Part::Topic) || plan.has(Part::Syncs) {
        println!(
            "| work | processes | a second | of one process, times the number | peak memory of each | processor time |"
        );
        println!("|---|---:|---:|---:|---:|---:|");
        let messages = format!("{} messages of a topic", grouped(plan.messages));
        let syncs = format!("{} syncs, due together", grouped(plan.syncs));
        for (part, work, name) in [(Part::Topic, Work::Topic, messages), (Part::Syncs, Work::Syncs, syncs)] {
            let mut one = None;
            for &processes in plan.processes.iter().filter(|_| plan.has(part)) {
                let group = Group::start(plan, &server, &client, processes, work).await?;
                group.report(&name, &mut one).await?;
            }
        }
        println!();
    }
    if plan.has(Part::Kills) {
        kills::run(plan, &server, &client).await?;
    }
    Ok(())
}

/// What the processes share.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// The partitions of a topic.
    Topic,
    /// Scheduled syncs.
    Syncs,
}

/// The processes, after everything arrived.
struct Group {
    serving: Vec<Serving>,
    /// Messages or syncs that were done in `took`.
    items: u64,
    /// From the first request that counts to the last one.
    took: Duration,
    /// What they used meanwhile.
    used: Duration,
    /// The topic that they share, if that is the work.
    topic: Option<Topic>,
}

impl Group {
    async fn start(
        plan: &Plan,
        server: &Server,
        client: &Client,
        processes: usize,
        work: Work,
    ) -> Result<Group> {
        make_state(client).await?;
        let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
        let receiver = Receiver::slow(Counting::Objects, Duration::from_millis(plan.millis));
        let platform = format!(
            "{{ type: braze, endpoint: \"http://{}\", api_key: bench, rates: {{ track_per_3s: 4000000000 }} }}",
            receiver.start()?
        );
        match work {
            Work::Topic => {
                let topic = Topic::make(&plan.brokers, "scale", Format::Json).await?;
                let project = project_of_topic(&topic, &platform, TO_BRAZE);
                let serving = serve(plan, folder.path(), processes, &project, &[]).await?;
                // Every partition has a reader before the clock starts.
                let all = u64::try_from(PARTITIONS)? * 100;
                let (filled, n) = (topic.clone(), all);
                beside(move || filled.fill(0, n, None)).await?;
                receiver.wait_for(all, PATIENCE).await?;
                time::interval_at(time::Instant::now() + JOINED, JOINED).tick().await;
                let warm_up = WARM_UP * processes as u64;
                let (filled, n) = (topic.clone(), warm_up + plan.messages);
                let filling = tokio::spawn(beside(move || filled.fill(all, n, None)));
                receiver.wait_for(all + warm_up, PATIENCE).await?;
                let (before, begun) = (processor_time(&serving), time::Instant::now());
                let total = all + warm_up + plan.messages;
                let items = total.saturating_sub(receiver.counts().objects);
                receiver.wait_for(total, PATIENCE).await?;
                let took = begun.elapsed();
                filling.await??;
                let used = processor_time(&serving).saturating_sub(before);
                Ok(Group { serving, items, took, used, topic: Some(topic) })
            }
            Work::Syncs => {
                make_rows(client).await?;
                let project = project_of_syncs(plan.syncs, server, &platform);
                let store = server.url(STATE);
                let variables = [("PGPASSWORD", server.password()), ("TIDEGATE_STORE", store.as_str())];
                let serving = serve(plan, folder.path(), processes, &project, &variables).await?;
                receiver.wait_for(plan.syncs * ROWS, PATIENCE).await?;
                let used = processor_time(&serving);
                let counts = receiver.counts();
                ensure!(
                    counts.objects == plan.syncs * ROWS,
                    "{} rows arrived, more than there are",
                    counts.objects
                );
                Ok(Group { serving, items: plan.syncs, took: receiver.moving(), used, topic: None })
            }
        }
    }

    /// Prints a line, and stops the processes. Their topic goes after them: librdkafka 2.12 ends a process
    /// that reads a topic while Tansu removes it, since the broker then names neither its id nor its name.
    async fn report(self, work: &str, one: &mut Option<f64>) -> Result<()> {
        let processes = self.serving.len();
        let rate = self.items as f64 / self.took.as_secs_f64();
        let of_one = rate / (*one.get_or_insert(rate / processes as f64) * processes as f64);
        let mut memory = 0;
        for serving in self.serving {
            memory = memory.max(serving.stop().await?);
        }
        if let Some(topic) = self.topic {
            topic.remove().await?;
        }
        eprintln!("{processes} processes, {work}: {:.1} s", self.took.as_secs_f64());
        println!(
            "| {work} | {processes} | {} | {of_one:.2} | {} | {:.1} s in {:.1} s |",
            grouped(rate as u64),
            mebibytes(memory),
            self.used.as_secs_f64(),
            self.took.as_secs_f64()
        );
        Ok(())
    }
}

fn processor_time(serving: &[Serving]) -> Duration {
    serving.iter().map(Serving::processor_time).sum()
}

/// Starts the processes, each in a folder of its own as on a machine of its own.
async fn serve(
    plan: &Plan,
    folder: &Path,
    processes: usize,
    project: &str,
    variables: &[(&str, &str)],
) -> Result<Vec<Serving>> {
    let mut serving = Vec::new();
    for n in 1..=processes {
        let tidegate = Tidegate::new(&plan.tidegate, &folder.join(n.to_string()))?;
        tidegate.project(project)?;
        serving.push(tidegate.serve(variables).await?);
    }
    Ok(serving)
}

/// Makes an empty state for processes that share it.
async fn make_state(client: &Client) -> Result<()> {
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {STATE} WITH (FORCE)")).await?;
    client.batch_execute(&format!("CREATE DATABASE {STATE}")).await?;
    Ok(())
}

/// Makes the table that every scheduled sync sends.
async fn make_rows(client: &Client) -> Result<()> {
    let sql = format!(
        "DROP TABLE IF EXISTS bench_scale; CREATE TABLE bench_scale AS SELECT n AS id, 'u' || n AS customer,
         timestamptz '2024-01-01Z' AS at FROM generate_series(1, {ROWS}) n"
    );
    client.batch_execute(&sql).await?;
    Ok(())
}

/// What becomes of a message at Braze.
const TO_BRAZE: &str = "    destination: { connection: platform, object: event }
    mapping: { name: name, external_id: user, timestamp: at, properties: properties }
    in_doubt: resend
";

fn project_of_topic(topic: &Topic, platform: &str, destination: &str) -> String {
    format!(
        "connections:
  topic: {{ type: kafka, brokers: \"{}\", properties: {{ session.timeout.ms: {SESSION_MS} }} }}
  platform: {platform}
syncs:
  topic:
    source:
      connection: topic
      topics: {}
      group: bench-scale-{}
      format: json
      fields: {{ id: id, name: event_name, user: external_id, at: {{ path: timestamp, as: epoch_ms }}, properties: properties }}
{destination}    schedule: continuous
",
        topic.brokers,
        topic.name,
        clock::micros()
    )
}

fn project_of_syncs(syncs: u64, server: &Server, platform: &str) -> String {
    let head = format!("connections:\n  pg: {}\n  braze: {platform}\nsyncs:\n", server.connection());
    let syncs = (0..syncs).map(|n| {
        format!(
            "  s{n}:
    source: {{ connection: pg, table: bench_scale }}
    cursor: at
    primary_key: id
    destination: {{ connection: braze, object: event }}
    mapping: {{ external_id: customer, name: {{ value: s{n} }}, timestamp: at, properties: [id] }}
    schedule: {{ every: 24h }}
"
        )
    });
    iter::once(head).chain(syncs).collect()
}
