//! The same credentials for object stores.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tidegate_model::{ConnectorContext, Result};

use super::CredentialsProvider;
use crate::aws::settings::AwsSettings;

/// Provides the credentials of [`CredentialsProvider`] to an S3 client.
pub(crate) struct S3Credentials(CredentialsProvider);

impl S3Credentials {
    /// Creates a provider. Nothing is resolved yet.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub(crate) fn open(settings: &AwsSettings, context: &ConnectorContext) -> Result<S3Credentials> {
        settings.validate()?;
        Ok(S3Credentials(CredentialsProvider::open(settings, context)?))
    }
}

#[async_trait]
impl CredentialProvider for S3Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let found = self
            .0
            .credentials()
            .await
            .map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })?;
        Ok(Arc::new(AwsCredential {
            key_id: found.id,
            secret_key: found.secret.expose().to_owned(),
            token: found.token.map(|token| token.expose().to_owned()),
        }))
    }
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Credentials")
    }
}
