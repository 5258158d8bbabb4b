//! The promises of every sink, over the sinks of this crate.

use tidegate_model::Connector;
use tidegate_streams::{firehose, kinesis, opensearch};

use crate::fixtures;

const CONNECTORS: &[Connector] = &[firehose::CONNECTOR, kinesis::CONNECTOR, opensearch::CONNECTOR];

tidegate_testkit::sinks_conform!(CONNECTORS, fixtures::sink_of);
