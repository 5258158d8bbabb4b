//! Rows in: what people set out to do, from the first row to the last.

mod bigquery;
mod cafe;
mod contract;
mod delta;
mod demo;
mod drops;
mod files;
mod history;
mod ingestion;
mod lakehouse;
mod redshift;
mod snowflake;
mod store;
mod tunnel;
