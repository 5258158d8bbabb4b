//! Topics, filled and looked at by Confluent's own client.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufWriter, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::served::{Served, until};
use crate::support::{Ended, Sandbox, pause, variable};

/// A name that no other test has, nor the same one an hour ago.
pub(crate) fn unique(what: &str) -> String {
    format!("{what}-{:016x}", RandomState::new().build_hasher().finish())
}

/// A topic on a broker.
pub(crate) struct Topic {
    pub(crate) brokers: String,
    pub(crate) name: String,
    pub(crate) partitions: usize,
}

impl Topic {
    /// A new one on the broker of the test servers.
    pub(crate) fn new(partitions: usize) -> Topic {
        Topic::at(&variable("TIDEGATE_TEST_KAFKA"), &unique("topic"), partitions)
    }

    /// A new one with this name.
    pub(crate) fn at(brokers: &str, name: &str, partitions: usize) -> Topic {
        client("topic.py", &["make", brokers, name, &partitions.to_string()]);
        Topic { brokers: brokers.to_owned(), name: name.to_owned(), partitions }
    }

    /// The connection as a project writes it: a member that dies is missed after `session`.
    pub(crate) fn connection(&self, session: Duration) -> String {
        let session = session.as_millis();
        format!(
            "  stream: {{ type: kafka, brokers: \"{}\", properties: {{ session.timeout.ms: {session}, heartbeat.interval.ms: {}, reconnect.backoff.max.ms: 500 }} }}\n",
            self.brokers,
            session / 6
        )
    }

    /// Writes messages, each a batch of its own: Tansu names the base of the last
    /// batch where it is asked for the end of a partition.
    pub(crate) fn write(&self, messages: impl IntoIterator<Item = Value>) {
        let mut producer = self.producer(&["--apart"]);
        messages.into_iter().for_each(|message| producer.send(message));
        producer.finish();
    }

    /// One who writes for longer.
    pub(crate) fn producer(&self, options: &[&str]) -> Producer {
        self.start(&[&["produce", self.brokers.as_str()], options].concat())
    }

    /// A producer that writes `{"n": 0}`, `{"n": 1}` and so on, at this rate, for this
    /// many users, until it is told to finish.
    pub(crate) fn load(&self, per_second: u32, users: u32) -> Producer {
        let (per_second, users) = (per_second.to_string(), users.to_string());
        let options = ["--per-second", &per_second, "--users", &users];
        self.start(&[&["load", self.brokers.as_str(), &self.name], &options[..]].concat())
    }

    fn start(&self, arguments: &[&str]) -> Producer {
        let mut process = python("topic.py")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let lines = BufWriter::new(process.stdin.take().expect("piped"));
        Producer { process, lines, topic: self.name.clone() }
    }

    /// The group of a sync, which no other test is in.
    pub(crate) fn group(&self, sync: &str) -> String {
        format!("{sync}-{}", self.name)
    }

    /// What `load` wrote, as the topic has it now.
    pub(crate) fn kept(&self) -> Kept {
        let said = client("topic.py", &["numbers", &self.brokers, &self.name, &self.partitions.to_string()]);
        serde_json::from_str(&said).expect("numbers and ends")
    }

    /// What the group of a sync committed, partition by partition.
    pub(crate) fn committed(&self, sync: &str) -> Vec<Option<u64>> {
        let group = self.group(sync);
        let partitions = self.partitions.to_string();
        let said = client("topic.py", &["committed", &self.brokers, &group, &self.name, &partitions]);
        serde_json::from_str(&said).expect("a list of offsets")
    }

    /// How many messages the group of a sync is done with.
    pub(crate) fn done(&self, sync: &str) -> u64 {
        self.committed(sync).into_iter().flatten().sum()
    }
}

/// What a topic has.
#[derive(Deserialize)]
pub(crate) struct Kept {
    /// The numbers of its messages.
    pub(crate) numbers: Vec<u64>,
    /// The offsets after its last messages, added up: a broker that lost messages leaves gaps.
    pub(crate) ends: u64,
}

/// A process that writes to a topic.
pub(crate) struct Producer {
    process: Child,
    lines: BufWriter<ChildStdin>,
    topic: String,
}

