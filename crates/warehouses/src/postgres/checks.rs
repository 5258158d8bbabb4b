//! What a connection is asked to prove before it is trusted with a sync.

use tidegate_model::{Checks, Error, Selection};
use tokio_postgres::types::Type;

use super::client::Session;
use super::grants;
use super::query::{Relation, granted};
use super::settings::PostgresSelection;
use super::source::PostgresSource;
use tidegate_transport::sql::quote;
use tidegate_transport::sql::table::Relation as _;
use tidegate_transport::tls::Tls;

const FIND_TABLE: &str = "SELECT n.nspname::text, c.relname::text, has_schema_privilege(n.oid, 'USAGE'), \
    has_any_column_privilege(c.oid, 'SELECT'), row_security_active(c.oid), c.oid \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname = $1 \
    AND (n.nspname = $2 OR ($2 IS NULL AND n.nspname = ANY (current_schemas(false))))";

const DENIED_COLUMNS: &str = "SELECT a.attname::text FROM pg_catalog.pg_attribute a \
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped \
    AND NOT has_column_privilege(a.attrelid, a.attnum, 'SELECT') ORDER BY a.attnum";

impl PostgresSource {
    /// Looks at everything that reading needs.
    ///
    /// # Errors
    /// Only what keeps us from looking: no connection, a selection that is none.
    pub(super) async fn prove(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        let selected = selection.map(|selection| selection.parse::<PostgresSelection>()).transpose()?;
        let selected = match &selected {
            Some(selected) => Some((selected, selected.relation()?)),
            None => None,
        };
        let session = self.access.begin().await?;
        let mut checks = Checks::default();
        self.prove_connection(&session, &mut checks)
            .await
            .map_err(|error| self.access.explain(&error, None))?;
        let Some((selected, relation)) = selected else { return Ok(checks) };
        let granted = match relation {
            Relation::Query(_) => true,
            Relation::Table { .. } => (self.prove_table(&session, &relation, &mut checks).await)
                .map_err(self.access.explained(&relation))?,
        };
        if granted {
            self.prove_readable(&session, selected, &relation, &mut checks).await;
        }
        Ok(checks)
    }

    async fn prove_connection(
        &self,
        session: &Session,
        checks: &mut Checks,
    ) -> Result<(), tokio_postgres::Error> {
        let row = session
            .client
            .query_one(
                "SELECT current_setting('server_version'), pg_is_in_recovery(), current_setting('server_version_num')::int4",
                &[],
            )
            .await?;
        let (version, replica, number): (String, bool, i32) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let kind = if replica { "a replica" } else { "a primary server" };
        checks.pass("connection", format!("PostgreSQL {version} at {}, {kind}", self.access.place()));
        if number < 90_600 {
            checks.fail(
                "version",
                format!("{version} is older than 9.6"),
                "upgrade the server to a version that gets security fixes",
            );
        }
        encryption(self.access.settings.tls, checks);
        checks.pass("read-only", "every statement runs in a read-only transaction");
        Ok(())
    }

    /// Proves the privileges on a table; whether reading it is worth a try.
    async fn prove_table(
        &self,
        session: &Session,
        relation: &Relation,
        checks: &mut Checks,
    ) -> Result<bool, tokio_postgres::Error> {
        let Relation::Table { schema, name } = relation else { return Ok(true) };
        let statement = session.client.prepare_typed(FIND_TABLE, &[Type::TEXT, Type::TEXT]).await?;
        let Some(row) = session.client.query_opt(&statement, &[name, schema]).await? else {
            // Reading it says what is wrong, and what was meant.
            return Ok(true);
        };
        let (schema, table): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (usage, select, hidden): (bool, bool, bool) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        let role = self.access.settings.role();
        let full = Relation::Table { schema: Some(schema.clone()), name: table };
        let (label, grant) = (full.label(), grants::select(&full, role).unwrap_or_default());
        let usage_name = format!("USAGE on schema {schema}");
        if usage {
            checks.pass(usage_name, "granted");
        } else {
            checks.fail(
                usage_name,
                format!("user {role} may not look into the schema"),
                grants::usage(&schema, role),
            );
        }
        let select_name = format!("SELECT on {label}");
        if select {
            let oid: u32 = row.try_get(5)?;
            let denied = session.client.query(DENIED_COLUMNS, &[&oid]).await?;
            let denied = denied.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
            checks.pass(
                select_name,
                match denied.as_slice() {
                    [] => "granted".to_owned(),
                    denied => format!("granted, but not on the columns {}", denied.join(", ")),
                },
            );
        } else {
            checks.fail(select_name, format!("user {role} may not read it"), grant);
        }
        if hidden {
            let detail = format!(
                "row security hides rows of {label} from {role}: only what its policies show is synced"
            );
            checks.pass("row security", detail);
        }
        Ok(usage && select)
    }

    /// Lets the server plan the read: that needs the same privileges as reading.
    async fn prove_readable(
        &self,
        session: &Session,
        selected: &PostgresSelection,
        relation: &Relation,
        checks: &mut Checks,
    ) {
        let name = format!("reading {}", relation.label());
        let planned = match self.table(session, selected).await.map(granted) {
            Err(error) => Err(error),
            Ok(table) => {
                let plan = format!("EXPLAIN {}", table.everything());
                let planned =
                    session.client.batch_execute(&plan).await.map_err(self.access.explained(relation));
                planned.map(|()| table.columns.len())
            }
        };
        match planned {
            Ok(columns) => checks.pass(name, format!("works, {columns} columns")),
            Err(error) => {
                let remedy = match self.refused_tables(session, error.message()).await {
                    grants if grants.is_empty() => error.next_step().to_owned(),
                    grants => grants,
                };
                checks.fail(name, error.chain(), remedy);
            }
        }
    }

    /// The grants on every table of the name that the server refuses to read:
    /// it names tables without their schema.
    async fn refused_tables(&self, session: &Session, message: &str) -> String {
        let Some(("table" | "relation" | "view", name)) = grants::refused(message) else {
            return String::new();
        };
        let find = "SELECT n.nspname::text FROM pg_catalog.pg_class c \
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
            AND NOT has_table_privilege(c.oid, 'SELECT') ORDER BY 1";
        let schemas = async {
            session.client.batch_execute("ROLLBACK").await?;
            session.client.query(find, &[&name]).await
        };
        let Ok(rows) = schemas.await else { return String::new() };
        let role = self.access.settings.role();
        rows.iter()
            .filter_map(|row| row.try_get::<_, String>(0).ok())
            .map(|schema| format!("GRANT SELECT ON {}.{} TO {};", quote(&schema), quote(name), quote(role)))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Notes how a connection is protected.
pub fn encryption(tls: Tls, checks: &mut Checks) {
    let detail = match tls {
        Tls::VerifyFull => "TLS, certificate and host name checked",
        Tls::Require => "TLS, certificate not checked: `tls: verify-full` also proves who answers",
        Tls::Disable => "none: fine on a trusted network only",
    };
    checks.pass("encryption", detail);
}
