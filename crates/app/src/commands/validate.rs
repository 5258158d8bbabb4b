//! `tidegate validate` and `tidegate schema`

use crate::registry::CONNECTORS;
use serde_json::json;
use tidegate_engine::project;
use tidegate_model::Error;

use crate::cli::{Output, Place};
use crate::{DONE, output};

pub(super) fn validate(place: &Place, out: Output) -> Result<u8, Error> {
    let project = place.project()?;
    let (connections, syncs) = (project.connections.len(), project.syncs.len());
    match out {
        Output::Json => output::json(&json!({ "valid": true, "connections": connections, "syncs": syncs })),
        Output::Text => output::line(format!("valid: {connections} connections, {syncs} syncs")),
    }
    if syncs == 0 {
        eprintln!("  → the project has no syncs yet: `tidegate init DIR` writes an example to copy from");
    }
    Ok(DONE)
}

pub(super) fn schema() -> Result<u8, Error> {
    output::json(&project::json_schema(CONNECTORS));
    Ok(DONE)
}
