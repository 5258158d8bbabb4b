//! Time that other programs on the machine do not lengthen.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns the processor time that `work` took on this thread.
pub(crate) fn on_thread(work: impl FnOnce()) -> Duration {
    between(ClockId::ThreadCPUTime, work)
}

/// Returns the processor time that `work` took on all threads of the process.
pub(crate) fn on_process(work: impl FnOnce()) -> Duration {
    between(ClockId::ProcessCPUTime, work)
}

fn between(clock: ClockId, work: impl FnOnce()) -> Duration {
    let start = now(clock);
    work();
    now(clock).saturating_sub(start)
}

fn now(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// Returns the middle one; the higher of two.
pub(crate) fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}
