//! Amazon Data Firehose: events on their way to S3, Redshift and others.

mod encode;
mod settings;
mod setup;
mod sink;
#[cfg(test)]
mod tests;

use tidegate_model::settings::schema_of;
use tidegate_model::{Connector, SinkRole};

use tidegate_transport::aws::AwsSettings;

/// The connector.
pub const CONNECTOR: Connector = Connector {
    kind: "firehose",
    title: "Amazon Data Firehose",
    readme: include_str!("README.md"),
    icon: include_str!("icon.svg"),
    settings: schema_of::<AwsSettings>,
    sink: Some(SinkRole { target: schema_of::<settings::Target>, open: sink::open }),
    setup: Some(setup::setup),
    ..Connector::EMPTY
};
