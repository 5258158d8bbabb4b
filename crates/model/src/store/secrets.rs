//! Sealed secrets.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Error, Secret};

/// What a rotation of the master key did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KeyRotation {
    /// The name of the new key; it gives nothing of the key away.
    pub key: String,
    /// How many secrets the new key seals.
    pub sealed: u64,
    /// The secrets that were removed because the key that sealed them is lost.
    pub discarded: Vec<String>,
}

/// Secrets by their names, sealed with the master key.
///
/// # Errors
/// As those of a [`Store`](crate::Store).
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Seals and keeps a secret.
    async fn put_secret(&self, name: &str, secret: &Secret) -> Result<(), Error>;

    /// Opens a secret; `None` if there is none of this name.
    ///
    /// # Errors
    /// Also if the master key that sealed it is missing.
    async fn secret(&self, name: &str) -> Result<Option<Secret>, Error>;

    /// Returns the names of all secrets, sorted.
    async fn secrets(&self) -> Result<Vec<String>, Error>;

    /// Removes a secret; returns whether there was one.
    async fn remove_secret(&self, name: &str) -> Result<bool, Error>;

    /// Seals everything that is sealed with a new master key, all or nothing. A crash at any
    /// moment leaves everything readable. `discard_unreadable` removes what was sealed with
    /// a key that is lost; otherwise it is an error.
    async fn rotate_master_key(&self, discard_unreadable: bool) -> Result<KeyRotation, Error>;
}
