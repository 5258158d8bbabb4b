//! Which log a checkpoint is of, and where reading continues after it.

use tidegate_model::LogId;
use uuid::Uuid;

/// The most ancestors that are kept. A log gets one each time it is restored from an
/// older copy.
const ANCESTORS_MAX: usize = 64;

/// The id of a log, and the ids that it had before.
///
/// An offset is given out once under one id. A log that was restored from an
/// older copy gets a new id, since its next offsets were given out before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lineage {
    /// The id of the events that are written now.
    pub(super) id: LogId,
    /// Earlier ids, oldest first, each with the offset after its last event here.
    pub(super) ancestors: Vec<(LogId, u64)>,
}

/// Where reading continues after a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// After the last event that was read.
    At(u64),
    /// The log was restored from a copy that ends here. This many events that were
    /// read are no longer in it.
    Shortened { at: u64, missing: u64 },
    /// The checkpoint is of another log: this one is read from its beginning.
    Anew,
}

impl Start {
    /// The offset to read from.
    pub(super) fn offset(self) -> u64 {
        match self {
            Start::At(at) | Start::Shortened { at, .. } => at,
            Start::Anew => 0,
        }
    }
}

impl Lineage {
    /// Begins a log.
    pub(super) fn begin() -> Lineage {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        // The number 0 means that a log has no id.
        Lineage { id: LogId((high ^ low.rotate_left(17)).max(1)), ancestors: Vec::new() }
    }

    /// Gives a new id to what is written from an offset on.
    pub(super) fn fork(&self, at: u64) -> Lineage {
        let mut ancestors = self.ancestors.clone();
        ancestors.push((self.id, at));
        if ancestors.len() > ANCESTORS_MAX {
            ancestors.remove(0);
        }
        Lineage { ancestors, ..Lineage::begin() }
    }

    /// Returns where reading continues after an offset of a log.
    pub(super) fn start(&self, log: LogId, offset: u64) -> Start {
        if log == self.id || !log.is_known() {
            return Start::At(offset);
        }
        match self.ancestors.iter().rev().find(|(id, _)| *id == log) {
            Some(&(_, end)) if offset > end => Start::Shortened { at: end, missing: offset - end },
            Some(_) => Start::At(offset),
            None => Start::Anew,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_continues_in_its_own_log_and_in_what_became_of_it() {
        let first = Lineage::begin();
        let second = first.fork(60);
        let third = second.fork(90);

        assert_eq!(third.start(third.id, 100), Start::At(100));
        assert_eq!(third.start(first.id, 40), Start::At(40));
        assert_eq!(third.start(first.id, 100), Start::Shortened { at: 60, missing: 40 });
        assert_eq!(third.start(second.id, 90), Start::At(90));
        assert_eq!(third.start(Lineage::begin().id, 7), Start::Anew);
        assert_eq!(first.start(second.id, 7), Start::Anew);
    }

    #[test]
    fn ancestors_are_bounded() {
        let mut log = Lineage::begin();
        for at in 0..1_000 {
            log = log.fork(at);
        }
        assert_eq!(log.ancestors.len(), ANCESTORS_MAX);
        assert_eq!(log.ancestors.last().map(|(_, end)| *end), Some(999));
    }
}
