//! What a project says about dbt: the secret of its webhook.

use serde_json::Value as Member;

use super::conform::{Conform, Spot};
use super::file_position::FilePosition;
use super::findings::Finding;
use super::references::Written;
use super::spec::{Dbt, Project};
use super::yaml::Node;

/// Reads `dbt` of the project.
pub(super) fn read(root: &Node, schema: &Member, findings: &mut Vec<Finding>) -> Option<Dbt> {
    let entry = root.entry("dbt")?;
    let spot = Spot::new(entry.at, "dbt");
    let mut conform = Conform::resolving(schema, &[]);
    let read = conform.read(&entry.value, &schema["$defs"]["Dbt"], &spot);
    let fits = conform.findings.is_empty();
    findings.append(&mut conform.findings);
    let Member::Object(members) = read else { return None };
    let position = FilePosition::new(spot.at, &spot.path, entry);
    fits.then(|| Dbt { settings: Written::new(members, conform.references, position) })
}

/// Returns what is wrong if jobs of dbt run a sync, and no webhook of dbt can be verified.
pub(super) fn without_secret(root: &Node, project: &Project) -> Option<Finding> {
    if root.entry("dbt").is_some() {
        return None;
    }
    let (id, _) = project.syncs.iter().find(|(_, sync)| !sync.options().dbt.jobs.is_empty())?;
    let syncs = &root.entry("syncs")?.value;
    let dbt = syncs.entry(id.as_str())?.value.entry("dbt")?;
    let found = Spot::new(dbt.at, format!("syncs.{id}.dbt"))
        .finding("no job of dbt can run it: the webhooks of dbt cannot be verified");
    Some(found.hint("add `dbt: { webhook_secret: \"${DBT_WEBHOOK_SECRET}\" }` to the project"))
}
