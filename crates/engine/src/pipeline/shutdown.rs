//! How a run is shut down: from outside, or by its first failure.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_model::{Claim, Error, ErrorKind};
use tokio_util::sync::CancellationToken;

use crate::pipeline::wait;

/// How long a request under way may still take once the run is to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is looked whether the lease was lost.
const LOOK: Duration = Duration::from_millis(500);

/// Ends the run if the task that holds it ends by a fault: nothing may wait
/// for what it leaves undone.
pub(crate) struct Watch(pub(crate) Arc<Shutdown>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Error::internal("a part of the run ended by a fault"));
        }
    }
}

/// Shared by all parts of one run.
pub(crate) struct Shutdown {
    /// Fires when a person or the system wants the run to stop.
    stop: CancellationToken,
    /// Fires when nothing new may be started, for either reason.
    halt: CancellationToken,
    /// Fires when requests under way must end at once: another process may take the sync.
    over: CancellationToken,
    lease: Claim,
    failure: Mutex<Option<Error>>,
    requests: AtomicU64,
    retries: AtomicU64,
}

impl Shutdown {
    pub(crate) fn new(stop: CancellationToken, lease: Claim) -> Shutdown {
        Shutdown {
            halt: stop.child_token(),
            over: CancellationToken::new(),
            lease,
            stop,
            failure: Mutex::new(None),
            requests: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }
    }

    /// Ends the run because of `error`; the first one counts.
    pub(crate) fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.halt.cancel();
    }

    /// What ended the run, if something failed.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether nothing new may be started.
    pub(crate) fn halted(&self) -> bool {
        self.halt.is_cancelled()
    }

    /// Whether the caller wants the run to stop.
    pub(crate) fn stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Resolves when nothing new may be started.
    pub(crate) async fn halt(&self) {
        self.halt.cancelled().await;
    }

    /// Resolves when a request under way has had its grace after a halt, or when the lease
    /// of the sync is about to end.
    pub(crate) async fn out_of_grace(&self) {
        let graced = async {
            self.halt.cancelled().await;
            wait::span(GRACE).await;
        };
        tokio::select! {
            () = graced => {}
            () = self.over.cancelled() => {}
        }
    }

    /// Returns whether the run still holds its sync. If its lease is lost, or about to end,
    /// the run ends and requests under way are dropped.
    pub(crate) fn holds_lease(&self) -> bool {
        if !self.lease.remaining().is_zero() {
            return true;
        }
        let sync = self.lease.sync();
        let lost = format!("the lease of the sync `{sync}` was lost, or could not be renewed in time");
        self.fail(Error::new(ErrorKind::Held, lost).hint(
            "nothing to do: the next run reads again what was not committed; if it comes back, look whether the state database answers",
        ));
        self.over.cancel();
        false
    }

    /// Ends the run when the lease of its sync is lost or could not be renewed.
    pub(crate) async fn watch_lease(&self) -> Infallible {
        while self.holds_lease() {
            wait::span(self.lease.remaining().min(LOOK)).await;
        }
        std::future::pending().await
    }

    /// Waits, unless the run halts first. Returns whether it may continue.
    pub(crate) async fn pause(&self, span: Duration) -> bool {
        tokio::select! {
            () = wait::span(span) => !self.halted(),
            () = self.halt() => false,
        }
    }

    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests and retries since the last call.
    pub(crate) fn take_counts(&self) -> (u64, u64) {
        (self.requests.swap(0, Ordering::Relaxed), self.retries.swap(0, Ordering::Relaxed))
    }
}
