//! Every connector, and every type of channel for alerts.

pub use tidegate_alerts::CHANNELS;
use tidegate_model::Connector;
use tidegate_platforms::{braze, onesignal};
use tidegate_sandbox as sandbox;

/// Every connector, by type.
pub const CONNECTORS: &[Connector] = &[
    tidegate_warehouses::bigquery::CONNECTOR,
    Connector { sandbox: Some(sandbox::braze::SANDBOX), ..braze::CONNECTOR },
    tidegate_warehouses::databricks::CONNECTOR,
    tidegate_lake::delta::CONNECTOR,
    tidegate_ingest::events::CONNECTOR,
    tidegate_lake::files::CONNECTOR,
    tidegate_streams::firehose::CONNECTOR,
    tidegate_kafka::CONNECTOR,
    tidegate_streams::kinesis::CONNECTOR,
    Connector { sandbox: Some(sandbox::onesignal::SANDBOX), ..onesignal::CONNECTOR },
    tidegate_streams::opensearch::CONNECTOR,
    tidegate_ingest::pinpoint::CONNECTOR,
    tidegate_warehouses::postgres::CONNECTOR,
    tidegate_profiles::CONNECTOR,
    tidegate_warehouses::redshift::CONNECTOR,
    tidegate_warehouses::snowflake::CONNECTOR,
];
