//! Who sent a request: AWS Signature Version 4, in the `Authorization` header or in
//! the query.
//!
//! The signature is computed from the request and the key, and compared.
//! Source: AWS General Reference, Signature Version 4 signing process.

use std::fmt::Write as _;
use std::time::SystemTime;

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Uri};
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp, tz};
use sha2::{Digest as _, Sha256};
use tidegate_model::address::{decoded, encoded, encoded_path};
use tidegate_model::{IngestRoute, SentBody};
use tidegate_transport::http::ingest::same;

use super::answer::ErrorResponse;
use super::settings::AccessKey;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The name that clients sign for.
const SERVICE: &str = "mobiletargeting";
/// How far a sender's clock may be off.
const SKEW_MAX: SignedDuration = SignedDuration::from_mins(5);
/// How long a signature in the query holds that does not say so.
const EXPIRES: SignedDuration = SignedDuration::from_mins(15);
/// How long it may hold.
const EXPIRES_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Why a request's head does not claim to be from a key of ours.
pub(super) enum Unclaimed {
    /// It is not signed in this way, or with a key that is none of ours.
    Stranger(ErrorResponse),
    /// Its claim cannot be true.
    Wrong(ErrorResponse),
}

/// What a signed request says of its signature, and the key that it names.
pub(super) struct Claim<'a> {
    key: &'a AccessKey,
    written: Written,
    at: Timestamp,
}

/// The parts of a signature as they are written.
struct Written {
    credential: String,
    date_time: String,
    signed_headers: String,
    signature: String,
    /// How long it holds, in the query.
    expires: Option<SignedDuration>,
}

impl<'a> Claim<'a> {
    /// The claim in a request's head.
    pub(super) fn of(
        uri: &Uri,
        headers: &HeaderMap,
        keys: &'a [AccessKey],
        now: Timestamp,
    ) -> Result<Claim<'a>, Unclaimed> {
        let written = match Written::in_query(uri) {
            Some(written) => written,
            None => Written::in_headers(headers)?,
        };
        let wrong =
            |message: &str| Unclaimed::Wrong(ErrorResponse::forbidden("InvalidSignatureException", message));
        let scope: Vec<&str> = written.credential.split('/').collect();
        let [key_id, date, _, service, "aws4_request"] = scope.as_slice() else { return Err(incomplete()) };
        let key = keys.iter().find(|key| key.id == *key_id).ok_or_else(|| stranger(key_id))?;
        if *service != SERVICE {
            return Err(wrong("Credential should be scoped to correct service: 'mobiletargeting'"));
        }
        let at = date_time(&written.date_time)
            .ok_or_else(|| wrong("X-Amz-Date must be in the form YYYYMMDD'T'HHMMSS'Z'"))?;
        if !written.date_time.starts_with(date) {
            return Err(wrong("Date in Credential scope does not match YYYYMMDD from X-Amz-Date"));
        }
        let age = now.duration_since(at);
        if age > written.expires.unwrap_or(SKEW_MAX) || age < -SKEW_MAX {
            return Err(wrong("Signature expired: X-Amz-Date is too far from the current time"));
        }
        let signed = |name: &str| written.signed_headers.split(';').any(|signed| signed == name);
        if !signed("host") || (written.expires.is_none() && !signed("x-amz-date")) {
            return Err(wrong("'Host' and 'X-Amz-Date' must be signed"));
        }
        Ok(Claim { key, written, at })
    }

    /// Verifies the signature of the request and returns the key it was signed with.
    pub(super) fn verify(&self, request: &Request<Bytes>) -> Result<&'a str, ErrorResponse> {
        let expected = self.signature(request);
        if expected.is_some_and(|expected| same(self.written.signature.as_bytes(), expected.as_bytes())) {
            return Ok(&self.key.id);
        }
        Err(ErrorResponse::forbidden(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. \
             Check your AWS Secret Access Key and signing method.",
        ))
    }

    /// The signature that the key gives the request; `None` where what was signed is not in it.
    fn signature(&self, request: &Request<Bytes>) -> Option<String> {
        let (_, scope) = self.written.credential.split_once('/')?;
        let region = scope.split('/').nth(1)?;
        let request = hex(&Sha256::digest(self.canonical(request)?));
        let signed = format!("{ALGORITHM}\n{}\n{scope}\n{request}", self.written.date_time);
        let key = generate_signing_key(self.key.secret.expose(), SystemTime::from(self.at), region, SERVICE);
        Some(calculate_signature(key, signed.as_bytes()))
    }

    /// The request as it was signed: with the path of the connection in front of its own path, which is
    /// encoded again, and the body as it was sent.
    fn canonical(&self, request: &Request<Bytes>) -> Option<String> {
        let place = request.extensions().get::<IngestRoute>();
        let place = place.map_or("", |place| place.path.trim_end_matches('/'));
        let mut out = format!("{}\n", request.method());
        out.push_str(&encoded_path(place));
        out.push_str(&encoded_path(request.uri().path()));
        let mut pairs = pairs(request.uri())?;
        pairs.retain(|(name, _)| name != "X-Amz-Signature");
        let mut pairs: Vec<(String, String)> = pairs
            .iter()
            .map(|(name, value)| (encoded(name).to_string(), encoded(value).to_string()))
            .collect();
        pairs.sort_unstable();
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let _ = writeln!(out, "\n{}", pairs.join("&"));
        for name in self.written.signed_headers.split(';') {
            let values = request.headers().get_all(name).iter();
            let values: Vec<String> = values
                .map(|value| Some(value.to_str().ok()?.split_whitespace().collect::<Vec<_>>().join(" ")))
                .collect::<Option<_>>()?;
            let _ = writeln!(out, "{name}:{}", values.join(","));
        }
        let body = request.extensions().get::<SentBody>().map_or(request.body(), |sent| &sent.0);
        let _ = write!(out, "\n{}\n{}", self.written.signed_headers, hex(&Sha256::digest(body)));
        Some(out)
    }
}

