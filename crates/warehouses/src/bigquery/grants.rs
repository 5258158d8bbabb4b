//! The roles that lift a refusal.

use tidegate_transport::sql::literal;

use super::relation::quote;

/// What `roles/bigquery.dataEditor` has and `roles/bigquery.dataViewer` has not.
///
/// Source: BigQuery docs, "BigQuery IAM roles and permissions".
const WRITING: &[&str] = &[
    "bigquery.tables.create",
    "bigquery.tables.delete",
    "bigquery.tables.update",
    "bigquery.tables.updateData",
];

/// The member of a remedy while it is not known who asks.
pub const UNKNOWN: &str = "serviceAccount:<service account>";

/// What a refusal names.
///
/// Source: BigQuery docs, "Access control with IAM"; answers quoted in the docs' "Troubleshoot IAM
/// permissions" and recorded from the service: `Access Denied: Table p:d.t: User does not have
/// permission to query table p:d.t, or perhaps it does not exist.`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The permission: `bigquery.jobs.create`.
    pub permission: String,
    /// What it is needed on: `Project`, `Dataset`, `Table`.
    pub kind: String,
    /// Its name, as BigQuery writes it: `p:d.t`.
    pub name: String,
}

/// Returns what a refusal names, if it names something.
pub fn refused(message: &str) -> Option<Refused> {
    let rest = message.strip_prefix("Access Denied: ")?;
    let (what, said) = rest.split_once(": ")?;
    let (kind, name) = what.split_once(' ')?;
    let permission = match said.split(' ').find(|word| word.starts_with("bigquery.")) {
        Some(permission) => permission,
        None if said.contains("permission to query") => "bigquery.tables.getData",
        None => return None,
    };
    let is_plain = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    (is_plain(name) && is_plain(kind)).then(|| Refused {
        permission: permission.trim_end_matches(['.', ',']).to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    })
}

impl Refused {
    /// Returns the name of a check: `bigquery.tables.getData on table p:d.t`.
    pub fn check(&self) -> String {
        format!("{} on {} {}", self.permission, self.kind.to_lowercase(), self.name)
    }

    /// Returns the refusal as a sentence.
    pub fn sentence(&self) -> String {
        format!("the service account does not have {}", self.check())
    }

    /// Returns the statement or command that lifts the refusal, for a member of IAM policies or a blank to
    /// fill in.
    pub fn remedy(&self, member: Option<&str>) -> String {
        let member = member.unwrap_or(UNKNOWN);
        let (project, rest) = self.name.rsplit_once(':').unwrap_or((self.name.as_str(), ""));
        let dataset = || rest.split('.').next().unwrap_or_default();
        match (self.permission.as_str(), rest.split_once('.')) {
            ("bigquery.jobs.create", _) => on_project(project, "bigquery.jobUser", member),
            (permission, _) if WRITING.contains(&permission) => {
                grant("bigquery.dataEditor", "SCHEMA", &[project, dataset()].map(quote).join("."), member)
            }
            (_, Some((dataset, table))) => {
                let name = [project, dataset, table].map(quote).join(".");
                grant("bigquery.dataViewer", "TABLE", &name, member)
            }
            (_, None) if !rest.is_empty() => {
                grant("bigquery.dataViewer", "SCHEMA", &[project, rest].map(quote).join("."), member)
            }
            _ => on_project(project, "bigquery.user", member),
        }
    }
}

/// Returns the command that gives a role on a project.
pub fn on_project(project: &str, role: &str, member: &str) -> String {
    // A shell would look for files.
    let member = if member.contains('*') { format!("\"{member}\"") } else { member.to_owned() };
    format!("gcloud projects add-iam-policy-binding {project} --member={member} --role=roles/{role}")
}

/// Returns a `GRANT` of BigQuery; `name` is quoted.
pub fn grant(role: &str, kind: &str, name: &str, member: &str) -> String {
    let member = literal(member).replace('\'', "\"");
    format!("GRANT `roles/{role}` ON {kind} {name} TO {member};")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_answered_with_what_lifts_it() {
        for (message, check, remedy) in [
            (
                "Access Denied: Project shop: User does not have bigquery.jobs.create permission in project shop.",
                "bigquery.jobs.create on project shop",
                "gcloud projects add-iam-policy-binding shop --member=serviceAccount:a@b --role=roles/bigquery.jobUser",
            ),
            (
                "Access Denied: Table shop:d.t: User does not have permission to query table shop:d.t, or perhaps it does not exist.",
                "bigquery.tables.getData on table shop:d.t",
                "GRANT `roles/bigquery.dataViewer` ON TABLE `shop`.`d`.`t` TO \"serviceAccount:a@b\";",
            ),
            (
                "Access Denied: Table shop:d.t: Permission bigquery.tables.updateData denied on table shop:d.t (or it may not exist).",
                "bigquery.tables.updateData on table shop:d.t",
                "GRANT `roles/bigquery.dataEditor` ON SCHEMA `shop`.`d` TO \"serviceAccount:a@b\";",
            ),
            (
                "Access Denied: Project shop: User does not have bigquery.datasets.create permission in project shop.",
                "bigquery.datasets.create on project shop",
                "gcloud projects add-iam-policy-binding shop --member=serviceAccount:a@b --role=roles/bigquery.user",
            ),
            (
                "Access Denied: Dataset shop:d: Permission bigquery.tables.list denied on dataset shop:d (or it may not exist).",
                "bigquery.tables.list on dataset shop:d",
                "GRANT `roles/bigquery.dataViewer` ON SCHEMA `shop`.`d` TO \"serviceAccount:a@b\";",
            ),
        ] {
            let found = refused(message).unwrap();
            assert_eq!(found.check(), check);
            assert_eq!(found.remedy(Some("serviceAccount:a@b")), remedy);
        }
        assert_eq!(refused("Access Denied: something else"), None);
        assert_eq!(refused("Not found"), None);
    }
}
