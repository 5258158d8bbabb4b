//! The event log.

pub(crate) mod dedup;
