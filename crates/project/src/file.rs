//! The text of a project file: read with its version, and replaced as a whole.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use tidegate_model::{Error, ErrorKind};

use super::load::locate;

/// What editors of Windows begin a file with.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads the text of the project file that a folder holds, or of the file itself, without a byte order mark.
///
/// # Errors
/// [`Settings`](ErrorKind::Settings) if there is none or it cannot be read.
pub fn read_text(path: &Path) -> Result<String, Error> {
    let file = locate(path)?;
    let text = fs::read_to_string(&file).map_err(|cause| {
        Error::settings(format!("cannot read {}: {cause}", file.display()))
            .hint("`tidegate init` makes a project here; `--project PATH` names another folder or file")
    })?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text))
}

/// Replaces the project file that a folder holds, or the file itself. Whenever the process or the machine
/// ends, the file is the old one or the new one. A link is followed, and the permissions stay.
///
/// # Errors
/// [`Storage`](ErrorKind::Storage) if it cannot be written; the file is the old one then.
pub fn replace_text(path: &Path, text: &str) -> Result<(), Error> {
    let file = locate(path)?;
    let file = file.canonicalize().unwrap_or(file);
    write_beside(&file, text).map_err(|cause| {
        Error::new(ErrorKind::Storage, format!("cannot write {}: {cause}", file.display())).hint(
            "let the user of `tidegate serve` write to this folder, or change the file where it comes from",
        )
    })
}

fn write_beside(file: &Path, text: &str) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = (|| {
        let mut new = fs::File::create(&beside)?;
        if let Ok(known) = fs::metadata(file) {
            new.set_permissions(known.permissions())?;
        }
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&beside, file)?;
        fs::File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // What is left of it has no meaning; the error says what is wrong.
        let _ = fs::remove_file(&beside);
    }
    written
}
