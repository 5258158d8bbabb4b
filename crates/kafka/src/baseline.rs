//! Which partitions there were when a sync started to read.

use std::collections::{HashMap, HashSet};

use tidegate_model::{Error, Text};

use crate::metadata::ClusterMetadata;
use crate::partition::TopicPartition;
use crate::progress::Progress;

/// What was there when a feed was opened. `latest` skips the messages of partitions that a
/// sync finds when it reads a topic for the first time, and of no others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Baseline {
    /// The partitions that there were.
    partitions: HashSet<TopicPartition>,
    /// The topics that had been read before: the group or the checkpoint has an offset of them.
    read_before: HashSet<Text>,
    /// Where reading stopped in topics that were deleted since.
    gone: HashMap<TopicPartition, i64>,
}

impl Baseline {
    /// Looks at all partitions of the topics; with `committed` the group's offsets count. Blocks.
    ///
    /// # Errors
    /// No broker responds, or access to the group is denied.
    pub(crate) fn of(
        metadata: &ClusterMetadata<'_>,
        partitions: &[TopicPartition],
        known: &Progress,
        committed: bool,
    ) -> Result<Baseline, Error> {
        let committed = if committed { metadata.committed(partitions)? } else { HashMap::new() };
        let committed = committed.into_iter().filter(|(_, offset)| offset.is_some());
        let read_before = committed.map(|((topic, _), _)| topic).chain(known.topics().cloned()).collect();
        Ok(Baseline { partitions: partitions.iter().cloned().collect(), read_before, gone: HashMap::new() })
    }

    /// Notes topics that were deleted and created again; `known` is where reading them stopped.
    pub(crate) fn without(mut self, topics: &HashSet<Text>, known: &Progress) -> Baseline {
        let stopped = known.offsets().filter(|((topic, _), _)| topics.contains(topic));
        self.gone = stopped.map(|(partition, offset)| (partition, offset.next)).collect();
        self
    }

    /// Returns whether a partition without an offset appeared after its topic was first read.
    pub(crate) fn is_later(&self, partition: &TopicPartition) -> bool {
        self.read_before.contains(&partition.0) || !self.partitions.contains(partition)
    }

    /// Returns whether an offset that the group committed is that of a topic that was deleted.
    /// Kafka itself forgets such offsets; other brokers keep them.
    pub(crate) fn is_gone(&self, partition: &TopicPartition, committed: i64) -> bool {
        self.gone.get(partition) == Some(&committed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_later_if_its_topic_was_read_before_or_it_was_not_there() {
        let at = |topic: &str, partition: i32| (Text::from(topic), partition);
        let baseline = Baseline {
            partitions: [at("new", 0), at("old", 0), at("old", 1)].into(),
            read_before: ["old".into()].into(),
            gone: [(at("old", 0), 5)].into(),
        };
        assert!(!baseline.is_later(&at("new", 0)), "the first read of its topic");
        assert!(baseline.is_later(&at("new", 1)), "not there when the feed was opened");
        assert!(baseline.is_later(&at("old", 1)));
        assert!(baseline.is_gone(&at("old", 0), 5));
        assert!(!baseline.is_gone(&at("old", 0), 6), "committed by another process since");
    }
}
