//! Kafka and Confluent Cloud: topics as sources, sinks and as the event log.

mod access;
mod baseline;
mod borrowed;
mod check;
mod client;
mod cluster;
mod connection;
mod context;
mod decode;
mod errors;
mod feed;
mod identity;
mod log;
mod malformed;
mod message;
mod metadata;
mod names;
mod partition;
mod producer;
mod progress;
mod record;
mod registry;
mod reread;
mod selection;
mod settings;
mod sink;
mod source;
mod start_offsets;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use tidegate_model::{Connector, Mode, SinkRole, SourceRole, SystemSetting, settings::schema_of};

use crate::selection::KafkaSelection;
use crate::settings::KafkaSettings;
use crate::sink::{KafkaSink, KafkaTarget};

pub use crate::log::{LogSettings, event_log};

/// Kafka and Confluent Cloud.
pub const CONNECTOR: Connector = Connector {
    kind: "kafka",
    title: "Kafka",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<KafkaSettings>,
    system: &[SystemSetting::address("brokers")],
    source: Some(SourceRole {
        selection: KafkaSelection::schema,
        modes: &[Mode::Stream],
        keeps_checkpoint: true,
        open: |settings, tools| Ok(Arc::new(source::KafkaSource::open(settings, tools)?)),
    }),
    sink: Some(SinkRole {
        target: schema_of::<KafkaTarget>,
        open: |settings, target, tools| Ok(Arc::new(KafkaSink::open(settings, target, tools)?)),
    }),
    setup: Some(access::setup),
    ..Connector::EMPTY
};
