//! The memory of events that wait to be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_model::{Error, ErrorKind};

/// The bytes of waiting events that all streams share.
#[derive(Clone)]
pub(super) struct Queue {
    waiting: Arc<AtomicUsize>,
    max_bytes: usize,
}

impl Queue {
    pub(super) fn new(max_bytes: usize) -> Queue {
        Queue { waiting: Arc::default(), max_bytes }
    }

    /// Takes memory until the permit is dropped. A request larger than the limit succeeds if nothing
    /// else waits.
    pub(super) fn acquire(&self, bytes: usize) -> Result<MemoryPermit, Error> {
        let fits = |waiting: usize| {
            let after = waiting.saturating_add(bytes);
            (waiting == 0 || after <= self.max_bytes).then_some(after)
        };
        match self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) {
            Ok(_) => Ok(MemoryPermit { waiting: Arc::clone(&self.waiting), bytes }),
            Err(_) => Err(Error::new(
                ErrorKind::Throttled(None),
                format!("{} bytes of events wait to be written, and that is the limit", self.max_bytes),
            )),
        }
    }
}

#[cfg(test)]
impl Queue {
    /// The bytes that wait now.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

/// Memory that is taken until this is dropped.
pub(super) struct MemoryPermit {
    waiting: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_greater_than_the_limit_waits_alone() {
        let queue = Queue::new(100);
        let small = queue.acquire(60).expect("fits");
        assert_eq!(queue.acquire(60).map(drop).expect_err("full").kind(), ErrorKind::Throttled(None));
        let rest = queue.acquire(40).expect("fits");
        drop((small, rest));
        let large = queue.acquire(1_000).expect("alone");
        assert!(queue.acquire(1).is_err());
        drop(large);
        assert!(queue.acquire(1).is_ok());
    }
}
