//! `tidegate setup`

use tidegate_engine::service;
use tidegate_model::Error;

use crate::cli::ProjectArgs;
use crate::registry::CONNECTORS;
use crate::{DONE, output};

pub(super) async fn setup(args: &ProjectArgs, name: &str, set: &[String]) -> Result<u8, Error> {
    let set = set.iter().map(|pair| setting(pair)).collect::<Result<Vec<_>, _>>()?;
    // A connector can be set up before there is a project.
    let project = args.project().ok();
    output::line(service::setup(CONNECTORS, project.as_ref(), name, &set)?);
    Ok(DONE)
}

fn setting(pair: &str) -> Result<(String, String), Error> {
    let (key, value) = pair.split_once('=').ok_or_else(|| {
        Error::settings(format!("`--set {pair}` is not NAME=VALUE"))
            .hint("write for example `--set user=tidegate`")
    })?;
    Ok((key.to_owned(), value.to_owned()))
}
