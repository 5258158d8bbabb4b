//! Alerts about the disk of the state: it is almost full, or will be in a few days at the rate of the last ones.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::Error;
use tidegate_model::alert::{Alert, Trigger};

use super::conditions::State;
use super::lock;
use crate::service::Engine;

/// The subject of the alert.
const SUBJECT: &str = "disk";
/// Less free space than this opens an alert, whatever the rate is.
const FREE_MIN: u64 = 2 << 30;
/// A disk that is full within this time opens an alert.
const DAYS_MIN: f64 = 3.0;
/// How much better it must be until the alert is over: no alert comes and goes with each file.
const BETTER: f64 = 1.25;
/// How often the free space is remembered.
const EACH: SignedDuration = SignedDuration::from_hours(1);
/// How far back the rate is measured.
const BACK: SignedDuration = SignedDuration::from_hours(48);
/// A shorter time says nothing about days.
const RATE_AFTER: SignedDuration = SignedDuration::from_hours(6);

/// The free space of the disk that holds the state, now and in the last days.
pub(crate) struct Disk {
    free: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    /// The free space in bytes at some times, oldest first.
    seen: Mutex<VecDeque<(Timestamp, u64)>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    /// Judges the free space.
    fn judge(&self, now: Timestamp) -> State {
        let Some(free) = (self.free)() else { return State::Unclear };
        let left = self.days_left(free, now);
        let is_low = |free_min: f64, days_min: f64| {
            (free as f64) < free_min || left.is_some_and(|days| days < days_min)
        };
        let gib = free as f64 / f64::from(1 << 30);
        match (is_low(FREE_MIN as f64, DAYS_MIN), is_low(FREE_MIN as f64 * BETTER, DAYS_MIN * BETTER)) {
            (false, false) => State::Good,
            (false, true) => State::Unclear,
            (true, _) => State::Bad(match left {
                Some(days) if days < DAYS_MIN => format!(
                    "{gib:.1} GiB are free on the disk of the state, which will be full in {days:.0} days at the rate of \
                     the last ones. Next: make room, or keep less with `retention`"
                ),
                _ => format!(
                    "{gib:.1} GiB are free on the disk of the state. Next: make room, a full disk stops every sync"
                ),
            }),
        }
    }

    /// Returns in how many days the disk is full, if it fills up.
    fn days_left(&self, free: u64, now: Timestamp) -> Option<f64> {
        let mut seen = lock(&self.seen);
        if seen.back().is_none_or(|(at, _)| now.duration_since(*at) >= EACH) {
            seen.push_back((now, free));
        }
        while seen.front().is_some_and(|(at, _)| now.duration_since(*at) > BACK) {
            seen.pop_front();
        }
        let (at, before) = seen.front()?;
        let span = now.duration_since(*at);
        let used = before.checked_sub(free).filter(|used| *used > 0 && span >= RATE_AFTER)?;
        Some(free as f64 / used as f64 * span.as_secs_f64() / 86_400.0)
    }
}

impl Engine {
    /// Gives the engine a way to measure the free space, in bytes, of the disk that holds the state, for alerts.
    #[must_use]
    pub fn with_disk(mut self, free: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Engine {
        self.disk = Some(Disk { free: Box::new(free), seen: Mutex::default() }.into());
        self
    }

    /// Looks at the disk of the state.
    pub(super) async fn look_at_disk(&self, known: &[Alert]) -> Result<(), Error> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let now = self.config.clock.now();
        let open = known.iter().find(|alert| alert.trigger == Trigger::Disk && alert.resolved_at.is_none());
        self.change(SUBJECT, Trigger::Disk, &disk.judge(now), open, now).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const GIB: u64 = 1 << 30;

    fn hour(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).expect("a time")
    }

    #[test]
    fn a_disk_that_is_almost_full_or_will_be_in_three_days_is_bad_until_it_is_clearly_better() {
        let free = Arc::new(AtomicU64::new(100 * GIB));
        let measured = free.clone();
        let measure = Box::new(move || Some(measured.load(Ordering::Relaxed)));
        let disk = Disk { free: measure, seen: Mutex::default() };
        let judged = |at: i64, gib: u64| {
            free.store(gib * GIB, Ordering::Relaxed);
            disk.judge(hour(at))
        };
        assert_eq!(judged(0, 100), State::Good);
        assert_eq!(judged(1, 60), State::Good, "an hour says nothing about days");
        assert_eq!(judged(2, 100), State::Good, "it was a temporary file");
        assert_eq!(judged(24, 96), State::Good, "4 GiB a day");
        let State::Bad(why) = judged(48, 50) else { panic!("25 GiB a day") };
        assert!(why.starts_with("50.0 GiB are free") && why.contains("full in 2 days"), "{why}");
        let State::Bad(why) = judged(49, 1) else { panic!("almost full") };
        assert!(why.starts_with("1.0 GiB are free"), "{why}");

        let fresh = Disk { free: Box::new(|| Some(2 * GIB + GIB / 4)), seen: Mutex::default() };
        assert_eq!(fresh.judge(hour(0)), State::Unclear, "an open alert stays, and none opens");
    }
}
