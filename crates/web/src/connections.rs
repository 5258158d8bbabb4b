//! Connections: how many there are, and which of them end to make room.
//!
//! A connection is *idle* while no request of it is under way: a new one that has
//! sent nothing, one that has sent half a head, one that is kept open. When the
//! limit is reached, a new connection takes the place of the longest idle one. When
//! none is idle, a few more are let in beyond the limit, for `/healthz` and
//! `/metrics` alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Connections that take requests, at most.
const CONNECTIONS_MAX: usize = 1_000;

/// Connections beyond these, for questions about health alone.
const RESERVED: usize = 16;

/// How long a connection may take to send a request's head, from its beginning
/// or from the end of the request before. Load balancers keep theirs for 60
/// seconds, and must be the ones that close first.
const HEAD_MAX: Duration = Duration::from_secs(75);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) reserved: usize,
    pub(super) head: Duration,
}

impl Limits {
    /// The limits of this process: half of the files that it may open are for other things.
    pub(super) fn of_process() -> Limits {
        let connections = open_files_max().map_or(CONNECTIONS_MAX, |files| CONNECTIONS_MAX.min(files / 2));
        Limits { connections: connections.max(1), reserved: RESERVED, head: HEAD_MAX }
    }
}

/// How many files this process may have open; `None` if the system does not say.
fn open_files_max() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// All connections that are open.
pub(super) struct Connections {
    limits: Limits,
    open: Mutex<Open>,
    /// Numbers the moments at which connections become idle.
    next: AtomicU64,
}

#[derive(Default)]
struct Open {
    usual: Vec<Arc<Known>>,
    reserved: Vec<Arc<Known>>,
}

/// What is known of one connection.
struct Known {
    /// Since when it is idle: smaller is longer. [`BUSY`] while a request is under way.
    idle: AtomicU64,
    /// Fires when another connection takes this place.
    displaced: CancellationToken,
}

const BUSY: u64 = u64::MAX;

/// Room for one more among these, made by ending the longest idle one if need be.
fn make_room(places: &mut Vec<Arc<Known>>, max: usize) -> bool {
    if places.len() < max {
        return true;
    }
    let idle = places.iter().enumerate().map(|(at, route)| (route.idle.load(Ordering::Relaxed), at));
    let Some((since, at)) = idle.min().filter(|(since, _)| *since != BUSY) else { return false };
    tracing::debug!(since, "an idle connection makes room");
    places.swap_remove(at).displaced.cancel();
    true
}

/// One connection's place among all; given back when it is dropped.
pub(super) struct Seat {
    connections: Arc<Connections>,
    reserved: bool,
    route: Arc<Known>,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Arc<Connections> {
        Arc::new(Connections { limits, open: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// A place for a new connection, which is idle; `None` when not even a reserved one is left.
    pub(super) fn enter(self: &Arc<Connections>) -> Option<Seat> {
        let mut open = self.open();
        let reserved = !make_room(&mut open.usual, self.limits.connections);
        if reserved && !make_room(&mut open.reserved, self.limits.reserved) {
            return None;
        }
        let route =
            Arc::new(Known { idle: AtomicU64::new(self.tick()), displaced: CancellationToken::new() });
        open.group(reserved).push(route.clone());
        Some(Seat { connections: self.clone(), reserved, route })
    }

    fn tick(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing that panics is done while it is locked.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn group(&mut self, reserved: bool) -> &mut Vec<Arc<Known>> {
        if reserved { &mut self.reserved } else { &mut self.usual }
    }
}

impl Seat {
    /// Whether it is for questions about health alone.
    pub(super) fn is_reserved(&self) -> bool {
        self.reserved
    }

    /// Waits until another connection takes this place.
    pub(super) async fn displaced(&self) {
        self.route.displaced.cancelled().await;
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.route.idle.load(Ordering::Relaxed) == BUSY
    }

    /// Keeps the place until the request that begins has its answer. A connection
    /// that is displaced at the same moment still answers it.
    pub(super) fn busy(self: &Arc<Seat>) -> Busy {
        self.route.idle.store(BUSY, Ordering::Relaxed);
        Busy(self.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        let group = open.group(self.reserved);
        // A displaced one gave its place away already.
        if let Some(at) = group.iter().position(|route| Arc::ptr_eq(route, &self.route)) {
            group.swap_remove(at);
        }
    }
}

/// A request under way; its connection is idle again when this is dropped.
pub(super) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.route.idle.store(self.0.connections.tick(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(connections: usize, reserved: usize) -> Arc<Connections> {
        Connections::new(Limits { connections, reserved, head: HEAD_MAX })
    }

    /// Those that are open and those of them that are idle, usual and reserved.
    fn counts(connections: &Connections) -> [usize; 4] {
        let open = connections.open();
        let idle = |group: &[Arc<Known>]| {
            group.iter().filter(|known| known.idle.load(Ordering::Relaxed) != BUSY).count()
        };
        [open.usual.len(), idle(&open.usual), open.reserved.len(), idle(&open.reserved)]
    }

    #[test]
    fn a_new_connection_takes_the_place_of_the_longest_idle_one() {
        let connections = connections(2, 1);
        let first = Arc::new(connections.enter().expect("a place"));
        let second = connections.enter().expect("a place");
        // The first is idle for a shorter time than the second, after its request.
        drop(first.busy());

        let third = connections.enter().expect("a place");

        assert!(
            !third.is_reserved()
                && second.route.displaced.is_cancelled()
                && !first.route.displaced.is_cancelled()
        );
        assert_eq!(counts(&connections), [2, 2, 0, 0]);
        drop((first, second, third));
        assert_eq!(counts(&connections), [0; 4]);
    }

    #[test]
    fn where_all_are_busy_the_reserved_ones_are_left_for_health() {
        let connections = connections(1, 1);
        let seat = Arc::new(connections.enter().expect("a place"));
        let busy = seat.busy();
        assert!(seat.is_busy());

        let health = Arc::new(connections.enter().expect("a reserved place"));
        assert!(health.is_reserved());
        let silent = connections.enter().expect("the place of the one before");
        assert!(silent.is_reserved() && health.route.displaced.is_cancelled());

        let asking = Arc::new(silent);
        let answering = asking.busy();
        assert!(connections.enter().is_none(), "all places are taken by requests");
        drop((busy, answering));
        assert_eq!(counts(&connections), [1, 1, 1, 1]);
        drop((seat, health, asking));
        assert_eq!(counts(&connections), [0; 4]);
    }

    #[test]
    fn half_of_the_files_that_may_be_open_are_for_other_things() {
        let limits = Limits::of_process();
        assert!((1..=CONNECTIONS_MAX).contains(&limits.connections));
        if let Some(files) = open_files_max() {
            assert!(limits.connections * 2 <= files.max(2));
        }
    }
}
