//! Sealed secrets.

use tidegate_model::{Error, Secret, Store};

/// Seals a secret and stores it under a name, in place of an older one.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) if it is empty, and errors of the store.
pub async fn set_secret(store: &dyn Store, name: &str, text: &str) -> Result<(), Error> {
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
pub async fn secret_names(store: &dyn Store) -> Result<Vec<String>, Error> {
    store.secrets().await
}
