//! HTTP as every connector speaks it: the real client, what an answer means,
//! what a receiver of events answers, and what a sandbox needs to behave, or
//! misbehave, like a vendor.

pub(crate) mod answer;
mod client;
pub(crate) mod faults;
pub(crate) mod ingest;
pub(crate) mod path;
pub(crate) mod window;

pub use client::RealHttp;
