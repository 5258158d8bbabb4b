//! The metrics of the process: their names with help and units, and what is set when a run ends.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tidegate_model::store::RunQuery;
use tidegate_model::{Ending, Error, Run, SyncId};

use super::Engine;

/// Buckets of [`RUN_SECONDS`], in seconds: from a run that found nothing to a first load of a day.
pub const RUN_BUCKETS: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0];
/// How long runs take.
pub const RUN_SECONDS: &str = "tidegate_run_duration_seconds";
const RUNS: &str = "tidegate_runs_total";
const LAST_SUCCESS: &str = "tidegate_last_success_timestamp_seconds";
const FAILED_ROWS: &str = "tidegate_failed_rows_open";
const BUILD: &str = "tidegate_build_info";

/// Describes every metric to the recorder of the process, and sets the build information.
pub fn describe_metrics(version: &'static str) {
    let counters = [
        ("tidegate_rows_total", Unit::Count, "Rows and events by status: delivered, rejected or in_doubt."),
        ("tidegate_requests_total", Unit::Count, "Requests to destinations that were answered."),
        ("tidegate_retries_total", Unit::Count, "Requests that were sent again."),
        ("tidegate_events_logged_total", Unit::Count, "Events that came in and are durable."),
        ("tidegate_events_duplicates_total", Unit::Count, "Events that were known already."),
        ("tidegate_events_rejected_total", Unit::Count, "Requests whose events could not be made durable."),
        (RUNS, Unit::Count, "Runs that have ended, by ending: succeeded, partial, failed or interrupted."),
    ];
    for (name, unit, help) in counters {
        describe_counter!(name, unit, help);
    }
    let gauges = [
        ("tidegate_sync_paused", Unit::Count, "1 while the sync is paused."),
        ("tidegate_lag_items", Unit::Count, "Messages or events that the sync has not committed."),
        ("tidegate_position", Unit::Count, "The next offset of the sync."),
        (
            "tidegate_last_seen_timestamp_seconds",
            Unit::Seconds,
            "When the last committed item was made or logged.",
        ),
        ("tidegate_items_per_minute", Unit::Count, "Messages of a topic in the last minute."),
        ("tidegate_alerts_open", Unit::Count, "Alerts that are open."),
        (LAST_SUCCESS, Unit::Seconds, "When the last completed run ended, as Unix time."),
        (FAILED_ROWS, Unit::Count, "Rows that were rejected or are in doubt, and are open."),
        (BUILD, Unit::Count, "1, with the version as a label."),
    ];
    for (name, unit, help) in gauges {
        describe_gauge!(name, unit, help);
    }
    describe_histogram!(RUN_SECONDS, Unit::Seconds, "How long runs took that have ended.");
    gauge!(BUILD, "version" => version).set(1.0);
}

/// Notes a run that has ended: one line in the log, and its metrics.
pub(crate) fn run_ended(run: &Run) {
    let (Some(ending), Some(at)) = (run.ending, run.finished_at) else { return };
    let sync = run.sync.to_string();
    let seconds = at.duration_since(run.started_at).as_secs_f64();
    counter!(RUNS, "sync" => sync.clone(), "ending" => ending.as_str()).increment(1);
    histogram!(RUN_SECONDS, "sync" => sync.clone()).record(seconds);
    if matches!(ending, Ending::Succeeded | Ending::Partial) {
        // Seconds since 1970 are exact in a gauge.
        gauge!(LAST_SUCCESS, "sync" => sync).set(at.as_second() as f64);
    }
    let counts = &run.counts;
    tracing::info!(
        sync = %run.sync,
        run = %run.id,
        %ending,
        seconds = format!("{seconds:.3}"),
        read = counts.read,
        delivered = counts.delivered,
        rejected = counts.rejected,
        in_doubt = counts.in_doubt,
        error = run.error.as_deref(),
        "run ended"
    );
}

impl Engine {
    /// Shows every counter of the syncs and of the connections for events from the start, at zero: an increase
    /// is found between two values, so that the first failure would be none.
    pub(crate) fn begin_counters(&self) {
        const ENDINGS: [Ending; 4] =
            [Ending::Succeeded, Ending::Partial, Ending::Failed, Ending::Interrupted];
        for sync in self.config.project.syncs.keys().map(ToString::to_string) {
            for ending in ENDINGS {
                counter!(RUNS, "sync" => sync.clone(), "ending" => ending.as_str()).increment(0);
            }
            for status in ["delivered", "rejected", "in_doubt"] {
                counter!("tidegate_rows_total", "sync" => sync.clone(), "status" => status).increment(0);
            }
            counter!("tidegate_requests_total", "sync" => sync.clone()).increment(0);
            counter!("tidegate_retries_total", "sync" => sync).increment(0);
        }
        for stream in self.ingest_endpoints().iter().map(|endpoint| endpoint.connection.to_string()) {
            counter!("tidegate_events_logged_total", "stream" => stream.clone()).increment(0);
            counter!("tidegate_events_duplicates_total", "stream" => stream.clone()).increment(0);
            counter!("tidegate_events_rejected_total", "stream" => stream).increment(0);
        }
    }

    /// Sets the gauges that are known from the store: of a process that was just started.
    pub(crate) async fn measure_last_success(&self, id: &SyncId) -> Result<(), Error> {
        let mut last = None;
        for ending in [Ending::Succeeded, Ending::Partial] {
            let query =
                RunQuery { sync: Some(id.clone()), ending: Some(ending), limit: 1, ..RunQuery::default() };
            let run = self.config.store.find_runs(&query).await?.pop();
            last = last.max(run.and_then(|run| run.finished_at));
        }
        if let Some(at) = last {
            gauge!(LAST_SUCCESS, "sync" => id.to_string()).set(at.as_second() as f64);
        }
        Ok(())
    }

    /// Sets how many failed rows of a sync are open.
    pub(crate) async fn measure_failed_rows(&self, id: &SyncId) -> Result<(), Error> {
        let totals = self.config.store.failed_row_totals(id).await?;
        gauge!(FAILED_ROWS, "sync" => id.to_string()).set(totals.rows as f64);
        Ok(())
    }

    /// Returns why this process cannot work now; `None` if it can.
    pub async fn not_ready(&self) -> Option<String> {
        self.config.store.sync_states().await.err().map(|error| error.chain())
    }
}
