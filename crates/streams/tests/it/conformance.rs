//! The promises of every connector, over the connectors of this crate. A new connector needs an
//! example in `fixtures` and one line here.

use tidegate_model::Connector;
use tidegate_streams::{firehose, kinesis, opensearch};

use crate::fixtures;

const CONNECTORS: &[Connector] = &[firehose::CONNECTOR, kinesis::CONNECTOR, opensearch::CONNECTOR];

tidegate_testkit::connectors_conform!(CONNECTORS, fixtures::of);
