//! One request to a server that hands out tokens, and what its answer says.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use serde::de::DeserializeOwned;
use tidegate_model::{Clock, Error, Http, Secret};

use crate::http::answer;
use crate::http::retry_after::retry_at;
use crate::oauth::Granted;

/// How long a token lasts, and the longest that is asked for.
pub const LIFETIME_SECONDS: i64 = 3_600;

/// The HTTP client and the time.
pub struct Caller {
    /// The HTTP client.
    pub http: Arc<dyn Http>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Caller {
    /// Sends a request and returns its answer, if it is a success.
    ///
    /// # Errors
    /// What `refused` makes of an unsuccessful answer, else what HTTP says about it. Answers that repeat
    /// `secret` are quoted without it.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        secret: Option<&Secret>,
        refused: impl FnOnce(&Response<Bytes>) -> Option<Error>,
    ) -> Result<Response<Bytes>, Error> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let sent = self.http.send(request).await;
        let answered = sent.map_err(|failure| answer::lost(&host, &failure).into_error())?;
        if answered.status().is_success() {
            return Ok(answered);
        }
        let answered = match secret {
            Some(secret) => answer::without(secret, answered),
            None => answered,
        };
        Err(refused(&answered).unwrap_or_else(|| {
            let until = retry_at(answered.headers(), self.clock.now());
            answer::request_error("Google", &answered, until).into_error()
        }))
    }

    /// Reads the token in an answer of an OAuth endpoint.
    ///
    /// # Errors
    /// If it has not the documented form.
    pub fn granted(&self, answered: &Response<Bytes>) -> Result<Granted, Error> {
        Granted::read(answered, self.clock.now(), "Google")
    }
}

/// Reads an answer.
///
/// # Errors
/// If it has not the documented form.
pub fn read<T: DeserializeOwned>(answered: &Response<Bytes>) -> Result<T, Error> {
    serde_json::from_slice(answered.body()).map_err(|_| answer::unreadable("Google", answered).into_error())
}
