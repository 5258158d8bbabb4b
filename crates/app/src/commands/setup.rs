//! `tidegate setup`

use tidegate_engine::service;
use tidegate_model::Error;

use super::documents::SetupSteps;
use crate::cli::{Output, ProjectArgs};
use crate::registry::CONNECTORS;
use crate::{DONE, output};

pub(super) fn setup(args: &ProjectArgs, name: &str, set: &[String], out: Output) -> Result<u8, Error> {
    let set = set.iter().map(|pair| setting(pair)).collect::<Result<Vec<_>, _>>()?;
    // A connector can be set up before there is a project.
    let project = match args.project() {
        Ok(project) => Some(project),
        Err(_) if CONNECTORS.iter().any(|connector| connector.kind == name) => None,
        Err(error) => return Err(error),
    };
    let text = service::setup(CONNECTORS, project.as_ref(), name, &set)?;
    match out {
        Output::Text => output::line(text),
        _ => output::document(out, &SetupSteps { name: name.to_owned(), text }),
    }
    Ok(DONE)
}

fn setting(pair: &str) -> Result<(String, String), Error> {
    let (key, value) = pair.split_once('=').ok_or_else(|| {
        Error::settings(format!("`--set {pair}` is not NAME=VALUE"))
            .hint("write for example `--set user=tidegate`")
    })?;
    Ok((key.to_owned(), value.to_owned()))
}
