//! Writing and the event log against a broker, and against librdkafka's mock
//! cluster where a broker has to fail on command.

mod log;
mod sink;

use rdkafka::ClientConfig;

use crate::cluster::Cluster;

fn cluster(brokers: &str) -> Cluster {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("message.timeout.ms", "1500");
    Cluster { config, brokers: brokers.to_owned(), principal: "User:tidegate".to_owned() }
}

fn broker() -> Cluster {
    cluster(&std::env::var("TIDEGATE_TEST_KAFKA").expect("scripts/test sets it"))
}

/// Any name that no other test has.
fn unique(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos();
    format!("{prefix}-{now:x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
