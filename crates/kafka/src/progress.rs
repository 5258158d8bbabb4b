//! The progress of a sync, partition by partition.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_model::{Checkpoint, Error, Text};

use crate::partition::TopicPartition;

/// The content of a checkpoint.
///
/// The group's committed offsets are what all processes of a sync share. The
/// checkpoint guards against a lost commit: a partition is read from the higher
/// of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    kafka: BTreeMap<Text, BTreeMap<i32, PartitionOffset>>,
    /// The id of the cluster that has the topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
}

/// The position in one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartitionOffset {
    /// The offset after the last message.
    pub(crate) next: i64,
    /// When the last message was made, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seen_ms: Option<i64>,
    /// The message before `next`; none if nothing was read yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<LastMessage>,
    /// The minute of reading that `count` belongs to, since 1970.
    #[serde(default)]
    minute: i64,
    /// Messages read in that minute.
    #[serde(default)]
    count: u64,
    /// Messages read in the minute before.
    #[serde(default)]
    before: u64,
}

/// What is kept of a message, to recognize it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastMessage {
    /// When it was made, in milliseconds since 1970.
    pub(crate) ms: Option<i64>,
    /// The bytes of its key and value.
    pub(crate) bytes: u64,
}

impl Progress {
    /// Reads a checkpoint. Without one, nothing is known.
    ///
    /// # Errors
    /// A checkpoint of another connector.
    pub(crate) fn of(checkpoint: Option<&Checkpoint>) -> Result<Progress, Error> {
        let Some(checkpoint) = checkpoint else { return Ok(Progress::default()) };
        let foreign = || {
            Error::settings("the stored checkpoint of this sync is not one of Kafka topics").hint(
                "the sync had another source before: reset it, and it starts at the offsets of its group",
            )
        };
        let progress = Progress::deserialize(&checkpoint.0).map_err(|cause| foreign().caused_by(cause))?;
        let possible = progress.offsets().all(|((_, partition), offset)| partition >= 0 && offset.next >= 0);
        if possible { Ok(progress) } else { Err(foreign()) }
    }

    /// Returns the checkpoint.
    ///
    /// # Errors
    /// None that is known: text and numbers have a JSON form.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let value = serde_json::to_value(self)
            .map_err(|cause| Error::internal("writing the checkpoint of a sync").caused_by(cause))?;
        Ok(Checkpoint(value))
    }

    /// Returns the position in a partition.
    pub(crate) fn get(&self, partition: &TopicPartition) -> Option<&PartitionOffset> {
        self.kafka.get(&partition.0)?.get(&partition.1)
    }

    /// Returns every partition and the position in it.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = (TopicPartition, &PartitionOffset)> {
        self.kafka.iter().flat_map(|(topic, offsets)| {
            offsets.iter().map(|(partition, offset)| ((topic.clone(), *partition), offset))
        })
    }

    /// Returns the topics with a position.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Text> {
        self.kafka.keys()
    }

    /// Returns the cluster that has the topics, if it is known.
    pub(crate) fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// Notes the cluster that has the topics.
    pub(crate) fn set_cluster(&mut self, cluster: Option<&str>) {
        if let Some(cluster) = cluster {
            self.cluster = Some(cluster.to_owned());
        }
    }

    /// Forgets a topic.
    pub(crate) fn forget(&mut self, topic: &Text) {
        self.kafka.remove(topic);
    }

    /// Notes where a partition starts of which nothing was read yet.
    pub(crate) fn start(&mut self, partition: &TopicPartition, from: i64) {
        let offsets = self.kafka.entry(partition.0.clone()).or_default();
        offsets.entry(partition.1).or_insert(PartitionOffset { next: from, ..PartitionOffset::default() });
    }

    /// Advances a partition by `count` messages, the last of which is `last`, made at `seen`.
    pub(crate) fn advance(
        &mut self,
        partition: &TopicPartition,
        next: i64,
        count: u64,
        (seen, last): (Option<Timestamp>, Option<LastMessage>),
        now: Timestamp,
    ) {
        let offset = self.kafka.entry(partition.0.clone()).or_default().entry(partition.1).or_default();
        let minute = now.as_second().div_euclid(60);
        if minute != offset.minute {
            offset.before = if minute == offset.minute.saturating_add(1) { offset.count } else { 0 };
            offset.count = 0;
            offset.minute = minute;
        }
        offset.count = offset.count.saturating_add(count);
        offset.next = next;
        offset.last = last;
        offset.seen_ms = seen.map(Timestamp::as_millisecond).or(offset.seen_ms);
    }
}

impl PartitionOffset {
    /// Returns the time of the last message.
    pub(crate) fn seen(&self) -> Option<Timestamp> {
        self.seen_ms.and_then(|at| Timestamp::from_millisecond(at).ok())
    }

    /// Returns the messages read in the last full minute before `now`.
    pub(crate) fn per_minute(&self, now: Timestamp) -> u64 {
        match now.as_second().div_euclid(60).checked_sub(self.minute) {
            Some(0) => self.before,
            Some(1) => self.count,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_checkpoint_says_what_was_read() {
        let (partition, at) = (("orders".into(), 3), Timestamp::from_second(600).expect("a time"));
        let mut progress = Progress::default();

        let last = LastMessage { ms: Some(600_000), bytes: 4 };
        progress.advance(&partition, 10, 10, (Some(at), Some(last)), at);
        progress.advance(&partition, 12, 2, (None, Some(last)), at);
        progress.start(&("orders".into(), 4), 7);
        progress.start(&partition, 0);
        progress.set_cluster(Some("c1"));
        progress.set_cluster(None);

        let checkpoint = progress.checkpoint().expect("JSON");
        let read = Progress::of(Some(&checkpoint)).expect("ours");
        assert_eq!(read, progress);
        let offset = read.get(&partition).expect("an offset");
        assert_eq!((offset.next, offset.seen(), offset.last), (12, Some(at), Some(last)));
        assert_eq!(read.get(&("orders".into(), 4)).map(|offset| offset.next), Some(7));
        assert_eq!(read.cluster(), Some("c1"));
    }

    #[test]
    fn the_rate_is_that_of_the_last_full_minute() {
        let partition = ("orders".into(), 0);
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut progress = Progress::default();
        progress.advance(&partition, 5, 5, (None, None), at(60));
        progress.advance(&partition, 7, 2, (None, None), at(121));

        let offset = progress.get(&partition).expect("an offset");
        assert_eq!(offset.per_minute(at(130)), 5);
        assert_eq!(offset.per_minute(at(181)), 2);
        assert_eq!(offset.per_minute(at(400)), 0);
    }

    #[test]
    fn a_checkpoint_of_another_connector_is_a_settings_error() {
        for torn in [json!(7), json!({ "files": {} }), json!({ "kafka": { "a": { "0": { "next": -1 } } } })] {
            let error = Progress::of(Some(&Checkpoint(torn))).expect_err("not ours");
            assert_eq!(error.kind(), tidegate_model::ErrorKind::Settings);
        }
    }
}
