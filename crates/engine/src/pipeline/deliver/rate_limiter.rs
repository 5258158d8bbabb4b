//! The shared rate limit of one connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Booked, Clock, ConnectionId, Limits, Rate, RateLimitStatus, SharedLimits, Store};
use tokio::time::Instant;

use crate::pipeline::deliver::health::Health;
use crate::pipeline::deliver::lots::{Lots, Turn};
use crate::pipeline::shutdown::Shutdown;

/// The rate limiters of a process: one for each connection and bucket of limits.
///
/// All syncs of a connection share its rate limiter; syncs of other connections are not
/// affected. While other processes run syncs on the same store, each rate limiter leases its turns from it.
#[derive(Default)]
pub struct RateLimiters {
    rate_limiters: Mutex<HashMap<(ConnectionId, &'static str), Arc<RateLimiter>>>,
    unlimited: bool,
    store: Option<Arc<dyn Store>>,
}

impl RateLimiters {
    /// Creates rate limiters that share their limits with the other processes on a store.
    pub(crate) fn shared_by(store: Arc<dyn Store>) -> RateLimiters {
        RateLimiters { store: Some(store), ..RateLimiters::default() }
    }

    /// Creates rate limiters without limits, for a dry run that sends nothing.
    pub fn unlimited() -> RateLimiters {
        RateLimiters { unlimited: true, ..RateLimiters::default() }
    }

    /// Returns the limits that runs with these rate limiters observe.
    pub(crate) fn limits(&self, limits: Limits) -> Limits {
        match self.unlimited {
            true => Limits { min_user_interval: Duration::ZERO, rate: None, ..limits },
            false => limits,
        }
    }

    /// Returns the rate limiter of a connection's bucket, created on first use. Of several rates the lowest
    /// counts.
    pub(crate) fn rate_limiter(
        &self,
        connection: &ConnectionId,
        bucket: &'static str,
        rate: Option<Rate>,
    ) -> Arc<RateLimiter> {
        let mut rate_limiters = self.rate_limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let rate_limiter = rate_limiters.entry((connection.clone(), bucket)).or_insert_with(|| {
            let store = self.store.clone();
            let shared = store.map(|store| Shared { store, name: format!("{connection}/{bucket}") });
            Arc::new(RateLimiter { shared, ..RateLimiter::default() })
        });
        rate_limiter.slow_down(rate);
        rate_limiter.clone()
    }

    /// Lets the next run of a connection say its rate again: the connection is written in another way now.
    /// Runs under way share that rate, so that all of them together stay within it.
    pub(crate) fn look_again(&self, connection: &ConnectionId) {
        let rate_limiters = self.rate_limiters.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, rate_limiter) in rate_limiters.iter().filter(|((of, _), _)| of == connection) {
            rate_limiter.state.lock().unwrap_or_else(PoisonError::into_inner).stale = true;
        }
    }
}

/// How many of the documented requests may be sent without spacing: a vendor
/// that counts in fixed windows must never see more than it documents.
const BURST_SHARE: u32 = 50;

/// Spaces requests so that no window of the documented length holds more than
/// the documented number, and obeys what answers say.
#[derive(Default)]
pub(crate) struct RateLimiter {
    state: Mutex<State>,
    /// With whom it is shared, if there may be other processes.
    shared: Option<Shared>,
    /// What the connection answered, to all of its syncs.
    pub(super) health: Health,
}

/// A limit that processes on one store share.
#[derive(Clone)]
struct Shared {
    store: Arc<dyn Store>,
    name: String,
}

impl Shared {
    fn limits(&self) -> &dyn SharedLimits {
        self.store.shared_limits()
    }
}

#[derive(Clone, Copy)]
struct Spacing {
    /// Time that one request takes up.
    interval: Duration,
    /// How far the schedule may run ahead of the clock.
    tolerance: Duration,
}

#[derive(Default)]
struct State {
    spacing: Option<Spacing>,
    /// Whether the next rate replaces the ones before: the connection was changed.
    stale: bool,
    /// When the schedule is free again (generic cell rate algorithm).
    free_at: Option<Instant>,
    /// Nothing is sent before this, by our clock and by that of people.
    closed_until: Option<(Instant, Timestamp)>,
    /// Until when the other processes know that nothing is sent.
    told_until: Option<Instant>,
    /// The turns that were leased while there are other processes.
    lots: Lots,
}

