//! What rows are read from, and the SQL of a selection. Pure: nothing here is sent.

use tidegate_model::Error;
use tidegate_transport::sql::incremental::Snowflake;
use tidegate_transport::sql::quote;
use tidegate_transport::sql::relation::{Named, Naming};
use tidegate_transport::sql::selection::parts;
use tidegate_transport::sql::table::{SqlTable, TypedColumn};

use super::types::SqlType;

/// How Snowflake names tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names;

impl Naming for Names {
    const FORM: &'static str = "database.schema.table";
    const OUTER: [&'static str; 2] = ["database", "schema"];
    const HINT: &'static str =
        "names that hold a dot or lower case are written in double quotes: SHOP.PUBLIC.\"a.b\"";

    /// Parts that are not in double quotes are upper-cased.
    fn parts(text: &str) -> Option<Vec<String>> {
        let mut quoted = false;
        let upper: String = text
            .chars()
            .flat_map(|sign| {
                quoted ^= sign == '"';
                let kept = quoted.then_some(sign);
                kept.into_iter().chain((!quoted).then(|| sign.to_uppercase()).into_iter().flatten())
            })
            .collect();
        parts(&upper, '"')
    }

    fn is_name(name: &str) -> bool {
        is_name(name)
    }

    fn stored(name: &str) -> String {
        folded(name)
    }

    fn quote(name: &str) -> String {
        quote(name)
    }

    fn shown(name: &str) -> String {
        let plain = name
            .chars()
            .all(|sign| sign.is_ascii_uppercase() || sign.is_ascii_digit() || "_$".contains(sign));
        let begins_with_digit = name.starts_with(|sign: char| sign.is_ascii_digit());
        if plain && !begins_with_digit { name.to_owned() } else { quote(name) }
    }
}

/// What rows are read from.
pub type Relation = Named<Names>;

/// Returns a name as Snowflake stores it: upper-cased, unless it is in double quotes.
///
/// Source: Snowflake docs, "Identifier requirements".
pub fn folded(name: &str) -> String {
    let name = name.trim();
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_uppercase(),
    }
}

/// Returns whether a text can be a name.
///
/// Source: Snowflake docs, "Identifier requirements": at most 255 characters.
pub fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= 255 && !name.chars().any(char::is_control)
}

/// A column that is read.
pub type SourceColumn = TypedColumn<SqlType>;

/// The relation and its columns: everything that is needed to write statements.
pub type Table = SqlTable<Snowflake, Relation, SourceColumn>;

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
    let mut wanted = Vec::with_capacity(key.len());
    let mut conditions = Vec::with_capacity(key.len());
    for (at, name) in key.iter().enumerate() {
        let column = table.find(name)?;
        let Some(value) = column.sql_type.converted(&format!("tidegate_wanted.tidegate_k{at}")) else {
            return Ok(None);
        };
        wanted.push(format!("tidegate_keys.value[{at}]::VARCHAR AS tidegate_k{at}"));
        conditions.push(format!("tidegate_rows.{} IS NOT DISTINCT FROM {value}", quote(&column.name)));
    }
    let wanted = format!(
        "(SELECT DISTINCT {} FROM TABLE(FLATTEN(INPUT => PARSE_JSON(?))) AS tidegate_keys) AS tidegate_wanted",
        wanted.join(", ")
    );
    Ok(Some(format!("{everything} JOIN {wanted} ON {}", conditions.join(" AND "))))
}

#[cfg(test)]
mod tests {
    use tidegate_transport::sql::table::Relation as _;

    use super::*;

    fn relation(text: &str) -> Result<Relation, Error> {
        Relation::table(text, [Some("shop"), Some("\"small\"")])
    }

    #[test]
    fn names_fold_as_snowflake_folds_them_and_parts_that_are_not_written_are_those_of_the_connection() {
        for (text, label) in [
            ("orders", "SHOP.\"small\".ORDERS"),
            ("sales.Orders", "SHOP.SALES.ORDERS"),
            ("dev.sales.\"Orders\"", "DEV.SALES.\"Orders\""),
            ("dev.sales.\"a.b\"\"c\"", "DEV.SALES.\"a.b\"\"c\""),
        ] {
            assert_eq!(relation(text).unwrap().label(), label);
        }
        for wrong in ["", "a.b.c.d", "a..b", "\"a"] {
            assert!(relation(wrong).is_err(), "{wrong}");
        }
        assert_eq!(folded(" tidegate_wh "), "TIDEGATE_WH");
        assert_eq!(folded("\"mixed\"\"Case\""), "mixed\"Case");
    }

    #[test]
    fn a_quote_in_a_name_cannot_end_it() {
        let from = relation("a.b.\"c\"\"; DROP TABLE x\"").unwrap().from();
        assert_eq!(from, "\"A\".\"B\".\"c\"\"; DROP TABLE x\" AS tidegate_rows");
    }
}
