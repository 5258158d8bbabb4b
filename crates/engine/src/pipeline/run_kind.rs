//! What a run reads, and what it keeps for later runs.

use crate::pipeline::read::cursor_state::CursorOrigin;
use crate::pipeline::read::lookback::LookbackRule;

/// What a run reads, and what follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RunKind {
    /// Reads from the checkpoint to the end of the feed and moves the checkpoint.
    #[default]
    CatchUp,
    /// Reads from the beginning to the end of the feed, sends also what was sent before, and moves the
    /// checkpoint.
    Full,
    /// Reads from the checkpoint until it is stopped and moves the checkpoint.
    Follow,
    /// Sends given rows again; the checkpoint stays.
    Retry,
    /// Sends a part of given rows: what is known of them stays, and so does the checkpoint.
    Backfill,
}

impl RunKind {
    /// Whether rows that earlier runs committed are skipped.
    pub(crate) fn skips_committed(self) -> bool {
        matches!(self, RunKind::CatchUp | RunKind::Follow)
    }

    /// Whether the checkpoint moves.
    pub(crate) fn moves_checkpoint(self) -> bool {
        !matches!(self, RunKind::Retry | RunKind::Backfill)
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
