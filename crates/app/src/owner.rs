//! Which project a data folder belongs to.
//!
//! Syncs are known by their names. Two projects with a sync of the same name and
//! one data folder would each take the other's rows for committed.

use std::io::Write as _;
use std::path::Path;

use tidegate_model::{ConnectionId, Error, ErrorKind, Store};
use tidegate_project::{Project, SyncSpec, is_project};

/// The file in the data folder that names its project.
const OWNER: &str = "project";

/// Takes the store for the project, unless it belongs to another one.
///
/// # Errors
/// [`ErrorKind::Settings`] if another project owns it.
pub(crate) async fn claim_store(store: &dyn Store, folder: &Path, project: &Project) -> Result<(), Error> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let kind =
        |id: &ConnectionId| project.connections.get(id).map_or("?", |connection| connection.kind.as_str());
    let moves = |sync: &SyncSpec| {
        let read = match sync {
            SyncSpec::Import(import) => import.source.selection.shown(),
            SyncSpec::Export(export) => export.source.selection.shown(),
        };
        let read = serde_json::Value::Object(read);
        format!("{} {read} to {}", kind(sync.source()), kind(sync.destination()))
    };
    let syncs = project.syncs.iter().map(|(id, sync)| (id.clone(), moves(sync))).collect();
    store.claim_project(&folder.display().to_string(), &syncs).await
}

/// Writes a file that only its owner can read.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(file)?.write_all(text.as_bytes())
}

/// Takes the data folder for the project, unless it belongs to another one that
/// is still there. A project that was moved finds its state again.
///
/// # Errors
/// [`ErrorKind::Settings`] where another project owns the folder.
pub(crate) fn claim(project: &Path, data: &Path) -> Result<(), Error> {
    let (Ok(project), Ok(data)) = (project.canonicalize(), data.canonicalize()) else { return Ok(()) };
    if data.starts_with(&project) {
        // It moves, and is copied, together with its project.
        return Ok(());
    }
    let file = data.join(OWNER);
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    // Inside of another project's folder it is that project's, whether it says so or not.
    let around = data.ancestors().skip(1).find(|folder| is_project(folder));
    let owner = around.unwrap_or(Path::new(written.trim_end()));
    if owner == project {
        return Ok(());
    }
    if !owner.as_os_str().is_empty() && is_project(owner) {
        return Err(Error::settings(format!(
            "the data folder {} belongs to the project in {}",
            data.display(),
            owner.display()
        ))
        .hint(
            "give this project a `--data` of its own; if it took that one's place, remove that one's project file",
        ));
    }
    write(&file, &format!("{}\n", project.display())).map_err(|cause| {
        Error::new(ErrorKind::Storage, format!("cannot write {}", file.display())).caused_by(cause)
    })
}
