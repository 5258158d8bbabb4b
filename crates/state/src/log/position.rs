//! Where a reader of the log is, as its checkpoint says.

use serde::{Deserialize, Serialize};
use tidegate_model::{Checkpoint, Error, LogId, Offset};

/// The content of a checkpoint.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct CheckpointOffset {
    /// The log.
    #[serde(default)]
    pub(super) log: LogId,
    /// The offset to continue from.
    pub(super) offset: u64,
}

impl CheckpointOffset {
    /// Reads a checkpoint; the beginning of any log if there is none.
    pub(super) fn of(after: Option<&Checkpoint>) -> Result<CheckpointOffset, Error> {
        let Some(Checkpoint(value)) = after else { return Ok(CheckpointOffset::default()) };
        CheckpointOffset::deserialize(value).map_err(|_| {
            Error::settings("this export has read another event log before, and not the one in the data folder")
                .hint(
                    "name that log with --log, or run `tidegate reset` for the export: it reads all events of this one",
                )
        })
    }

    /// The place after an event.
    pub(super) fn behind(offset: Offset) -> CheckpointOffset {
        CheckpointOffset { log: offset.log, offset: offset.at + 1 }
    }
}
