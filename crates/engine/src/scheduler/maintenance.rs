//! What is done beside the syncs: old events are removed, lag is measured.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Error, Exported, Lag, Mode, Retention, SyncId};
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::service::Engine;
use crate::service::export::stream_of;
use tidegate_project::{Schedule, SyncSpec};

/// How often lag is measured.
const LAG: Duration = Duration::from_secs(15);
/// Days that alerts are kept which were resolved.
const ALERT_DAYS: u32 = 90;
/// How often events beyond their retention are removed.
const TRIM: Duration = Duration::from_secs(3_600);

impl Engine {
    /// Removes events beyond their retention, and requests whose askers are gone.
    pub(crate) async fn keep_log_trimmed(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.trim_log().await {
                tracing::warn!(error = error.chain(), "old events could not be removed");
            }
            let kept = SignedDuration::from_hours(24 * i64::from(ALERT_DAYS));
            let before = self.config.clock.now().saturating_sub(kept).unwrap_or(Timestamp::MIN);
            if let Err(error) = self.config.store.alert_book().trim(before).await {
                tracing::warn!(error = error.chain(), "old alerts could not be removed");
            }
            self.note_abandoned_work().await;
            rest(TRIM, &stop, &stop).await;
        }
    }

    /// Removes old events that every export has read. If it cannot be told how far
    /// the exports are, nothing is removed.
    async fn trim_log(&self) -> Result<(), Error> {
        let exports = self.exported().await?;
        let kept = SignedDuration::from_hours(24 * i64::from(self.config.log_days));
        let before = self.config.clock.now().saturating_sub(kept).unwrap_or(Timestamp::MIN);
        self.config.log.trim(&Retention { before, max_bytes: self.config.log_bytes, exports }).await
    }

    /// Compares the event log with the checkpoints of all exports, so that an older
    /// copy of it is noticed before events are appended.
    ///
    /// # Errors
    /// If the store cannot be read, or a stream cannot be compared: no events may be appended.
    pub async fn fence_log(&self) -> Result<(), Error> {
        self.config.log.fence(&self.exported().await?).await
    }

    /// Returns how far each export is, also those that callers of an API asked for.
    async fn exported(&self) -> Result<Vec<Exported>, Error> {
        let written = self.config.project.syncs.iter().filter_map(|(id, sync)| match sync {
            SyncSpec::Export(export) => Some((id.clone(), stream_of(&export.source.connection))),
            SyncSpec::Import(_) => None,
        });
        let asked = self.requested_now().await?.into_iter();
        let asked = asked.map(|(id, (connection, _))| (id, stream_of(&connection)));
        let mut exports = Vec::new();
        for (sync, stream) in written.chain(asked) {
            let checkpoint = self.config.store.sync_state(&sync).await?.checkpoint;
            exports.push(Exported { sync, stream, checkpoint });
        }
        Ok(exports)
    }

    /// Measures how far behind their streams syncs are.
    pub(crate) async fn measure_lag(self: Arc<Self>, stop: CancellationToken) {
        let lagging = self.lagging();
        self.begin_counters();
        for id in self.config.project.syncs.keys() {
            if let Err(error) = self.measure_last_success(id).await {
                tracing::debug!(error = error.chain(), "the last success of a sync could not be found out");
            }
        }
        while !stop.is_cancelled() {
            let states = self.config.store.sync_states().await.unwrap_or_default();
            for (id, sync) in &self.config.project.syncs {
                let state = states.get(id).cloned().unwrap_or_default();
                let paused = metrics::gauge!("tidegate_sync_paused", "sync" => id.to_string());
                paused.set(f64::from(u8::from(state.paused.is_some())));
                if let Err(error) = self.measure_failed_rows(id).await {
                    tracing::debug!(error = error.chain(), "failed rows could not be counted");
                }
                if !lagging.contains(id) {
                    continue;
                }
                if state.paused.is_some() {
                    self.backlogs.forget(id);
                }
                // A stream that does not answer holds up no end of the process.
                let lags = tokio::select! {
                    lags = self.lag(sync, state.checkpoint.as_ref()) => lags,
                    () = stop.cancelled() => return,
                };
                lags.iter().for_each(|lag| measure(id, lag));
                if state.paused.is_none() && is_continuous(sync) {
                    self.backlogs.look(id, &lags, slack(sync), self.config.clock.now());
                }
            }
            rest(LAG, &stop, &stop).await;
        }
    }

    /// Returns the syncs that read a stream.
    fn lagging(&self) -> HashSet<SyncId> {
        let streams = |sync: &SyncSpec| sync.as_import().is_none_or(|import| import.mode == Mode::Stream);
        let syncs = self.config.project.syncs.iter().filter(|(_, sync)| streams(sync));
        syncs.map(|(id, _)| id.clone()).collect()
    }
}

/// Whether a sync is to send what comes as soon as it comes.
fn is_continuous(sync: &SyncSpec) -> bool {
    matches!(sync.schedule(), None | Some(Schedule::Continuous)) && sync.options().enabled
}

/// How many items may be left in a partition of a stream that is read to its end: the mark that ends a
/// transaction of Kafka has a position, too.
fn slack(sync: &SyncSpec) -> u64 {
    u64::from(sync.as_import().is_some())
}

fn measure(id: &SyncId, lag: &Lag) {
    let labels = [("sync", id.to_string()), ("partition", lag.partition.clone())];
    // Beyond 2^53 a gauge is not exact any more, which is acceptable.
    metrics::gauge!("tidegate_lag_items", &labels).set(lag.behind as f64);
    metrics::gauge!("tidegate_position", &labels).set(lag.position as f64);
    if let Some(seen) = lag.last_seen {
        metrics::gauge!("tidegate_last_seen_timestamp_seconds", &labels).set(seen.as_second() as f64);
    }
    if let Some(rate) = lag.per_minute {
        metrics::gauge!("tidegate_items_per_minute", &labels).set(rate as f64);
    }
}
