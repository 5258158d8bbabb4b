//! `kill -9` while processes share a topic, and of the broker that they share.
//!
//! Processes with a data folder of their own share the partitions. Of processes that share a state on PostgreSQL, one
//! reads them all, and another one takes its place when it dies.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::served::Served;
use crate::services::Machines;
use crate::support::{Project, Sandbox, pause};
use crate::topics::{Broker, Topic, know_users};

/// How many processes are killed, 50 if it is not set; 100 were seen to pass. The session of the group
/// is short so that they die while they work, not while the group still waits for the one before.
const KILLS: &str = "TIDEGATE_TEST_KAFKA_KILLS";
const PROCESSES: usize = 3;
const SESSION: Duration = Duration::from_millis(1_500);
const USERS: u32 = 50;
/// How long the survivors may take for what the dead ones left.
const PATIENCE: Duration = Duration::from_secs(60);

/// Several processes in the groups of the same two syncs.
struct Fleet {
    machines: Machines,
    topic: Topic,
    sandbox: Sandbox,
    projects: Vec<Project>,
    running: Vec<Served>,
}

impl Fleet {
    async fn start(machines: Machines, topic: Topic, processes: usize) -> Fleet {
        let sandbox = Sandbox::start(&["--memory", "--no-limits", "--faults", r#"{"latency_ms": 15}"#]);
        know_users(&sandbox, "u", USERS).await;
        let yaml = format!(
            "connections:\n{}{}{}syncs:\n  \
             events:\n    source: {{ connection: stream, topics: {topic}, group: events-{topic}, fields: {{ n: n }} }}\n    \
             destination: {{ connection: onesignal, object: event }}\n    \
             mapping: {{ external_id: key, name: {{ value: e }}, properties: [n, partition, offset] }}\n  \
             users:\n    source: {{ connection: stream, topics: {topic}, group: users-{topic}, fields: {{ n: n }} }}\n    \
             destination: {{ connection: braze, object: user }}\n    \
             mapping: {{ external_id: key, attributes: [n] }}\n",
            topic.connection(SESSION),
            sandbox.connections(),
            machines.connections(),
            topic = topic.name,
        );
        let projects: Vec<Project> = (0..processes)
            .map(|_| {
                let mut project = machines.machine(&yaml);
                project.set("RUST_LOG", "warn,tidegate_kafka=info");
                project
            })
            .collect();
        let running = projects.iter().map(Served::start).collect();
        Fleet { machines, topic, sandbox, projects, running }
    }

    /// Kills one of them and starts it again, or another one on an empty disk.
    fn kill(&mut self, which: usize) {
        let died = self.running[which].kill();
        assert!(died, "it ended before it was killed:\n{}", self.running[which].said());
        self.machines.replace(&mut self.projects[which]);
        self.running[which] = Served::start(&self.projects[which]);
    }

    async fn delivered(&self) -> u64 {
        self.sandbox.stats("onesignal").await["events"].as_u64().expect("a count")
    }

    /// Waits until both groups are done with everything, then ends all processes
    /// and returns what they said.
    async fn drain(&mut self, written: u64) -> Vec<String> {
        let started = Instant::now();
        loop {
            let done = ["events", "users"].map(|group| self.topic.done(group));
            if done == [written, written] {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "{done:?} of {written} messages are done with");
            pause(Duration::from_millis(250)).await;
        }
        eprintln!("everything was committed {:?} after the last message", started.elapsed());
        let mut said = Vec::new();
        for served in self.running.drain(..) {
            let (code, words) = served.stop().await;
            assert_eq!(code, 0, "{words}");
            said.push(words);
        }
        for project in &self.projects {
            assert!(project.rows(&["--rejected"]).is_empty(), "{:#?}", project.rows(&["--rejected"]));
            assert!(project.rows(&["--in-doubt"]).is_empty(), "{:#?}", project.rows(&["--in-doubt"]));
        }
        said
    }

    /// Each message took effect, none of them twice, and users are what their last message made them.
    async fn lost_and_doubled(&self, written: &[u64]) {
        let mut messages = BTreeMap::<u64, u32>::new();
        let mut places = BTreeMap::<String, u32>::new();
        for event in self.sandbox.effects("onesignal/events").await {
            let properties = &event["properties"];
            *messages.entry(properties["n"].as_u64().expect("a number")).or_default() += 1;
            *places.entry(format!("{}@{}", properties["partition"], properties["offset"])).or_default() += 1;
        }
        let lost: Vec<&u64> = written.iter().filter(|n| !messages.contains_key(n)).collect();
        let doubled: Vec<_> = places.iter().filter(|(_, times)| **times > 1).collect();
        assert!(lost.is_empty() && doubled.is_empty(), "lost {lost:?}, doubled {doubled:?}");
        let users = self.sandbox.effects("braze/users").await;
        assert_eq!(users.len(), USERS as usize);
        for user in users {
            let number: u64 = name(&user).strip_prefix('u').and_then(|n| n.parse().ok()).expect("a user");
            let last = written.iter().filter(|n| *n % u64::from(USERS) == number).max().expect("a message");
            assert_eq!(user["attributes"]["n"], *last, "the last message counts: {user:#}");
        }
    }
}

fn name(user: &Value) -> &str {
    user["external_id"].as_str().unwrap_or_default()
}

/// Something below `end`, new each time.
fn random(end: u64) -> u64 {
    RandomState::new().hash_one(end) % end
}

#[tokio::test]
async fn crash_kafka_of_processes_that_share_a_topic_loses_and_doubles_nothing() {
    let kills = std::env::var(KILLS).map_or(50, |kills| kills.parse().expect("a number"));
    processes_are_killed(Machines::Restarted, PROCESSES, kills).await;
}

#[tokio::test]
async fn crash_kafka_of_machines_that_share_their_state_and_are_replaced_loses_and_doubles_nothing() {
    let machines = Machines::replaced().await;
    let kills = machines.kills(0, 4);
    processes_are_killed(machines, 2, kills).await;
}

async fn processes_are_killed(machines: Machines, processes: usize, kills: u64) {
    let mut fleet = Fleet::start(machines, Topic::new(12), processes).await;
    let load = fleet.topic.load(200, USERS);
    fleet.sandbox.wait_for("onesignal", "events", 1).await;

    let started = Instant::now();
    for _ in 0..kills {
        pause(Duration::from_millis(300 + random(1_400))).await;
        fleet.kill(random(processes as u64) as usize);
    }
    let storm = started.elapsed();
    let delivered = fleet.delivered().await;
    let written = load.finish();
    eprintln!("{kills} kills in {storm:?}: {delivered} of {written} messages delivered meanwhile");
    assert!(delivered > written / 4, "they hardly worked between the kills: {delivered} of {written}");

    fleet.drain(written).await;
    fleet.lost_and_doubled(&(0..written).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn crash_kafka_of_the_broker_loses_and_doubles_nothing() {
    let mut broker = Broker::start().await;
    let topic = Topic::at(&broker.address(), "orders", 4);
    let mut fleet = Fleet::start(Machines::Restarted, topic, 2).await;
    let load = fleet.topic.load(100, USERS);
    fleet.sandbox.wait_for("onesignal", "events", 1).await;

    for _ in 0..5 {
        pause(Duration::from_secs(2)).await;
        broker.restart(Duration::from_millis(500 + random(2_500))).await;
    }
    let delivered = fleet.delivered().await;
    let written = load.finish();
    eprintln!("5 restarts of the broker: {delivered} of {written} messages delivered meanwhile");

    // A broker that is killed may forget what it acknowledged, or keep it twice: what it has now counts.
    let kept = fleet.topic.kept();
    eprintln!("the topic has {} messages of {written}", kept.numbers.len());
    let said = fleet.drain(kept.ends).await;
    fleet.lost_and_doubled(&kept.numbers).await;
    for said in said {
        let count = |words: &str| said.lines().filter(|line| line.contains(words)).count();
        let (gone, back) = (count("brokers are down"), count("brokers are back"));
        assert!(gone > 0 && gone == back, "{gone} times gone, {back} times back:\n{said}");
    }
}