impl RateLimiter {
    /// Keeps to this rate, too.
    fn slow_down(&self, rate: Option<Rate>) {
        let mut state = self.lock();
        if std::mem::take(&mut state.stale) {
            state.spacing = None;
        }
        let Some(rate) = rate.filter(|rate| rate.requests > 0) else { return };
        let burst = (rate.requests / BURST_SHARE).max(1);
        let spaced = (rate.requests - burst).max(1);
        let interval = rate.per / spaced;
        if state.spacing.is_none_or(|spacing| spacing.interval < interval) {
            state.spacing = Some(Spacing { interval, tolerance: interval * (burst - 1) });
        }
    }

    /// Waits until one request may be sent. Returns false if the run halts first.
    pub(crate) async fn acquire(self: &Arc<Self>, shutdown: &Shutdown) -> bool {
        loop {
            if shutdown.halted() {
                return false;
            }
            let Some(wait) = self.book() else { return true };
            if !shutdown.pause(wait).await {
                return false;
            }
        }
    }

    /// Books a request now, or returns how long to wait before trying again.
    pub(super) fn book(self: &Arc<Self>) -> Option<Duration> {
        let now = Instant::now();
        let mut state = self.lock();
        if let Some((until, _)) = state.closed_until {
            if until > now {
                return Some(until - now);
            }
            state.closed_until = None;
        }
        let spacing = state.spacing?;
        if let Some(shared) = self.shared.as_ref().filter(|shared| !shared.limits().is_alone()) {
            let (turn, to_book) = state.lots.take(spacing.interval, now);
            if let Some(span) = to_book {
                tokio::spawn(self.clone().lease_lot(shared.clone(), span));
            }
            return match turn {
                Turn::Now => None,
                Turn::Wait(span) => Some(span),
            };
        }
        if state.lots.give_back() {
            // What may be sent without spacing may have been sent by the others.
            state.free_at = state.free_at.max(Some(now + spacing.tolerance));
        }
        let free_at = state.free_at.filter(|free_at| *free_at > now).unwrap_or(now);
        if free_at - now > spacing.tolerance {
            return Some(free_at - now - spacing.tolerance);
        }
        state.free_at = Some(free_at + spacing.interval);
        None
    }

    /// Blocks all requests until `until`, after a throttled one. At least a second passes,
    /// since the other side's clock may be behind ours.
    pub(crate) fn block_until(&self, until: Option<Timestamp>, clock: &dyn Clock) {
        let soon = clock.now().saturating_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
        self.close(until.map_or(soon, |until| until.max(soon)), clock);
    }

    /// Sends nothing before `until`.
    fn close(&self, until: Timestamp, clock: &dyn Clock) {
        /// No vendor's window is longer than an hour.
        const LONGEST: Duration = Duration::from_secs(3_600);
        let span =
            Duration::try_from(until.duration_since(clock.now())).unwrap_or(Duration::ZERO).min(LONGEST);
        let until = (Instant::now() + span, clock.now().saturating_add(span).unwrap_or(Timestamp::MAX));
        let mut state = self.lock();
        state.closed_until = Some(state.closed_until.map_or(until, |closed| closed.max(until)));
    }

    /// Tells the other processes until when nothing is sent, if there are any that do not know it.
    pub(crate) async fn share_closing(&self) {
        let Some(shared) = self.shared.as_ref().filter(|shared| !shared.limits().is_alone()) else { return };
        let now = Instant::now();
        let until = {
            let state = self.lock();
            let known = state.told_until;
            state.closed_until.map(|(until, _)| until).filter(|until| *until > now && known < Some(*until))
        };
        let Some(until) = until else { return };
        match shared.limits().close(&shared.name, until - now).await {
            Ok(()) => self.lock().told_until = Some(until),
            Err(error) => {
                let (limit, trouble) = (&shared.name, error.chain());
                tracing::debug!(limit, trouble, "other processes could not be told to wait");
            }
        }
    }

