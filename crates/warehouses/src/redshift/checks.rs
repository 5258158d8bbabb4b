//! What a connection is asked to prove before it is trusted with a sync.

use tidegate_model::{Checks, Error, Selection};
use tidegate_transport::sql::quote;
use tidegate_transport::sql::table::Relation as _;

use crate::postgres::checks::encryption;
use crate::postgres::client::Session;
use crate::postgres::grants;

use super::catalog::asked;
use super::errors::{explained, select};
use super::relation::{Relation, in_database, literal};
use super::settings::RedshiftSelection;
use super::source::RedshiftSource;

impl RedshiftSource {
    /// Looks at everything that reading needs.
    ///
    /// # Errors
    /// Only what prevents looking: no connection, a selection that is none.
    pub(super) async fn prove(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        let selected = selection.map(|selection| selection.parse::<RedshiftSelection>()).transpose()?;
        let relation = selected.as_ref().map(RedshiftSelection::relation).transpose()?;
        let session = self.access.begin().await?;
        let mut checks = Checks::default();
        self.prove_connection(&session, &mut checks).await?;
        if let Some((selected, relation)) = selected.zip(relation)
            && self.prove_table(&session, &relation, &mut checks).await?
        {
            self.prove_readable(&session, &selected, &relation, &mut checks).await;
        }
        self.access.done(session).await;
        if let Some(unload) = &self.unload {
            match unload.prove(&self.access).await {
                Ok(()) => checks.pass("unload", format!("works, to {}", unload.root.name())),
                Err(error) => checks.fail("unload", error.chain(), error.next_step()),
            }
        }
        Ok(checks)
    }

    async fn prove_connection(&self, session: &Session, checks: &mut Checks) -> Result<(), Error> {
        let rows = asked(&self.access, session, "SELECT version()").await?;
        let version = rows.into_iter().flatten().flatten().next().unwrap_or_default();
        let place = self.access.place();
        match version.split_once("Redshift ") {
            Some((_, release)) => {
                checks.pass("connection", format!("Amazon Redshift {} at {place}", release.trim()));
            }
            None => checks.fail(
                "connection",
                format!("{place} is not Amazon Redshift"),
                "correct `host` and `port`, or set `type: postgres` for a PostgreSQL",
            ),
        }
        encryption(self.access.settings.tls, checks);
        checks.pass("read-only", "rows are read in a read-only transaction");
        Ok(())
    }

    /// Proves the privileges on a table; whether reading it is worth a try.
    async fn prove_table(
        &self,
        session: &Session,
        relation: &Relation,
        checks: &mut Checks,
    ) -> Result<bool, Error> {
        let Some((schema, table)) = in_database(relation, &self.access.settings.database) else {
            return Ok(true);
        };
        let (Some(schema), Some(table)) = (schema.and_then(literal), literal(table)) else { return Ok(true) };
        // External tables and those of data shares are not listed: reading them says what is wrong.
        let find = format!(
            "SELECT n.nspname, c.relname, has_schema_privilege(n.nspname, 'usage') FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'v', 'm') \
             AND LOWER(n.nspname) = LOWER({schema}) AND LOWER(c.relname) = LOWER({table})"
        );
        let rows = asked(&self.access, session, &find).await?;
        let Some([Some(schema), Some(table), Some(usage)]) = rows.first().map(Vec::as_slice) else {
            return Ok(true);
        };
        let user = &self.access.settings.user;
        let usage_name = format!("USAGE on schema {schema}");
        if usage != "t" {
            let detail = format!("user {user} may not look into the schema");
            checks.fail(usage_name, detail, grants::usage(schema, user));
            return Ok(false);
        }
        checks.pass(usage_name, "granted");
        let quoted = format!("{}.{}", quote(schema), quote(table));
        let Some(name) = literal(&quoted) else { return Ok(true) };
        let sql = format!("SELECT has_table_privilege({name}, 'select')");
        let granted = asked(&self.access, session, &sql).await?.into_iter().flatten().flatten().next();
        let select_name = format!("SELECT on {schema}.{table}");
        if granted.as_deref() == Some("t") {
            checks.pass(select_name, "granted");
            return Ok(true);
        }
        // Columns may be granted alone: reading decides, and this is said only if it fails.
        if self.reads(session, relation).await.is_ok() {
            checks.pass(select_name, "granted on columns");
            return Ok(true);
        }
        checks.fail(select_name, format!("user {user} may not read it"), select(&quoted, user));
        Ok(false)
    }

    async fn reads(&self, session: &Session, relation: &Relation) -> Result<(), Error> {
        let read = session.client.batch_execute(&relation.probe()).await;
        read.map_err(|error| explained(&self.access, &error, Some(relation)))
    }

    /// Runs the statement of a read for no rows: that needs the same privileges as reading.
    async fn prove_readable(
        &self,
        session: &Session,
        selected: &RedshiftSelection,
        relation: &Relation,
        checks: &mut Checks,
    ) {
        let name = format!("reading {}", relation.label());
        let read = async {
            let table = self.table(session, selected).await?;
            let sql = format!("{} LIMIT 0", table.everything());
            let read = session.client.batch_execute(&sql).await;
            read.map_err(|error| explained(&self.access, &error, Some(relation)))?;
            Ok::<usize, Error>(table.columns.len())
        };
        match read.await {
            Ok(columns) => checks.pass(name, format!("works, {columns} columns")),
            Err(error) => checks.fail(name, error.chain(), error.next_step()),
        }
    }
}
