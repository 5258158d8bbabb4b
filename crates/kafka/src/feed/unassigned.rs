//! A feed of a group that is given no partition: it reads nothing, and says so once.

use std::time::{Duration, Instant};

use super::session::Session;
use crate::partition::lock;

/// How long a group may take to give a member its partitions: it waits for members that join and leave.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a feed has had no partition.
#[derive(Default)]
pub(super) struct Unassigned {
    since: Option<Instant>,
    is_told: bool,
}

impl Unassigned {
    /// Looks whether the feed has partitions, and logs if it has had none for long.
    pub(super) fn look(&mut self, session: &Session) {
        if !lock(&session.state).partitions.is_empty() {
            if std::mem::take(&mut self.is_told) {
                tracing::info!(
                    topics = session.plan.access.topics(),
                    "the group gives this process partitions again"
                );
            }
            self.since = None;
            return;
        }
        if self.is_due(Instant::now()) {
            tracing::warn!(
                group = session.plan.access.group(),
                topics = session.plan.access.topics(),
                "the group has given this process no partition for {} seconds, so it reads nothing: other members \
                 have all of them, or members come and go. Look at the members of the group; another sync or \
                 program needs a group of its own",
                PATIENCE.as_secs()
            );
        }
    }

    /// Returns whether it is time to say so, once for as long as it lasts.
    fn is_due(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let is_due = !self.is_told && now.duration_since(since) >= PATIENCE;
        self.is_told |= is_due;
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_gives_nothing_is_told_of_once_and_not_while_it_forms() {
        let (mut unassigned, begin) = (Unassigned::default(), Instant::now());
        let told =
            [0, 10, 29, 30, 31, 3_600].map(|seconds| unassigned.is_due(begin + Duration::from_secs(seconds)));
        assert_eq!(told, [false, false, false, true, false, false]);
    }
}
