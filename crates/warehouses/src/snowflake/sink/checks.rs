//! What a connection is asked to prove before it is trusted with an export. Nothing is made, and nothing
//! is left behind.

use bytes::Bytes;
use tidegate_model::{Checks, Error, ErrorKind};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::relation::Naming as _;
use tidegate_transport::sql::{literal, quote};

use super::SnowflakeSink;
use super::stage::Stage;
use crate::snowflake::checks::grant;
use crate::snowflake::relation::Names;
use crate::snowflake::statement::Sql;

/// The file that a check writes to a stage and removes.
const PROBE: &str = "check.txt";

impl SnowflakeSink {
    /// Looks at every privilege that writing needs.
    ///
    /// # Errors
    /// Only what keeps us from looking.
    pub(super) async fn prove(&self) -> Result<Checks, Error> {
        let mut checks = Checks::default();
        let Some(role) = self.client.prove_connection(&mut checks).await? else { return Ok(checks) };
        let name = format!("writing to {}", self.table.label());
        let made = match self.tried().await {
            Ok(found) => {
                checks.pass(name, found);
                true
            }
            Err(error) if error.kind() == ErrorKind::Missing => {
                self.prove_making(&mut checks, &role).await?;
                false
            }
            Err(error) if error.kind() == ErrorKind::Denied => {
                checks.fail(
                    format!("INSERT on table {}", self.table.label()),
                    format!("the role {role} does not have it"),
                    grant("INSERT", "TABLE", &Names::quoted(&self.table.names), &role),
                );
                false
            }
            Err(error) => {
                checks.fail(name, error.chain(), error.next_step());
                false
            }
        };
        if let Some(stage) = self.stage.as_ref().filter(|_| checks.passed()) {
            if made {
                self.prove_staging_tables(&mut checks, &role).await?;
            }
            self.prove_stage(&mut checks, stage, &role).await;
        }
        Ok(checks)
    }

    /// Looks whether tables may be made in the schema of a table that is there: each delivery makes one.
    async fn prove_staging_tables(&self, checks: &mut Checks, role: &str) -> Result<(), Error> {
        let [database, schema, _] = &self.table.names;
        let within = Names::label(&[database.clone(), schema.clone()]);
        let name = format!("CREATE TABLE on schema {within}");
        match self.client.holds(role, "CREATE TABLE", &within).await? {
            true => checks.pass(name, "granted: each delivery has a staging table"),
            false => checks.warn(
                name,
                "each delivery needs it to make a staging table, and the role itself does not have it",
                grant("CREATE TABLE", "SCHEMA", &Names::quoted(&self.table.names[..2]), role),
            ),
        }
        Ok(())
    }

    /// Writes a file to the folder of the stage, and looks whether Snowflake sees it.
    async fn prove_stage(&self, checks: &mut Checks, stage: &Stage, role: &str) {
        let name = format!("stage {}", stage.label());
        if let Err(error) = stage.put(PROBE, Bytes::from_static(b"tidegate")).await {
            return checks.fail(name, error.chain(), error.next_step());
        }
        let list: Sql = format!("LIST {}", literal(&format!("{}{PROBE}", stage.place()))).into();
        let listed = self.client.query(&list, &name).await.map_err(RequestError::into_error);
        stage.remove(PROBE).await;
        match listed {
            Ok((_, files)) if files.is_empty() => checks.fail(
                name,
                format!("Snowflake does not see the file that was written to {}", stage.folder()),
                "the `URL` of the stage and `stage.folder.path` have to be the same folder: DESCRIBE STAGE shows it",
            ),
            Ok(_) => checks.pass(name, "works: events are loaded from its files"),
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Missing) => checks.fail(
                format!("USAGE on stage {}", stage.label()),
                format!("the role {role} does not have it, or there is no such stage"),
                grant("USAGE", "STAGE", &stage.quoted(), role),
            ),
            Err(error) => checks.fail(name, error.chain(), error.next_step()),
        }
    }

    /// Runs the statement of a delivery without events.
    async fn tried(&self) -> Result<&'static str, Error> {
        let probe: Sql = self.table.probe().into();
        let probed = self.client.query(&probe, &self.doing()).await.map_err(RequestError::into_error);
        if self.table.widening(&probed?.0)?.is_some() {
            return Ok("columns are added with the first delivery");
        }
        let none = Sql { text: self.table.merge(), parameters: vec!["[]".to_owned()], ..Sql::default() };
        self.run(none).await.map_err(RequestError::into_error)?;
        Ok(match self.stage {
            Some(_) => "works: events are merged by event_id",
            None => {
                "works: events travel inside of statements; with a `stage` in the connection, more of them at once"
            }
        })
    }

    /// Looks whether a table that the role does not see may be made.
    async fn prove_making(&self, checks: &mut Checks, role: &str) -> Result<(), Error> {
        let [database, schema, table] = &self.table.names;
        let (names, quoted_schema) = (Names::shown(database), Names::quoted(&self.table.names[..2]));
        if self.client.show("DATABASES", database, "").await?.is_empty() {
            checks.fail(
                format!("USAGE on database {names}"),
                format!("the role {role} does not have it, or there is no such name"),
                grant("USAGE", "DATABASE", &quote(database), role),
            );
            return Ok(());
        }
        let place = format!(" IN DATABASE {}", quote(database));
        if self.client.show("SCHEMAS", schema, &place).await?.is_empty() {
            let remedy = format!(
                "{} If there is such a schema already: {}",
                grant("CREATE SCHEMA", "DATABASE", &quote(database), role),
                grant("USAGE, CREATE TABLE", "SCHEMA", &quoted_schema, role)
            );
            let held = self.client.holds(role, "CREATE SCHEMA", &names).await?;
            say(checks, format!("CREATE SCHEMA on database {names}"), held, remedy);
            return Ok(());
        }
        let place = format!(" IN SCHEMA {quoted_schema}");
        if !self.client.show("OBJECTS", table, &place).await?.is_empty() {
            checks.fail(
                format!("SELECT on table {}", self.table.label()),
                format!("the role {role} does not have it"),
                grant("SELECT, INSERT", "TABLE", &Names::quoted(&self.table.names), role),
            );
            return Ok(());
        }
        let within = format!("{names}.{}", Names::shown(schema));
        let held = self.client.holds(role, "CREATE TABLE", &within).await?;
        let remedy = format!(
            "{} If there is such a table already: {}",
            grant("CREATE TABLE", "SCHEMA", &quoted_schema, role),
            grant("SELECT, INSERT", "TABLE", &Names::quoted(&self.table.names), role)
        );
        say(checks, format!("CREATE TABLE on schema {within}"), held, remedy);
        Ok(())
    }
}

fn say(checks: &mut Checks, name: String, held: bool, remedy: String) {
    match held {
        true => checks.pass(name, "granted: the table is made with the first delivery"),
        false => checks.warn(
            name,
            "the first delivery needs it to make the table, and the role itself does not have it",
            remedy,
        ),
    }
}
