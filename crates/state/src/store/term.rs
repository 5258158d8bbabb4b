//! How long a lease lasts, as far as its holder knows.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The end of a lease that this process holds.
///
/// Measured on a clock that keeps counting while the machine is suspended. The holder counts from
/// the moment before it asked, so that its end comes before the one in the store.
pub(super) struct Term(Mutex<End>);

/// A moment on the clock of this machine.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(super) enum End {
    Lost,
    At(Duration),
    Never,
}

impl Term {
    /// Returns a term without an end.
    pub(super) fn endless() -> Arc<Term> {
        Arc::new(Term(Mutex::new(End::Never)))
    }

    /// Returns the term of a lease that is asked for now.
    pub(super) fn from_now(span: Duration) -> Term {
        Term(Mutex::new(Term::end_from_now(span)))
    }

    /// Returns when the holder of a lease that is asked for now has to stop: a quarter of
    /// its span before the lease ends, for requests that are under way then.
    pub(super) fn end_from_now(span: Duration) -> End {
        End::At(now() + span * 3 / 4)
    }

    /// Notes a later end, unless the lease was lost meanwhile.
    pub(super) fn renew(&self, end: End) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != End::Lost && end > *now {
            *now = end;
        }
    }

    /// Ends it now.
    pub(super) fn lose(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = End::Lost;
    }

    pub(super) fn is_lost(&self) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) == End::Lost
    }

    /// Returns how long the holder may continue.
    pub(super) fn remaining(&self) -> Duration {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            End::Lost => Duration::ZERO,
            End::At(end) => end.saturating_sub(now()),
            End::Never => Duration::MAX,
        }
    }
}

/// Returns the time since this machine started, with the time it was suspended.
fn now() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_stops_before_its_lease_ends() {
        let span = Duration::from_secs(30);
        let left = Term::from_now(span).remaining();
        assert!(left <= Duration::from_millis(22_500) && left > Duration::from_secs(20), "{left:?}");
    }

    #[test]
    fn a_lost_lease_is_not_renewed() {
        let term = Term::from_now(Duration::from_secs(30));
        term.lose();
        term.renew(Term::end_from_now(Duration::from_secs(60)));
        assert_eq!(term.remaining(), Duration::ZERO);
    }
}
