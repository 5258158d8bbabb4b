//! Journeys: does a person get what they came for.
//!
//! Real PostgreSQL, real processes, the sandbox on a port. `scripts/test` starts
//! what is needed; a missing server fails a test, it does not skip it.

mod active;
mod agents;
mod api;
mod aws_credentials;
mod bad_input;
mod bigquery;
mod canaries;
mod certificates;
mod cli;
mod clients;
mod contract;
mod crash;
mod crash_kafka;
mod crash_leases;
mod crash_out;
mod crash_redshift;
mod crash_warehouses;
mod cursor;
mod dashboard;
mod dismissed;
mod documents;
mod export_faults;
mod forms;
mod journey;
mod kafka;
mod kept_rows;
mod lakehouse;
mod leaks;
mod limits;
mod logs;
mod many;
mod mirror;
mod mirror_warehouse;
mod operating;
mod orchestrators;
mod outside;
mod people;
mod plans;
mod project_file;
mod prose;
mod recovery;
mod redshift;
mod reference;
mod replica;
mod rooms;
mod serve;
mod served;
mod snapshots;
mod snowflake;
mod support;
mod topics;
mod upgrade;
mod words;
