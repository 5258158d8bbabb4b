//! Journeys: does a person get what they came for.
//!
//! Real PostgreSQL, real processes, the sandbox on a port. `scripts/test` starts
//! what is needed; a missing server fails a test, it does not skip it.

mod cursor;
mod support;
