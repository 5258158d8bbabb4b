//! The folder in S3 that files wait in until they are copied.

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::ObjectStoreExt as _;
use tidegate_model::Error;
use tidegate_transport::storage::{StorageRoot, explain};

/// Removes every file of a folder.
///
/// # Errors
/// What the store said.
pub async fn clear(folder: &StorageRoot) -> Result<(), Error> {
    let doing = format!("removing from {}", folder.name());
    let path = object_store::path::Path::from_url_path(folder.url.path())
        .map_err(|cause| explain("`staging.path`", &cause.into()))?;
    let mut found = folder.store.list(Some(&path)).boxed();
    while let Some(file) = found.try_next().await.map_err(|cause| explain(&doing, &cause))? {
        match folder.store.delete(&file.location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(cause) => return Err(explain(&doing, &cause)),
        }
    }
    Ok(())
}
