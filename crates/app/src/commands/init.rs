//! `tidegate init`

use std::path::Path;

use tidegate_model::{Error, ErrorKind};
use tidegate_project::FILE_NAME;

use crate::{DONE, output};

const TEMPLATE: &str = include_str!("init.yaml");

pub(super) fn init(folder: &Path) -> Result<u8, Error> {
    let path = folder.join(FILE_NAME);
    let storage = |cause: std::io::Error| {
        Error::new(ErrorKind::Storage, format!("cannot write {}", path.display())).caused_by(cause)
    };
    std::fs::create_dir_all(folder).map_err(storage)?;
    if path.exists() {
        return Err(Error::settings(format!("{} is there already", path.display()))
            .hint("edit it, or choose another folder"));
    }
    std::fs::write(&path, TEMPLATE).map_err(storage)?;
    let ignore = folder.join(".gitignore");
    if !ignore.exists() {
        std::fs::write(&ignore, ".tidegate/\n").map_err(storage)?;
    }
    output::line(format!("wrote {}", path.display()));
    eprintln!(
        "next: edit it, then `tidegate validate`, `tidegate check`, `tidegate plan <sync>`, `tidegate run <sync>`"
    );
    Ok(DONE)
}
