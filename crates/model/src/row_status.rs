//! The status of a row, and the result that the ledger records.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{KeptRow, Reason, RowHash, Text};

/// The final status of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowStatus {
    /// It took effect.
    Delivered,
    /// It was not acceptable.
    Rejected(Reason),
    /// It is not known whether it took effect.
    InDoubt(Reason),
}

/// A status without its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatusKind {
    /// It took effect.
    Delivered,
    /// It was not acceptable.
    Rejected,
    /// Its effect is unknown.
    InDoubt,
}

impl StatusKind {
    /// Returns the word in tables and files.
    pub fn as_str(self) -> &'static str {
        match self {
            StatusKind::Delivered => "delivered",
            StatusKind::Rejected => "rejected",
            StatusKind::InDoubt => "in_doubt",
        }
    }
}

impl RowStatus {
    /// Returns the status without its reason.
    pub fn kind(&self) -> StatusKind {
        match self {
            RowStatus::Delivered => StatusKind::Delivered,
            RowStatus::Rejected(_) => StatusKind::Rejected,
            RowStatus::InDoubt(_) => StatusKind::InDoubt,
        }
    }

    /// Returns the reason; `None` for a delivered row.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            RowStatus::Delivered => None,
            RowStatus::Rejected(reason) | RowStatus::InDoubt(reason) => Some(reason),
        }
    }
}

/// The result of one row, as the ledger records it.
#[derive(Clone, Debug)]
pub struct RowResult {
    /// Hash of the key columns, or of the origin. If there is neither, of the whole row; equal
    /// rows are numbered.
    pub key: RowHash,
    /// The key columns as text, or the location of input that could not be read.
    pub key_text: Text,
    /// Hash of this version: key, cursor and mapped columns; the whole row if there is no key. The
    /// low 8 bits carry marks (see [`RowHash::unmarked`]).
    pub row: RowHash,
    /// The user's identifier, or the catalog item's id; empty if the row has none.
    pub user: Text,
    /// Its status.
    pub status: RowStatus,
    /// The row itself; kept if it was not delivered.
    pub payload: Option<KeptRow>,
}
