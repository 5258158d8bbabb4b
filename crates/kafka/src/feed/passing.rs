//! Passing batches on to the engine, and waiting for it without leaving the group.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use tokio::sync::mpsc::error::TrySendError;

use super::commits::store_sometimes;
use super::gathered::Gathered;
use super::polling::{IDLE, Polling, Stop};

/// How long the engine may take a batch before partitions are paused. Pausing
/// throws away what was read ahead, so a short wait is cheaper.
const BEFORE_PAUSE: Duration = Duration::from_millis(500);

impl Polling {
    /// Passes a batch on if there is room at once, else gives it back to grow.
    pub(super) fn offer(&self, gathered: Gathered) -> Result<Gathered, Stop> {
        self.session.taken(&gathered);
        match self.sender.try_send(Ok(gathered)) {
            Ok(()) => Ok(Gathered::default()),
            Err(TrySendError::Full(Ok(gathered))) => Ok(gathered),
            Err(_) => Err(Stop::Over),
        }
    }

    pub(super) fn hand_over(&self, gathered: Gathered) -> Result<(), Stop> {
        self.runtime.block_on(self.sender.send(Ok(gathered))).map_err(|_| Stop::Over)
    }

    /// Passes a full batch on. While there is no room the client is polled all
    /// the same, with its partitions paused: the group sees us alive, and
    /// nothing more is read.
    pub(super) fn pass_on(&self, gathered: Gathered) -> Result<(), Stop> {
        self.session.taken(&gathered);
        if self.ends {
            // No group waits for a sign of life. Pausing would throw away what was read ahead, and
            // with it the difference between what was met and what was taken: the end itself.
            return self.hand_over(gathered);
        }
        let soon = async { tokio::time::timeout(BEFORE_PAUSE, self.sender.reserve()).await };
        match self.runtime.block_on(soon) {
            Ok(Ok(room)) => {
                room.send(Ok(gathered));
                return Ok(());
            }
            Ok(Err(_)) => return Err(Stop::Over),
            Err(_) => {}
        }
        tracing::debug!("kafka partitions are paused: the batches before are not taken yet");
        let mut gathered = gathered;
        let (mut paused_at, mut last_store, mut lost_since) = (None, Instant::now(), None);
        loop {
            let tenure = self.session.tenure();
            // Partitions that came meanwhile are not paused yet.
            if paused_at != Some(tenure) {
                self.for_all(|parts| self.consumer.pause(parts));
                paused_at = Some(tenure);
            }
            match self.consumer.poll(IDLE) {
                Some(Ok(message)) => self.take(&message, &mut gathered)?,
                Some(Err(error)) => self.hear(&error, &mut lost_since)?,
                None => {}
            }
            if let Some(error) = self.session.failure() {
                return Err(Stop::Failed(error));
            }
            store_sometimes(&self.consumer, &self.session, &mut last_store);
            if self.session.is_closing() {
                return Err(Stop::Over);
            }
            match self.sender.try_reserve() {
                Ok(room) => {
                    self.session.taken(&gathered);
                    room.send(Ok(gathered));
                    self.for_all(|parts| self.consumer.resume(parts));
                    return Ok(());
                }
                Err(TrySendError::Full(())) => {}
                Err(TrySendError::Closed(())) => return Err(Stop::Over),
            }
        }
    }

    fn for_all(&self, act: impl Fn(&rdkafka::TopicPartitionList) -> Result<(), KafkaError>) {
        let acted = self.consumer.assignment().and_then(|parts| act(&parts));
        if let Err(error) = acted {
            tracing::debug!(%error, "kafka partitions were not paused or resumed");
        }
    }
}
