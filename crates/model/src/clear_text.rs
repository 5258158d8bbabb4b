//! Checks that no credential is sent over plain HTTP.

use std::net::IpAddr;

use http::header::AUTHORIZATION;
use http::{Request, Uri};

use crate::{Error, Result};

/// How a request proves who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By a credential that it carries: a key, a password, a token.
    Credential,
    /// By a signature that nothing can be derived from, as AWS has it.
    Signature,
}

/// Checks that requests to an address give no credential away: they go over `https`, or stay
/// inside this machine. Signed ones may also go to a neighbor in a private network, a host
/// whose name has no dot, such as a container beside this one.
///
/// # Errors
/// [`Settings`](crate::ErrorKind::Settings) with the name of the setting.
pub fn validate(setting: &str, address: &Uri, proof: Proof) -> Result<()> {
    if encrypted_or_near(address, proof) {
        return Ok(());
    }
    Err(Error::settings(format!("`{setting}`: over http:// credentials would travel unencrypted"))
        .hint("write https://; http:// is for this machine, such as http://localhost:8080"))
}

/// Returns whether a host is this machine.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

/// Returns whether sending a request would give away the credential in its `Authorization`.
pub fn exposes(request: &Request<bytes::Bytes>) -> bool {
    let Some(authorization) = request.headers().get(AUTHORIZATION) else { return false };
    // Source: AWS docs, Signature Version 4: the header begins with the algorithm.
    let signed = authorization.as_bytes().starts_with(b"AWS4-");
    let proof = if signed { Proof::Signature } else { Proof::Credential };
    !encrypted_or_near(request.uri(), proof) && !is_link_local(request.uri())
}

fn encrypted_or_near(address: &Uri, proof: Proof) -> bool {
    let host = address.host().unwrap_or_default();
    match address.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback(host) || (proof == Proof::Signature && is_neighbour(host)),
        _ => false,
    }
}

/// A name without a dot that is no address.
fn is_neighbour(host: &str) -> bool {
    !host.is_empty() && !host.contains(['.', ':'])
}

/// The services of a cloud's machine that hand out its credentials, which speak http only.
fn is_link_local(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        // Source: AWS docs, EKS Pod Identity: [fd00:ec2::23].
        Ok(IpAddr::V6(address)) => address.segments()[..2] == [0xfd00, 0xec2],
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(address: &str, proof: Proof) -> bool {
        validate("endpoint", &address.parse().expect("an address"), proof).is_ok()
    }

    #[test]
    fn a_credential_travels_over_https_or_stays_on_this_machine() {
        for good in [
            "https://rest.iad-01.braze.com",
            "http://localhost:8080/api",
            "http://127.0.0.1:1",
            "http://127.8.9.1",
            "http://[::1]:8080",
            "http://registry.localhost",
        ] {
            assert!(allowed(good, Proof::Credential), "{good}");
        }
        for bad in [
            "http://rest.iad-01.braze.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://registry:8081",
            "ftp://localhost",
        ] {
            assert!(!allowed(bad, Proof::Credential), "{bad}");
        }
        assert!(allowed("http://localstack:4566", Proof::Signature));
        assert!(!allowed("http://minio.example.com", Proof::Signature));
        assert!(!allowed("http://[2001:db8::1]", Proof::Signature));
    }

    #[test]
    fn a_request_with_a_credential_in_the_clear_is_recognised() {
        let exposed = |address: &str, authorization: Option<&str>| {
            let request = Request::post(address);
            let request = match authorization {
                Some(value) => request.header(AUTHORIZATION, value),
                None => request,
            };
            exposes(&request.body(bytes::Bytes::new()).expect("a request"))
        };
        assert!(exposed("http://host.example.com/x", Some("Bearer t")));
        assert!(!exposed("http://host.example.com/x", None));
        assert!(!exposed("https://host.example.com/x", Some("Bearer t")));
        assert!(!exposed("http://minio:9000/x", Some("AWS4-HMAC-SHA256 Credential=…")));
        assert!(exposed("http://minio.example.com/x", Some("AWS4-HMAC-SHA256 Credential=…")));
        assert!(!exposed("http://169.254.170.23/v1/credentials", Some("token")));
    }
}
