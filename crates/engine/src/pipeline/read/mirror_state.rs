//! What a mirror keeps as its checkpoint: no position, but the files that it has read.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tidegate_model::{Checkpoint, Error, SyncId};

use crate::pipeline::import::Import;

/// Files whose names are kept; of more of them none is.
const FILES_MAX: usize = 10_000;

/// The checkpoint of a mirror.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MirrorState {
    /// Says that no other mode made it.
    mirror: bool,
    /// The files that were read; `None` if the source has none, or too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<BTreeSet<String>>,
    /// The columns by which rows were compared; `None` if an earlier version has not noted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Vec<String>>,
    /// The name of the entries at the source, with `state: source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// What the last run has measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) measured: Option<Measured>,
}

/// What a run has measured of the rows that it compared, by which the next one chooses what it reads of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Bytes of the mapped columns of a row, on average.
    pub(crate) row_bytes: u64,
    /// Rows of the source.
    pub(crate) rows: u64,
    /// How many of them were added or had changed.
    pub(crate) differing: u64,
    /// Whether hashes were read.
    pub(crate) by_hash: bool,
}

impl Measured {
    /// Rows of fewer bytes are not much more than their key and their hash.
    const WIDE_BYTES: u64 = 512;
    /// Fewer rows are read in a moment, whatever is read of them.
    const ROWS_MIN: u64 = 1_000;

    /// Returns whether hashes are read by the next run: rows are wide, and at most one of 20 differs. Once they are,
    /// they are until one of 5 does.
    pub(crate) fn prefers_hashes(self) -> bool {
        let one_of = if self.by_hash { 5 } else { 20 };
        let few = self.differing.saturating_mul(one_of) <= self.rows;
        self.rows >= Self::ROWS_MIN && self.row_bytes >= Self::WIDE_BYTES && few
    }
}

impl MirrorState {
    /// Returns the state of a mirror that reads what is there now.
    ///
    /// # Errors
    /// If the files cannot be listed.
    pub(crate) async fn now(import: &Import) -> Result<MirrorState, Error> {
        let files = import.source.files(&import.selection).await?;
        let files = files.filter(|files| files.len() <= FILES_MAX);
        let files = files.map(|files| files.into_iter().collect());
        let key = Some(import.key_names());
        Ok(MirrorState { mirror: true, files, key, source: None, measured: None })
    }

    /// Reads the state from a checkpoint; the default if there is none.
    ///
    /// # Errors
    /// If another mode made the checkpoint: its rows cannot be compared.
    pub(crate) fn of(sync: &SyncId, checkpoint: Option<&Checkpoint>) -> Result<MirrorState, Error> {
        let Some(Checkpoint(position)) = checkpoint else { return Ok(MirrorState::default()) };
        MirrorState::deserialize(position).map_err(|_| {
            Error::settings(format!(
                "`{sync}` ran with another `mode` than `mirror`, and not all rows that it sent are known"
            ))
            .hint(format!(
                "write the `mode` that it had, or run `tidegate reset {sync}`: the mirror then sends all rows"
            ))
        })
    }

    /// Returns the state as a checkpoint.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint(serde_json::json!(self))
    }

    /// Returns the files that are gone in `now`, unless as many new ones are there in their place.
    pub(crate) fn vanished(&self, now: &MirrorState) -> Vec<String> {
        let (Some(before), Some(now)) = (&self.files, &now.files) else { return Vec::new() };
        let vanished: Vec<String> = before.difference(now).cloned().collect();
        let new = now.difference(before).count();
        if new < vanished.len() { vanished } else { Vec::new() }
    }
}

/// The state of a mirror that a run works on: what it measures is added before anything is committed.
#[derive(Clone, Debug)]
pub(crate) struct SharedMirrorState(Arc<Mutex<MirrorState>>);

impl SharedMirrorState {
    pub(crate) fn new(state: MirrorState) -> SharedMirrorState {
        SharedMirrorState(Arc::new(Mutex::new(state)))
    }

    /// Returns the state as a checkpoint.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).checkpoint()
    }

    /// Adds what the run has measured.
    pub(crate) fn measured(&self, measured: Measured) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).measured = Some(measured);
    }
}

/// Returns whether a mirror made a checkpoint.
pub(crate) fn is_of_mirror(checkpoint: &Checkpoint) -> bool {
    MirrorState::deserialize(&checkpoint.0).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(files: &[&str]) -> MirrorState {
        let files = files.iter().map(|name| (*name).to_owned()).collect();
        MirrorState { mirror: true, files: Some(files), key: None, source: None, measured: None }
    }

    #[test]
    fn hashes_are_chosen_for_wide_rows_of_which_few_differ_and_kept_until_many_do() {
        let measured =
            |row_bytes, differing, by_hash| Measured { row_bytes, rows: 10_000, differing, by_hash };
        for (row_bytes, differing, by_hash, chosen) in [
            (2_000, 100, false, true),
            (2_000, 501, false, false),
            (2_000, 501, true, true),
            (2_000, 2_001, true, false),
            (200, 0, false, false),
            (2_000, 10_000, false, false),
        ] {
            assert_eq!(
                measured(row_bytes, differing, by_hash).prefers_hashes(),
                chosen,
                "{row_bytes}, {differing}"
            );
        }
        assert!(!Measured { rows: 900, ..measured(2_000, 0, false) }.prefers_hashes(), "few rows");
    }

    #[test]
    fn a_file_that_was_replaced_by_a_new_one_has_not_vanished() {
        let before = state(&["a.csv", "b.csv"]);
        assert_eq!(before.vanished(&state(&["a.csv"])), ["b.csv"]);
        assert_eq!(before.vanished(&state(&[])), ["a.csv", "b.csv"]);
        assert!(before.vanished(&state(&["a.csv", "c.csv"])).is_empty());
        assert!(before.vanished(&state(&["a.csv", "b.csv", "c.csv"])).is_empty());
        assert!(MirrorState::default().vanished(&before).is_empty());
    }

    #[test]
    fn a_checkpoint_of_another_mode_is_none_of_a_mirror() {
        let sync = SyncId::new("s");
        let before = state(&["a.csv"]);
        assert_eq!(MirrorState::of(&sync, Some(&before.checkpoint())).expect("its own"), before);
        let other = Checkpoint(serde_json::json!({ "files": {} }));
        let error = MirrorState::of(&sync, Some(&other)).expect_err("another mode");
        assert!(error.to_string().contains("`s` ran with another `mode` than `mirror`"), "{error}");
    }
}
