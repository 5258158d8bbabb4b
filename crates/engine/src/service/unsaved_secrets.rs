//! Secrets of a connection that is set up: kept apart until the connection is saved.
//!
//! A form shows no secret again, so that what was typed is sealed at once, under a name that cannot be
//! guessed. Only when the connection is saved does it get the name that the project file refers to, which no
//! other secret has.

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Error, Secret};

use super::Engine;
use crate::people::random;

/// How the names of these secrets begin.
const UNSAVED: &str = "unsaved_";
/// How long they are kept if the connection is never saved.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

impl Engine {
    /// Seals a secret of a connection that is not saved yet, and returns its name. Those of forms that
    /// were left for a day are removed.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) if it is empty, and errors of the store.
    pub async fn put_unsaved_secret(&self, text: &str) -> Result<String, Error> {
        let (store, now) = (self.config.store.as_ref(), self.config.clock.now());
        for name in store.secrets().await? {
            if unsaved_since(&name).is_some_and(|since| now.duration_since(since) > KEPT) {
                store.remove_secret(&name).await?;
            }
        }
        let name = format!("{UNSAVED}{}_{}", now.as_second(), &random()?[..32]);
        super::set_secret(store, &name, text).await?;
        Ok(name)
    }

    /// Seals what was typed into the secret fields of a form, and keeps what an earlier step sealed and is not
    /// replaced. `stored` names these, as `FIELD=NAME`. Returns the field and the name of each.
    pub(super) async fn seal_unsaved(
        &self,
        fields: &[&str],
        typed: &[(String, String)],
        stored: &str,
        is_decided: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, String)>, Error> {
        let stored: Vec<(&str, &str)> = stored.split(' ').filter_map(|pair| pair.split_once('=')).collect();
        let mut unsaved = Vec::new();
        for field in fields {
            let before = stored.iter().find(|(of, _)| of == field).map(|(_, secret)| (*secret).to_owned());
            let known = match &before {
                Some(before) => self.unsaved_secret(before).await?.is_some(),
                None => false,
            };
            let before = before.filter(|_| known);
            if let Some((_, text)) = typed.iter().find(|(of, _)| of == field) {
                unsaved.push(((*field).to_owned(), self.put_unsaved_secret(text).await?));
                self.forget_secrets(before.as_slice()).await;
            } else if let Some(before) = before.filter(|_| !is_decided(field)) {
                unsaved.push(((*field).to_owned(), before));
            }
        }
        Ok(unsaved)
    }

    /// Returns a secret that [`Engine::put_unsaved_secret`] sealed; `None` for every other name.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn unsaved_secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        match unsaved_since(name) {
            Some(_) => self.config.store.secret(name).await,
            None => Ok(None),
        }
    }

    /// Returns `wanted`, or a name made from it, that no secret has and no setting refers to.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn free_secret_name(&self, wanted: &str) -> Result<String, Error> {
        let taken = self.config.store.secrets().await?;
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        let is_free =
            |name: &String| !taken.contains(name) && self.config.project.users_of_secret(name).is_empty();
        Ok(names.find(is_free).unwrap_or_default())
    }

    /// Removes secrets that nothing needs any more. One that cannot be removed is left.
    pub async fn forget_secrets(&self, names: &[String]) {
        for name in names {
            if let Err(error) = self.config.store.remove_secret(name).await {
                tracing::debug!(trouble = error.chain(), "a secret that is not needed could not be removed");
            }
        }
    }
}

/// Returns when a secret of this name was sealed; `None` if it is no unsaved one.
fn unsaved_since(name: &str) -> Option<Timestamp> {
    let (seconds, _) = name.strip_prefix(UNSAVED)?.split_once('_')?;
    Timestamp::from_second(seconds.parse().ok()?).ok()
}
