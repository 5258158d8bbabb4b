//! Signed requests to services that have an HTTP API of their own.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Request, Response};
use tidegate_model::{Clock, ConnectorContext, Http, Result};

use super::client::without;
use super::credentials::{Credentials, CredentialsProvider};
use super::settings::AwsSettings;
use super::sign::sign;
use crate::http::answer::{self, RequestError};

/// The hash of the body, which OpenSearch Serverless asks for.
///
/// Source: AWS docs, "Signing HTTP requests to Amazon OpenSearch Serverless".
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
/// What a service says of a token that has expired, if it has no code for it.
///
/// Source: AWS docs, OpenSearch Service, "Troubleshooting".
const EXPIRED: &[&str] = &["security token included in the request is expired", "ExpiredToken"];

/// Signs and sends requests to a service whose API is not that of [`super::AwsClient`].
pub struct Signer {
    title: &'static str,
    service: String,
    region: String,
    provider: CredentialsProvider,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
}

impl Signer {
    /// Creates a signer, without I/O. `title` is the name of the service in messages, `service`
    /// the one in signatures.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn open(
        settings: &AwsSettings,
        title: &'static str,
        service: &str,
        context: &ConnectorContext,
    ) -> Result<Signer> {
        settings.validate()?;
        Ok(Signer {
            title,
            service: service.to_owned(),
            region: settings.region.clone(),
            provider: CredentialsProvider::open(settings, context)?,
            http: Arc::clone(&context.http),
            clock: Arc::clone(&context.clock),
        })
    }

    /// Signs a request, sends it and returns the answer, whatever its status.
    ///
    /// If the credentials have expired meanwhile, they are renewed and the request is repeated: the
    /// first one had no effect.
    pub async fn send(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, RequestError> {
        let credentials = self.provider.credentials().await.map_err(RequestError::NoEffect)?;
        let answer = self.send_as(request, &credentials).await?;
        if !has_expired(&answer) {
            return Ok(answer);
        }
        match self.provider.replace(&credentials).await.map_err(RequestError::NoEffect)? {
            Some(newer) => self.send_as(request, &newer).await,
            None => Ok(answer),
        }
    }

    async fn send_as(
        &self,
        request: &Request<Bytes>,
        credentials: &Credentials,
    ) -> Result<Response<Bytes>, RequestError> {
        let mut request = request.clone();
        let hash = HeaderValue::try_from(sha256(request.body())).map_err(|_| {
            RequestError::NoEffect(tidegate_model::Error::internal("a hash cannot stand in a header"))
        })?;
        request.headers_mut().insert(CONTENT_SHA256, hash);
        sign(&mut request, credentials, &self.service, &self.region, self.clock.now())
            .map_err(RequestError::NoEffect)?;
        let answer = self.http.send(request).await.map_err(|failure| answer::lost(self.title, &failure))?;
        Ok(without(credentials, answer))
    }
}

fn sha256(body: &[u8]) -> String {
    digest(&SHA256, body).as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn has_expired(answer: &Response<Bytes>) -> bool {
    let told = String::from_utf8_lossy(answer.body());
    answer.status().is_client_error() && EXPIRED.iter().any(|words| told.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: FIPS 180-4, the hash of an empty message.
    #[test]
    fn the_hash_of_a_body_is_written_in_hexadecimal_digits() {
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