impl Producer {
    /// Hands a message over; it is sent by and by.
    pub(crate) fn send(&mut self, mut message: Value) {
        message["topic"] = json!(self.topic);
        serde_json::to_writer(&mut self.lines, &message).expect("the producer runs");
        self.lines.write_all(b"\n").expect("the producer runs");
    }

    /// Lets go of what was handed over.
    pub(crate) fn flush(&mut self) {
        self.lines.flush().expect("the producer runs");
    }

    /// Waits until every message is acknowledged; returns how many.
    pub(crate) fn finish(self) -> u64 {
        let Producer { process, lines, .. } = self;
        drop(lines);
        let ended = Ended::of(&process.wait_with_output().expect("ended"));
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stdout.trim().parse().expect("a count")
    }
}

fn python(script: &str) -> Command {
    let mut command = Command::new(variable("TIDEGATE_TEST_CONFLUENT_PYTHON"));
    command.arg(Path::new(&variable("TIDEGATE_TEST_CONFLUENT_CLIENTS")).join(script));
    command
}

/// Runs one of the client's scripts and returns what it prints.
pub(crate) fn client(script: &str, arguments: &[&str]) -> String {
    let ended = Ended::of(&python(script).args(arguments).output().expect("Python starts"));
    assert_eq!(ended.code, 0, "{script} {arguments:?}: {ended:?}");
    ended.stdout
}

/// A broker of a test's own, whose topics and groups lie in an object store: it
/// may be killed, and started again it knows them all.
pub(crate) struct Broker {
    process: Child,
    address: SocketAddr,
    bucket: String,
}

impl Broker {
    pub(crate) async fn start() -> Broker {
        Broker::at(IpAddr::from([127, 0, 0, 1])).await
    }

    /// One that listens on an address of this machine.
    pub(crate) async fn at(host: IpAddr) -> Broker {
        let bucket = unique("broker");
        let url = format!("{}/{bucket}", variable("TIDEGATE_TEST_MOTO"));
        let made = reqwest::Client::new().put(url).send().await.expect("the object store answers");
        assert!(made.status().is_success(), "{made:?}");
        // Below the range that outgoing connections are given: no other process takes it meanwhile.
        let mut ports = (20_000..30_000).skip(usize::from(std::process::id() as u16) % 5_000);
        let port = ports.find(|port| TcpListener::bind((host, *port)).is_ok()).expect("a free port");
        let address = SocketAddr::new(host, port);
        let broker = Broker { process: Broker::spawn(address, &bucket), address, bucket };
        broker.answers().await;
        broker
    }

    fn spawn(address: SocketAddr, bucket: &str) -> Child {
        let listener = format!("tcp://{address}");
        Command::new(variable("TIDEGATE_TEST_KAFKA_PROGRAM"))
            .args(["broker", "--listener-url", &listener, "--advertised-listener-url", &listener])
            .args(["--storage-engine", &format!("s3://{bucket}/")])
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ALLOW_HTTP", "true"), ("RUST_LOG", "off")])
            .env("AWS_ENDPOINT", variable("TIDEGATE_TEST_MOTO"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the broker starts")
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    async fn answers(&self) {
        until("the broker listens", async || tokio::net::TcpStream::connect(self.address()).await.ok()).await;
    }

    /// `kill -9`, and after `gone` a new one in its place.
    pub(crate) async fn restart(&mut self, gone: Duration) {
        self.kill();
        pause(gone).await;
        self.process = Broker::spawn(self.address, &self.bucket);
        self.answers().await;
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Makes OneSignal know the users `prefix0`, `prefix1` and so on: it takes no event of others.
pub(crate) async fn know_users(sandbox: &Sandbox, prefix: &str, count: u32) {
    for user in 0..count {
        let body = format!(
            r#"{{"identity":{{"external_id":"{prefix}{user}"}},"subscriptions":[{{"type":"Email","token":"u{user}@example.com"}}]}}"#
        );
        let path = "/apps/7a1d6b3e-52f4-4c0b-9a86-0c5e2f9d4b17/users";
        assert_eq!(sandbox.post(path, "Key test", &body).await, 201);
    }
}

/// The value of a metric with these labels, if there is one.
pub(crate) async fn metric(served: &Served, name: &str, labels: &[&str]) -> Option<f64> {
    let metrics = served.get("/metrics").await.body;
    let line = metrics.lines().find(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}
