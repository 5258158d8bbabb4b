//! Verifiers of server certificates.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tidegate_model::{Error, ErrorKind};

/// Whose signatures are trusted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Authorities<'a> {
    /// Those of the system.
    System,
    /// Those in a file.
    Of(&'a Path),
    /// Those of the system and those in a file.
    SystemAnd(&'a Path),
}

/// Verifies the certificate chain and the server name.
///
/// A certificate that is itself in `ca_file` is trusted, and its name is still verified: the
/// self-signed certificate of PostgreSQL's own handbook
/// (18.9.5) counts as an authority and would not pass as a server otherwise.
#[derive(Debug)]
pub(super) struct PinnedVerifier {
    chain: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl PinnedVerifier {
    pub(super) fn new(
        provider: Arc<CryptoProvider>,
        authorities: Authorities<'_>,
    ) -> Result<PinnedVerifier, Error> {
        let mut roots = RootCertStore::empty();
        let mut trusted = Vec::new();
        if let Authorities::Of(path) | Authorities::SystemAnd(path) = authorities {
            trusted = read_certificates(path)?;
            for certificate in &trusted {
                roots.add(certificate.clone()).map_err(|cause| {
                    Error::settings(format!("`ca_file`: {} contains an invalid certificate", path.display()))
                        .caused_by(cause)
                })?;
            }
        }
        if let Authorities::System | Authorities::SystemAnd(_) = authorities {
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
pub(super) struct InsecureVerifier {
    pub(super) provider: Arc<CryptoProvider>,
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
        let verifier = PinnedVerifier::new(provider, Authorities::Of(&file)).unwrap();
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
