//! Streams that events are exported to: Kinesis and Firehose.
//!
//! `shape` and `records` decide what a record holds; both systems share them.

pub mod firehose;
pub mod kinesis;
mod records;
mod shape;
