//! Erasing one user from everything that Tidegate keeps.

use tidegate_model::{Erasure, ErasureCounts, Error};

use super::Engine;

impl Engine {
    /// Erases a user from failed rows, intents, history, the event log and what connectors and
    /// sandboxes keep in the data folder, and notes it without the id.
    ///
    /// Erasing again does no harm: after a failure, do so.
    ///
    /// # Errors
    /// [`Held`](tidegate_model::ErrorKind::Held) if a sync is running,
    /// [`Settings`](tidegate_model::ErrorKind::Settings) if the identifier is empty,
    /// [`Storage`](tidegate_model::ErrorKind::Storage) if another process appends to the event log
    /// or a file cannot be rewritten.
    pub async fn erase_user(&self, user: &str) -> Result<ErasureCounts, Error> {
        if user.trim().is_empty() {
            return Err(Error::settings("the identifier of the user is empty"));
        }
        let mut claims = Vec::new();
        for id in self.config.project.syncs.keys() {
            claims.push(self.claim(id).await?);
        }
        let mut removed = self.config.store.erase_user(user).await?;
        match self.config.log.can_erase() {
            true => removed.events = self.config.log.erase(user).await?,
            false => removed.events_stay = true,
        }
        for (id, spec) in &self.config.project.connections {
            let connector = self.config.connectors.iter().find(|connector| connector.kind == spec.kind);
            let Some(erase) = connector.and_then(|connector| connector.erase) else { continue };
            let settings = self.resolved(&spec.settings).await?;
            let erased = erase(&settings, &self.context(self.config.http.clone(), false), user)
                .map_err(|error| error.context(format!("connection `{id}`")))?;
            removed.places.insert(id.to_string(), erased);
        }
        for (kind, sandbox) in
            self.config.connectors.iter().filter_map(|it| it.sandbox.map(|sandbox| (it.kind, sandbox)))
        {
            let folder = self.config.data.join("sandbox").join(kind);
            let erased = (sandbox.erase)(&folder, user).map_err(|error| error.context("sandbox"))?;
            if erased > 0 {
                removed.places.insert(format!("sandbox of {kind}"), erased);
            }
        }
        self.config.store.note_erasure(user, &removed, self.config.clock.now()).await?;
        drop(claims);
        Ok(removed)
    }

    /// Returns the erasures that were noted, newest first; of one user if one is given.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn erasures(&self, user: Option<&str>) -> Result<Vec<Erasure>, Error> {
        self.config.store.erasures(user).await
    }
}
