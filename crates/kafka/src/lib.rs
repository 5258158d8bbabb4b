//! Kafka and Confluent Cloud: topics as sources, sinks and as the event log.

mod cluster;
mod log;
mod producer;
mod record;
mod refusal;
mod sink;
#[cfg(test)]
mod tests;
