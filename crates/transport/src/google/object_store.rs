//! The same tokens for Google Cloud Storage.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::gcp::GcpCredential;
use tidegate_model::{ConnectorContext, Error, Secret};

use super::{Environment, GivenLogin, GoogleTokens};

/// Source: Cloud Storage docs, "Cloud Storage authentication", scopes.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";

/// Provides the tokens of [`GoogleTokens`] to a client of Google Cloud Storage.
#[derive(Debug)]
pub(crate) struct StoreCredentials(GoogleTokens);

impl StoreCredentials {
    /// Creates a provider for what the client of the store does not know: workload identity federation, by
    /// the settings or by the environment. `None` if it is neither.
    ///
    /// # Errors
    /// A configuration that is none.
    pub(crate) fn open(
        key: Option<&Secret>,
        federation: Option<&Secret>,
        context: &ConnectorContext,
    ) -> Result<Option<StoreCredentials>, Error> {
        let environment = Environment::read();
        let by_environment = || environment.credentials.as_deref().is_some_and(is_federation);
        if federation.is_none() && (key.is_some() || !by_environment()) {
            return Ok(None);
        }
        let given = GivenLogin { key, federation };
        Ok(Some(StoreCredentials(GoogleTokens::open(given, &environment, SCOPE, context)?)))
    }
}

/// Returns whether a file is a credential configuration.
fn is_federation(file: &std::path::Path) -> bool {
    let content = std::fs::read(file).unwrap_or_default();
    serde_json::from_slice::<serde_json::Value>(&content).is_ok_and(|file| file["type"] == "external_account")
}

#[async_trait]
impl CredentialProvider for StoreCredentials {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let token = self
            .0
            .token()
            .await
            .map_err(|error| object_store::Error::Generic { store: "GCS", source: Box::new(error) })?;
        Ok(Arc::new(GcpCredential { bearer: token.expose().to_owned() }))
    }
}
