//! What rows are read from, and the SQL of a selection. Pure: nothing here is sent.

use tidegate_model::{Error, Value};
use tidegate_transport::sql;
use tidegate_transport::sql::incremental::{BigQuery, Dialect as _};
use tidegate_transport::sql::selection::parts;
use tidegate_transport::sql::table::{AsCursor, SelectedColumn, SqlTable};

use super::settings::BigQuerySettings;
use super::statement::{Parameter, Sql};
use super::types::Field;

/// What rows are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// A table or view: project, dataset and name.
    Table([String; 3]),
    /// A query.
    Query(String),
}

impl Relation {
    /// Reads `project.dataset.table`; the settings give the parts that are not written.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything but one to three names, and for a dataset that
    /// is neither written nor set.
    pub fn table(text: &str, settings: &BigQuerySettings) -> Result<Relation, Error> {
        let mut names = names(text)?;
        if names.len() < 2 {
            let dataset = settings.dataset.clone().ok_or_else(|| {
                Error::settings(format!("`table`: `{text}` names no dataset"))
                    .hint("write `dataset.table`, or set `dataset` in the connection")
            })?;
            names.insert(0, dataset);
        }
        if names.len() < 3 {
            names.insert(0, settings.project.clone());
        }
        <[String; 3]>::try_from(names).map(Relation::Table).map_err(|_| wrong())
    }
}

impl sql::table::Relation for Relation {
    fn label(&self) -> String {
        match self {
            Relation::Table(names) => names.join("."),
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
    Error::settings("`table`: expected `project.dataset.table`")
        .hint("for tables that are queried together by a `*`, write a `query`")
}

/// Splits a name at its dots. In BigQuery, one pair of backticks may stand around all parts.
fn names(text: &str) -> Result<Vec<String>, Error> {
    let mut names = parts(text, '`').ok_or_else(wrong)?;
    if let [whole] = names.as_slice()
        && whole.contains('.')
    {
        names = whole.split('.').map(str::to_owned).collect();
    }
    match names.len() <= 3 && names.iter().all(|name| is_name(name)) {
        true => Ok(names),
        false => Err(wrong()),
    }
}

/// Returns whether a text can be the name of a dataset or a table.
///
/// Source: BigQuery docs, "Table naming": letters, marks, numbers, connectors, dashes and spaces.
pub fn is_name(name: &str) -> bool {
    let fits = |sign: char| {
        sign.is_alphanumeric() || "_- :".contains(sign) || (!sign.is_ascii() && !sign.is_control())
    };
    !name.is_empty() && name.len() <= 1_024 && name.chars().all(fits)
}

/// Returns a name in backticks.
pub fn quote(name: &str) -> String {
    BigQuery.quote(name)
}

/// Returns names joined by dots, each in backticks.
pub fn quoted(names: &[String; 3]) -> String {
    names.each_ref().map(|name| quote(name)).join(".")
}

impl SelectedColumn for Field {
    fn name(&self) -> &str {
        &self.name
    }

    fn asked(&self) -> String {
        quote(&self.name)
    }

    fn as_cursor(&self) -> AsCursor {
        let column = format!("tidegate_rows.{}", quote(&self.name));
        AsCursor {
            // A collation that folds would hide rows; without one, texts are compared byte by byte.
            expression: match self.collation.is_empty() {
                true => column,
                false => format!("COLLATE({column}, '')"),
            },
            data_type: self.data_type(),
            cast: self.comparable().unwrap_or("STRING").to_owned(),
            type_name: self.to_string(),
        }
    }
}

/// The relation and its columns: everything that is needed to write statements.
pub type Table = SqlTable<BigQuery, Relation, Field>;

/// Returns the statement for the rows with given keys; `None` if a key column has no equality.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Missing`] for a column that is not there.
pub fn lookup(table: &Table, key: &[String], values: &[Vec<Value>]) -> Result<Option<Sql>, Error> {
    let mut conditions = Vec::with_capacity(key.len());
    let mut types = Vec::with_capacity(key.len());
    for (at, name) in key.iter().enumerate() {
        let column = table.find(name)?;
        let Some(sql_type) = column.comparable() else { return Ok(None) };
        types.push(sql_type);
        let (column, wanted) =
            (format!("tidegate_rows.{}", quote(&column.name)), format!("tidegate_wanted.k{at}"));
        conditions.push(format!("({column} = {wanted} OR ({column} IS NULL AND {wanted} IS NULL))"));
    }
    let exists =
        format!("EXISTS (SELECT 1 FROM UNNEST(@p1) AS tidegate_wanted WHERE {})", conditions.join(" AND "));
    let rows = values.iter().map(|key| key.iter().map(parameter).collect()).collect();
    Ok(Some(Sql {
        text: format!("{} WHERE {exists}", table.everything()),
        parameters: vec![Parameter::Keys { types, rows }],
    }))
}

/// Returns a value as the text of a parameter; `None` for null and for the beginning of time, before
/// which nothing is.
pub fn parameter(value: &Value) -> Option<String> {
    match value {
        Value::Timestamp(at) if *at == jiff::Timestamp::MIN => None,
        Value::DateTime(at) if *at == jiff::civil::DateTime::MIN => None,
        Value::Date(day) if *day == jiff::civil::Date::MIN => None,
        value => value.to_text().map(|text| text.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_testkit::http::raw;
    use tidegate_transport::sql::table::Relation as _;

    use super::*;

    fn relation(text: &str) -> Result<Relation, Error> {
        Relation::table(text, &raw(json!({ "project": "shop-1", "dataset": "main" })).parse().unwrap())
    }

    #[test]
    fn parts_that_are_not_written_are_those_of_the_connection() {
        for (text, label) in [
            ("orders", "shop-1.main.orders"),
            ("sales.orders", "shop-1.sales.orders"),
            ("other-2.sales.Orders", "other-2.sales.Orders"),
            ("`other-2.sales.orders`", "other-2.sales.orders"),
            ("`other-2`.sales.`of the day`", "other-2.sales.of the day"),
        ] {
            assert_eq!(relation(text).unwrap().label(), label);
        }
        for wrong in ["", "a.b.c.d", "a..b", "`a", "a/b", "events_*", "t$20240101", "a\\b"] {
            assert!(relation(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_backtick_or_a_backslash_in_a_name_cannot_end_it() {
        assert_eq!(quote("a`b\\"), "`a\\`b\\\\`");
    }
}
