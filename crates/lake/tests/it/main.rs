//! Lakes as their readers see them.

mod ahead;
mod azure;
mod buckets;
mod conformance;
mod delta;
mod delta_reading;
mod delta_tables;
mod files;
mod fixtures;
mod readers;
mod s3;
mod sinks;
mod state_bucket;
mod support;
