//! The commit stage: writes results and the checkpoint in one transaction, batch by batch.

pub(crate) mod committer;
mod remembered;
mod results;
