//! Whether an item whose response was lost may be sent again.

use std::time::Duration;

use jiff::Timestamp;
use tidegate_model::{Idempotency, Reason};
use tokio::time::Instant;

/// How far the clocks of two machines may differ.
const SKEW: Duration = Duration::from_secs(300);

/// Whether an object may be sent again, and whether its sync asks for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RepeatPolicy {
    pub(crate) idempotency: Idempotency,
    /// Whether rows whose response was lost are sent again although that is not safe.
    pub(crate) resend: bool,
    /// Whether an intent is written even for idempotent objects. A mirror needs it: the next run deletes
    /// a user whose row was sent and is gone by then.
    pub(crate) notes: bool,
}

impl RepeatPolicy {
    /// Whether something that was sent this long ago may be sent again.
    pub(crate) fn allows(&self, age: Duration) -> bool {
        self.resend || !self.counts(age)
    }

    /// Whether sending something again counts twice, if it was sent this long ago.
    pub(crate) fn counts(&self, age: Duration) -> bool {
        match self.idempotency {
            Idempotency::Idempotent => false,
            Idempotency::Keyed(window) => age >= window,
            Idempotency::None => true,
        }
    }

    /// Whether an intent is written before sending, so that a later run knows of it.
    pub(crate) fn needs_intent(&self) -> bool {
        match self.idempotency {
            Idempotency::Idempotent => self.notes,
            Idempotency::Keyed(window) => window < Duration::MAX,
            Idempotency::None => true,
        }
    }
}

/// What an earlier run recorded of a row that it sent without a certain response.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doubt {
    /// How often it was sent.
    pub(crate) sends: u32,
    /// When it was sent first.
    pub(crate) since: Timestamp,
    /// Why it is not known.
    pub(crate) reason: Reason,
}

impl Doubt {
    /// Returns what is known of a row that an earlier run listed as in doubt.
    pub(crate) fn of_unknown_age() -> Doubt {
        let reason = "the row is as it was when its response was lost; whether it took effect is not known";
        Doubt { sends: 1, since: Timestamp::UNIX_EPOCH, reason: Reason::new("response_lost", reason) }
    }

    /// Returns how long ago it was sent first; the longest time if the clock was set back since.
    pub(crate) fn age(&self, now: Timestamp) -> Duration {
        match Duration::try_from(now.duration_since(self.since)) {
            Ok(age) => age,
            Err(_) if self.since.duration_since(now).unsigned_abs() <= SKEW => Duration::ZERO,
            Err(_) => Duration::MAX,
        }
    }
}

/// When something was sent first, in this run or in an earlier one.
///
/// Both clocks are kept: the monotonic one does not count the time in which the machine was suspended, the other
/// one may be set back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    at: Instant,
    /// What the clock showed then.
    shown: Timestamp,
    /// How long before that it was sent by an earlier run.
    before: Duration,
}

impl Sent {
    /// Returns the moment `now`.
    pub(crate) fn at(now: Timestamp) -> Sent {
        Sent::before(Duration::ZERO, now)
    }

    /// Returns the moment that lies this long before `now`.
    pub(crate) fn before(before: Duration, now: Timestamp) -> Sent {
        Sent { at: Instant::now(), shown: now, before }
    }

    /// Returns how long ago that was by the clock that says more.
    pub(crate) fn age(&self, now: Timestamp) -> Duration {
        let shown = Duration::try_from(now.duration_since(self.shown)).unwrap_or_default();
        self.before.saturating_add(shown.max(self.at.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_safe_to_repeat() {
        let since = Timestamp::UNIX_EPOCH;
        let doubt = Doubt { sends: 1, since, reason: Reason::new("response_lost", "no answer") };
        let age = |seconds| doubt.age(since + SignedDuration::from_secs(seconds));
        assert_eq!(age(60), Duration::from_secs(60));
        assert_eq!(age(-60), Duration::ZERO, "clocks of machines differ a little");
        let policy = RepeatPolicy {
            idempotency: Idempotency::Keyed(Duration::from_secs(14_400)),
            resend: false,
            notes: false,
        };
        assert!(policy.allows(age(60)) && policy.allows(age(-60)));
        assert!(!policy.allows(age(14_400)) && !policy.allows(age(-3_600)));
        let sent = Sent::before(Duration::from_secs(14_400), since);
        assert!(!policy.allows(sent.age(since - SignedDuration::from_secs(3_600))), "set back within a run");
    }
}
