//! Kafka as a sink of events: one record each, keyed by user.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::RDKafkaErrorCode as Code;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{
    Checks, Destination, Error, Limits, LoggedEvent, Outcome, Reason, Receipt, Settings, SinkTarget, Tools,
};

use crate::cluster::{Cluster, check_topic};
use crate::producer::{Fate, Outgoing, Producer, RECORD_BYTES_MAX};
use crate::record;

/// What a record takes besides the event: names of headers, framing.
const RECORD_OVERHEAD: usize = 160;

/// The topic that an export writes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KafkaTarget {
    /// Name of the topic. It must be there. Default: the name of the stream and
    /// `_events`, for example `onesignal_events`.
    pub(crate) topic: Option<String>,
}

/// A topic that events are written to.
pub(crate) struct KafkaSink {
    producer: Producer,
    topic: String,
    rehearsal: bool,
    /// Whether the topic was there when we looked.
    found: AtomicBool,
}

impl KafkaSink {
    /// Opens the sink. Nothing is connected yet.
    ///
    /// # Errors
    /// Settings that cannot work, or a name that Kafka takes for no topic.
    pub(crate) fn open(settings: &Settings, target: &SinkTarget, tools: &Tools) -> Result<KafkaSink, Error> {
        let cluster = Cluster::new(settings, &["WRITE", "DESCRIBE"], tools)?;
        let written: KafkaTarget = target.settings.parse()?;
        let topic = written.topic.unwrap_or_else(|| format!("{}_events", target.stream));
        check_topic("topic", &topic)?;
        let rehearsal = tools.rehearsal;
        Ok(KafkaSink { producer: Producer::new(cluster), topic, rehearsal, found: AtomicBool::new(false) })
    }

    /// Looks for the topic before anything is sent to it: what is refused here
    /// leaves no doubt about any event.
    async fn find(&self) -> Result<i32, Error> {
        let partitions = self.producer.partitions(&self.topic).await?;
        partitions.ok_or_else(|| self.refusal(Code::UnknownTopicOrPartition))
    }

    fn refusal(&self, code: Code) -> Error {
        self.producer.cluster().explain("writing to", &self.topic, code)
    }

    /// What the fates of a request's records mean to the engine.
    fn receipt(&self, fates: &[Fate]) -> Result<Receipt, Error> {
        let refused = |fate: &Fate| match fate {
            Fate::Refused(code) => Some(*code),
            Fate::Written | Fate::Lost(_) => None,
        };
        if let Some(codes) = fates.iter().map(refused).collect::<Option<Vec<Code>>>() {
            let of_record = |code: &Code| matches!(code, Code::MessageSizeTooLarge | Code::InvalidRecord);
            let general = codes.iter().find(|code| !of_record(code));
            match (general, codes.as_slice()) {
                (Some(code), _) => {
                    self.found.store(false, Ordering::Relaxed);
                    return Err(self.refusal(*code));
                }
                // Records are refused by the batch that they travel in: only one that
                // travelled alone is known to be at fault.
                (None, [code, _, ..]) => return Err(self.refusal(*code).context("several events at once")),
                (None, _) => {}
            }
        }
        let alone = fates.len() == 1;
        let outcomes = fates.iter().map(|fate| match fate {
            Fate::Written => Outcome::Delivered,
            Fate::Lost(code) => Outcome::Unknown(reason("answer_lost", "no answer came", *code)),
            Fate::Refused(code @ Code::MessageSizeTooLarge) if alone => {
                Outcome::Rejected(reason("too_large", "the event is larger than the topic takes", *code))
            }
            Fate::Refused(code @ Code::InvalidRecord) if alone => {
                Outcome::Rejected(reason("invalid_record", "the broker does not take the event", *code))
            }
            Fate::Refused(code) => {
                Outcome::Deferred(reason("not_written", "the broker did not take it", *code))
            }
        });
        Ok(Receipt { outcomes: outcomes.collect(), pace: None })
    }
}

fn reason(name: &'static str, said: &str, code: Code) -> Reason {
    Reason::new(name, format!("{said}: {code}"))
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
            items_max: 5_000,
            bytes_max: RECORD_BYTES_MAX,
            // Librdkafka fills its own requests; this only spares calls.
            fill: Duration::from_millis(20),
            requests_at_once: 4,
            rate: None,
            bucket: "kafka.produce",
            one_user: false,
            user_interval: Duration::ZERO,
        }
    }

    fn weigh(&self, item: &LoggedEvent) -> usize {
        item.event.weight() + RECORD_OVERHEAD
    }

    fn admit(&self, item: &LoggedEvent) -> Result<(), Reason> {
        if self.weigh(item) > RECORD_BYTES_MAX {
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
        if self.rehearsal {
            return Ok(Receipt::delivered(items.len()));
        }
        let records = items.iter().map(|item| Outgoing {
            key: record::key(&item.event),
            payload: item.event.payload.as_str().as_bytes(),
            headers: record::headers(&item.event),
            timestamp: None,
        });
        let fates = self.producer.send(&self.topic, records).await?;
        self.receipt(&fates)
    }
}
