//! Checks that a storage root can be written to.

use object_store::{PutMode, PutOptions};
use tidegate_model::{Checks, Error};
use uuid::Uuid;

use tidegate_transport::storage::StorageRoot;
use tidegate_transport::storage::explain;

/// What a sink asks of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Files are written, read and removed.
    Files,
    /// Also, a file is created only if it does not exist: commits depend on it.
    Commits,
}

/// Writes a small file, reads it back and removes it.
pub(crate) async fn prove(root: &StorageRoot, need: Need, checks: &mut Checks) {
    let name = format!("_tidegate_probe_{}", Uuid::new_v4().simple());
    let folder = root.name();
    if let Err(error) = root.put(&name, "probe".into()).await {
        checks.fail(format!("write {folder}"), error.message(), error.next_step());
        return;
    }
    checks.pass(format!("write {folder}"), "a file was written");
    if need == Need::Commits {
        match rejects_second(root, &name).await {
            Ok(true) => checks.pass("commits", "an existing file is not overwritten"),
            Ok(false) => checks.fail(
                "commits",
                "the store overwrote a file that was to be created only if absent",
                "two writers would destroy each other's commits: use a store that knows `If-None-Match`",
            ),
            Err(error) => checks.fail("commits", error.message(), error.next_step()),
        }
    }
    match root.get(&name).await {
        Ok(_) => checks.pass(format!("read {folder}"), "the file was read"),
        Err(error) => checks.fail(format!("read {folder}"), error.message(), error.next_step()),
    }
    match root.remove(&name).await {
        Ok(()) => checks.pass(format!("remove in {folder}"), "the file was removed"),
        Err(error) => checks.fail(format!("remove in {folder}"), error.message(), error.next_step()),
    }
}

async fn rejects_second(root: &StorageRoot, name: &str) -> Result<bool, Error> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match root.store.put_opts(&root.file(name)?, "second".into(), options).await {
        Ok(_) => Ok(false),
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(true),
        Err(cause) => Err(explain(&format!("writing to {}", root.name()), &cause)),
    }
}
