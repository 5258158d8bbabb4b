//! The lifecycle of a feed: entering its phases, and waiting for them.

use std::time::Duration;

use tidegate_model::Error;

use super::phase::Phase;
use super::session::{Session, State};
use crate::partition::lock;

impl Session {
    /// Stops reading.
    pub(super) fn drain(&self) {
        self.enter(Phase::Draining);
    }

    /// Notes that the feed was read to its end or dropped.
    pub(super) fn drained(&self) {
        self.enter(Phase::Drained);
    }

    /// Stops waiting for acknowledgements.
    pub(crate) fn abandon(&self) {
        self.enter(Phase::Abandoned);
    }

    /// Notes that the client's thread has exited, with an internal error if it panicked.
    pub(super) fn exited(&self, panicked: bool) {
        if panicked {
            let fault = Error::internal("the thread that reads from Kafka panicked");
            lock(&self.state).fault = Some(fault);
        }
        self.enter(Phase::Exited);
    }

    fn enter(&self, phase: Phase) {
        let mut state = lock(&self.state);
        state.phase = state.phase.max(phase);
        drop(state);
        self.changed.notify_all();
        self.commits.notify_waiters();
    }

    /// Returns whether reading has stopped.
    pub(crate) fn is_draining(&self) -> bool {
        lock(&self.state).phase >= Phase::Draining
    }

    /// Returns whether acknowledgements are no longer awaited.
    pub(super) fn is_abandoned(&self) -> bool {
        lock(&self.state).is_abandoned()
    }

    /// Returns whether all is emitted and acknowledged.
    pub(super) fn is_done(&self) -> bool {
        let state = lock(&self.state);
        state.phase >= Phase::Drained && state.is_acknowledged()
    }

    /// Ends the feed with an error, unless reading has stopped: then no batch is left
    /// to follow, and the checkpoint keeps the progress.
    pub(super) fn fail(&self, error: Error) {
        let mut state = lock(&self.state);
        match state.phase {
            Phase::Reading | Phase::Abandoned => state.fault = Some(error),
            _ => tracing::debug!(%error, "a Kafka error after the end of reading"),
        }
    }

    /// Takes the error that ends the feed, if there is one.
    pub(super) fn take_fault(&self) -> Option<Error> {
        lock(&self.state).fault.take()
    }

    /// Waits until the group has committed all acknowledged offsets, or cannot any more.
    pub(crate) async fn wait_for_commit(&self) {
        loop {
            let notified = self.commits.notified();
            {
                let state = lock(&self.state);
                let committed = !self.plan.commits || state.uncommitted().is_empty();
                if committed || matches!(state.phase, Phase::Reading | Phase::Exited) {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Blocks until the client's thread exits, for a limited time.
    pub(super) fn wait_for_exit(&self, timeout: Duration) {
        let state = lock(&self.state);
        let _ = self.changed.wait_timeout_while(state, timeout, |state| state.phase != Phase::Exited);
    }
}

impl State {
    /// Returns whether acknowledgements are no longer awaited.
    pub(super) fn is_abandoned(&self) -> bool {
        self.phase >= Phase::Abandoned
    }
}
