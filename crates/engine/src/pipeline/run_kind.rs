//! What a run reads, and what it keeps for later runs.

use crate::pipeline::read::cursor_state::CursorOrigin;
use crate::pipeline::read::lookback::LookbackRule;

/// What a run reads, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunKind {
    /// Reads from the checkpoint to the end of the feed and moves the checkpoint.
    CatchUp,
    /// Reads from the checkpoint until it is stopped and moves the checkpoint.
    Follow,
    /// Sends given rows again; the checkpoint stays.
    Retry,
}

impl RunKind {
    /// Whether the checkpoint moves. Only then are rows that earlier runs committed skipped.
    pub(crate) fn moves_checkpoint(self) -> bool {
        self != RunKind::Retry
    }

    /// Whether the run ends only when it is stopped.
    pub(crate) fn is_endless(self) -> bool {
        self == RunKind::Follow
    }
}

/// Which committed rows are kept for later runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Retention {
    /// Those within the lookback of a cursor over these rows.
    Lookback(LookbackRule, CursorOrigin),
    /// All of them until a read completes: it has no position to resume from.
    UntilComplete,
    /// Only those of batches that could not be committed whole.
    PartialBatches,
    /// All of them by their key, for good: every row of the source is compared with them.
    ByKey,
}
