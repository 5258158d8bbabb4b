//! What was about to be sent.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::{RowColumns, RowVersion};
use crate::{Outcome, RowHash, Text};

/// A request that is about to be sent and could not be repeated safely.
#[derive(Clone, Debug, PartialEq)]
pub struct IntendedRequest {
    /// Its rows, in its order.
    pub columns: Arc<RowColumns>,
    /// How often they were sent before without a certain response.
    pub sends: u32,
    /// When they were sent first.
    pub since: Timestamp,
}

impl IntendedRequest {
    /// Returns its rows one by one.
    pub fn rows(&self) -> impl Iterator<Item = IntentRow> {
        let texts = self.columns.key_texts().iter().zip(self.columns.users().iter());
        self.columns.versions().zip(texts).map(|(RowVersion { key, row }, (key_text, user))| IntentRow {
            key,
            row,
            key_text: key_text.into(),
            user: user.into(),
            sends: self.sends,
            since: self.since,
        })
    }
}

/// One row of a request that was about to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRow {
    /// Hash of the key columns or of the origin, as in [`RowResult::key`](super::RowResult::key).
    pub key: RowHash,
    /// Hash of this version, as in [`RowResult::row`](super::RowResult::row).
    pub row: RowHash,
    /// The key columns as text.
    pub key_text: Text,
    /// The user's identifier.
    pub user: Text,
    /// How often it was sent before without a certain response.
    pub sends: u32,
    /// When it was sent first.
    pub since: Timestamp,
}

/// What was about to be sent, and what is known of the answer.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The rows of the request, in its order.
    pub rows: Vec<IntentRow>,
    /// Their outcomes if the response came, in the order of the rows. A deferred row and
    /// rows missing at the end had no effect. `None` if no response came.
    pub outcomes: Option<Vec<Outcome>>,
}

impl Intent {
    /// Returns whether the response says that the row at this index had no effect.
    pub fn had_no_effect(&self, index: usize) -> bool {
        let Some(outcomes) = &self.outcomes else { return false };
        outcomes.get(index).is_none_or(|outcome| matches!(outcome, Outcome::Deferred(_)))
    }
}

/// The name of an intent inside its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntentId {
    /// Intents of a run have different numbers.
    pub number: u64,
    /// The batch of its rows.
    pub batch: u64,
}
