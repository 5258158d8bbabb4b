//! What a connection is asked to prove before it is trusted with an export.

use tidegate_model::{Checks, Error};
use tokio_postgres::types::Type;

use super::PostgresSink;
use super::errors::Failure;
use super::table::Types;
use crate::postgres::client::Session;
use crate::postgres::grants;

impl PostgresSink {
    /// Looks at every privilege that writing needs, then writes nothing for real
    /// and takes it back.
    pub(super) async fn prove(&self) -> Result<Checks, Error> {
        let session = self.access.connect().await?;
        let mut checks = Checks::default();
        let looked = self.prove_privileges(&session, &mut checks).await;
        looked.map_err(|error| self.explain(error.into()))?;
        if checks.passed() {
            self.prove_writable(&session, &mut checks).await;
        }
        Ok(checks)
    }

    async fn prove_privileges(
        &self,
        session: &Session,
        checks: &mut Checks,
    ) -> Result<(), tokio_postgres::Error> {
        let sql = "SELECT current_setting('server_version'), pg_is_in_recovery(), \
            has_database_privilege(current_database(), 'TEMPORARY'), \
            has_database_privilege(current_database(), 'CREATE')";
        let row = session.client.query_one(sql, &[]).await?;
        let (version, replica): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
        let (temporary, create): (bool, bool) = (row.try_get(2)?, row.try_get(3)?);
        let settings = &self.access.settings;
        let (role, database) = (settings.role(), &settings.database);
        let place = format!("PostgreSQL {version} at {}", self.access.place());
        if replica {
            checks.fail(
                "connection",
                format!("{place} is a replica: it takes no events"),
                "set `host` to the primary server",
            );
            return Ok(());
        }
        checks.pass("connection", place);
        let name = format!("TEMPORARY on database {database}");
        if temporary {
            checks.pass(name, "granted");
        } else {
            let detail = format!("user {role} may not make temporary tables");
            checks.fail(name, detail, grants::temporary(database, role));
        }
        if !self.table.has_schema(session).await? {
            let name = format!("CREATE on database {database}");
            if create {
                checks.pass(name, format!("granted: the schema {} is made", self.table.schema));
            } else {
                let detail = format!("user {role} may not make the schema {}", self.table.schema);
                checks.fail(name, detail, grants::own_schema(&self.table.schema, role));
            }
            return Ok(());
        }
        match self.table.find(session).await? {
            None => self.prove_schema(session, checks).await,
            Some(types) => self.prove_table(session, &types, checks).await,
        }
    }

    async fn prove_schema(
        &self,
        session: &Session,
        checks: &mut Checks,
    ) -> Result<(), tokio_postgres::Error> {
        let sql = "SELECT has_schema_privilege($1, 'USAGE') AND has_schema_privilege($1, 'CREATE')";
        let row = session.client.query_typed(sql, &[(&self.table.schema, Type::TEXT)]).await?;
        let granted = row.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(false);
        let name = format!("CREATE on schema {}", self.table.schema);
        let role = self.access.settings.role();
        if granted {
            checks.pass(name, format!("granted: the table {} is made", self.table.label()));
        } else {
            let detail = format!("user {role} may not make tables in it");
            checks.fail(name, detail, grants::make_tables(&self.table.schema, role));
        }
        Ok(())
    }

    async fn prove_table(
        &self,
        session: &Session,
        types: &Types,
        checks: &mut Checks,
    ) -> Result<(), tokio_postgres::Error> {
        // The table is found by its own name, not through a schema that may be closed to us.
        let sql = "SELECT has_schema_privilege(n.oid, 'USAGE'), \
            has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'SELECT'), \
            pg_has_role(c.relowner, 'USAGE') \
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            WHERE n.nspname = $1 AND c.relname = $2";
        let names: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&self.table.schema, Type::TEXT), (&self.table.name, Type::TEXT)];
        let rows = session.client.query_typed(sql, &names).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        let (usage, insert, owner): (bool, bool, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let role = self.access.settings.role();
        let name = format!("USAGE on schema {}", self.table.schema);
        if usage {
            checks.pass(name, "granted");
        } else {
            let detail = format!("user {role} may not look into the schema");
            checks.fail(name, detail, grants::usage(&self.table.schema, role));
        }
        // SELECT is what PostgreSQL asks for to find the events that are there already.
        let name = format!("INSERT and SELECT on {}", self.table.label());
        if insert {
            checks.pass(name, "granted");
        } else {
            let detail = format!("user {role} may not add events");
            checks.fail(name, detail, grants::insert(&self.table.quoted(), role));
        }
        let widening = self.table.widen(types);
        if !widening.is_empty() && !owner {
            let detail = format!("columns are missing, and only its owner can add them, not {role}");
            checks.fail(format!("columns of {}", self.table.label()), detail, widening);
        }
        Ok(())
    }

    /// The statements of a delivery, without events and without a commit.
    async fn prove_writable(&self, session: &Session, checks: &mut Checks) {
        let name = format!("writing to {}", self.table.label());
        let written = self.write(session, &[]).await;
        let undone = session.client.batch_execute("ROLLBACK").await;
        match written.and_then(|()| undone.map_err(Failure::from)) {
            Ok(()) => checks.pass(name, "works: events are merged by event_id"),
            Err(failure) => {
                let error = self.explain(failure);
                checks.fail(name, error.chain(), error.next_step());
            }
        }
    }
}
