//! What rows are read from, and the SQL of a selection. Pure: nothing here is sent.

use tidegate_model::Error;
use tidegate_transport::sql::backtick as quote;
use tidegate_transport::sql::incremental::Databricks;
use tidegate_transport::sql::relation::{Named, Naming};
use tidegate_transport::sql::selection::parts;
use tidegate_transport::sql::table::{SqlTable, TypedColumn};

use super::settings::is_name;
use super::types::{Shape, SqlType};

/// How Databricks names tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names;

impl Naming for Names {
    const FORM: &'static str = "catalog.schema.table";
    const OUTER: [&'static str; 2] = ["catalog", "schema"];
    const HINT: &'static str = "names that hold a dot are written in backticks: main.shop.`a.b`";

    fn parts(text: &str) -> Option<Vec<String>> {
        parts(text, '`')
    }

    fn is_name(name: &str) -> bool {
        is_name(name)
    }

    fn quote(name: &str) -> String {
        quote(name)
    }

    fn shown(name: &str) -> String {
        let plain = name.chars().all(|character| character.is_alphanumeric() || "_-$ ".contains(character));
        if plain && name.trim() == name { name.to_owned() } else { quote(name) }
    }
}

/// What rows are read from.
pub type Relation = Named<Names>;

/// A column that is read.
pub type SourceColumn = TypedColumn<SqlType>;

/// The relation and its columns: everything that is needed to write statements.
pub type Table = SqlTable<Databricks, Relation, SourceColumn>;

/// Returns the statement for the rows with given keys: its parameter is a JSON array of arrays of
/// texts. `None` if a key column has no equality.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Missing`] for a column that is not there.
pub fn lookup(table: &Table, key: &[String]) -> Result<Option<String>, Error> {
    lookup_of(table, key, &table.everything())
}

/// The same for rows that `everything` selects of the table.
///
/// # Errors
/// As [`lookup`].
pub fn lookup_of(table: &Table, key: &[String], everything: &str) -> Result<Option<String>, Error> {
    let mut conditions = Vec::with_capacity(key.len());
    for (at, name) in key.iter().enumerate() {
        let column = table.find(name)?;
        let Some(wanted) = column.sql_type.converted(&format!("tidegate_wanted.k[{at}]")) else {
            return Ok(None);
        };
        conditions.push(format!("tidegate_rows.{} <=> {wanted}", quote(&column.name)));
    }
    let wanted = "(SELECT DISTINCT explode(from_json(:p1, 'array<array<string>>')) AS k) AS tidegate_wanted";
    Ok(Some(format!("{everything} LEFT SEMI JOIN {wanted} ON {}", conditions.join(" AND "))))
}

/// Returns how the cells of each column arrive.
pub fn shapes(table: &Table) -> Vec<Shape> {
    table.columns.iter().map(|column| column.sql_type.shape()).collect()
}

#[cfg(test)]
mod tests {
    use tidegate_transport::sql::table::Relation as _;

    use super::*;

    fn relation(text: &str) -> Result<Relation, Error> {
        Relation::table(text, [Some("main"), Some("shop")])
    }

    #[test]
    fn parts_that_are_not_written_are_those_of_the_connection() {
        for (text, label) in [
            ("orders", "main.shop.orders"),
            ("sales.orders", "main.sales.orders"),
            ("dev.sales.Orders", "dev.sales.Orders"),
            ("dev.sales.`a.b``c`", "dev.sales.`a.b``c`"),
        ] {
            assert_eq!(relation(text).unwrap().label(), label);
        }
        for wrong in ["", "a.b.c.d", "a..b", "`a", "a/b"] {
            assert!(relation(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_backtick_in_a_name_cannot_end_it() {
        let from = relation("a.b.`c``; DROP TABLE x`").unwrap().from();
        assert_eq!(from, "`a`.`b`.`c``; DROP TABLE x` AS tidegate_rows");
    }
}
