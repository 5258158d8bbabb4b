//! Platforms against their promises and their sandboxes.

mod conformance;
mod fixtures;
mod ingests;
