//! Whether the connections of a sync still point to the systems that its state is about.

use tidegate_model::store::SyncState;
use tidegate_model::{Error, ErrorKind, Systems};

use crate::pipeline::import::Import;
use crate::pipeline::read::cursor_state::ChangeTracking;
use crate::pipeline::run_kind::RunKind;

/// Checks that what is remembered of a sync is about the systems that its connections point to now. The name of a
/// connection does not matter.
///
/// # Errors
/// If one of them points to another system.
pub(crate) fn unchanged(import: &Import, state: &SyncState) -> Result<(), Error> {
    let (Some(before), Some(_)) = (&state.systems, &state.checkpoint) else { return Ok(()) };
    if import.tracking == ChangeTracking::Full {
        return Ok(());
    }
    let Import { sync, systems, .. } = import;
    let source = systems.source.changes_since(&before.source, import.source_connection.as_str());
    let destination = systems.destination.changes_since(&before.destination, import.connection.as_str());
    let changes = [&*source, &*destination].concat().join(", ");
    let what = match (source.is_empty(), destination.is_empty()) {
        (true, true) => return Ok(()),
        (false, true) => format!(
            "{changes} since the last run of `{sync}`: rows of another system would be skipped up to its checkpoint, as if they had been sent"
        ),
        (true, false) => format!(
            "{changes} since the last run of `{sync}`: rows that were delivered there would be skipped, and another system would never get them"
        ),
        (false, false) => format!(
            "{changes} since the last run of `{sync}`: what it remembers of its rows is about other systems, so rows would be skipped"
        ),
    };
    Err(Error::new(ErrorKind::Unconfirmed, what).hint(format!(
        "run `tidegate reset {sync}` to read from the beginning: all rows are sent again; or run `tidegate run {sync} --yes` once to continue at the checkpoint, if it is the same system under another address; or undo the change"
    )))
}

/// Checks the same for a run, unless a person has confirmed it or it looks at no row that was sent before.
///
/// # Errors
/// As [`unchanged`].
pub(crate) fn confirmed(import: &Import, state: &SyncState, kind: RunKind) -> Result<(), Error> {
    match !import.is_confirmed() && kind.skips_committed() {
        true => unchanged(import, state),
        false => Ok(()),
    }
}

/// Returns the systems to note before a run reads anything; `None` if they are noted, or the run does not change
/// what is remembered.
pub(crate) fn to_note<'a>(import: &'a Import, state: &SyncState, kind: RunKind) -> Option<&'a Systems> {
    // What a full run has not sent before it ends is still about the systems before.
    let notes = kind.moves_checkpoint() && (kind != RunKind::Full || state.checkpoint.is_none());
    Some(&import.systems).filter(|systems| notes && state.systems.as_ref() != Some(systems))
}
