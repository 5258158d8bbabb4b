//! Topics as a source, against a broker (Tansu) and against the client
//! library's mock cluster, which can be made to misbehave.

mod access;
mod cluster;
mod conformance;
mod faults;
mod fixtures;
mod reading;
mod sharing;
mod sinks;
mod start_offsets;
