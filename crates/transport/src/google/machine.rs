//! The service account of the Google machine that this runs on.
//!
//! Source: Compute Engine docs, "Access token from the metadata server".

use bytes::Bytes;
use http::{Request, Response};
use tidegate_model::{Error, ErrorKind, OwnRequest};

use super::call::Caller;
use crate::oauth::Granted;

/// The metadata server of a machine.
pub struct Machine {
    /// Its host.
    pub host: String,
}

impl Machine {
    /// Asks for a token.
    ///
    /// # Errors
    /// What keeps the metadata server from answering.
    pub async fn token(&self, caller: &Caller) -> Result<Granted, Error> {
        caller.granted(&self.ask(caller, "token").await?)
    }

    /// Asks for the address of the service account.
    ///
    /// # Errors
    /// What keeps the metadata server from answering.
    pub async fn email(&self, caller: &Caller) -> Result<String, Error> {
        let answered = self.ask(caller, "email").await?;
        Ok(String::from_utf8_lossy(answered.body()).trim().to_owned())
    }

    async fn ask(&self, caller: &Caller, what: &str) -> Result<Response<Bytes>, Error> {
        let path = "computeMetadata/v1/instance/service-accounts/default";
        let request = Request::get(format!("http://{}/{path}/{what}", self.host))
            .extension(OwnRequest::Credentials)
            .header("metadata-flavor", "Google")
            .body(Bytes::new())
            .map_err(|cause| {
                Error::settings("the variable GCE_METADATA_HOST names no host").caused_by(cause)
            })?;
        caller.send(request, None, |_| None).await.map_err(|error| match error.kind() {
            ErrorKind::Unavailable => error.hint(
                "set `service_account_key` or `workload_identity`, or run this on a Google machine that has a service account",
            ),
            _ => error,
        })
    }
}
