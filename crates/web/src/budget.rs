//! The memory that requests may hold, shared among connections and senders.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_model::{Error, ErrorKind};

/// A bounded number of bytes, of which everyone gets a part that depends on what is left.
///
/// A sender may hold at most as much as is free, and all senders of a connection
/// together at most twice as much as is free. One sender alone can so have half,
/// one connection alone two thirds, and there is always room for another.
pub(super) struct Budget {
    total: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: usize,
    by_connection: HashMap<u64, usize>,
    by_sender: HashMap<Sender, usize>,
}

/// Who holds memory: an address, for one connection, by the hash of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sender {
    pub(super) connection: u64,
    pub(super) address: IpAddr,
}

/// What one request holds; given back when it is dropped.
pub(super) struct Share {
    budget: Arc<Budget>,
    sender: Sender,
    bytes: usize,
}

impl Budget {
    /// A budget of this many bytes.
    pub(super) fn new(total: usize) -> Budget {
        Budget { total, held: Mutex::default() }
    }

    /// A share of nothing yet.
    pub(super) fn share(self: &Arc<Budget>, sender: Sender) -> Share {
        Share { budget: self.clone(), sender, bytes: 0 }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing that panics is done while it is locked.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes more.
    ///
    /// # Errors
    /// [`ErrorKind::Throttled`] when the sender or its connection has its part already.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let mut held = self.budget.held();
        let free = self.budget.total - held.all;
        let of_connection = held.by_connection.get(&self.sender.connection).copied().unwrap_or_default();
        let of_sender = held.by_sender.get(&self.sender).copied().unwrap_or_default();
        if of_sender + bytes > free.saturating_sub(bytes)
            || of_connection + bytes > 2 * free.saturating_sub(bytes)
        {
            return Err(Error::new(ErrorKind::Throttled(None), "too many requests are under way")
                .hint("send it again in a second"));
        }
        held.all += bytes;
        *held.by_connection.entry(self.sender.connection).or_default() += bytes;
        *held.by_sender.entry(self.sender).or_default() += bytes;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.budget.held();
        held.all -= self.bytes;
        if let Some(of_connection) = held.by_connection.get_mut(&self.sender.connection) {
            *of_connection -= self.bytes;
            if *of_connection == 0 {
                held.by_connection.remove(&self.sender.connection);
            }
        }
        if let Some(of_sender) = held.by_sender.get_mut(&self.sender) {
            *of_sender -= self.bytes;
            if *of_sender == 0 {
                held.by_sender.remove(&self.sender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(connection: u64, last: u8) -> Sender {
        Sender { connection, address: IpAddr::from([10, 0, 0, last]) }
    }

    /// Takes all that the sender can have, one byte after the other.
    fn fill(budget: &Arc<Budget>, sender: Sender) -> Share {
        let mut share = budget.share(sender);
        while share.grow(1).is_ok() {}
        share
    }

    #[test]
    fn one_sender_that_takes_all_it_can_leaves_room_for_others() {
        let budget = Arc::new(Budget::new(960));
        let greedy = fill(&budget, sender(0, 1));
        assert_eq!(greedy.bytes, 480);
        let beside = fill(&budget, sender(0, 2));
        assert_eq!(greedy.bytes + beside.bytes, 640, "a connection alone has two thirds");
        let other = fill(&budget, sender(1, 1));
        assert_eq!(other.bytes, 160, "half of what was left");
        assert!(budget.share(sender(1, 3)).grow(50).is_ok());
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = Arc::new(Budget::new(100));
        let first = fill(&budget, sender(0, 1));
        assert_eq!(budget.share(sender(0, 1)).grow(1).expect_err("full").kind(), ErrorKind::Throttled(None));
        drop(first);
        assert_eq!(fill(&budget, sender(0, 1)).bytes, 50);
        let held = budget.held();
        assert_eq!((held.all, held.by_connection.len(), held.by_sender.len()), (0, 0, 0));
    }
}
