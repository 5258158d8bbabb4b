//! HTTP as every connector speaks it: the client, the meaning of a response, and the responses
//! of a receiver of events.

pub mod answer;
mod authorities;
mod client;
mod guard;
pub mod ingest;
pub mod retry_after;
#[cfg(test)]
mod tests;

pub use client::RealHttp;
pub use guard::listens_on;
pub(crate) use guard::{Guarded, REMEDY, by_the_system, judge_literal};