impl Written {
    /// What the query says; `None` where it has no signature.
    fn in_query(uri: &Uri) -> Option<Written> {
        let mut pairs = pairs(uri)?;
        let mut take = |name: &str| {
            let at = pairs.iter().position(|(found, _)| found == name)?;
            Some(pairs.swap_remove(at).1)
        };
        take("X-Amz-Algorithm").filter(|algorithm| algorithm == ALGORITHM)?;
        let expires = take("X-Amz-Expires").and_then(|seconds| seconds.parse::<u32>().ok());
        let expires = expires.map_or(EXPIRES, |seconds| SignedDuration::from_secs(seconds.into()));
        Some(Written {
            credential: take("X-Amz-Credential")?,
            date_time: take("X-Amz-Date")?,
            signed_headers: take("X-Amz-SignedHeaders")?,
            signature: take("X-Amz-Signature")?,
            expires: Some(expires.min(EXPIRES_MAX)),
        })
    }

    /// What the headers say.
    fn in_headers(headers: &HeaderMap) -> Result<Written, Unclaimed> {
        let Some(header) = headers.get(AUTHORIZATION) else {
            let kind = "MissingAuthenticationTokenException";
            return Err(Unclaimed::Stranger(ErrorResponse::forbidden(kind, "Missing Authentication Token")));
        };
        let mut written = header.to_str().ok().and_then(Written::parse).ok_or_else(incomplete)?;
        let date_time = headers.get("x-amz-date").and_then(|at| at.to_str().ok());
        written.date_time = date_time.unwrap_or_default().to_owned();
        Ok(written)
    }

    fn parse(header: &str) -> Option<Written> {
        let parts = header.strip_prefix(ALGORITHM)?.strip_prefix(' ')?.split(',').map(str::trim);
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in parts {
            match part.split_once('=')? {
                ("Credential", value) => credential = Some(value),
                ("SignedHeaders", value) => signed_headers = Some(value),
                ("Signature", value) => signature = Some(value),
                _ => return None,
            }
        }
        Some(Written {
            credential: credential?.to_owned(),
            date_time: String::new(),
            signed_headers: signed_headers?.to_owned(),
            signature: signature?.to_owned(),
            expires: None,
        })
    }
}

fn incomplete() -> Unclaimed {
    let message = "Authorization must hold Credential, SignedHeaders and Signature for AWS4-HMAC-SHA256";
    Unclaimed::Stranger(ErrorResponse::forbidden("IncompleteSignatureException", message))
}

fn stranger(key_id: &str) -> Unclaimed {
    let message = if key_id.starts_with("ASIA") {
        "Temporary keys cannot be verified here. Sign with one of the connection's access keys, \
         or set `anonymous: true` on the connection."
    } else {
        "The security token included in the request is invalid."
    };
    Unclaimed::Stranger(ErrorResponse::forbidden("UnrecognizedClientException", message))
}

/// The query's names and values, decoded; `None` where one is not UTF-8.
fn pairs(uri: &Uri) -> Option<Vec<(String, String)>> {
    let query = uri.query().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    });
    pairs.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// `20261121T233744Z`.
fn date_time(text: &str) -> Option<Timestamp> {
    let at = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    at.to_zoned(tz::TimeZone::UTC).ok().map(|at| at.timestamp())
}
