//! The tables and views that a user may see.

use std::collections::BTreeMap;

use tidegate_model::source::Column;
use tidegate_model::{Dataset, Error};
use tidegate_transport::sql::quote;
use tidegate_transport::sql::relation::Naming as _;
use tidegate_transport::sql::selection::parts;
use tidegate_transport::sql::table::ColumnSql as _;
use tokio_postgres::SimpleQueryMessage;

use crate::postgres::client::{Access, Session};

use super::errors::explained;
use super::relation::{Names, literal};
use super::types::SqlType;

/// The keys of tables; they are not enforced, and say what is meant to be one.
///
/// `pg_get_constraintdef` is how Amazon's own amazon-redshift-utils (`v_generate_tbl_ddl.sql`) reads them.
const KEYS: &str = "SELECT n.nspname, c.relname, pg_get_constraintdef(k.oid) FROM pg_catalog.pg_constraint k \
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE k.contype = 'p'";

/// Rows of texts, as a statement gives them.
pub type Rows = Vec<Vec<Option<String>>>;

/// Runs a statement of the catalog.
///
/// # Errors
/// What the server says.
pub async fn asked(access: &Access, session: &Session, sql: &str) -> Result<Rows, Error> {
    let answer = session.client.simple_query(sql).await.map_err(|error| explained(access, &error, None))?;
    let rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.try_get(at).ok().flatten().map(str::to_owned)).collect())
        }
        _ => None,
    });
    Ok(rows.collect())
}

/// Returns every table and view of the database that the user may see.
///
/// # Errors
/// What the server says.
pub async fn tables(access: &Access, session: &Session) -> Result<Vec<Dataset>, Error> {
    let database = literal(&access.settings.database.to_lowercase()).unwrap_or_default();
    let columns = format!(
        "SELECT schema_name, table_name, column_name, data_type, character_maximum_length, numeric_precision, \
         numeric_scale FROM svv_all_columns WHERE database_name = {database} \
         AND SUBSTRING(schema_name, 1, 3) <> 'pg_' AND schema_name <> 'information_schema' \
         ORDER BY 1, 2, ordinal_position"
    );
    let mut keys: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for row in asked(access, session, KEYS).await? {
        let [Some(schema), Some(table), Some(definition)] = row.as_slice() else { continue };
        keys.insert((schema.clone(), table.clone()), key_columns(definition));
    }
    let mut found: Vec<Dataset> = Vec::new();
    for row in asked(access, session, &columns).await? {
        let [Some(schema), Some(table), Some(name), Some(type_name), length, precision, scale] =
            row.as_slice()
        else {
            continue;
        };
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        let sql_type = SqlType::named(
            type_name,
            number(length),
            number(precision),
            number(scale).and_then(|it| i32::try_from(it).ok()),
        );
        let column =
            Column { name: name.clone(), data_type: sql_type.data_type(), type_name: sql_type.to_string() };
        let label = Names::label(&[schema.clone(), table.clone()]);
        match found.last_mut().filter(|last| last.name == label) {
            Some(last) => last.columns.push(column),
            None => {
                let key = keys.remove(&(schema.clone(), table.clone())).unwrap_or_default();
                found.push(Dataset { name: label, columns: vec![column], key, open: false });
            }
        }
    }
    Ok(found)
}

/// Returns the columns of the primary key of a table; none if it has none.
///
/// # Errors
/// What the server says.
pub async fn key(
    access: &Access,
    session: &Session,
    schema: Option<&str>,
    table: &str,
) -> Result<Vec<String>, Error> {
    // Names fold to lower case unless the cluster is told otherwise.
    let is = |column: &str, name: &str| {
        literal(name).map(|name| format!(" AND LOWER({column}) = LOWER({name})")).unwrap_or_default()
    };
    let schema = schema.map(|schema| is("n.nspname", schema)).unwrap_or_default();
    let sql = format!("{KEYS}{}{schema}", is("c.relname", table));
    let rows = asked(access, session, &sql).await?;
    // A name without its schema may be that of several tables.
    let [row] = rows.as_slice() else { return Ok(Vec::new()) };
    Ok(row.get(2).and_then(Option::as_deref).map(key_columns).unwrap_or_default())
}

/// Returns the columns in `PRIMARY KEY (id, "Other one")`.
fn key_columns(definition: &str) -> Vec<String> {
    let inner =
        definition.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map(|(inner, _)| inner);
    let mut columns = Vec::new();
    let mut quoted = false;
    for piece in inner.unwrap_or_default().split_inclusive(|sign: char| {
        quoted ^= sign == '"';
        sign == ',' && !quoted
    }) {
        let name = piece.trim().trim_end_matches(',').trim();
        let unquoted = parts(&escaped(name), '"').filter(|names| names.len() == 1);
        columns.extend(unquoted.into_iter().flatten());
    }
    columns
}

/// Returns a name in quotes if it has none: it may hold a dot then.
fn escaped(name: &str) -> String {
    if name.starts_with('"') { name.to_owned() } else { quote(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_key_are_read_from_its_definition() {
        assert_eq!(key_columns("PRIMARY KEY (id)"), ["id"]);
        assert_eq!(key_columns("PRIMARY KEY (id, \"a, \"\"b\"\".c\", d)"), ["id", "a, \"b\".c", "d"]);
        assert!(key_columns("nothing").is_empty());
    }
}