    /// Leases turns of the limit from the store.
    async fn lease_lot(self: Arc<Self>, shared: Shared, span: Duration) {
        let booked = shared.limits().book(&shared.name, span).await;
        let now = Instant::now();
        let mut state = self.lock();
        let interval = state.spacing.map_or(span, |spacing| spacing.interval);
        match booked {
            Ok(Booked::In(wait)) => state.lots.add(now + wait, span, interval),
            Ok(Booked::NotYet) => state.lots.none(now),
            Err(error) => {
                state.lots.none(now);
                let (limit, trouble) = (&shared.name, error.chain());
                tracing::debug!(limit, trouble, "turns of a limit could not be leased");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns until when nothing is sent, because answers ask for it; `None` if something may be.
    pub(crate) fn closed_until(&self) -> Option<Timestamp> {
        let state = self.lock();
        state.closed_until.filter(|(until, _)| *until > Instant::now()).map(|(_, until)| until)
    }

    /// Observes what a response said about the limit.
    pub(crate) fn observe(&self, pace: RateLimitStatus, clock: &dyn Clock) {
        if pace.remaining == 0 {
            self.close(pace.reset, clock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::{Claim, SyncId, SystemClock, Unshared};
    use tokio_util::sync::CancellationToken;

    fn lease() -> Claim {
        Unshared::lease(&SyncId::new("s"))
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_of_the_documented_length_holds_more_than_documented() {
        let rate = Rate { requests: 300, per: Duration::from_secs(3) };
        let rate_limiter = Arc::new(RateLimiter::default());
        rate_limiter.slow_down(Some(rate));
        let shutdown = Shutdown::new(CancellationToken::new(), lease());
        let mut sent = Vec::new();
        for _ in 0..2_000 {
            assert!(rate_limiter.acquire(&shutdown).await);
            sent.push(Instant::now());
        }
        for (at, first) in sent.iter().enumerate() {
            let within = sent[at..].iter().take_while(|turn| **turn - *first < rate.per).count();
            assert!(within <= 300, "{within} requests in one window");
        }
        let seconds = (sent[1_999] - sent[0]).as_secs_f64();
        assert!(2_000.0 / seconds >= 95.0, "at least 0.95 of the documented rate: {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn two_syncs_of_one_bucket_keep_to_the_lower_of_their_rates() {
        let rate = |requests| Some(Rate { requests, per: Duration::from_secs(1) });
        for rates in [[rate(100), rate(2)], [rate(2), rate(100)], [rate(2), None]] {
            let rate_limiters = RateLimiters::default();
            let of = |rate| rate_limiters.rate_limiter(&ConnectionId::new("c"), "users", rate);
            let shutdown = Shutdown::new(CancellationToken::new(), lease());
            let (first, second) = (of(rates[0]), of(rates[1]));
            let before = Instant::now();
            for _ in 0..5 {
                assert!(first.acquire(&shutdown).await && second.acquire(&shutdown).await);
            }
            assert!(before.elapsed() >= Duration::from_secs(4), "{rates:?}: {:?}", before.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_another_rate_shares_it_with_the_run_that_is_under_way() {
        let (all, connection) = (RateLimiters::default(), ConnectionId::new("braze"));
        let rate = |requests| Some(Rate { requests, per: Duration::from_secs(60) });
        let under_way = all.rate_limiter(&connection, "users", rate(60));
        all.rate_limiter(&connection, "users", rate(6_000));
        let spacing = |of: &RateLimiter| of.state.lock().expect("free").spacing.expect("a rate").interval;
        assert!(spacing(&under_way) > Duration::from_millis(900), "the lowest counts");
        all.look_again(&connection);
        let next = all.rate_limiter(&connection, "users", rate(6_000));
        assert!(Arc::ptr_eq(&under_way, &next) && spacing(&under_way) < Duration::from_millis(20));
    }

    #[tokio::test(start_paused = true)]
    async fn an_exhausted_limit_closes_the_rate_limiter_until_its_reset() {
        let rate_limiter = Arc::new(RateLimiter::default());
        let shutdown = Shutdown::new(CancellationToken::new(), lease());
        let clock = SystemClock;
        let reset = clock.now() + SignedDuration::from_secs(7);
        rate_limiter.observe(RateLimitStatus { remaining: 1, reset }, &clock);
        let before = Instant::now();
        assert!(rate_limiter.acquire(&shutdown).await);
        assert_eq!(Instant::now(), before);
        rate_limiter.observe(RateLimitStatus { remaining: 0, reset }, &clock);
        assert!(rate_limiter.acquire(&shutdown).await);
        assert!(Instant::now() - before > Duration::from_secs(6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_halted_run_gets_no_turn() {
        let stop = CancellationToken::new();
        let shutdown = Shutdown::new(stop.clone(), lease());
        let rate_limiter = Arc::new(RateLimiter::default());
        rate_limiter.block_until(None, &SystemClock);
        stop.cancel();
        assert!(!rate_limiter.acquire(&shutdown).await);
    }
}
