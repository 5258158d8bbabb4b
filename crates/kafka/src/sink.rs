//! Kafka as a sink of events: one record each, keyed by user.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::RDKafkaErrorCode as Code;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{
    Checks, ConnectorContext, Destination, Error, Limits, LoggedEvent, Outcome, Reason, Receipt, Settings,
    SinkTarget,
};

use crate::cluster::{Cluster, check_topic};
use crate::producer::{Outgoing, Producer, RECORD_BYTES_MAX, WriteResult};
use crate::record;

/// Bytes of a record besides the event: names of headers, framing.
const RECORD_OVERHEAD: usize = 160;

/// The topic that an export writes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KafkaTarget {
    /// Name of the topic. It must exist. Default: the name of the stream and
    /// `_events`, for example `onesignal_events`.
    pub(crate) topic: Option<String>,
}

/// A topic that events are written to.
pub(crate) struct KafkaSink {
    producer: Producer,
    topic: String,
    dry_run: bool,
    /// Whether the topic was found.
    found: AtomicBool,
}

impl KafkaSink {
    /// Opens the sink. Nothing is connected yet.
    ///
    /// # Errors
    /// Settings that cannot work, or an invalid name of a topic.
    pub(crate) fn open(
        settings: &Settings,
        target: &SinkTarget,
        context: &ConnectorContext,
    ) -> Result<KafkaSink, Error> {
        let cluster = Cluster::new(settings, &["WRITE", "DESCRIBE"], context)?;
        let written: KafkaTarget = target.settings.parse()?;
        let topic = written.topic.unwrap_or_else(|| format!("{}_events", target.stream));
        check_topic("topic", &topic)?;
        let dry_run = context.dry_run;
        Ok(KafkaSink { producer: Producer::new(cluster), topic, dry_run, found: AtomicBool::new(false) })
    }

    /// Looks the topic up before anything is sent to it: an error here leaves no doubt
    /// about any event.
    async fn find(&self) -> Result<i32, Error> {
        let partitions = self.producer.partitions(&self.topic).await?;
        partitions.ok_or_else(|| self.error(Code::UnknownTopicOrPartition))
    }

    fn error(&self, code: Code) -> Error {
        self.producer.cluster().explain("writing to", &self.topic, code)
    }

    /// Returns the receipt for the results of a request's records.
    fn receipt(&self, results: &[WriteResult]) -> Result<Receipt, Error> {
        let rejected = |result: &WriteResult| match result {
            WriteResult::Rejected(code) => Some(*code),
            WriteResult::Written { .. } | WriteResult::Lost(_) => None,
        };
        if let Some(codes) = results.iter().map(rejected).collect::<Option<Vec<Code>>>() {
            let of_record = |code: &Code| matches!(code, Code::MessageSizeTooLarge | Code::InvalidRecord);
            let general = codes.iter().find(|code| !of_record(code));
            match (general, codes.as_slice()) {
                (Some(code), _) => {
                    self.found.store(false, Ordering::Relaxed);
                    return Err(self.error(*code));
                }
                // Brokers reject whole batches: only a record that was sent alone is known to
                // be at fault.
                (None, [code, _, ..]) => return Err(self.error(*code).context("several events at once")),
                (None, _) => {}
            }
        }
        let alone = results.len() == 1;
        let outcomes = results.iter().map(|result| match result {
            WriteResult::Written { .. } => Outcome::Delivered,
            WriteResult::Lost(code) => Outcome::Unknown(reason("response_lost", "no answer came", *code)),
            WriteResult::Rejected(code @ Code::MessageSizeTooLarge) if alone => {
                Outcome::Rejected(reason("too_large", "the event is larger than the topic takes", *code))
            }
            WriteResult::Rejected(code @ Code::InvalidRecord) if alone => {
                Outcome::Rejected(reason("invalid_record", "the broker does not take the event", *code))
            }
            WriteResult::Rejected(code) => {
                Outcome::Deferred(reason("not_written", "the broker did not take it", *code))
            }
        });
        Ok(Receipt { outcomes: outcomes.collect(), rate_limit: None })
    }
}

fn reason(name: &'static str, said: &str, code: Code) -> Reason {
    Reason::new(name, format!("{said}: {}", crate::errors::words_of(code)))
}

#[async_trait]
impl Destination<LoggedEvent> for KafkaSink {
    async fn check(&self) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        let access = &self.producer.cluster().access;
        let name = format!("topic {}", self.topic);
        match self.producer.partitions(&self.topic).await? {
            Some(partitions) => {
                checks.pass("connection", format!("Kafka at {}, as {}", access.brokers(), access.user()));
                checks.pass(name, format!("{partitions} partitions; WRITE is proved by the first event"));
            }
            None => {
                let remedy = access.create_command(&self.topic);
                checks.fail(name, "there is no such topic, or it may not be described", remedy);
            }
        }
        Ok(checks)
    }

    fn limits(&self) -> Limits {
        Limits {
            max_items: 5_000,
            max_bytes: RECORD_BYTES_MAX,
            // Librdkafka fills its own requests; this only saves calls.
            linger: Duration::from_millis(20),
            max_in_flight: 4,
            rate: None,
            bucket: "kafka.produce",
            single_user: false,
            min_user_interval: Duration::ZERO,
        }
    }

    fn estimated_size(&self, item: &LoggedEvent) -> usize {
        item.event.estimated_size() + RECORD_OVERHEAD
    }

    fn validate(&self, item: &LoggedEvent) -> Result<(), Reason> {
        if self.estimated_size(item) > RECORD_BYTES_MAX {
            let message = format!("the event is larger than {} MiB", RECORD_BYTES_MAX >> 20);
            return Err(Reason::new("too_large", message));
        }
        Ok(())
    }

    async fn deliver(&self, items: &[LoggedEvent]) -> Result<Receipt, Error> {
        if !self.found.load(Ordering::Relaxed) {
            self.find().await?;
            self.found.store(true, Ordering::Relaxed);
        }
        if self.dry_run {
            return Ok(Receipt::delivered(items.len()));
        }
        let records = items.iter().map(|item| Outgoing {
            key: record::key(&item.event),
            payload: item.event.payload.as_str().as_bytes(),
            headers: record::headers(&item.event),
            timestamp: None,
        });
        let results = self.producer.send(&self.topic, records).await?;
        self.receipt(&results)
    }
}
