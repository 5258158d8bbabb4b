//! Customer-engagement platforms: records are sent to them.
//!
//! A folder is a system, a file is a role.

pub mod braze;
pub mod onesignal;
mod rule;
