//! The delivery pipeline, the scheduler and the service API.
//!
//! - [`pipeline`] is the one loop: feed → mapping → rate limiter → destination → ledger.
//! - `alerts` tells people what is wrong.
//! - `people` says who may do what.
//! - [`service`] is what the command line, the HTTP API and the pages call.
//!
//! This crate contains no network and no SQL library; it knows other systems
//! only through the contracts of `tidegate-model`.

mod alerts;
mod people;
pub mod pipeline;
mod scheduler;
pub mod service;
