//! Kafka and Confluent Cloud: topics as sources, sinks and as the event log.

mod access;
mod beginning;
mod check;
mod client;
mod context;
mod decode;
mod errors;
mod feed;
mod look;
mod message;
mod names;
mod progress;
mod registry;
mod selection;
mod settings;
mod source;
mod token;

use std::sync::Arc;

use tidegate_model::{Connector, SourceRole, settings::schema_of};

use crate::selection::KafkaSelection;
use crate::settings::KafkaSettings;

/// Kafka and Confluent Cloud.
pub const CONNECTOR: Connector = Connector {
    kind: "kafka",
    title: "Kafka",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<KafkaSettings>,
    source: Some(SourceRole {
        selection: KafkaSelection::schema,
        open: |settings, tools| Ok(Arc::new(source::KafkaSource::open(settings, tools)?)),
    }),
    platform: None,
    sink: None,
    ingest: None,
    sandbox: None,
    setup: Some(access::setup),
};
