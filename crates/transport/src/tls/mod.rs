//! Verification of TLS servers: the three values of `tls`, and `ca_file`.

mod distrust;
mod verifier;

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::Error;

pub use self::distrust::{Distrust, rustls_error};
use self::verifier::{Authorities, InsecureVerifier, PinnedVerifier};

/// How a connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Encrypted; the server's certificate is checked, its name included.
    #[default]
    VerifyFull,
    /// Encrypted; whoever answers is believed to be the server.
    Require,
    /// Not encrypted.
    Disable,
}

/// Returns the TLS configuration of a setting. Reads certificate files, so it blocks.
///
/// # Errors
/// [`ErrorKind::Settings`](tidegate_model::ErrorKind::Settings) or
/// [`ErrorKind::Missing`](tidegate_model::ErrorKind::Missing) for a file without certificates.
pub fn client_config(tls: Tls, ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match tls {
        Tls::VerifyFull => Arc::new(PinnedVerifier::new(
            Arc::clone(&provider),
            ca_file.map_or(Authorities::System, Authorities::Of),
        )?),
        Tls::Require | Tls::Disable => Arc::new(InsecureVerifier { provider: Arc::clone(&provider) }),
    };
    configure(provider, verifier)
}

/// Returns the TLS configuration of HTTP. The certificates in `ca_file` are trusted besides the
/// system's: one client may speak to several servers. Reads certificate files, so it blocks.
///
/// # Errors
/// [`ErrorKind::Settings`](tidegate_model::ErrorKind::Settings) or
/// [`ErrorKind::Missing`](tidegate_model::ErrorKind::Missing) for a file without certificates, and
/// for a machine without any.
pub fn http_config(ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match ca_file {
        Some(file) => Arc::new(PinnedVerifier::new(Arc::clone(&provider), Authorities::SystemAnd(file))?),
        None => {
            Arc::new(rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).map_err(|cause| {
                Error::settings("this machine has no certificate authorities to check servers against")
                    .hint("install the package ca-certificates, or name them in SSL_CERT_FILE")
                    .caused_by(cause)
            })?)
        }
    };
    configure(provider, verifier)
}

fn configure(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| Error::internal("TLS cannot be set up").caused_by(cause))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}
