//! Object stores with certificates of their own.

use std::path::Path;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use tidegate_model::{ConnectorContext, Error};

use super::root::{CONNECT_TIMEOUT, REQUEST_TIMEOUT};
use crate::tls;

/// Connects to a store whose certificate is in a `ca_file`, or signed by an authority in it.
#[derive(Clone, Debug)]
pub(super) struct Trusting(reqwest::Client);

impl Trusting {
    /// Makes a client without connections; `None` without a `ca_file`. `plain` allows `http://`.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] or [`tidegate_model::ErrorKind::Missing`] for a file without certificates.
    pub(super) fn open(
        ca_file: Option<&Path>,
        plain: bool,
        context: &ConnectorContext,
    ) -> Result<Option<Trusting>, Error> {
        let Some(ca_file) = ca_file else { return Ok(None) };
        let client = reqwest::Client::builder()
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls::http_config(Some(&context.project.join(ca_file)))?)
            .https_only(!plain)
            // The library counts on the size that a store states, and expects bytes as they are stored.
            .no_gzip()
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|cause| Error::internal("the HTTP client cannot start").caused_by(cause))?;
        Ok(Some(Trusting(client)))
    }
}

impl HttpConnector for Trusting {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}
