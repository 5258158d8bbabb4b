//! Streams against emulators and against their promises.

mod aws;
mod conformance;
mod fixtures;
mod opensearch;
mod sinks;
