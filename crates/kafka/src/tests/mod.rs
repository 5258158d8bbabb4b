//! Writing and the event log against a broker, and against librdkafka's mock
//! cluster where a broker has to fail on command.

mod log;
mod sink;

use std::sync::Arc;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use serde_json::json;
use tidegate_model::{Clock, ConnectorContext, Http, HttpFailure, Settings};

/// The settings of a connection that gives up soon.
pub(crate) fn settings(brokers: &str) -> Settings {
    let settings = json!({ "brokers": brokers, "properties": { "message.timeout.ms": 1_500 } });
    Settings::new(settings.as_object().expect("an object").clone())
}

/// Another client, to see the result.
fn other(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "reader").set("auto.offset.reset", "earliest");
    config
}

pub(crate) fn broker() -> String {
    std::env::var("TIDEGATE_TEST_KAFKA").expect("scripts/test sets it")
}

pub(crate) fn context(clock: Arc<dyn Clock>, dry_run: bool) -> ConnectorContext {
    struct NoHttp;
    #[async_trait]
    impl Http for NoHttp {
        async fn send(
            &self,
            _: http::Request<bytes::Bytes>,
        ) -> Result<http::Response<bytes::Bytes>, HttpFailure> {
            panic!("Kafka is not spoken to by HTTP")
        }
    }
    ConnectorContext { http: Arc::new(NoHttp), clock, project: ".".into(), data: ".".into(), dry_run }
}

/// Any name that no other test has.
pub(crate) fn unique(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos();
    format!("{prefix}-{now:x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
