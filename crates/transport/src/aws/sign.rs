//! Signature Version 4.

use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use tidegate_model::{Error, Result};

use super::credentials::Credentials;

/// Adds the headers of the signature.
///
/// # Errors
/// Credentials that are not valid in a header.
pub(crate) fn sign(
    request: &mut Request<Bytes>,
    credentials: &Credentials,
    service: &str,
    region: &str,
    now: Timestamp,
) -> Result<()> {
    let identity = credentials.for_sdk().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(now.into())
        .settings(SigningSettings::default())
        .build()
        .map_err(unsigned)?
        .into();
    let uri = request.uri().to_string();
    let headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let body = SignableBody::Bytes(request.body());
    let signable =
        SignableRequest::new(request.method().as_str(), &uri, headers.into_iter(), body).map_err(unsigned)?;
    let (instructions, _) = http_request::sign(signable, &parameters).map_err(unsigned)?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}

/// The cause is omitted: it may contain the credentials.
fn unsigned(_: impl std::error::Error) -> Error {
    Error::settings("the AWS credentials cannot sign a request: they hold characters that no key has")
        .hint("check their source for line breaks and quotes")
}

#[cfg(test)]
mod tests {
    use tidegate_model::Secret;

    use super::*;

    /// Source: AWS docs, Signature Version 4 test suite, `post-vanilla`.
    #[test]
    fn a_request_is_signed_as_the_published_example() {
        let mut request =
            Request::post("https://example.amazonaws.com/").body(Bytes::new()).expect("a request");
        let credentials = Credentials {
            id: "AKIDEXAMPLE".to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            token: None,
            expires: None,
        };

        sign(&mut request, &credentials, "service", "us-east-1", "2015-08-30T12:36:00Z".parse().unwrap())
            .unwrap();

        assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
        assert_eq!(
            request.headers()["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
    }
}
