//! `tidegate exposures`: the syncs as exposures of dbt, for its lineage.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tidegate_model::{Error, SyncId};
use tidegate_project::{ImportSpec, Project};

use crate::cli::{Output, ProjectArgs};
use crate::{DONE, output};

/// What `exposures` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Exposures {
    /// The syncs that read models, in the order of the project file.
    exposures: Vec<Exposure>,
}

/// A sync, as dbt calls it.
#[derive(Debug, Serialize, JsonSchema)]
struct Exposure {
    /// Its name in dbt: that of the sync, with letters, digits and underscores only.
    name: String,
    /// The sync.
    label: SyncId,
    /// The page of the sync, if the project says where the dashboard is.
    url: Option<String>,
    /// What it does, in a sentence.
    description: String,
    /// The models that it reads.
    models: Vec<String>,
    /// The person to ask.
    owner: String,
}

pub(super) fn exposures(args: &ProjectArgs, out: Output) -> Result<u8, Error> {
    let project = args.project()?;
    let exposures = Exposures { exposures: of(&project) };
    match out {
        Output::Text => print(&project, &exposures),
        _ => output::listing(out, &exposures, &exposures.exposures),
    }
    Ok(DONE)
}

fn print(project: &Project, exposures: &Exposures) {
    output::line(yaml(&exposures.exposures).trim_end());
    if exposures.exposures.len() < imports(project).count() {
        let left_out =
            "→ a sync that reads no table is left out: name its models under `dbt: { models: […] }`";
        output::note(left_out);
    }
}

fn imports(project: &Project) -> impl Iterator<Item = (&SyncId, &ImportSpec)> {
    project.syncs.iter().filter_map(|(id, sync)| Some((id, sync.as_import()?)))
}

fn of(project: &Project) -> Vec<Exposure> {
    let exposure = |(id, import): (&SyncId, &ImportSpec)| {
        let models = models(import);
        let to = &import.destination;
        let owner = import.options.contacts.iter().find(|contact| contact.contains('@'));
        (!models.is_empty()).then(|| Exposure {
            name: id
                .as_str()
                .chars()
                .map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '_' })
                .collect(),
            label: id.clone(),
            url: project.alerts.dashboard.as_ref().map(|url| format!("{url}/syncs/{id}")),
            description: format!(
                "Rows of `{}` become objects of the kind `{}` in `{}`, by Tidegate.",
                models.join("`, `"),
                to.object.as_str(),
                to.connection
            ),
            owner: owner
                .or(import.options.contacts.first())
                .cloned()
                .unwrap_or_else(|| "tidegate".to_owned()),
            models,
        })
    };
    imports(project).filter_map(exposure).collect()
}

/// Returns the models that an import reads: those that the file names, else the name of its table.
fn models(import: &ImportSpec) -> Vec<String> {
    if !import.options.dbt.models.is_empty() {
        return import.options.dbt.models.clone();
    }
    let selection = import.source.selection.shown();
    let table = selection.get("table").and_then(|table| table.as_str());
    let last = table.and_then(|table| table.rsplit('.').next());
    last.map(|name| name.trim_matches(['"', '`']).to_owned())
        .into_iter()
        .filter(|name| !name.is_empty())
        .collect()
}

/// A text of JSON is one of YAML, too.
fn yaml(exposures: &[Exposure]) -> String {
    let mut text = "version: 2\n\nexposures:".to_owned();
    if exposures.is_empty() {
        text.push_str(" []");
    }
    for exposure in exposures {
        let owner = if exposure.owner.contains('@') { "email" } else { "name" };
        let models: Vec<String> = exposure.models.iter().map(|model| format!("ref('{model}')")).collect();
        let _ = write!(text, "\n  - name: {}\n    label: {}", exposure.name, json!(exposure.label));
        let _ = write!(text, "\n    type: application\n    description: {}", json!(exposure.description));
        if let Some(url) = &exposure.url {
            let _ = write!(text, "\n    url: {}", json!(url));
        }
        let _ = write!(text, "\n    depends_on: {}", json!(models));
        let _ = write!(text, "\n    owner: {{ {owner}: {} }}\n", json!(exposure.owner));
    }
    text
}
