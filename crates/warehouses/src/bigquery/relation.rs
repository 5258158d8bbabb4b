//! What rows are read from, and the SQL of a selection. Pure: nothing here is sent.

use tidegate_model::{Error, Value};
use tidegate_transport::sql::hashed::{HashedColumn, exact_float};
use tidegate_transport::sql::incremental::{BigQuery, Dialect as _};
use tidegate_transport::sql::relation::{Named, Naming};
use tidegate_transport::sql::rows::parameter;
use tidegate_transport::sql::selection::parts;
use tidegate_transport::sql::table::{AsCursor, SelectedColumn, SqlTable};

use super::statement::{Parameter, Sql};
use super::types::{Field, Kind};

/// How BigQuery names tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names;

impl Naming for Names {
    const FORM: &'static str = "project.dataset.table";
    const OUTER: [&'static str; 2] = ["project", "dataset"];
    const HINT: &'static str = "for tables that are queried together by a `*`, write a `query`";

    /// One pair of backticks may stand around all parts.
    fn parts(text: &str) -> Option<Vec<String>> {
        let names = parts(text, '`')?;
        match names.as_slice() {
            [whole] if whole.contains('.') => Some(whole.split('.').map(str::to_owned).collect()),
            _ => Some(names),
        }
    }

    fn is_name(name: &str) -> bool {
        is_name(name)
    }

    fn quote(name: &str) -> String {
        quote(name)
    }

    fn shown(name: &str) -> String {
        name.to_owned()
    }
}

/// What rows are read from.
pub type Relation = Named<Names>;

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

impl SelectedColumn for Field {
    fn name(&self) -> &str {
        &self.name
    }

    fn quoted(&self) -> String {
        quote(&self.name)
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

impl HashedColumn for Field {
    fn of_texts(name: &str) -> Field {
        Field { name: name.to_owned(), kind: Kind::Text, is_repeated: false, collation: String::new() }
    }

    fn md5(text: &str) -> String {
        format!("TO_HEX(MD5({text}))")
    }

    fn text(&self) -> Option<String> {
        let column = format!("tidegate_rows.{}", quote(&self.name));
        let as_json = |column: &str| format!("IF({column} IS NULL, NULL, TO_JSON_STRING({column}))");
        if self.is_repeated {
            return Some(as_json(&column));
        }
        Some(match &self.kind {
            Kind::Text => column,
            Kind::Bytes => format!("TO_HEX({column})"),
            Kind::Float64 => exact_float(&column, ("FLOAT64", "STRING")),
            Kind::Timestamp => format!("CAST(UNIX_MICROS({column}) AS STRING)"),
            Kind::Int64
            | Kind::Numeric(_)
            | Kind::BigNumeric(_)
            | Kind::Bool
            | Kind::DateTime
            | Kind::Date
            | Kind::Time => format!("CAST({column} AS STRING)"),
            Kind::Json | Kind::Struct(_) => as_json(&column),
            Kind::Range(_) | Kind::Other(_) => return None,
        })
    }

    fn type_name(&self) -> String {
        self.to_string()
    }
}

/// The relation and its columns: everything that is needed to write statements.
pub type Table = SqlTable<BigQuery, Relation, Field>;

/// Returns the statement for the rows with given keys; `None` if a key column has no equality.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Missing`] for a column that is not there.
pub fn lookup(table: &Table, key: &[String], values: &[Vec<Value>]) -> Result<Option<Sql>, Error> {
    lookup_of(table, key, values, &table.everything())
}

/// The same for rows that `everything` selects of the table.
///
/// # Errors
/// As [`lookup`].
pub fn lookup_of(
    table: &Table,
    key: &[String],
    values: &[Vec<Value>],
    everything: &str,
) -> Result<Option<Sql>, Error> {
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
        text: format!("{everything} WHERE {exists}"),
        parameters: vec![Parameter::Keys { types, rows }],
    }))
}

#[cfg(test)]
mod tests {
    use tidegate_transport::sql::table::Relation as _;

    use super::*;

    fn relation(text: &str) -> Result<Relation, Error> {
        Relation::table(text, [Some("shop-1"), Some("main")])
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
