//! The client's statistics: the ends of partitions, and whether brokers are up.

use rdkafka::statistics::Statistics;

use super::session::{PartitionState, Session};
use crate::partition::lock;

impl Session {
    /// Logs once that all brokers are lost, and once that they are back.
    pub(super) fn note_brokers(&self, lost: bool) {
        let mut state = lock(&self.state);
        let brokers = &self.plan.brokers;
        match (state.brokers_lost, lost) {
            (false, true) => tracing::warn!(brokers, "all Kafka brokers are down; reading waits for them"),
            (true, false) => tracing::info!(brokers, "the Kafka brokers are back"),
            _ => {}
        }
        state.brokers_lost = lost;
    }

    /// Notes the ends of the partitions.
    pub(super) fn note_statistics(&self, statistics: &Statistics) {
        if statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.note_brokers(false);
        }
        let mut state = lock(&self.state);
        for ((topic, number), partition) in &mut state.partitions {
            let topic = statistics.topics.get(&**topic);
            let Some(figures) = topic.and_then(|topic| topic.partitions.get(number)) else { continue };
            let end = if figures.ls_offset >= 0 { figures.ls_offset } else { figures.hi_offset };
            if end >= 0 {
                partition.target.get_or_insert(end);
            }
            // All that was fetched was polled, and the end came after it.
            partition.reached |= figures.eof_offset >= 0 && figures.fetchq_cnt == 0;
        }
    }

    /// Returns whether every partition was read to the end that it had at first.
    pub(super) fn is_at_end(&self) -> bool {
        let at_end = |partition: &PartitionState| {
            partition.reached || partition.target.is_some_and(|target| partition.read >= target)
        };
        lock(&self.state).partitions.values().all(at_end)
    }
}
