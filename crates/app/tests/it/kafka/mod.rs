//! Topics become what people do with a platform: a real broker, messages of
//! Confluent's own serializers, offsets seen by Confluent's own client.

mod formats;
mod outage;
mod poison;
mod shop;

use std::time::Duration;

use serde_json::Value;

use crate::support::{Project, Sandbox};
use crate::topics::Topic;

/// How soon a group misses a member: Tansu waits half of it before it deals out partitions.
const SESSION: Duration = Duration::from_secs(6);

/// A topic and the platforms' sandbox.
struct Scene {
    topic: Topic,
    sandbox: Sandbox,
}

impl Scene {
    fn new(partitions: usize) -> Scene {
        let sandbox = Sandbox::start(&["--memory", "--no-limits"]);
        Scene { topic: Topic::new(partitions), sandbox }
    }

    /// A project with these syncs.
    fn project(&self, syncs: &str) -> Project {
        let (stream, platforms) = (self.topic.connection(SESSION), self.sandbox.connections());
        Project::new(&format!("connections:\n{stream}{platforms}syncs:\n{syncs}"))
    }

    /// A sync `name` in a group of its own, whose `source` has this besides.
    fn sync(&self, name: &str, from: &str, rest: &str) -> String {
        format!(
            "  {name}:\n    source: {{ connection: stream, topics: {}, group: {}, {from} }}\n{rest}",
            self.topic.name,
            self.topic.group(name)
        )
    }
}

/// A sync as `status` tells of it.
fn status(project: &Project, sync: &str) -> Value {
    project.json(&["status", sync])[0].clone()
}
