//! Verification of TLS servers: the three values of `tls`.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, ErrorKind};

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
/// [`ErrorKind::Settings`] or [`ErrorKind::Missing`] for a file without certificates.
pub fn client_config(tls: Tls, ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match tls {
        Tls::VerifyFull => Arc::new(PinnedVerifier::new(Arc::clone(&provider), ca_file)?),
        Tls::Require | Tls::Disable => Arc::new(InsecureVerifier { provider: Arc::clone(&provider) }),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| Error::internal("TLS cannot be set up").caused_by(cause))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

/// Verifies the certificate chain and the server name.
///
/// A certificate that is itself in `ca_file` is trusted, and its name is still verified: the
/// self-signed certificate of PostgreSQL's own handbook
/// (18.9.5) counts as an authority and would not pass as a server otherwise.
#[derive(Debug)]
pub struct PinnedVerifier {
    chain: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl PinnedVerifier {
    /// Trusts the certificates in `ca_file`, else those of the system.
    pub fn new(provider: Arc<CryptoProvider>, ca_file: Option<&Path>) -> Result<PinnedVerifier, Error> {
        let mut roots = RootCertStore::empty();
        let mut trusted = Vec::new();
        if let Some(path) = ca_file {
            trusted = read_certificates(path)?;
            for certificate in &trusted {
                roots.add(certificate.clone()).map_err(|cause| {
                    Error::settings(format!("`ca_file`: {} contains an invalid certificate", path.display()))
                        .caused_by(cause)
                })?;
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(
            |cause| {
                Error::settings("this machine has no certificate authorities to check the server against")
                    .hint("install the package ca-certificates, or set `ca_file`")
                    .caused_by(cause)
            },
        )?;
        Ok(PinnedVerifier { chain, trusted })
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|cause| {
        Error::new(ErrorKind::Missing, format!("`ca_file`: {shown} cannot be read")).caused_by(cause)
    })?;
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().unwrap_or_default();
    if certificates.is_empty() {
        return Err(Error::settings(format!("`ca_file`: {shown} contains no certificate"))
            .hint("give a PEM file that begins with -----BEGIN CERTIFICATE-----"));
    }
    Ok(certificates)
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.trusted.iter().any(|certificate| certificate == end_entity) {
            rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Accepts any certificate, without verifying who the server is. Only the signatures are checked.
#[derive(Debug)]
struct InsecureVerifier {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for InsecureVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_trusted_certificate_still_has_to_hold_the_name() {
        let pem = b"-----BEGIN CERTIFICATE-----\n\
MIIBqjCCAVCgAwIBAgIUF5/eFni6ELYhpYwmhJbAnIouj9owCgYIKoZIzj0EAwIw\n\
HDEaMBgGA1UEAwwRQW5vdGhlciBhdXRob3JpdHkwIBcNMjYxMTIyMDQzMzM5WhgP\n\
MjEyNjEwMjkwNDMzMzlaMBwxGjAYBgNVBAMMEUFub3RoZXIgYXV0aG9yaXR5MFkw\n\
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEL1O5A1aHguxqu13Sz/i4omx4vc+wc4+6\n\
WU6aRdTsOoWpdn/3RS6H3knBiAbK5C3EcQCSMIGeLd9M+0dlvoSpi6NuMGwwHQYD\n\
VR0OBBYEFByPAXaXJREPMSU+ekUIdMkRa9FeMB8GA1UdIwQYMBaAFByPAXaXJREP\n\
MSU+ekUIdMkRa9FeMA8GA1UdEwEB/wQFMAMBAf8wGQYDVR0RBBIwEIIOZGIuZXhh\n\
bXBsZS5jb20wCgYIKoZIzj0EAwIDSAAwRQIgS6Z0VBTAiIcEuhC+vKtQXiXn6u+R\n\
L+TBBURwgwPIFI0CIQDsKK+EAGOtd6dpa0/9sh2jWfLlvXYiuw08xKXP+uIpkg==\n\
-----END CERTIFICATE-----";
        let folder = tempfile::tempdir().unwrap();
        let file: PathBuf = folder.path().join("server.pem");
        std::fs::write(&file, pem).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = PinnedVerifier::new(provider, Some(&file)).unwrap();
        let certificate = CertificateDer::from_pem_slice(pem).unwrap();
        let verify = |name: &'static str| {
            verifier.verify_server_cert(
                &certificate,
                &[],
                &ServerName::try_from(name).unwrap(),
                &[],
                UnixTime::now(),
            )
        };
        assert!(verify("db.example.com").is_ok());
        assert!(verify("other.example.com").is_err());
    }
}
