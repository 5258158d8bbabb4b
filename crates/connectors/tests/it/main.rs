//! Connectors against real systems.

mod postgres_errors;
mod postgres_reading;
mod postgres_server;
mod postgres_types;
