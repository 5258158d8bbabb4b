//! Topics as a source, against a broker (Tansu) and against the client
//! library's mock cluster, which can be made to misbehave.

mod access;
mod cluster;
mod faults;
mod reading;
mod sharing;
mod start_offsets;
