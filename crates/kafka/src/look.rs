//! What brokers tell without a group being joined: topics, edges, committed offsets.

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
use crate::progress::Part;

/// The first wait for an answer; each further one is twice as long, so that a
/// refusal is noticed soon and a slow cluster is waited for.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How long brokers may take altogether before they count as not reachable.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long one request about offsets may take.
const REQUEST: Duration = Duration::from_secs(10);

/// The offsets that a partition has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edges {
    /// The oldest message.
    pub(crate) low: i64,
    /// Behind the newest message.
    pub(crate) end: i64,
}

/// Asks brokers. Blocks, so that it belongs on a thread that may.
pub(crate) struct Look<'a> {
    pub(crate) consumer: &'a BaseConsumer<Context>,
    pub(crate) access: &'a Access,
    pub(crate) brokers: &'a str,
}

impl Look<'_> {
    /// The partitions of a topic.
    ///
    /// # Errors
    /// The topic is not there, is not for us, or nobody answers.
    pub(crate) fn partitions(&self, topic: &str) -> Result<Vec<Part>, Error> {
        let metadata = self.metadata(Some(topic))?;
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
        let mut parts: Vec<Part> =
            found.partitions().iter().map(|partition| (name.clone(), partition.id())).collect();
        parts.sort_unstable();
        if parts.is_empty() { Err(missing()) } else { Ok(parts) }
    }

    /// The partitions of several topics.
    ///
    /// # Errors
    /// As for one.
    pub(crate) fn all_partitions(&self, topics: &[String]) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::new();
        for topic in topics {
            parts.extend(self.partitions(topic)?);
        }
        Ok(parts)
    }

    /// The topics that the user may describe, without Kafka's own.
    ///
    /// # Errors
    /// Nobody answers.
    pub(crate) fn topics(&self) -> Result<Vec<String>, Error> {
        let metadata = self.metadata(None)?;
        let own = |topic: &&MetadataTopic| error_of(topic).is_none() && !topic.name().starts_with("__");
        let mut names: Vec<String> =
            metadata.topics().iter().filter(own).map(|topic| topic.name().to_owned()).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn metadata(&self, topic: Option<&str>) -> Result<Metadata, Error> {
        let (started, mut wait) = (Instant::now(), FIRST_WAIT);
        loop {
            match self.consumer.fetch_metadata(topic, wait) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => {
                    if let Some(failure) = self.failure() {
                        return Err(failure);
                    }
                    if started.elapsed() > PATIENCE {
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

    /// Why nobody answers, as soon as that is certain.
    fn failure(&self) -> Option<Error> {
        // Each poll serves one event, and a token is one of them.
        for _ in 0..REMEMBERED_EVENTS {
            let _ = self.consumer.poll(Duration::ZERO);
        }
        let context = self.consumer.context();
        if let Some(failure) = context.take_token_failure() {
            return Some(failure);
        }
        let said = context.take_said();
        let denied = said.iter().find(|(code, _)| errors::kind_of(*code) == ErrorKind::Denied);
        let down = || {
            said.iter().any(|(code, _)| *code == Code::AllBrokersDown).then(|| {
                // "All brokers are down" says less than why one of them is.
                let why = said.iter().rev().find(|(code, _)| *code != Code::AllBrokersDown);
                why.or(said.last())
            })?
        };
        let (code, words) = denied.or_else(down)?;
        Some(errors::explain(&self.reaching(), *code, Some(words), self.access))
    }

    /// The edges of partitions.
    ///
    /// # Errors
    /// Nobody answers, or a partition is not for us.
    pub(crate) fn edges(&self, parts: &[Part]) -> Result<HashMap<Part, Edges>, Error> {
        let low = self.at_time(parts, Offset::Beginning)?;
        let end = self.at_time(parts, Offset::End)?;
        let edges = |part: &Part| {
            let low = low.get(part).copied().flatten().unwrap_or(0);
            (part.clone(), Edges { low, end: end.get(part).copied().flatten().unwrap_or(low).max(low) })
        };
        Ok(parts.iter().map(edges).collect())
    }

    /// The first message of each partition at a time (milliseconds since 1970)
    /// or at an edge; none where nothing is as young.
    ///
    /// # Errors
    /// Nobody answers, or a partition is not for us.
    pub(crate) fn at_time(&self, parts: &[Part], time: Offset) -> Result<HashMap<Part, Option<i64>>, Error> {
        let doing = "asking for the edges of the topic's partitions";
        let wanted = list(parts.iter().map(|part| (part, time)))?;
        let found = self.consumer.offsets_for_times(wanted, REQUEST);
        let found = found.map_err(|error| errors::wrap(doing, &error, self.access))?;
        self.offsets(doing, &found)
    }

    /// What the group committed.
    ///
    /// # Errors
    /// Nobody answers, or the group is not for us.
    pub(crate) fn committed(&self, parts: &[Part]) -> Result<HashMap<Part, Option<i64>>, Error> {
        let doing = "asking for the committed offsets of the consumer group";
        let wanted = list(parts.iter().map(|part| (part, Offset::Invalid)))?;
        let found = self.consumer.committed_offsets(wanted, REQUEST);
        let found = found.map_err(|error| errors::wrap(doing, &error, self.access))?;
        self.offsets(doing, &found)
    }

    fn offsets(&self, doing: &str, found: &TopicPartitionList) -> Result<HashMap<Part, Option<i64>>, Error> {
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

/// More events than the library queues before somebody polls.
const REMEMBERED_EVENTS: usize = 32;

fn error_of(topic: &MetadataTopic) -> Option<Code> {
    topic.error().filter(IsError::is_error).map(Code::from)
}

/// A list as the library takes it.
///
/// # Errors
/// An offset that the library has no number for.
pub(crate) fn list<'a>(parts: impl Iterator<Item = (&'a Part, Offset)>) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in parts {
        list.add_partition_offset(topic, *partition, offset)
            .map_err(|error| Error::internal(format!("naming an offset of {topic}[{partition}]: {error}")))?;
    }
    Ok(list)
}
