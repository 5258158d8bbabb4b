//! The server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::address::listened_on;
use super::oidc::Oidc;

/// How the project is served.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = listened_on)]
    pub(crate) listen: SocketAddr,
    /// The server's certificate and its intermediates, as PEM. Turns on HTTPS; read again when it changes.
    #[arg(long, env = "TIDEGATE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// A PEM file with the key of that certificate.
    #[arg(long, env = "TIDEGATE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Refuse changes of the project by page and API; the file and SIGHUP change it.
    #[arg(long, env = "TIDEGATE_READ_ONLY_PROJECT")]
    pub(crate) read_only_project: bool,
    #[command(flatten)]
    pub(crate) oidc: Oidc,
}
