//! Databases and warehouses against real servers and against their promises.

mod conformance;
mod fixtures;
mod postgres_errors;
mod postgres_reading;
mod postgres_server;
mod postgres_sink;
mod postgres_types;
mod sinks;
