//! What a connection is asked to prove before it is trusted with a sync.

use tidegate_model::{Checks, Error, ErrorKind, Selection};
use tidegate_transport::sql::table::Relation as _;

use super::client::{Client, VENDOR};
use super::grants::{self, Refused};
use super::relation::Relation;
use super::settings::BigQuerySelection;
use super::source::BigQuerySource;
use super::statement::Sql;
use super::storage;

impl Client {
    /// Looks whether the account may log in and run queries. Returns who it is, as IAM policies name it, if
    /// it may.
    ///
    /// # Errors
    /// Only what keeps us from looking.
    pub(super) async fn prove_connection(&self, checks: &mut Checks) -> Result<Option<String>, Error> {
        let member = match self.auth.token().await {
            Ok(_) => self.auth.member().await?,
            Err(error) if error.kind() == ErrorKind::Denied => {
                checks.fail("login", error.message(), error.next_step());
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        checks.pass("login", format!("{VENDOR}, as {}", shown(&member)));
        let one: Sql = "SELECT 1".to_owned().into();
        let jobs = Refused {
            permission: "bigquery.jobs.create".to_owned(),
            kind: "Project".to_owned(),
            name: self.settings.project.clone(),
        };
        match self.forecast(&one, self.settings.location.as_deref()).await {
            Ok(_) => checks.pass(jobs.check(), "granted"),
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Missing) => {
                checks.fail(jobs.check(), error.message(), remedy(&error, &member));
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        Ok(Some(member))
    }
}

impl BigQuerySource {
    /// Looks at everything that reading needs. Nothing is run, and nothing is billed.
    ///
    /// # Errors
    /// Only what keeps us from looking: no connection, a selection that is none.
    pub(super) async fn prove(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        let settings = &self.client.settings;
        let selected = selection.map(|selection| selection.parse::<BigQuerySelection>()).transpose()?;
        let relation = selected.as_ref().map(|selected| selected.relation(settings)).transpose()?;
        let mut checks = Checks::default();
        let Some(member) = self.client.prove_connection(&mut checks).await? else { return Ok(checks) };
        let (Some(selected), Some(relation)) = (selected, relation) else { return Ok(checks) };
        self.prove_reading(&selected, &relation, &member, &mut checks).await;
        Ok(checks)
    }

    async fn prove_reading(
        &self,
        selected: &BigQuerySelection,
        relation: &Relation,
        member: &str,
        checks: &mut Checks,
    ) {
        let found = self.found(selected).await;
        let is_table =
            matches!(&found, Ok(found) if found.info.as_ref().is_some_and(|info| info.kind == "TABLE"));
        let planned = match found {
            Err(error) => Err(error),
            Ok(found) => {
                // A dry run needs the same permissions as a read.
                let everything: Sql = found.table.everything().into();
                let planned = self.client.forecast(&everything, found.location.as_deref()).await;
                // A table that asks for a condition is read by a cursor.
                match planned {
                    Err(error) if error.next_step().contains("`cursor`") => Ok(found.table.columns.len()),
                    planned => planned.map(|_| found.table.columns.len()),
                }
            }
        };
        let name = format!("reading {}", relation.label());
        match planned {
            Ok(columns) => {
                if let Relation::Table(..) = relation {
                    for permission in ["bigquery.tables.get", "bigquery.tables.getData"] {
                        checks.pass(format!("{permission} on table {}", relation.label()), "granted");
                    }
                }
                checks.pass(name, format!("works, {columns} columns"));
                // A view has no session: its rows are the result of a query.
                if let (Relation::Table(names, _), true) = (relation, is_table) {
                    storage::prove(&self.client, names, member, checks).await;
                }
            }
            Err(error) => refuse(checks, name, &error, member),
        }
    }
}

/// Adds a check that failed: the permission that a refusal is about, or what was tried.
pub(super) fn refuse(checks: &mut Checks, tried: String, error: &Error, member: &str) {
    match refused(error) {
        Some(check) => {
            checks.fail(check, format!("{} does not have it", shown(member)), remedy(error, member));
        }
        None => checks.fail(tried, error.chain(), error.next_step()),
    }
}

/// Returns the name of a member for people: that of a service account without its kind.
fn shown(member: &str) -> &str {
    member.strip_prefix("serviceAccount:").unwrap_or(member)
}

/// Returns what a refusal is about, by the sentence of [`Refused`].
fn refused(error: &Error) -> Option<String> {
    let (_, check) = error.message().split_once("the service account does not have ")?;
    Some(check.to_owned())
}

fn remedy(error: &Error, member: &str) -> String {
    match error.next_step() {
        "" => grants::on_project("<project>", "bigquery.jobUser", member),
        step => step.replace(grants::UNKNOWN, member),
    }
}
