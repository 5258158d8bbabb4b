//! Object stores with addresses or certificates of their own.

use std::path::Path;
use std::sync::Arc;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use reqwest::redirect;
use tidegate_model::{ConnectorContext, Error};

use super::root::{CONNECT_TIMEOUT, REQUEST_TIMEOUT};
use crate::http::{Guarded, by_the_system, judge_literal};
use crate::tls;

/// Connects to a store whose address a person wrote, or whose certificate is in a `ca_file` or signed by an
/// authority in it. It goes to no address that gives away secrets of the machine.
#[derive(Clone, Debug)]
pub(super) struct Trusting(reqwest::Client);

impl Trusting {
    /// Makes a client without connections; `None` if both are the vendor's. `plain` allows `http://`.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] or [`tidegate_model::ErrorKind::Missing`] for a file without certificates.
    pub(super) fn open(
        ca_file: Option<&Path>,
        endpoint: Option<&str>,
        context: &ConnectorContext,
    ) -> Result<Option<Trusting>, Error> {
        if ca_file.is_none() && endpoint.is_none() {
            return Ok(None);
        }
        let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let ca_file = ca_file.map(|file| context.project.join(file));
        let client = reqwest::Client::builder()
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls::http_config(ca_file.as_deref())?)
            .dns_resolver(Arc::new(Guarded { lookup: by_the_system, port: None }))
            .redirect(redirect::Policy::custom(follow))
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

/// Follows a redirect as the library does, but to no address that gives away secrets of the machine.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    match judge_literal(attempt.url(), None) {
        Err(refused) => attempt.error(refused),
        Ok(()) => redirect::Policy::default().redirect(attempt),
    }
}

impl HttpConnector for Trusting {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}
