//! The sandbox.

use std::net::SocketAddr;

use clap::Args;

use super::address::listened_on;

/// How the sandbox is served.
#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090", value_parser = listened_on)]
    pub(crate) listen: SocketAddr,
    /// Faults to inject, as JSON: latency_ms, throttled, unavailable, dropped, rejected, poison,
    /// poison_answer, revoked, seed.
    #[arg(long, value_name = "JSON")]
    pub(crate) faults: Option<String>,
    /// The settings under `sandbox:` of a connection, as JSON.
    #[arg(long, value_name = "JSON")]
    pub(crate) settings: Option<String>,
    /// Do not enforce the documented rate limits.
    #[arg(long)]
    pub(crate) no_limits: bool,
    /// Keep everything in memory, and nothing in the data folder.
    #[arg(long)]
    pub(crate) memory: bool,
}
