//! Stream in: a topic to requests, against a bare consumer of the same topic.

mod latency;
mod throughput;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::report;
use crate::tidegate::Tidegate;
use crate::topic::{Format, PARTITIONS, Registry, SESSION_MS, Topic};

/// What is measured with what.
pub(crate) struct Plan {
    /// The program under test.
    pub(crate) tidegate: PathBuf,
    /// The broker.
    pub(crate) brokers: String,
    /// The schema registry: no Avro without one.
    pub(crate) registry: Option<Registry>,
    /// Messages in the topic.
    pub(crate) messages: Vec<u64>,
    /// Rounds of each way.
    pub(crate) rounds: usize,
    /// For how long the latency is measured.
    pub(crate) seconds: u32,
    /// Other programs that read the topic.
    pub(crate) peers: Vec<PathBuf>,
}

/// Measures, and prints the report on stdout; progress goes to stderr.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    ensure!(plan.rounds > 0, "--rounds must be at least 1");
    let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
    let tidegate = Tidegate::new(&plan.tidegate, folder.path())?;
    println!("## Stream in: a topic to requests\n");
    println!(
        "{}. Tansu in memory, {PARTITIONS} partitions, no compression, session timeout {SESSION_MS} ms.",
        report::machine()
    );
    if plan.messages.iter().any(|messages| *messages > 0) {
        throughput::measure(plan, &tidegate).await?;
    }
    if plan.seconds > 0 {
        latency::measure(plan, &tidegate).await?;
    }
    Ok(())
}

/// Where events go.
#[derive(Clone, Copy)]
enum Platform {
    /// 75 events a request, each as its vendor counts them: once.
    Braze,
    /// 400 events a request, each with an idempotency key.
    OneSignal,
}

impl Platform {
    const ALL: [Platform; 2] = [Platform::Braze, Platform::OneSignal];

    fn name(self) -> &'static str {
        match self {
            Platform::Braze => "Braze",
            Platform::OneSignal => "OneSignal",
        }
    }

    /// A connection without a limit, and what its syncs say besides.
    fn settings(self, address: SocketAddr) -> (String, &'static str) {
        match self {
            Platform::Braze => (
                format!(
                    "{{ type: braze, endpoint: \"http://{address}\", api_key: bench, rates: {{ track_per_3s: 4000000000 }} }}"
                ),
                "in_doubt: resend",
            ),
            Platform::OneSignal => (
                format!(
                    "{{ type: onesignal, endpoint: \"http://{address}\", app_id: 0190b1f2-0000-7000-8000-000000000000, \
                     api_key: bench, requests_per_second: 4000000000 }}"
                ),
                "in_doubt: hold",
            ),
        }
    }
}

/// The project that reads a topic and sends events to a platform.
fn project(
    topic: &Topic,
    group: &str,
    registry: Option<&Registry>,
    platform: Platform,
    address: SocketAddr,
) -> String {
    let (settings, more) = platform.settings(address);
    let Topic { brokers, name, format } = topic;
    let (format, at) = match format {
        Format::Json => ("json", "{ path: timestamp, as: epoch_ms }"),
        Format::Avro { .. } => ("avro", "timestamp"),
    };
    let registry = registry.map_or(String::new(), |Registry { url, login }| {
        let login = login.as_ref().map_or(String::new(), |(user, password)| {
            format!(", username: \"{user}\", password: \"{password}\"")
        });
        format!("\n    registry: {{ url: \"{url}\"{login} }}")
    });
    format!(
        "connections:
  topic:
    type: kafka
    brokers: {brokers}
    properties: {{ session.timeout.ms: {SESSION_MS} }}{registry}
  platform: {settings}

syncs:
  stream_in:
    source:
      connection: topic
      topics: {name}
      group: {group}
      format: {format}
      fields:
        name: event_name
        user: external_id
        at: {at}
        properties: properties
    destination: {{ connection: platform, object: event }}
    mapping:
      name: name
      external_id: user
      timestamp: at
      properties: properties
    {more}
    schedule: continuous
"
    )
}
