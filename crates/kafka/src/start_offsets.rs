//! The offset at which reading a partition starts.

use std::collections::HashMap;

use rdkafka::topic_partition_list::Offset;
use tidegate_model::Error;

use crate::baseline::Baseline;
use crate::metadata::{ClusterMetadata, Watermarks};
use crate::partition::{TopicPartition, name_of};
use crate::progress::Progress;
use crate::selection::Start;

/// Decides where reading starts.
#[derive(Clone, Debug)]
pub(crate) struct StartOffsets {
    /// Whether the group's committed offsets count.
    pub(crate) committed: bool,
    /// Where to start if no offset is known.
    pub(crate) start: Start,
}

/// The offset at which reading one partition starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartOffset {
    /// The partition.
    pub(crate) partition: TopicPartition,
    /// The first offset to read.
    pub(crate) from: i64,
    /// The offset that need not be committed: the group has committed it, or would
    /// start there again.
    pub(crate) committed: Option<i64>,
    /// The offset that was known and is beyond the end: the topic was created again, and is read from `start`.
    pub(crate) gone: Option<i64>,
}

impl StartOffset {
    /// Returns what a person should know of it.
    pub(crate) fn trouble(&self) -> Option<String> {
        let gone = self.gone?;
        Some(format!(
            "the topic was created again: {} ends before the known offset {gone}, and is read from offset {}",
            name_of(&self.partition),
            self.from
        ))
    }
}

impl StartOffsets {
    /// Returns the first offset of each partition: the higher one of the group's
    /// committed offset and the checkpoint's, else that of `start`. Blocks.
    ///
    /// # Errors
    /// No broker responds, or access is denied.
    pub(crate) fn resolve(
        &self,
        metadata: &ClusterMetadata<'_>,
        partitions: &[TopicPartition],
        known: &Progress,
        baseline: &Baseline,
    ) -> Result<Vec<StartOffset>, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let watermarks = metadata.watermarks(partitions)?;
        let committed = if self.committed { metadata.committed(partitions)? } else { HashMap::new() };
        let since = match &self.start {
            Start::Timestamp(at) => {
                metadata.at_time(partitions, Offset::Offset(at.as_millisecond().max(0)))?
            }
            _ => HashMap::new(),
        };
        let start_offset = |partition: &TopicPartition| {
            let watermarks = watermarks.get(partition).copied().unwrap_or_default();
            let committed = committed.get(partition).copied().flatten();
            let committed = committed.filter(|committed| !baseline.is_gone(partition, *committed));
            let known = known.get(partition).map(|offset| offset.next);
            // Offsets beyond the end belong to a topic that is gone.
            let gone = committed.max(known).filter(|offset| *offset > watermarks.end);
            match known_offset(partition, watermarks, committed, known) {
                Some(from) => StartOffset { partition: partition.clone(), from, committed, gone: None },
                None => {
                    // Messages of a partition that came later were never skipped by `latest`.
                    let later =
                        self.start == Start::Latest && (gone.is_some() || baseline.is_later(partition));
                    let since = since.get(partition).copied().flatten();
                    let from =
                        if later { watermarks.low } else { self.start_of(partition, watermarks, since) };
                    let committed = self.is_steady().then_some(from);
                    StartOffset { partition: partition.clone(), from, committed, gone }
                }
            }
        };
        Ok(partitions.iter().map(start_offset).collect())
    }

    /// Returns whether `start` means the same offset tomorrow. If it does not, it is
    /// committed at once: else a restart before the first commit would skip the
    /// messages that arrived meanwhile.
    fn is_steady(&self) -> bool {
        matches!(self.start, Start::Earliest | Start::Offsets(_))
    }

    fn start_of(&self, partition: &TopicPartition, watermarks: Watermarks, since: Option<i64>) -> i64 {
        match &self.start {
            Start::Earliest => watermarks.low,
            Start::Latest => watermarks.end,
            Start::Timestamp(_) => since.unwrap_or(watermarks.end),
            Start::Offsets(offsets) => {
                let wanted = offsets.get(&*partition.0).and_then(|offsets| offsets.get(&partition.1));
                wanted.map_or(watermarks.low, |wanted| (*wanted).clamp(watermarks.low, watermarks.end))
            }
        }
    }
}

/// Returns the offset of a partition that the group or the checkpoint holds, if any.
fn known_offset(
    partition: &TopicPartition,
    watermarks: Watermarks,
    committed: Option<i64>,
    known: Option<i64>,
) -> Option<i64> {
    // A recreated topic counts from zero again: an offset beyond its end belongs to the old one.
    let possible = |offset: Option<i64>| offset.filter(|offset| *offset <= watermarks.end);
    let offset = possible(committed).max(possible(known))?;
    if offset < watermarks.low {
        tracing::warn!(
            partition = name_of(partition),
            messages = watermarks.low - offset,
            "the topic's retention removed messages before they were read"
        );
    }
    Some(offset.max(watermarks.low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_of_commit_and_checkpoint_counts() {
        let (partition, watermarks) = (("t".into(), 0), Watermarks { low: 3, end: 10 });
        assert_eq!(known_offset(&partition, watermarks, None, None), None);
        assert_eq!(known_offset(&partition, watermarks, Some(5), None), Some(5));
        assert_eq!(known_offset(&partition, watermarks, Some(5), Some(7)), Some(7));
        assert_eq!(known_offset(&partition, watermarks, Some(7), Some(5)), Some(7));
        assert_eq!(known_offset(&partition, watermarks, None, Some(7)), Some(7));
    }

    #[test]
    fn a_checkpoint_of_a_topic_that_was_recreated_is_ignored() {
        let (partition, watermarks) = (("t".into(), 0), Watermarks { low: 0, end: 10 });
        assert_eq!(known_offset(&partition, watermarks, Some(5), Some(11)), Some(5));
        assert_eq!(known_offset(&partition, watermarks, None, Some(11)), None);
        assert_eq!(known_offset(&partition, watermarks, Some(12), Some(11)), None);
    }

    #[test]
    fn a_topic_that_was_created_again_is_said_to_be_read_once_more() {
        let start = |gone| StartOffset { partition: ("t".into(), 0), from: 0, committed: None, gone };
        assert_eq!(start(None).trouble(), None);
        assert_eq!(
            start(Some(20)).trouble().as_deref(),
            Some(
                "the topic was created again: t[0] ends before the known offset 20, and is read from offset 0"
            )
        );
    }

    #[test]
    fn what_retention_removed_is_not_waited_for() {
        let (partition, watermarks) = (("t".into(), 0), Watermarks { low: 3, end: 10 });
        assert_eq!(known_offset(&partition, watermarks, Some(1), None), Some(3));
    }
}
