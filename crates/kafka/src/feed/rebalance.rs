//! Assigned and revoked partitions.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidegate_model::Error;

use super::session::Session;
use crate::baseline::Baseline;
use crate::context::{Context, RebalanceListener};
use crate::errors;
use crate::metadata::ClusterMetadata;
use crate::partition::{TopicPartition, list, names_of, partitions_of};
use crate::start_offsets::StartOffset;

impl RebalanceListener for Session {
    /// Each partition starts at its own offset.
    fn on_assigned(&self, consumer: &BaseConsumer<Context>, partitions: &TopicPartitionList) {
        let partitions = partitions_of(partitions);
        tracing::info!(partitions = names_of(&partitions), "kafka assigned partitions");
        let assigned = assignment(self, consumer, &partitions).and_then(|assignment| {
            consumer.incremental_assign(&assignment).map_err(|error| assign_error(self, &error))
        });
        if let Err(error) = assigned {
            // The group needs a response either way; the error ends the feed.
            self.fail(error);
            let _ = consumer.incremental_assign(&TopicPartitionList::new());
        }
    }

    /// What was emitted is acknowledged and committed first, so that the next
    /// owner starts after it.
    fn on_revoked(&self, consumer: &BaseConsumer<Context>, revoked: &TopicPartitionList) {
        let partitions = partitions_of(revoked);
        let lost = consumer.assignment_lost();
        let open = self.revoke(&partitions, !lost);
        if !open.is_empty() && !self.is_abandoned() {
            tracing::warn!(
                partitions = names_of(&open),
                lost,
                "messages of revoked partitions were not delivered in time; the next process reads them again"
            );
        }
        if !lost {
            commit(self, consumer);
        }
        self.release(&partitions);
        tracing::info!(partitions = names_of(&partitions), "kafka revoked partitions");
        if let Err(error) = consumer.incremental_unassign(revoked) {
            self.fail(assign_error(self, &error));
        }
    }

    fn on_commit(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        self.note_commit(result, offsets);
    }

    fn on_statistics(&self, statistics: &Statistics) {
        self.note_statistics(statistics);
    }
}

/// Returns partitions with the offsets at which they start, and adds them to the session.
pub(super) fn assignment(
    session: &Session,
    consumer: &BaseConsumer<Context>,
    partitions: &[TopicPartition],
) -> Result<TopicPartitionList, Error> {
    let plan = &session.plan;
    let metadata = ClusterMetadata { consumer, access: &plan.access, brokers: &plan.brokers };
    let baseline = session.baseline.get_or_init(Baseline::default);
    let starts = plan.start_offsets.resolve(&metadata, partitions, &session.known(), baseline)?;
    for trouble in starts.iter().filter_map(StartOffset::trouble) {
        tracing::warn!(trouble, "messages may be sent a second time");
    }
    session.own(&starts);
    list(starts.iter().map(|start| (&start.partition, Offset::Offset(start.from))))
}

/// Commits acknowledged offsets and waits for the response.
pub(super) fn commit(session: &Session, consumer: &BaseConsumer<Context>) {
    let offsets = session.uncommitted();
    if offsets.is_empty() {
        return;
    }
    let offsets = offsets.iter().map(|(partition, offset)| (partition, Offset::Offset(*offset)));
    let Ok(list) = list(offsets) else { return };
    // From now on, what the library commits in the background is not older than this.
    let _ = consumer.store_offsets(&list);
    let result = consumer.commit(&list, CommitMode::Sync);
    session.note_commit(result, &list);
}

fn assign_error(session: &Session, error: &KafkaError) -> Error {
    errors::wrap("assigning partitions", error, &session.plan.access)
}
