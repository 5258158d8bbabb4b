//! What rows are read from, and the SQL of a selection. Pure: nothing here is sent.

use tidegate_model::Error;
use tidegate_transport::sql::incremental::Databricks;
use tidegate_transport::sql::selection::parts;
use tidegate_transport::sql::table::{AsCursor, SelectedColumn, SqlTable};
use tidegate_transport::sql::{self, backtick as quote};

use super::settings::{DatabricksSettings, is_name};
use super::types::{Shape, SqlType};

/// What rows are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// A table or view: catalog, schema and name.
    Table([String; 3]),
    /// A query, checked to be a single one.
    Query(String),
}

impl Relation {
    /// Reads `catalog.schema.table`; the settings give the parts that are not written.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything but one to three names, and for
    /// a part that is neither written nor set.
    pub fn table(text: &str, settings: &DatabricksSettings) -> Result<Relation, Error> {
        let mut names = names(text)?;
        if names.len() < 2 {
            names.insert(0, written(settings.schema.as_ref(), text, "schema")?);
        }
        if names.len() < 3 {
            names.insert(0, written(settings.catalog.as_ref(), text, "catalog")?);
        }
        <[String; 3]>::try_from(names).map(Relation::Table).map_err(|_| wrong())
    }
}

impl sql::table::Relation for Relation {
    fn label(&self) -> String {
        match self {
            Relation::Table(names) => names.each_ref().map(|name| shown(name)).join("."),
            Relation::Query(_) => "the query".to_owned(),
        }
    }

    fn from(&self) -> String {
        match self {
            Relation::Query(query) => format!("({query}\n) AS tidegate_rows"),
            Relation::Table(names) => format!("{} AS tidegate_rows", quoted(names)),
        }
    }
}

fn wrong() -> Error {
    Error::settings("`table`: expected `catalog.schema.table`")
        .hint("names that hold a dot are written in backticks: main.shop.`a.b`")
}

fn written(set: Option<&String>, text: &str, part: &str) -> Result<String, Error> {
    set.cloned().ok_or_else(|| {
        Error::settings(format!("`table`: `{text}` names no {part}"))
            .hint(format!("write `catalog.schema.table`, or set `{part}` in the connection"))
    })
}

/// Splits a name at its dots; parts in backticks may hold some.
fn names(text: &str) -> Result<Vec<String>, Error> {
    parts(text, '`')
        .filter(|names| names.len() <= 3 && names.iter().all(|name| is_name(name)))
        .ok_or_else(wrong)
}

/// Returns a name as it is written in a selection: quoted only where it has to be.
pub fn shown(name: &str) -> String {
    let plain = name.chars().all(|character| character.is_alphanumeric() || "_-$ ".contains(character));
    if plain && name.trim() == name { name.to_owned() } else { quote(name) }
}

/// Returns names joined by dots, each in backticks.
pub fn quoted<const N: usize>(names: &[String; N]) -> String {
    names.each_ref().map(|name| quote(name)).join(".")
}

/// A column that is read.
#[derive(Clone, Debug)]
pub struct SourceColumn {
    /// Name.
    pub name: String,
    /// Type.
    pub sql_type: SqlType,
}

impl SelectedColumn for SourceColumn {
    fn name(&self) -> &str {
        &self.name
    }

    fn asked(&self) -> String {
        let name = quote(&self.name);
        match self.sql_type.asked(&name) {
            Some(expression) => format!("{expression} AS {name}"),
            None => name,
        }
    }

    fn as_cursor(&self) -> AsCursor {
        AsCursor {
            expression: format!("tidegate_rows.{}", quote(&self.name)),
            data_type: self.sql_type.data_type(),
            cast: self.sql_type.cast(),
            type_name: self.sql_type.to_string(),
        }
    }
}

/// The relation and its columns: everything that is needed to write statements.
pub type Table = SqlTable<Databricks, Relation, SourceColumn>;

/// Returns the statement for the rows with given keys: its parameter is a JSON array of arrays of
/// texts. `None` if a key column has no equality.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Missing`] for a column that is not there.
pub fn lookup(table: &Table, key: &[String]) -> Result<Option<String>, Error> {
    let mut conditions = Vec::with_capacity(key.len());
    for (at, name) in key.iter().enumerate() {
        let column = table.find(name)?;
        let Some(wanted) = column.sql_type.converted(&format!("tidegate_wanted.k[{at}]")) else {
            return Ok(None);
        };
        conditions.push(format!("tidegate_rows.{} <=> {wanted}", quote(&column.name)));
    }
    let wanted = "(SELECT DISTINCT explode(from_json(:p1, 'array<array<string>>')) AS k) AS tidegate_wanted";
    Ok(Some(format!("{} LEFT SEMI JOIN {wanted} ON {}", table.everything(), conditions.join(" AND "))))
}

/// Returns how the cells of each column arrive.
pub fn shapes(table: &Table) -> Vec<Shape> {
    table.columns.iter().map(|column| column.sql_type.shape()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_testkit::http::raw;
    use tidegate_transport::sql::table::Relation as _;

    use super::*;

    fn relation(text: &str) -> Result<Relation, Error> {
        let settings = json!({
            "host": "h", "warehouse_id": "w", "token": "t", "catalog": "main", "schema": "shop",
        });
        Relation::table(text, &raw(settings).parse().unwrap())
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
