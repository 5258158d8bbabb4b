//! The columns of a selection: what they are, and whether they may be read.

use tidegate_model::{Error, ErrorKind};
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;

use super::client::Session;
use super::decode::Shape;
use super::grants;
use super::query::{Relation, SourceColumn, Table, shown};
use super::settings::PostgresSelection;
use super::source::{PostgresSource, RELATIONS};
use tidegate_transport::sql::incremental::PostgreSql;
use tidegate_transport::sql::nearest;
use tidegate_transport::sql::table::Relation as _;

/// Tables that a message lists at most.
const TABLES_LISTED: usize = 10;

const COLUMN_GRANTS: &str = "SELECT a.attname::text, \
    coalesce(has_column_privilege(a.attrelid, a.attnum, 'SELECT'), false) FROM pg_catalog.pg_attribute a \
    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

impl PostgresSource {
    /// The columns of a selection, found without reading a row. Those of a table
    /// that may not be read are among them, unless none may.
    pub(super) async fn table(
        &self,
        session: &Session,
        selected: &PostgresSelection,
    ) -> Result<Table, Error> {
        let relation = selected.relation()?;
        let statement = self.prepare(session, &relation).await?;
        let denied = self.denied(session, &relation).await?;
        let columns = statement.columns().iter().map(|column| SourceColumn {
            name: column.name().to_owned(),
            shape: Shape::of(column.type_()),
            modifier: column.type_modifier(),
            column_type: column.type_().clone(),
            granted: !denied.iter().any(|denied| denied == column.name()),
        });
        let table = Table::new(PostgreSql, relation, columns.collect(), false)?;
        table.narrowed(selected.columns.as_deref())
    }

    /// As [`PostgresSource::table`], to read all of the columns.
    ///
    /// # Errors
    /// Also if one of them may not be read.
    pub(super) async fn readable(
        &self,
        session: &Session,
        selected: &PostgresSelection,
    ) -> Result<Table, Error> {
        let table = self.table(session, selected).await?;
        let denied: Vec<&str> = table
            .columns
            .iter()
            .filter(|column| !column.granted)
            .map(|column| column.name.as_str())
            .collect();
        if denied.is_empty() {
            return Ok(table);
        }
        let role = self.access.settings.role();
        let grant = grants::select_columns(&table.relation, &denied, role).unwrap_or_default();
        Err(Error::new(
            ErrorKind::Denied,
            format!("reading {}: user {role} may not read {}", table.relation.label(), denied.join(", ")),
        )
        .hint(format!("as its owner, run: {grant}")))
    }

    /// Prepares a statement that has all columns of a relation.
    async fn prepare(&self, session: &Session, relation: &Relation) -> Result<Statement, Error> {
        let error = match session.client.prepare(&relation.probe()).await {
            Ok(statement) => return Ok(statement),
            Err(error) => error,
        };
        let explained = self.access.explain(&error, Some(relation));
        let unknown = error.code() == Some(&SqlState::UNDEFINED_TABLE)
            || error.code() == Some(&SqlState::INVALID_SCHEMA_NAME);
        Err(match (unknown, relation.quoted()) {
            (true, Some(_)) => self.suggest(session, relation, explained).await,
            _ => explained,
        })
    }

    /// Returns the columns of a table that may not be read; none if that is all of
    /// them, for then the table is what has to be granted.
    async fn denied(&self, session: &Session, relation: &Relation) -> Result<Vec<String>, Error> {
        let Some(name) = relation.quoted() else { return Ok(Vec::new()) };
        let rows = async {
            let rows = session.client.query(COLUMN_GRANTS, &[&name]).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<Vec<_>, _>>()
        };
        let rows: Vec<(String, bool)> = rows.await.map_err(self.access.explained(relation))?;
        let any = rows.iter().any(|(_, granted)| *granted);
        Ok(rows.into_iter().filter(|(_, granted)| any && !granted).map(|(column, _)| column).collect())
    }

    /// Adds the name of the table that was most likely meant.
    async fn suggest(&self, session: &Session, relation: &Relation, error: Error) -> Error {
        // The refused statement has spoiled the transaction: look outside of it.
        let known = async {
            session.client.batch_execute("ROLLBACK").await?;
            session.client.query(RELATIONS, &[]).await
        };
        let Ok(rows) = known.await else { return error };
        let names: Vec<(String, String)> = rows
            .iter()
            .filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?)))
            .map(|(schema, name): (String, String)| {
                (format!("{}.{}", shown(&schema), shown(&name)), shown(&name))
            })
            .collect();
        let wanted = relation.label();
        let full_of =
            |table: &str| names.iter().find(|(_, name)| name == table).map(|(full, _)| full.as_str());
        let table = match relation {
            Relation::Table { name, .. } => shown(name),
            Relation::Query(_) => wanted.clone(),
        };
        // The same name in another schema is nearer than any other spelling.
        let near = full_of(&table)
            .or_else(|| nearest(&wanted, names.iter().map(|(full, _)| full.as_str())))
            .or_else(|| full_of(nearest(&wanted, names.iter().map(|(_, table)| table.as_str()))?));
        match (near, names.as_slice()) {
            (Some(name), _) => error.hint(format!("did you mean `{name}`?")),
            (None, []) => error.hint(format!(
                "the database `{}` has no tables: correct `database`",
                self.access.settings.database
            )),
            (None, [..]) => {
                let first: Vec<&str> =
                    names.iter().take(TABLES_LISTED).map(|(full, _)| full.as_str()).collect();
                let more = if names.len() > TABLES_LISTED { ", …" } else { "" };
                error.hint(format!("the tables are: {}{more}", first.join(", ")))
            }
        }
    }
}
