//! Sealed secrets.

use tidegate_model::store::{KeyRotation, SecretStore};
use tidegate_model::{Error, Secret};
use tidegate_project::Project;

/// Seals a secret and stores it under a name, in place of an older one.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) if it is empty, and errors of the store.
pub async fn set_secret(store: &dyn SecretStore, name: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(
            Error::settings("the secret is empty").hint("pipe it in: `echo -n … | tidegate secret set NAME`")
        );
    }
    store.put_secret(name, &Secret::new(text)).await
}

/// Returns the names of all secrets.
///
/// # Errors
/// Errors of the store.
pub async fn secret_names(store: &dyn SecretStore) -> Result<Vec<String>, Error> {
    store.secrets().await
}

/// Removes a secret that no setting refers to.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) with the settings that refer to it, or if
/// there is no such secret, and errors of the store.
pub async fn remove_secret(store: &dyn SecretStore, project: &Project, name: &str) -> Result<(), Error> {
    let users = project.users_of_secret(name);
    if !users.is_empty() {
        let users: Vec<String> = users.iter().map(|path| format!("`{path}`")).collect();
        return Err(Error::settings(format!("the secret `{name}` is used by {}", users.join(", ")))
            .hint("change these settings first"));
    }
    if store.remove_secret(name).await? {
        return Ok(());
    }
    Err(Error::settings(format!("there is no secret `{name}`"))
        .hint("`tidegate secret list` lists the names"))
}

/// Seals everything that is sealed with a new master key.
///
/// # Errors
/// [`Denied`](tidegate_model::ErrorKind::Denied) if a key is missing and `discard_unreadable` is
/// not set, and errors of the store.
pub async fn rotate_master_key(
    store: &dyn SecretStore,
    discard_unreadable: bool,
) -> Result<KeyRotation, Error> {
    store.rotate_master_key(discard_unreadable).await
}
