//! Connectors against real systems, and every connector against its promises.

mod aws;
mod conformance;
mod fixtures;
mod postgres_errors;
mod postgres_reading;
mod postgres_server;
mod postgres_sink;
mod postgres_types;
mod sinks;
