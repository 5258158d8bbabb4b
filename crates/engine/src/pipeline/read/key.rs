//! Whether the rows of a sync have the key by which earlier runs remembered them.

use tidegate_model::{Checkpoint, Error, ErrorKind, Idempotency};
use tidegate_project::Changed;

use crate::pipeline::import::Import;
use crate::pipeline::read::cursor_state::{ChangeTracking, CursorState};
use crate::pipeline::read::mirror_state::MirrorState;

/// Checks that the key of the rows is the one that they were remembered by: under another one every row is new.
///
/// Nothing stops if it does no harm that rows are sent again: users and catalog items that are sent as they are
/// now, and of which none is removed.
///
/// # Errors
/// If the key is another one, or another mode made the checkpoint of a mirror.
pub(crate) fn unchanged(import: &Import, checkpoint: Option<&Checkpoint>) -> Result<(), Error> {
    let harmless = import.platform.object().idempotency == Idempotency::Idempotent
        && import.changed == Changed::Send
        && import.removal.is_none();
    let (Some(before), false) = (before(import, checkpoint)?, harmless) else { return Ok(()) };
    let now = match &import.tracking {
        // A cursor that does not say its key is not compared.
        ChangeTracking::Cursor { origin, .. } => origin.key.clone().unwrap_or_else(|| before.clone()),
        _ => import.key_names(),
    };
    if before == now {
        return Ok(());
    }
    let sync = &import.sync;
    let (sent, rows) = match import.tracking {
        ChangeTracking::Mirror => ("every row", "all rows are sent again"),
        _ => ("every row of the lookback", "the rows of the lookback are sent again, once"),
    };
    let removed = match import.removal {
        Some(_) => ", and the rows under the old key are removed",
        None => "",
    };
    Err(Error::new(
        ErrorKind::Unconfirmed,
        format!(
            "the key of the rows was {} and is {} since the last run of `{sync}`: {sent} would be sent again as a new row",
            named(&before),
            named(&now)
        ),
    )
    .hint(format!(
        "write the key that it was as `primary_key:`, or give it back to the table; or run `tidegate run {sync} --yes` to go on with the new key: {rows}{removed}"
    )))
}

/// The key that the rows were remembered by, if it is known.
fn before(import: &Import, checkpoint: Option<&Checkpoint>) -> Result<Option<Vec<String>>, Error> {
    Ok(match &import.tracking {
        ChangeTracking::Mirror => MirrorState::of(&import.sync, checkpoint)?.key,
        ChangeTracking::Cursor { .. } => checkpoint
            .and_then(|checkpoint| serde_json::from_value::<CursorState>(checkpoint.0.clone()).ok())
            .and_then(|state| state.origin?.key),
        ChangeTracking::Full | ChangeTracking::Checkpoint => None,
    })
}

fn named(key: &[String]) -> String {
    if key.is_empty() {
        return "the whole row".to_owned();
    }
    key.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
