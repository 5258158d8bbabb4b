//! `tidegate init`

use std::path::Path;

use clap::ValueEnum;
use tidegate_model::{Error, ErrorKind};
use tidegate_project::{FILE_NAME, is_project};

use super::documents::Initialized;
use crate::cli::{Output, Template};
use crate::registry::{CHANNELS, CONNECTORS};
use crate::{DONE, output};

/// The JSON Schema of project files, beside the project file for editors.
const SCHEMA_NAME: &str = "tidegate.schema.json";

/// A file of a template: its name and its text.
type File = (&'static str, &'static str);

/// What a template writes besides the schema, and the first sync to run.
struct Contents {
    files: &'static [File],
    next: &'static str,
}

fn contents(template: Template) -> Contents {
    match template {
        Template::Files => Contents {
            files: &[
                (FILE_NAME, include_str!("templates/files.yaml")),
                ("drops/customers.csv", include_str!("templates/customers.csv")),
            ],
            next: "tidegate run customers",
        },
        Template::Postgres => Contents {
            files: &[(FILE_NAME, include_str!("templates/postgres.yaml"))],
            next: "edit the connection, then `tidegate check`",
        },
        Template::Kafka => Contents {
            files: &[(FILE_NAME, include_str!("templates/kafka.yaml"))],
            next: "edit the brokers and the topic, then `tidegate check`",
        },
        Template::Empty => {
            Contents { files: &[(FILE_NAME, include_str!("templates/empty.yaml"))], next: "tidegate serve" }
        }
        Template::Export => {
            Contents { files: &[(FILE_NAME, include_str!("templates/export.yaml"))], next: "tidegate serve" }
        }
    }
}

pub(super) fn init(folder: &Path, template: Template, out: Output) -> Result<u8, Error> {
    let path = folder.join(FILE_NAME);
    if is_project(folder) {
        return Err(Error::settings(format!("{} exists already", path.display()))
            .hint("edit it, or choose another folder"));
    }
    let Contents { files, next } = contents(template);
    let schema = serde_json::to_string(&tidegate_project::json_schema(CONNECTORS, CHANNELS))
        .map_err(|cause| Error::internal("the schema of project files cannot be written").caused_by(cause))?;
    let mut written = Vec::new();
    for (name, text) in
        files.iter().copied().chain([(SCHEMA_NAME, schema.as_str()), (".gitignore", ".tidegate/\n")])
    {
        let path = folder.join(name);
        if write(&path, text)? {
            written.push(path.display().to_string());
        }
    }
    let name = template.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    match out {
        Output::Text => {
            written.iter().for_each(|path| output::line(format!("wrote {path}")));
            let step = if next.starts_with("tidegate") { format!("`{next}`") } else { next.to_owned() };
            if folder != Path::new(".") {
                output::note(format!("next: cd {}", folder.display()));
            }
            output::note(format!("next: {step}"));
        }
        _ => output::document(out, &Initialized { template: name, written }),
    }
    Ok(DONE)
}

/// Writes a file, unless it exists. Returns whether it was written.
pub(super) fn write(path: &Path, text: &str) -> Result<bool, Error> {
    let storage = |cause: std::io::Error| {
        Error::new(ErrorKind::Storage, format!("cannot write {}", path.display())).caused_by(cause)
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(storage)?;
    }
    if path.exists() {
        return Ok(false);
    }
    std::fs::write(path, text).map_err(storage)?;
    Ok(true)
}
