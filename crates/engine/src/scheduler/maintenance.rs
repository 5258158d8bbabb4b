//! What is done beside the syncs: old events are removed, lag is measured.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Lag, SyncId};
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::service::Engine;

/// How often lag is measured.
const LAG: Duration = Duration::from_secs(15);
/// How often events beyond their retention are removed.
const TRIM: Duration = Duration::from_secs(3_600);

impl Engine {
    /// Removes events beyond their retention.
    pub(crate) async fn trim_log(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let kept = SignedDuration::from_hours(24 * i64::from(self.config.log_days));
            let before = self.config.clock.now().saturating_sub(kept).unwrap_or(Timestamp::MIN);
            if let Err(error) = self.config.log.trim(before).await {
                tracing::warn!(error = error.chain(), "old events could not be removed");
            }
            rest(TRIM, &stop, &stop).await;
        }
    }

    /// Measures how far behind their streams syncs are.
    pub(crate) async fn measure_lag(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            for (id, sync) in &self.config.project.syncs {
                let state = self.config.store.sync_state(id).await.unwrap_or_default();
                let paused = metrics::gauge!("tidegate_sync_paused", "sync" => id.to_string());
                paused.set(f64::from(u8::from(state.paused.is_some())));
                // A stream that does not answer holds up no end of the process.
                let lags = tokio::select! {
                    lags = self.lag(sync, state.checkpoint.as_ref()) => lags,
                    () = stop.cancelled() => return,
                };
                lags.iter().for_each(|lag| measure(id, lag));
            }
            rest(LAG, &stop, &stop).await;
        }
    }
}

fn measure(id: &SyncId, lag: &Lag) {
    let labels = [("sync", id.to_string()), ("partition", lag.partition.clone())];
    // Beyond 2^53 a gauge is not exact any more, and nobody minds.
    metrics::gauge!("tidegate_lag_items", &labels).set(lag.behind as f64);
    metrics::gauge!("tidegate_position", &labels).set(lag.position as f64);
    if let Some(seen) = lag.last_seen {
        metrics::gauge!("tidegate_last_seen_timestamp_seconds", &labels).set(seen.as_second() as f64);
    }
    if let Some(rate) = lag.per_minute {
        metrics::gauge!("tidegate_items_per_minute", &labels).set(rate as f64);
    }
}
