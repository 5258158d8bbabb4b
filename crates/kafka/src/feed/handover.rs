//! Handing batches over to the feed, and waiting for it without leaving the group.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use tokio::sync::mpsc::error::TrySendError;

use super::commits::store_sometimes;
use super::pending::PendingBatch;
use super::polling::{IDLE, Polling, Stop};

/// How long the feed may take to accept a batch before partitions are paused. Pausing
/// discards what was read ahead, so a short wait is cheaper.
const BEFORE_PAUSE: Duration = Duration::from_millis(500);

impl Polling {
    /// Hands a batch over if there is room at once, else returns it to grow.
    pub(super) fn offer(&self, pending: PendingBatch) -> Result<PendingBatch, Stop> {
        self.session.note_read(&pending);
        match self.sender.try_send(Ok(pending)) {
            Ok(()) => Ok(PendingBatch::default()),
            Err(TrySendError::Full(Ok(pending))) => Ok(pending),
            Err(_) => Err(Stop::Ended),
        }
    }

    pub(super) fn hand_over(&self, pending: PendingBatch) -> Result<(), Stop> {
        self.runtime.block_on(self.sender.send(Ok(pending))).map_err(|_| Stop::Ended)
    }

    /// Hands a full batch over. While there is no room, the client is polled with its
    /// partitions paused: the consumer stays in its group and reads nothing more.
    pub(super) fn hand_over_alive(&self, pending: PendingBatch) -> Result<(), Stop> {
        self.session.note_read(&pending);
        if self.ends {
            // There is no group to stay in. Pausing would discard what was read ahead, and with it
            // the difference between what was fetched and what was polled: the end itself.
            return self.hand_over(pending);
        }
        let soon = async { tokio::time::timeout(BEFORE_PAUSE, self.sender.reserve()).await };
        match self.runtime.block_on(soon) {
            Ok(Ok(room)) => {
                room.send(Ok(pending));
                return Ok(());
            }
            Ok(Err(_)) => return Err(Stop::Ended),
            Err(_) => {}
        }
        tracing::debug!("kafka partitions are paused: the previous batches are not processed yet");
        let mut pending = pending;
        let (mut paused_at, mut last_store, mut lost_since) = (None, Instant::now(), None);
        loop {
            let generation = self.session.generation();
            // Partitions assigned meanwhile are not paused yet.
            if paused_at != Some(generation) {
                self.for_all(|partitions| self.consumer.pause(partitions));
                paused_at = Some(generation);
            }
            match self.consumer.poll(IDLE) {
                Some(Ok(message)) => self.push(&message, &mut pending)?,
                Some(Err(error)) => self.on_error(&error, &mut lost_since)?,
                None => {}
            }
            if let Some(error) = self.session.take_fault() {
                return Err(Stop::Failed(error));
            }
            store_sometimes(&self.consumer, &self.session, &mut last_store);
            match self.sender.try_reserve() {
                Ok(room) => {
                    self.session.note_read(&pending);
                    room.send(Ok(pending));
                    self.for_all(|partitions| self.consumer.resume(partitions));
                    return Ok(());
                }
                Err(TrySendError::Full(())) => {}
                Err(TrySendError::Closed(())) => return Err(Stop::Ended),
            }
        }
    }

    fn for_all(&self, act: impl Fn(&rdkafka::TopicPartitionList) -> Result<(), KafkaError>) {
        let acted = self.consumer.assignment().and_then(|partitions| act(&partitions));
        if let Err(error) = acted {
            tracing::debug!(%error, "kafka partitions were not paused or resumed");
        }
    }
}
