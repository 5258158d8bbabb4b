//! Databases and warehouses against real servers and against their promises.

mod bigquery_clients;
mod bigquery_faults;
mod bigquery_grants;
mod bigquery_reading;
mod bigquery_recorded;
mod bigquery_server;
mod bigquery_types;
mod conformance;
mod databricks_changes;
mod databricks_clients;
mod databricks_faults;
mod databricks_grants;
mod databricks_reading;
mod databricks_server;
mod databricks_sink;
mod databricks_types;
mod fixtures;
mod postgres_errors;
mod postgres_pool;
mod postgres_reading;
mod postgres_server;
mod postgres_sink;
mod postgres_types;
mod sinks;
