//! What a connection is asked to prove before it is trusted with an export. Nothing stays behind.

use tidegate_model::{Checks, Error, ErrorKind};

use crate::postgres::checks::encryption;
use crate::postgres::client::Session;
use crate::postgres::grants;
use crate::redshift::catalog::asked;
use crate::redshift::relation::literal;

use super::RedshiftSink;
use super::file;

impl RedshiftSink {
    /// Looks at every privilege that writing needs.
    ///
    /// # Errors
    /// Only what prevents looking.
    pub(super) async fn prove(&self) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        let session = self.access.begin().await?;
        checks.pass("connection", format!("Amazon Redshift at {}", self.access.place()));
        encryption(self.access.settings.tls, &mut checks);
        let staged = self.prove_staging(&mut checks).await;
        match self.columns(&session).await {
            Ok(found) => {
                let name = format!("columns of {}", self.table.label());
                match self.table.widening(&found) {
                    Err(error) => checks.fail(name, error.chain(), error.next_step()),
                    Ok(added) if added.is_empty() => {
                        if let Some(file) = &staged {
                            self.prove_writing(&session, file, &mut checks).await;
                        }
                    }
                    Ok(_) => {
                        checks.pass(name, "those that are missing are added with the first delivery");
                        self.prove_copying(&session, staged.as_deref(), &mut checks).await;
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::Missing => {
                self.prove_making(&session, &mut checks).await?;
                self.prove_copying(&session, staged.as_deref(), &mut checks).await;
            }
            Err(error) => {
                checks.fail(format!("writing to {}", self.table.label()), error.chain(), error.next_step());
            }
        }
        if let Some(file) = staged {
            self.folder.remove(&file).await?;
        }
        self.access.done(session).await;
        Ok(checks)
    }

    /// Writes a file without events. Returns its name.
    async fn prove_staging(&self, checks: &mut Checks) -> Option<String> {
        let name = format!("check-{}.json.gz", uuid::Uuid::new_v4().simple());
        let written = async {
            let empty = file::encode(self.table.layout, &[], self.clock.now())?;
            self.folder.put(&name, empty).await
        };
        let check = format!("staging in {}", self.folder.name());
        match written.await {
            Ok(()) => {
                checks.pass(check, "works: files are written and removed there");
                Some(name)
            }
            Err(error) => {
                checks.fail(check, error.chain(), error.next_step());
                None
            }
        }
    }

    /// Runs the statements of a delivery without events and without a commit.
    async fn prove_writing(&self, session: &Session, file: &str, checks: &mut Checks) {
        let name = format!("writing to {}", self.table.label());
        let written = self.write(session, &self.address(file)).await;
        let undone = session.client.batch_execute("ROLLBACK").await.map_err(|error| self.failed(&error));
        match written.and(undone) {
            Ok(()) => checks.pass(name, "works: files are copied, and events added by event_id"),
            Err(error) => checks.fail(name, error.chain(), error.next_step()),
        }
    }

    /// Copies a file into a temporary table: for a table that is not there yet, or lacks columns.
    async fn prove_copying(&self, session: &Session, file: Option<&str>, checks: &mut Checks) {
        let Some(file) = file else { return };
        let name = format!("COPY from {}", self.folder.name());
        let copied = self.copy(session, &self.table.staging(), &self.address(file)).await;
        let undone = session.client.batch_execute("ROLLBACK").await.map_err(|error| self.failed(&error));
        match copied.and(undone) {
            Ok(()) => checks.pass(name, "works, into a temporary table"),
            Err(error) => checks.fail(name, error.chain(), error.next_step()),
        }
    }

    /// Looks whether the table, and its schema, may be made.
    async fn prove_making(&self, session: &Session, checks: &mut Checks) -> Result<(), Error> {
        let (schema, user) = (&self.table.schema, &self.access.settings.user);
        let name = literal(schema).unwrap_or_default();
        let sql = format!("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {name}");
        let has_schema = !asked(&self.access, session, &sql).await?.is_empty();
        let database = &self.access.settings.database;
        let (check, sql, grant) = match has_schema {
            true => (
                format!("CREATE on schema {schema}"),
                format!("SELECT has_schema_privilege({name}, 'create')"),
                grants::make_tables(schema, user),
            ),
            false => (
                format!("CREATE on database {database}"),
                format!("SELECT has_database_privilege({}, 'create')", literal(database).unwrap_or_default()),
                grants::own_schema(schema, user),
            ),
        };
        let granted = asked(&self.access, session, &sql).await?.into_iter().flatten().flatten().next();
        match granted.as_deref() {
            Some("t") => checks.pass(check, format!("granted: the table {} is made", self.table.label())),
            _ => checks.fail(check, format!("user {user} does not have it"), grant),
        }
        Ok(())
    }
}
