//! The vendors' HTTP APIs, served locally on the built-in platform: wire format, validation,
//! partial errors, rate limits and headers.
//!
//! A sandbox plays the other side. It imports nothing of the clients that it judges and has its own
//! constants, each with its source, so that a wrong number in a client shows.

pub mod braze;
mod faults;
pub mod onesignal;
mod window;
