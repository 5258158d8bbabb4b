//! What a run of an import begins with.

use tidegate_model::source::Hashed;
use tidegate_model::{Checkpoint, Error, RowHash};
use tidegate_project::Compare;

use crate::pipeline::import::Import;
use crate::pipeline::read::by_source::AtSource;
use crate::pipeline::read::cursor_state::{self, ChangeTracking, CursorState};
use crate::pipeline::read::key;
use crate::pipeline::read::lookback::LookbackRule;
use crate::pipeline::read::mirror_state::{Measured, MirrorState, SharedMirrorState};
use crate::pipeline::run_kind::RunKind;

/// What a run begins with.
#[derive(Default)]
pub(crate) struct Begins {
    pub(crate) kind: RunKind,
    pub(crate) cursor_state: Option<CursorState>,
    pub(crate) mirror: Option<SharedMirrorState>,
    /// Whether hashes of rows are read before the rows: the name of the memo of what they stood for.
    pub(crate) hashes: Option<RowHash>,
    /// Bytes of a row, as an earlier run has measured them.
    pub(crate) row_bytes: Option<u64>,
    /// Files that the last run of a mirror has read and that are gone.
    pub(crate) vanished: Vec<String>,
    /// What the source compares itself, if it does.
    pub(crate) at_source: Option<AtSource>,
    /// Whether the last run was compared at the source, and this one is not.
    pub(crate) leaves_source: bool,
}

impl Begins {
    /// # Errors
    /// If the checkpoint does not fit the sync, or the source cannot be asked.
    pub(crate) async fn of(
        import: &Import,
        checkpoint: Option<&Checkpoint>,
        kind: RunKind,
    ) -> Result<Begins, Error> {
        if kind == RunKind::Backfill {
            // It leaves the checkpoint of its sync alone.
            return Ok(Begins { kind, ..Begins::default() });
        }
        let cursor_state = standing(import, checkpoint, kind).await?;
        if kind.moves_checkpoint() && !import.is_confirmed() {
            key::unchanged(import, checkpoint)?;
        }
        if import.tracking != ChangeTracking::Mirror {
            return Ok(Begins { kind, cursor_state, ..Begins::default() });
        }
        let before = MirrorState::of(&import.sync, checkpoint)?;
        let mut now = MirrorState::now(import).await?;
        if !kind.moves_checkpoint() {
            now.key.clone_from(&before.key);
        }
        let vanished = before.vanished(&now);
        // A retry only has to know of entries that hold.
        let opens = import.compares_at_source && (kind.moves_checkpoint() || before.source.is_some());
        let mut at_source = None;
        if opens {
            let key = import.key_names();
            let opened = import.source.bookkeeping(&import.sync, &import.selection, &key).await?;
            let bookkeeping = opened.ok_or_else(|| {
                Error::settings(format!("the source of `{}` cannot compare rows itself", import.sync))
                    .hint("write `state: ours`")
            })?;
            let (name, continues) = bookkeeping.begin(before.source.as_deref()).await?;
            now.source = Some(name);
            at_source = Some(AtSource::new(bookkeeping, continues));
        }
        let leaves_source = before.source.is_some() && !import.compares_at_source;
        now.measured = before.measured;
        let row_bytes = before.measured.map(|measured| measured.row_bytes);
        let hashes = match kind {
            RunKind::Retry => None,
            _ => hashes(import, before.measured).await,
        };
        let mirror = Some(SharedMirrorState::new(now));
        Ok(Begins { kind, cursor_state, mirror, hashes, row_bytes, vanished, at_source, leaves_source })
    }
}

/// Returns the name of the memo if hashes are read: if the sync says so, or they were cheaper by the last run and the
/// source makes some.
async fn hashes(import: &Import, measured: Option<Measured>) -> Option<RowHash> {
    let name = import.hashes?;
    match import.compare {
        Compare::Rows => None,
        Compare::Hashes => Some(name),
        Compare::Auto if !measured.is_some_and(Measured::prefers_hashes) => None,
        Compare::Auto => {
            let opened = import.source.hashed(&import.selection, &import.key_names(), Hashed::Keys, 1).await;
            opened.ok().flatten().map(|_| name)
        }
    }
}

/// Returns the files that the last run of a mirror has read and that are gone, unless as many new ones
/// are there in their place.
///
/// # Errors
/// If the files cannot be listed, or another mode made the checkpoint.
pub(crate) async fn vanished(import: &Import, checkpoint: Option<&Checkpoint>) -> Result<Vec<String>, Error> {
    Ok(MirrorState::of(&import.sync, checkpoint)?.vanished(&MirrorState::now(import).await?))
}

/// Returns the checkpoint of the sync.
///
/// # Errors
/// If its place does not fit the cursor, unless a person has confirmed it, or the lookback is a duration and the
/// cursor counts no time.
async fn standing(
    import: &Import,
    checkpoint: Option<&Checkpoint>,
    kind: RunKind,
) -> Result<Option<CursorState>, Error> {
    let (sync, tracking) = (&import.sync, &import.tracking);
    let mut cursor_state = match import.is_confirmed() || kind == RunKind::Retry {
        true => cursor_state::confirmed_cursor_state_of(sync, tracking, checkpoint)?,
        false => cursor_state::cursor_state_of(sync, tracking, checkpoint)?,
    };
    if let (Some(state), ChangeTracking::Cursor { origin, .. }) = (&mut cursor_state, tracking) {
        state.origin = Some(origin.clone());
    }
    let ChangeTracking::Cursor { column, lookback: rule @ LookbackRule::SinceEpoch(_), .. } =
        &import.tracking
    else {
        return Ok(cursor_state);
    };
    if !kind.moves_checkpoint()
        || cursor_state.as_ref().is_some_and(|cursor_state| cursor_state.epoch.is_some())
    {
        return Ok(cursor_state);
    }
    let mut unit = import.cursor_unit(column).await?;
    if let Some(cursor_state) = &mut cursor_state {
        // The numbers that were there before say enough.
        cursor_state.epoch = *unit.get_or_insert(None);
    }
    rule.contradicts(column, unit).map_or(Ok(cursor_state), Err)
}
