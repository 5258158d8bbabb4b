//! Partitions of topics, and the locks of this crate: what all other files share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidegate_model::{Error, Text};

/// A topic and one of its partitions.
pub(crate) type TopicPartition = (Text, i32);

/// Returns the partition as people write it: `orders[3]`.
pub(crate) fn name_of(partition: &TopicPartition) -> String {
    format!("{}[{}]", partition.0, partition.1)
}

/// Returns several partitions as people write them: `orders[3], orders[4]`.
pub(crate) fn names_of(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(name_of).collect::<Vec<_>>().join(", ")
}

/// Creates a list in the form that the client library takes.
///
/// # Errors
/// An offset that the library cannot represent.
pub(crate) fn list<'a>(
    partitions: impl Iterator<Item = (&'a TopicPartition, Offset)>,
) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in partitions {
        list.add_partition_offset(topic, *partition, offset)
            .map_err(|error| Error::internal(format!("naming an offset of {topic}[{partition}]: {error}")))?;
    }
    Ok(list)
}

/// Returns the partitions of a list, without their offsets.
pub(crate) fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|element| (element.topic().into(), element.partition())).collect()
}

/// Locks a mutex. A panic while it was held is ignored: no holder leaves the data half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
