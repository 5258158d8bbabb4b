//! Databases and warehouses: rows are read from them and events written to them.
//!
//! A folder is a system, a file is a role.

pub mod bigquery;
pub mod databricks;
mod file;
pub mod postgres;
pub mod redshift;
pub mod snowflake;
