//! Users under the keys of their rows.

use crate::{RowHash, Text};

/// A user, or the id of a catalog item, under the key of its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptUser {
    /// Hash of the key columns, as in [`RowResult::key`](super::RowResult::key).
    pub key: RowHash,
    /// The identifier, as in [`RowResult::user`](super::RowResult::user).
    pub user: Text,
}

/// The attributes of a user that were delivered last, under the key of the row, with `changed: attributes`.
/// They are kept sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentUser {
    /// Hash of the key columns, as in [`RowResult::key`](super::RowResult::key).
    pub key: RowHash,
    /// The version of the row, as in [`RowResult::row`](super::RowResult::row).
    pub row: RowHash,
    /// The identifier, as in [`RowResult::user`](super::RowResult::user).
    pub user: Text,
    /// A hash of each attribute: of its name and its value.
    pub attributes: Vec<u64>,
}
