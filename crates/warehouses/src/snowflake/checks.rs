//! What a connection is asked to prove before it is trusted with a sync.

use std::sync::Arc;

use tidegate_model::{Checks, Error, ErrorKind, Selection};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::quote;
use tidegate_transport::sql::relation::Naming as _;
use tidegate_transport::sql::table::Relation as _;

use super::client::{Client, VENDOR};
use super::errors;
use super::relation::{Names, Relation};
use super::settings::SnowflakeSelection;
use super::source::{SnowflakeSource, of_relation};
use super::statement::Sql;
use super::warehouse::{Shown, Warehouse};

/// Returns the statement that grants a privilege on something whose name is quoted.
pub fn grant(privilege: &str, kind: &str, name: &str, role: &str) -> String {
    format!("GRANT {privilege} ON {kind} {name} TO ROLE {};", quote(role))
}

impl Client {
    /// Proves that the login works and that the warehouse may be used. Returns the role, if going on makes
    /// sense.
    ///
    /// # Errors
    /// What keeps us from looking.
    pub async fn prove_connection(self: &Arc<Client>, checks: &mut Checks) -> Result<Option<String>, Error> {
        let who: Sql = "SELECT CURRENT_USER(), CURRENT_ROLE(), CURRENT_WAREHOUSE()".to_owned().into();
        let told = match self.query(&who, "logging in").await.map_err(RequestError::into_error) {
            Ok((_, rows)) => rows.into_iter().next().unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Denied => {
                checks.fail("login", error.message(), error.next_step());
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let cell = |at: usize| told.get(at).cloned().flatten();
        let role = cell(1).unwrap_or_else(|| "PUBLIC".to_owned());
        let user = cell(0).unwrap_or_default();
        checks.pass("login", format!("{VENDOR} account {}, as {user} with the role {role}", self.claimed()));
        let Some(warehouse) = self.names.warehouse.clone().or_else(|| cell(2)) else {
            checks.fail(
                "warehouse",
                "none is set, and the user has none by default",
                "set `warehouse` in the connection",
            );
            return Ok(None);
        };
        self.prove_warehouse(&warehouse, &role, checks).await.map(|works| works.then_some(role))
    }

    fn claimed(&self) -> String {
        self.settings.claimed_account()
    }

    /// Proves that the warehouse runs statements, by the smallest one that needs one.
    async fn prove_warehouse(
        self: &Arc<Client>,
        name: &str,
        role: &str,
        checks: &mut Checks,
    ) -> Result<bool, Error> {
        let usage = format!("USAGE on warehouse {name}");
        let Some(found) = self.warehouse(name).await? else {
            checks.fail(
                usage,
                format!("the role {role} does not have it, or there is no such warehouse"),
                grant("USAGE", "WAREHOUSE", &quote(name), role),
            );
            return Ok(false);
        };
        let smallest: Sql = "SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 1))".to_owned().into();
        match self.query(&smallest, "using the warehouse").await.map_err(RequestError::into_error) {
            Ok(_) => {
                checks.pass(usage, format!("granted, {}", state(&found)));
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::Denied => {
                let (privilege, why) = match found.resumes {
                    true => ("USAGE", "does not have it"),
                    false => ("OPERATE", "does not have it, and the warehouse does not resume by itself"),
                };
                checks.fail(
                    format!("{privilege} on warehouse {name}"),
                    format!("the role {role} {why}"),
                    grant(privilege, "WAREHOUSE", &quote(name), role),
                );
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns whether a role itself has a privilege, or owns what it is on. Roles that are granted to it
    /// are not looked at.
    ///
    /// # Errors
    /// What Snowflake said, or what kept it from answering.
    pub async fn holds(self: &Arc<Client>, role: &str, privilege: &str, name: &str) -> Result<bool, Error> {
        let sql: Sql = format!("SHOW GRANTS TO ROLE {}", quote(role)).into();
        let listed = match self.query(&sql, "looking for grants").await.map_err(RequestError::into_error) {
            Ok(listed) => listed,
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Missing) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let is_it = |row: &Shown| {
            matches!(row.get("privilege"), "OWNERSHIP" | "ALL" | "ALL PRIVILEGES")
                || row.get("privilege") == privilege
        };
        Ok(Shown::all(listed).iter().any(|row| row.get("name") == name && is_it(row)))
    }

    /// Returns what is missing to see a table, from the outside in: what is not listed is not granted.
    async fn missing(self: &Arc<Client>, names: &[String; 3], role: &str) -> Result<(String, String), Error> {
        let [database, schema, table] = names;
        if self.show("DATABASES", database, "").await?.is_empty() {
            let remedy = grant("USAGE", "DATABASE", &quote(database), role);
            return Ok((format!("USAGE on database {}", Names::shown(database)), remedy));
        }
        let place = format!(" IN DATABASE {}", quote(database));
        if self.show("SCHEMAS", schema, &place).await?.is_empty() {
            let outer = [database.clone(), schema.clone()];
            let remedy = grant("USAGE", "SCHEMA", &Names::quoted(&outer), role);
            return Ok((
                format!("USAGE on schema {}.{}", Names::shown(database), Names::shown(schema)),
                remedy,
            ));
        }
        let remedy = grant("SELECT", "TABLE", &Names::quoted(names), role);
        Ok((
            format!(
                "SELECT on table {}.{}.{}",
                Names::shown(database),
                Names::shown(schema),
                Names::shown(table)
            ),
            remedy,
        ))
    }
}

fn state(found: &Warehouse) -> &'static str {
    match (found.state.as_str(), found.resumes) {
        ("STARTED", _) => "it is running",
        (_, true) => "it resumes with the first statement, in seconds as a rule",
        (_, false) => "it is resumed with the first statement, by OPERATE",
    }
}

impl SnowflakeSource {
    /// Looks at everything that reading needs.
    ///
    /// # Errors
    /// Only what keeps us from looking: no connection, a selection that is none.
    pub(super) async fn prove(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        let selected = selection.map(|selection| selection.parse::<SnowflakeSelection>()).transpose()?;
        let relation =
            selected.as_ref().map(|selected| selected.relation(&self.client.settings)).transpose()?;
        let mut checks = Checks::default();
        let Some(role) = self.client.prove_connection(&mut checks).await? else { return Ok(checks) };
        let (Some(selected), Some(relation)) = (selected, relation) else { return Ok(checks) };
        let name = format!("reading {}", relation.label());
        let planned = match self.table(&selected).await {
            Err(error) => Err(error),
            Ok(table) => {
                // The plan of the read needs the same privileges as the read, and no warehouse.
                let plan = of_relation(&relation, format!("EXPLAIN {}", table.everything()), Vec::new());
                let planned = self.client.query(&plan, &name).await.map_err(RequestError::into_error);
                planned.map(|_| table.columns.len())
            }
        };
        match (planned, &relation) {
            (Ok(columns), relation) => {
                if let Relation::Table([database, schema, _], _) = relation {
                    let (database, schema) = (Names::shown(database), Names::shown(schema));
                    checks.pass(format!("USAGE on database {database}"), "granted");
                    checks.pass(format!("USAGE on schema {database}.{schema}"), "granted");
                    checks.pass(format!("SELECT on table {}", relation.label()), "granted");
                }
                checks.pass(name, format!("works, {columns} columns"));
            }
            (Err(error), relation) => {
                let refused = matches!(error.kind(), ErrorKind::Missing | ErrorKind::Denied);
                match self.refused(&error, relation).filter(|_| refused) {
                    Some(names) => {
                        let (check, remedy) = self.client.missing(&names, &role).await?;
                        let mut why = format!("the role {role} does not have it, or there is no such name");
                        if let Some(meant) = error.next_step().strip_prefix("did you mean ") {
                            why = format!("{why}; did you mean {meant}");
                        }
                        checks.fail(check, why, remedy);
                    }
                    None => checks.fail(name, error.chain(), error.next_step()),
                }
            }
        }
        Ok(checks)
    }

    /// Returns the table that a read was refused for.
    fn refused(&self, error: &Error, relation: &Relation) -> Option<[String; 3]> {
        if let Relation::Table(names, _) = relation {
            return Some(names.clone());
        }
        let mut names = errors::unauthorized(error.message())?;
        let context = [&self.client.names.database, &self.client.names.schema];
        if names.len() == 1 {
            names.insert(0, context[1].clone()?);
        }
        if names.len() == 2 {
            names.insert(0, context[0].clone()?);
        }
        names.try_into().ok()
    }
}
