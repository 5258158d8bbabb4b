//! Who sent a request: AWS Signature Version 4.
//!
//! The signature is made once more from the request and the key, and compared.
//! Source: AWS General Reference, Signature Version 4 signing process.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, HOST};
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp, tz};
use tidegate_model::IngestRoute;

use super::answer::ErrorResponse;
use super::settings::AccessKey;
use tidegate_transport::http::ingest::same;

/// The name that clients sign for.
const SERVICE: &str = "mobiletargeting";
/// How far a sender's clock may be off.
const SKEW_MAX: SignedDuration = SignedDuration::from_mins(5);

/// What a signed request says of its signature.
struct Claim<'a> {
    key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

/// Proves that the request was signed with one of the keys; tells which.
pub(super) fn verify<'a>(
    request: &Request<Bytes>,
    keys: &'a [AccessKey],
    now: Timestamp,
) -> Result<&'a str, ErrorResponse> {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Err(ErrorResponse::forbidden(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ));
    };
    let claim = header.to_str().ok().and_then(Claim::parse).ok_or_else(|| {
        let message = "Authorization must hold Credential, SignedHeaders and Signature for AWS4-HMAC-SHA256";
        ErrorResponse::forbidden("IncompleteSignatureException", message)
    })?;
    let invalid = |message: &str| ErrorResponse::forbidden("InvalidSignatureException", message);
    if claim.service != SERVICE {
        return Err(invalid("Credential should be scoped to correct service: 'mobiletargeting'"));
    }
    let signed_at = request.headers().get("x-amz-date").and_then(|at| date_time(at.to_str().ok()?));
    let signed_at =
        signed_at.ok_or_else(|| invalid("X-Amz-Date must be in the form YYYYMMDD'T'HHMMSS'Z'"))?;
    if now.duration_since(signed_at).abs() > SKEW_MAX {
        return Err(invalid("Signature expired: X-Amz-Date is more than 5 minutes from the current time"));
    }
    let Some(key) = keys.iter().find(|key| key.id == claim.key_id) else {
        let message = "The security token included in the request is invalid.";
        return Err(ErrorResponse::forbidden("UnrecognizedClientException", message));
    };
    let expected = claim.date == signed_at.strftime("%Y%m%d").to_string();
    let signature = signature(request, &claim, key, signed_at).filter(|_| expected);
    if signature.is_some_and(|signature| same(claim.signature.as_bytes(), signature.as_bytes())) {
        return Ok(&key.id);
    }
    Err(invalid(
        "The request signature we calculated does not match the signature you provided. \
         Check your AWS Secret Access Key and signing method.",
    ))
}

impl Claim<'_> {
    fn parse(header: &str) -> Option<Claim<'_>> {
        let parts = header.strip_prefix("AWS4-HMAC-SHA256 ")?.split(',').map(str::trim);
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in parts {
            match part.split_once('=')? {
                ("Credential", value) => credential = Some(value),
                ("SignedHeaders", value) => signed_headers = Some(value),
                ("Signature", value) => signature = Some(value),
                _ => return None,
            }
        }
        let mut scope = credential?.split('/');
        let claim = Claim {
            key_id: scope.next()?,
            date: scope.next()?,
            region: scope.next()?,
            service: scope.next()?,
            signed_headers: signed_headers?,
            signature: signature?,
        };
        (scope.next() == Some("aws4_request") && scope.next().is_none()).then_some(claim)
    }
}

/// The signature that this key gives this request. `host` and `x-amz-date` are
/// part of it in any case: a request that did not sign them does not match.
fn signature(request: &Request<Bytes>, claim: &Claim<'_>, key: &AccessKey, at: Timestamp) -> Option<String> {
    let mut headers = Vec::new();
    for name in claim.signed_headers.split(';') {
        for value in request.headers().get_all(name) {
            headers.push((name, value.to_str().ok()?));
        }
    }
    // What was signed is the URL that the client used, with the path of
    // the connection in front of the path.
    let place =
        request.extensions().get::<IngestRoute>().map_or("", |place| place.path.trim_end_matches('/'));
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok())?;
    let address = format!("http://{host}{place}{path}");
    let body = SignableBody::Bytes(request.body());
    let signable =
        SignableRequest::new(request.method().as_str(), address, headers.into_iter(), body).ok()?;

    let credentials = Credentials::new(&key.id, key.secret.expose(), None, None, "tidegate");
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.excluded_headers = None;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(claim.region)
        .name(SERVICE)
        .time(SystemTime::from(at))
        .settings(settings)
        .build()
        .ok()?
        .into();
    sign(signable, &params).ok().map(|signed| signed.into_parts().1)
}

/// `20261121T233744Z`.
fn date_time(text: &str) -> Option<Timestamp> {
    let at = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    at.to_zoned(tz::TimeZone::UTC).ok().map(|at| at.timestamp())
}
