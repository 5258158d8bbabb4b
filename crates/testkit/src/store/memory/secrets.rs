//! Secrets in memory.

use async_trait::async_trait;
use tidegate_model::store::{KeyRotation, SecretStore};
use tidegate_model::{Error, Secret};

use super::MemoryStore;

#[async_trait]
impl SecretStore for MemoryStore {
    async fn put_secret(&self, name: &str, secret: &Secret) -> Result<(), Error> {
        self.memory().secrets.insert(name.to_owned(), secret.clone());
        Ok(())
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        Ok(self.memory().secrets.get(name).cloned())
    }

    async fn secrets(&self) -> Result<Vec<String>, Error> {
        Ok(self.memory().secrets.keys().cloned().collect())
    }

    async fn remove_secret(&self, name: &str) -> Result<bool, Error> {
        Ok(self.memory().secrets.remove(name).is_some())
    }

    async fn rotate_master_key(&self, _: bool) -> Result<KeyRotation, Error> {
        let sealed = self.memory().secrets.len() as u64;
        Ok(KeyRotation { key: "memory".to_owned(), sealed, discarded: Vec::new() })
    }
}
