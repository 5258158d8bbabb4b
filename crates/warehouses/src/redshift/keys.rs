//! The rows with given keys.

use tidegate_model::{Error, Value};
use tidegate_transport::sql::quote;
use tidegate_transport::sql::table::ColumnSql as _;

use crate::postgres::parameter::input_text;

use super::relation::{SourceColumn, Table, literal};
use super::types::SqlType;

/// Keys in one statement of a lookup: each of them is written into it.
const LOOKUP_KEYS: usize = 500;

/// Returns the statements that find rows by their keys. A key that no row can have is left out.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Missing`] for a column that is not there.
pub fn lookups(table: &Table, key: &[String], values: &[Vec<Value>]) -> Result<Vec<String>, Error> {
    lookups_by(table, key, values, |condition| format!("{} WHERE {condition}", table.everything()))
}

/// The same by statements that `write` makes of the condition of each.
///
/// # Errors
/// As [`lookups`].
pub fn lookups_by(
    table: &Table,
    key: &[String],
    values: &[Vec<Value>],
    write: impl Fn(&str) -> String,
) -> Result<Vec<String>, Error> {
    let columns = key.iter().map(|name| table.find(name)).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<String> = values.iter().filter_map(|row| condition(&columns, row)).collect();
    Ok(rows.chunks(LOOKUP_KEYS).map(|rows| write(&rows.join(" OR "))).collect())
}

fn condition(columns: &[&SourceColumn], row: &[Value]) -> Option<String> {
    let equal = |(column, value): (&&SourceColumn, &Value)| equal(column, value);
    let equal: Vec<String> = columns.iter().zip(row).map(equal).collect::<Option<_>>()?;
    Some(format!("({})", equal.join(" AND ")))
}

/// Returns the condition that a column has a value; `None` if it never has.
fn equal(column: &SourceColumn, value: &Value) -> Option<String> {
    // A column of the table, not the expression that is selected under its name.
    let name = format!("tidegate_rows.{}", quote(&column.name));
    if value.is_null() {
        return Some(format!("{name} IS NULL"));
    }
    let text = match value {
        Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        value => input_text(value)?,
    };
    let text = literal(&text)?;
    Some(match &column.sql_type {
        SqlType::Super | SqlType::Geo(_) => format!("{} = {text}", column.sql_type.asked(&name)?),
        SqlType::Varbyte => format!("LOWER(TO_HEX({name})) = {text}"),
        SqlType::Other(_) => format!("CAST({name} AS VARCHAR) = {text}"),
        // The blanks at its end do not count.
        SqlType::Varchar(_) | SqlType::Char(_) => format!("{name} = {text}"),
        other => format!("{name} = CAST({text} AS {})", other.cast()),
    })
}

#[cfg(test)]
mod tests {
    use tidegate_transport::sql::incremental::Redshift;

    use super::super::relation::Relation;
    use super::*;

    #[test]
    fn keys_are_written_into_the_statement_with_nulls_and_without_those_that_cannot_be() {
        let column = |name: &str, sql_type| SourceColumn { name: name.to_owned(), sql_type };
        let columns = vec![column("id", SqlType::Integer("bigint")), column("name", SqlType::Varchar(None))];
        let table = Table::new(Redshift, Relation::written("s.t").unwrap(), columns, true).unwrap();
        let text = |text: &str| Value::Text(text.into());
        let values = [
            vec![Value::Int(7), text("it's")],
            vec![Value::Int(8), Value::Null],
            vec![Value::Int(9), text("\0")],
        ];
        let found = lookups(&table, &["id".into(), "name".into()], &values).unwrap();
        assert_eq!(
            found,
            ["SELECT \"id\", \"name\" FROM \"s\".\"t\" AS tidegate_rows WHERE \
              (tidegate_rows.\"id\" = CAST('7' AS BIGINT) AND tidegate_rows.\"name\" = 'it''s') OR \
              (tidegate_rows.\"id\" = CAST('8' AS BIGINT) AND tidegate_rows.\"name\" IS NULL)"]
        );
        let many: Vec<Vec<Value>> = (0..1_001).map(|id| vec![Value::Int(id)]).collect();
        assert_eq!(lookups(&table, &["ID".into()], &many).unwrap().len(), 3);
    }
}
