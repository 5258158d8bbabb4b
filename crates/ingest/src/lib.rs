//! APIs that events come in through: JSON of your own apps, and the Pinpoint data plane.
//!
//! OneSignal event streams are received in the `platforms` crate, beside the OneSignal platform.

pub mod events;
pub mod pinpoint;
