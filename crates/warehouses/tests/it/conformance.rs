//! The promises of every connector, over the connectors of this crate. A new connector needs an
//! example in `fixtures` and one line here.

use tidegate_model::Connector;

use crate::fixtures;

const CONNECTORS: &[Connector] = &[
    tidegate_warehouses::bigquery::CONNECTOR,
    tidegate_warehouses::databricks::CONNECTOR,
    tidegate_warehouses::postgres::CONNECTOR,
    tidegate_warehouses::redshift::CONNECTOR,
    tidegate_warehouses::snowflake::CONNECTOR,
];

tidegate_testkit::connectors_conform!(CONNECTORS, fixtures::of);
