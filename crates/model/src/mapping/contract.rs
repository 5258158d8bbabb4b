//! Tables in a fixed layout: their rows become records without a mapping.

use std::fmt::Debug;
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::{Body, Identity, Reason, Row, Text};

/// A table whose columns a vendor has fixed, found in a selection.
pub trait TableContract: Debug + Send + Sync {
    /// Returns the indexes of the columns that make a row's record.
    fn columns(&self) -> Vec<usize>;

    /// Returns the same contract for rows that have only the columns at these indexes, in this
    /// order.
    fn narrowed(&self, indexes: &[usize]) -> Arc<dyn TableContract>;

    /// Returns the identifier that people search a row by, if it can be read: whatever else is
    /// wrong with the row.
    fn label(&self, row: &Row) -> Option<Text>;

    /// Returns what a row is about. `zone` is that of times without one.
    ///
    /// # Errors
    /// Why the row cannot be a record.
    fn apply(&self, row: &Row, zone: &TimeZone) -> Result<(Identity, Body), Reason>;
}
