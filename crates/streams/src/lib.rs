//! Streams and search indices that events are exported to: Kinesis, Firehose, OpenSearch.
//!
//! `shape` and `records` decide what a record of a stream holds; Kinesis and Firehose share them.

pub mod firehose;
pub mod kinesis;
pub mod opensearch;
mod records;
mod shape;
