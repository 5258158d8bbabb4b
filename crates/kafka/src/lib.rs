//! Kafka and Confluent Cloud: topics as sources, sinks and as the event log.

mod decode;
mod message;
mod registry;
