//! Erasing one user from everything that Tidegate keeps.

use tidegate_model::connector::EraseUser;
use tidegate_model::{Erasure, ErasureCounts, Error};
use tidegate_project::Written;

use super::Engine;

/// The places of the store, as people read them.
const STORE: &str = "failed rows and history";

impl Engine {
    /// Erases a user from failed rows, intents, history, the event log and what connectors and
    /// sandboxes keep in the data folder, and notes it without the id.
    ///
    /// A place that fails keeps no other from being erased. An erasure that is not complete is not
    /// noted. Erasing again does no harm: after a failure, do so.
    ///
    /// # Errors
    /// [`Held`](tidegate_model::ErrorKind::Held) if a sync is running,
    /// [`Settings`](tidegate_model::ErrorKind::Settings) if the identifier is empty: nothing is erased.
    /// If a place could not be erased, the kind of the first failure; the message names the places that
    /// were erased and those that were not.
    pub async fn erase_user(&self, user: &str) -> Result<ErasureCounts, Error> {
        if user.trim().is_empty() {
            return Err(Error::settings("the identifier of the user is empty"));
        }
        let mut claims = Vec::new();
        for id in self.config.project.syncs.keys() {
            claims.push(self.claim(id).await?);
        }
        let mut outcomes = Outcomes::default();
        let stored = self.config.store.erase_user(user).await;
        let mut removed = outcomes.add(STORE.to_owned(), stored).unwrap_or_default();
        match self.config.log.can_erase() {
            true => {
                let events = self.config.log.erase(user).await;
                removed.events = outcomes.add("the event log".to_owned(), events).unwrap_or_default();
            }
            false => removed.events_stay = true,
        }
        for (id, spec) in &self.config.project.connections {
            let connector = self.config.connectors.iter().find(|connector| connector.kind == spec.kind);
            let Some(erase) = connector.and_then(|connector| connector.erase) else { continue };
            let erased = self.erase_at(erase, &spec.settings, user).await;
            if let Some(erased) = outcomes.add(format!("connection `{id}`"), erased) {
                removed.places.insert(id.to_string(), erased);
            }
        }
        for (kind, sandbox) in
            self.config.connectors.iter().filter_map(|it| it.sandbox.map(|sandbox| (it.kind, sandbox)))
        {
            let folder = self.config.data.join("sandbox").join(kind);
            let erased = outcomes.add(format!("the sandbox of {kind}"), (sandbox.erase)(&folder, user));
            if let Some(erased) = erased.filter(|erased| *erased > 0) {
                removed.places.insert(format!("sandbox of {kind}"), erased);
            }
        }
        outcomes.all_erased()?;
        self.config.store.note_erasure(user, &removed, self.config.clock.now()).await?;
        drop(claims);
        Ok(removed)
    }

    /// Erases a user from what the connector of one connection keeps. Returns how many users these were.
    async fn erase_at(&self, erase: EraseUser, settings: &Written, user: &str) -> Result<u64, Error> {
        let settings = self.resolved(settings).await?;
        erase(&settings, &self.context(self.config.http.clone(), false), user)
    }

    /// Returns the erasures that were noted, newest first; of one user if one is given.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn erasures(&self, user: Option<&str>) -> Result<Vec<Erasure>, Error> {
        self.config.store.erasures(user).await
    }
}

/// The places that a user is erased from, and what came of it.
#[derive(Default)]
struct Outcomes {
    erased: Vec<String>,
    failed: Vec<(String, Error)>,
}

impl Outcomes {
    /// Adds a place. Returns what was erased there, if it did not fail.
    fn add<T>(&mut self, place: String, outcome: Result<T, Error>) -> Option<T> {
        match outcome {
            Ok(erased) => {
                self.erased.push(place);
                Some(erased)
            }
            Err(error) => {
                self.failed.push((place, error));
                None
            }
        }
    }

    /// # Errors
    /// If a place failed.
    fn all_erased(self) -> Result<(), Error> {
        let Some((_, first)) = self.failed.first() else { return Ok(()) };
        let failed: Vec<String> =
            self.failed.iter().map(|(place, error)| format!("{place} ({})", error.chain())).collect();
        let failed = failed.join("; ");
        let message = match self.erased.as_slice() {
            [] => format!("the user was not erased, or not completely, from: {failed}"),
            erased => format!(
                "the user was not erased, or not completely, from: {failed}. Erased from: {}",
                erased.join(", ")
            ),
        };
        let mut steps: Vec<&str> = Vec::new();
        for (_, error) in &self.failed {
            if !steps.contains(&error.next_step()) {
                steps.push(error.next_step());
            }
        }
        let kind = first.kind();
        Err(Error::new(kind, message).hint(format!("{}; then erase the user again", steps.join("; "))))
    }
}
