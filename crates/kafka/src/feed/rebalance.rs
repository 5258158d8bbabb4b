//! Partitions come and go: called by the client library while it is polled.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidegate_model::Error;

use super::session::Session;
use crate::context::Context;
use crate::errors;
use crate::look::{Look, list};
use crate::progress::Part;

/// Partitions become ours: each begins at its own place.
pub(crate) fn take(session: &Session, consumer: &BaseConsumer<Context>, parts: &TopicPartitionList) {
    let parts = parts_of(parts);
    tracing::info!(partitions = Session::names(&parts), "kafka gave us partitions");
    let taken = assignment(session, consumer, &parts).and_then(|assignment| {
        consumer.incremental_assign(&assignment).map_err(|error| refused(session, &error))
    });
    if let Err(error) = taken {
        // The group waits for an answer either way; the feed ends at its next look.
        session.fail(error);
        let _ = consumer.incremental_assign(&TopicPartitionList::new());
    }
}

/// Where each partition begins, as the library takes it.
pub(super) fn assignment(
    session: &Session,
    consumer: &BaseConsumer<Context>,
    parts: &[Part],
) -> Result<TopicPartitionList, Error> {
    let plan = &session.plan;
    let look = Look { consumer, access: &plan.access, brokers: &plan.brokers };
    let openings = plan.beginning.openings(&look, parts, &session.known())?;
    session.take(&openings);
    list(openings.iter().map(|opening| (&opening.part, Offset::Offset(opening.from))))
}

/// Partitions are asked back. What was emitted is settled and committed first,
/// so that the next owner begins behind it.
pub(crate) fn give_up(session: &Session, consumer: &BaseConsumer<Context>, list: &TopicPartitionList) {
    let parts = parts_of(list);
    let lost = consumer.assignment_lost();
    let abandoned = session.revoke(&parts, !lost);
    if !abandoned.is_empty() && !session.is_leaving() {
        tracing::warn!(
            partitions = Session::names(&abandoned),
            lost,
            "messages of partitions that went to another process were not settled in time; it reads them again"
        );
    }
    if !lost {
        commit(session, consumer);
    }
    session.release(&parts);
    tracing::info!(partitions = Session::names(&parts), "kafka took partitions back");
    if let Err(error) = consumer.incremental_unassign(list) {
        session.fail(refused(session, &error));
    }
}

/// Commits what is settled and waits until the group knows.
pub(super) fn commit(session: &Session, consumer: &BaseConsumer<Context>) {
    let offsets = session.uncommitted();
    if offsets.is_empty() {
        return;
    }
    let Ok(list) = list(offsets.iter().map(|(part, offset)| (part, Offset::Offset(*offset)))) else { return };
    // What the library commits by itself from now on is not older than this.
    let _ = consumer.store_offsets(&list);
    let result = consumer.commit(&list, CommitMode::Sync);
    session.committed(result, &list);
}

fn refused(session: &Session, error: &rdkafka::error::KafkaError) -> Error {
    errors::wrap("taking partitions", error, &session.plan.access)
}

fn parts_of(list: &TopicPartitionList) -> Vec<Part> {
    list.elements().iter().map(|element| (element.topic().into(), element.partition())).collect()
}
