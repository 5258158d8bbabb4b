//! The one way to speak HTTP.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Error;

/// Why there is no answer. The difference decides whether something may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    /// The request never left: name not found, connection refused, TLS failed.
    NotSent(String),
    /// The request never left, and will not until a person acts: the certificate of the server is
    /// not accepted, or no request may go to its address.
    Untrusted {
        /// The sentence, with the name of the server.
        why: String,
        /// The next step.
        remedy: String,
    },
    /// The request may have arrived; its response did not.
    ResponseLost(String),
}

impl HttpFailure {
    /// Returns the sentence.
    pub fn why(&self) -> &str {
        match self {
            HttpFailure::NotSent(why)
            | HttpFailure::Untrusted { why, .. }
            | HttpFailure::ResponseLost(why) => why,
        }
    }

    /// Returns the error of a server that is not accepted; `None` for every other failure,
    /// which time may cure.
    pub fn untrusted(&self) -> Option<Error> {
        match self {
            HttpFailure::Untrusted { why, remedy } => Some(Error::settings(why).hint(remedy)),
            HttpFailure::NotSent(_) | HttpFailure::ResponseLost(_) => None,
        }
    }
}

/// Marks a request that may go where those to an address that a person chose are refused. It stands among the
/// extensions of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnRequest {
    /// It asks for credentials of the machine, at an address that no person chose.
    Credentials,
    /// A sandbox sends it to this process, as its vendor would.
    Sandbox,
}

/// Sends a request and returns the answer, whatever its status.
///
/// The real client, the recorder of `plan` and every sandbox implement it.
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends once. Neither retries nor follows redirects.
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure>;

    /// Returns the way to speak HTTP that also trusts the certificates in a PEM file; `None` if
    /// there is no TLS to speak of, as in a recorder or a sandbox. Reads the file, so it blocks
    /// for a moment.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`](crate::ErrorKind::Settings) or
    /// [`ErrorKind::Missing`](crate::ErrorKind::Missing) for a file without certificates.
    fn trusting(&self, _ca_file: &Path) -> Result<Option<Arc<dyn Http>>, Error> {
        Ok(None)
    }
}
