//! Cluster metadata, read without joining a group: topics, watermarks, committed offsets.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{IsError, RDKafkaErrorCode as Code};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidegate_model::{Error, ErrorKind, Text};

use crate::access::Access;
use crate::context::Context;
use crate::errors;
use crate::partition::{TopicPartition, list};

/// The first wait for a response; each further one is twice as long, so that an
/// error is noticed early and a slow cluster still has time.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How long brokers may take altogether before they count as unreachable.
const METADATA_TIMEOUT: Duration = Duration::from_secs(15);
/// How long one request about offsets may take.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);

/// The range of offsets in a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watermarks {
    /// The offset of the oldest message.
    pub(crate) low: i64,
    /// The offset after the newest message.
    pub(crate) end: i64,
}

/// Queries brokers. Every method blocks; call it on a thread that may.
pub(crate) struct ClusterMetadata<'a> {
    pub(crate) consumer: &'a BaseConsumer<Context>,
    pub(crate) access: &'a Access,
    pub(crate) brokers: &'a str,
}

impl ClusterMetadata<'_> {
    /// Returns the partitions of a topic.
    ///
    /// # Errors
    /// The topic is missing, access is denied, or no broker responds.
    pub(crate) fn partitions(&self, topic: &str) -> Result<Vec<TopicPartition>, Error> {
        let metadata = self.fetch(Some(topic))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let missing = || {
            let doing = format!("looking for the topic {topic}");
            errors::explain(&doing, Code::UnknownTopicOrPartition, None, self.access)
        };
        let found = found.ok_or_else(missing)?;
        if let Some(code) = error_of(found) {
            return Err(errors::explain(&format!("looking for the topic {topic}"), code, None, self.access));
        }
        let name: Text = topic.into();
        let mut partitions: Vec<TopicPartition> =
            found.partitions().iter().map(|partition| (name.clone(), partition.id())).collect();
        partitions.sort_unstable();
        if partitions.is_empty() { Err(missing()) } else { Ok(partitions) }
    }

    /// Returns the partitions of several topics.
    ///
    /// # Errors
    /// Those of [`ClusterMetadata::partitions`].
    pub(crate) fn all_partitions(&self, topics: &[String]) -> Result<Vec<TopicPartition>, Error> {
        let mut partitions = Vec::new();
        for topic in topics {
            partitions.extend(self.partitions(topic)?);
        }
        Ok(partitions)
    }

    /// Returns the topics that the user may describe, without Kafka's own.
    ///
    /// # Errors
    /// No broker responds.
    pub(crate) fn topics(&self) -> Result<Vec<String>, Error> {
        let metadata = self.fetch(None)?;
        let own = |topic: &&MetadataTopic| error_of(topic).is_none() && !topic.name().starts_with("__");
        let mut names: Vec<String> =
            metadata.topics().iter().filter(own).map(|topic| topic.name().to_owned()).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn fetch(&self, topic: Option<&str>) -> Result<Metadata, Error> {
        let (started, mut wait) = (Instant::now(), FIRST_WAIT);
        loop {
            match self.consumer.fetch_metadata(topic, wait) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => {
                    if let Some(failure) = self.failure() {
                        return Err(failure);
                    }
                    if started.elapsed() > METADATA_TIMEOUT {
                        return Err(errors::wrap(&self.reaching(), &error, self.access));
                    }
                }
            }
            wait *= 2;
        }
    }

    fn reaching(&self) -> String {
        format!("reaching Kafka at {}", self.brokers)
    }

    /// Returns why no broker responds, as soon as that is certain.
    fn failure(&self) -> Option<Error> {
        // Each poll serves one event, and a token is one of them.
        for _ in 0..QUEUED_EVENTS_MAX {
            let _ = self.consumer.poll(Duration::ZERO);
        }
        let context = self.consumer.context();
        if let Some(failure) = context.take_token_failure() {
            return Some(failure);
        }
        let reported = context.take_errors();
        let denied = reported.iter().find(|(code, _)| errors::kind_of(*code) == ErrorKind::Denied);
        let down = || {
            reported.iter().any(|(code, _)| *code == Code::AllBrokersDown).then(|| {
                // "All brokers are down" says less than why one of them is.
                let why = reported.iter().rev().find(|(code, _)| *code != Code::AllBrokersDown);
                why.or(reported.last())
            })?
        };
        let (code, message) = denied.or_else(down)?;
        Some(errors::explain(&self.reaching(), *code, Some(message), self.access))
    }

    /// Returns the id of the cluster, if the brokers report it.
    pub(crate) fn cluster(&self) -> Option<String> {
        // It came with the metadata that was read before, so there is nothing to wait for.
        self.consumer.client().fetch_cluster_id(Duration::ZERO)
    }

    /// Returns the watermarks of partitions.
    ///
    /// # Errors
    /// No broker responds, or access to a partition is denied.
    pub(crate) fn watermarks(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, Watermarks>, Error> {
        let low = self.at_time(partitions, Offset::Beginning)?;
        let end = self.at_time(partitions, Offset::End)?;
        let watermarks = |partition: &TopicPartition| {
            let low = low.get(partition).copied().flatten().unwrap_or(0);
            (
                partition.clone(),
                Watermarks { low, end: end.get(partition).copied().flatten().unwrap_or(low).max(low) },
            )
        };
        Ok(partitions.iter().map(watermarks).collect())
    }

    /// Returns the first offset of each partition at or after a time (milliseconds
    /// since 1970), or its first or last one; none if all messages are older.
    ///
    /// # Errors
    /// No broker responds, or access to a partition is denied.
    pub(crate) fn at_time(
        &self,
        partitions: &[TopicPartition],
        time: Offset,
    ) -> Result<HashMap<TopicPartition, Option<i64>>, Error> {
        let doing = "asking for the first and last offsets of the topic's partitions";
        let wanted = list(partitions.iter().map(|partition| (partition, time)))?;
        let found = self.consumer.offsets_for_times(wanted, OFFSETS_TIMEOUT);
        let found = found.map_err(|error| errors::wrap(doing, &error, self.access))?;
        self.offsets(doing, &found)
    }

    /// Returns the offsets that the group committed.
    ///
    /// # Errors
    /// No broker responds, or access to the group is denied.
    pub(crate) fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, Option<i64>>, Error> {
        let doing = "asking for the committed offsets of the consumer group";
        let wanted = list(partitions.iter().map(|partition| (partition, Offset::Invalid)))?;
        let found = self.consumer.committed_offsets(wanted, OFFSETS_TIMEOUT);
        let found = found.map_err(|error| errors::wrap(doing, &error, self.access))?;
        self.offsets(doing, &found)
    }

    fn offsets(
        &self,
        doing: &str,
        found: &TopicPartitionList,
    ) -> Result<HashMap<TopicPartition, Option<i64>>, Error> {
        let mut offsets = HashMap::new();
        for element in found.elements() {
            element.error().map_err(|error| errors::wrap(doing, &error, self.access))?;
            let offset = match element.offset() {
                Offset::Offset(offset) if offset >= 0 => Some(offset),
                _ => None,
            };
            offsets.insert((element.topic().into(), element.partition()), offset);
        }
        Ok(offsets)
    }
}

/// More events than the library queues before it is polled.
const QUEUED_EVENTS_MAX: usize = 32;

fn error_of(topic: &MetadataTopic) -> Option<Code> {
    topic.error().filter(IsError::is_error).map(Code::from)
}
