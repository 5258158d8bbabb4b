//! The promises of every sink, over the sinks of this crate.

use tidegate_model::Connector;

use crate::fixtures;

const CONNECTORS: &[Connector] = &[
    tidegate_warehouses::bigquery::CONNECTOR,
    tidegate_warehouses::databricks::CONNECTOR,
    tidegate_warehouses::postgres::CONNECTOR,
    tidegate_warehouses::redshift::CONNECTOR,
    tidegate_warehouses::snowflake::CONNECTOR,
];

tidegate_testkit::sinks_conform!(CONNECTORS, fixtures::sink_of);
