//! The one way to speak HTTP.

use async_trait::async_trait;
use bytes::Bytes;

/// Why there is no answer. The difference decides whether something may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    /// The request never left: name not found, connection refused, TLS failed.
    NotSent(String),
    /// The request may have arrived; its response did not.
    ResponseLost(String),
}

/// Sends a request and returns the answer, whatever its status.
///
/// The real client, the recorder of `plan` and every sandbox implement it.
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends once. Neither retries nor follows redirects.
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure>;
}
