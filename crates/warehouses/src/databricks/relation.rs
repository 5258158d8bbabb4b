//! What rows are read from, and the SQL of a selection. Pure: nothing here is sent.

use std::sync::Arc;

use tidegate_model::{Columns, Error};
use tidegate_transport::sql::incremental::{CursorColumn, Databricks, Incremental};
use tidegate_transport::sql::{backtick as quote, missing_column};

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

    /// Returns its name in messages.
    pub fn label(&self) -> String {
        match self {
            Relation::Table(names) => names.each_ref().map(|name| shown(name)).join("."),
            Relation::Query(_) => "the query".to_owned(),
        }
    }

    /// Returns the text after `FROM`.
    pub fn from(&self) -> String {
        match self {
            Relation::Query(query) => format!("({query}\n) AS tidegate_rows"),
            Relation::Table(names) => format!("{} AS tidegate_rows", quoted(names)),
        }
    }

    /// Returns a statement whose columns are those of the relation. It gives no rows.
    pub fn probe(&self) -> String {
        format!("SELECT * FROM {} LIMIT 0", self.from())
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
    let mut names = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.trim().chars().peekable();
    while let Some(character) = characters.next() {
        let name = names.last_mut().ok_or_else(wrong)?;
        match character {
            '`' if quoted && characters.next_if_eq(&'`').is_some() => name.push('`'),
            '`' => quoted = !quoted,
            '.' if !quoted => names.push(String::new()),
            _ => name.push(character),
        }
    }
    match quoted || names.len() > 3 || !names.iter().all(|name| is_name(name)) {
        true => Err(wrong()),
        false => Ok(names),
    }
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

impl SourceColumn {
    /// Returns the column as its cells are asked for.
    fn asked(&self) -> String {
        let name = quote(&self.name);
        match self.sql_type.asked(&name) {
            Some(expression) => format!("{expression} AS {name}"),
            None => name,
        }
    }
}

/// The relation and its columns: everything that is needed to write statements.
#[derive(Clone, Debug)]
pub struct Table {
    /// What is read from.
    pub relation: Relation,
    /// Its columns in order.
    pub columns: Vec<SourceColumn>,
}

impl Table {
    /// Returns the statement for every row, in no particular order.
    pub fn everything(&self) -> String {
        format!("SELECT {} FROM {}", self.list(), self.relation.from())
    }

    /// Returns the statement for the rows with given keys: its parameter is a JSON array
    /// of arrays of texts. `None` if a key column has no equality.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] for a column that is not there.
    pub fn lookup(&self, key: &[String]) -> Result<Option<String>, Error> {
        let mut conditions = Vec::with_capacity(key.len());
        for (at, name) in key.iter().enumerate() {
            let column = self.find(name)?;
            let Some(wanted) = column.sql_type.converted(&format!("tidegate_wanted.k[{at}]")) else {
                return Ok(None);
            };
            conditions.push(format!("tidegate_rows.{} <=> {wanted}", quote(&column.name)));
        }
        let wanted =
            "(SELECT DISTINCT explode(from_json(:p1, 'array<array<string>>')) AS k) AS tidegate_wanted";
        Ok(Some(format!(
            "SELECT {} FROM {} LEFT SEMI JOIN {wanted} ON {}",
            self.list(),
            self.relation.from(),
            conditions.join(" AND ")
        )))
    }

    /// Returns the table with these of its columns alone, in this order.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] for a column that is not there.
    pub fn narrowed(self, columns: &[String]) -> Result<Table, Error> {
        let columns = columns.iter().map(|name| self.find(name).cloned()).collect::<Result<_, _>>()?;
        Ok(Table { relation: self.relation, columns })
    }

    /// Finds a column: its exact name, else the only one that differs in case alone.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] if it is not there.
    pub fn find(&self, name: &str) -> Result<&SourceColumn, Error> {
        let columns = self.names();
        match columns.position(name).and_then(|at| self.columns.get(at)) {
            Some(column) => Ok(column),
            None => Err(missing_column(name, &columns, &self.relation.label())),
        }
    }

    /// Prepares the statements of an incremental read.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] for a column that is not there,
    /// [`tidegate_model::ErrorKind::Settings`] for one that has no usable order.
    pub fn cursor(&self, column: &str, time_zone: &str) -> Result<Incremental<Databricks>, Error> {
        let column = self.find(column)?;
        let cursor = CursorColumn {
            expression: format!("tidegate_rows.{}", quote(&column.name)),
            data_type: &column.sql_type.data_type(),
            cast: column.sql_type.cast(),
        };
        Incremental::new(Databricks, &self.list(), &self.relation.from(), cursor, time_zone).ok_or_else(
            || {
                Error::settings(format!(
                    "column `{}` of type {} cannot be a cursor",
                    column.name, column.sql_type
                ))
                .hint("take a timestamp, a date, a number or a text that only grows, or `mode: full`")
            },
        )
    }

    /// Returns the names of the columns, to share.
    pub fn names(&self) -> Arc<Columns> {
        Columns::new(self.columns.iter().map(|column| column.name.as_str()))
    }

    /// Returns how the cells of each column arrive.
    pub fn shapes(&self) -> Vec<Shape> {
        self.columns.iter().map(|column| column.sql_type.shape()).collect()
    }

    fn list(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(SourceColumn::asked).collect();
        columns.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_testkit::http::raw;

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
