//! Certificates that are not accepted, in the program's own words.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;

/// Why a server's certificate is not accepted, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// It is signed by an unknown authority.
    UnknownAuthority,
    /// It signed itself, as an authority.
    SelfSigned,
    /// It does not hold the name of the server.
    OtherName,
    /// It has expired.
    Expired,
    /// Anything else.
    Invalid,
}

impl Distrust {
    /// Returns why a certificate is not accepted; `None` if the error is of another kind.
    pub fn of(error: &(dyn StdError + 'static)) -> Option<Distrust> {
        let Some(rustls::Error::InvalidCertificate(reason)) = rustls_error(error) else { return None };
        Some(match reason {
            CertificateError::UnknownIssuer => Distrust::UnknownAuthority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Distrust::OtherName
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Distrust::Expired,
            // Rustls has no variant for a certificate that signed itself as an authority.
            CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                Distrust::SelfSigned
            }
            _ => Distrust::Invalid,
        })
    }

    /// Returns the end of a sentence that begins with `the certificate of …`.
    pub fn said(self) -> &'static str {
        match self {
            Distrust::UnknownAuthority => "is signed by an authority that is not trusted here",
            Distrust::SelfSigned => "is self-signed",
            Distrust::OtherName => "is not valid for this host name",
            Distrust::Expired => "has expired",
            Distrust::Invalid => "is not accepted",
        }
    }

    /// Returns the next step. `address` is the setting that holds the server's name.
    pub fn remedy(self, address: &str) -> String {
        match self {
            Distrust::UnknownAuthority => "set `ca_file` to the authority's certificate (PEM)".to_owned(),
            Distrust::SelfSigned => "set `ca_file` to the certificate itself (PEM)".to_owned(),
            Distrust::OtherName => format!("set {address} to a name that the certificate holds"),
            Distrust::Expired => "renew the certificate at the server".to_owned(),
            Distrust::Invalid => "fix the certificate on the server".to_owned(),
        }
    }
}

/// Returns the TLS error among the causes of an error, also inside of I/O errors.
pub fn rustls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error names the cause of what it holds as its own, and passes it over.
        let mut inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        while let Some(held) = inner {
            if let Some(found) = held.downcast_ref() {
                return Some(found);
            }
            inner = held.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        }
        cause = error.source();
    }
    None
}
