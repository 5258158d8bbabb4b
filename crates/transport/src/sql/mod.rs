//! What every SQL source needs, whatever its dialect: quoted names, names that
//! are near to each other, the statements of an incremental read, and queries as people paste them.

pub mod bookkeeping;
pub mod events;
pub mod hashed;
pub mod incremental;
pub mod reading;
pub mod relation;
pub mod rows;
pub mod selection;
pub mod statement;
pub mod table;

use tidegate_model::{Columns, Error, ErrorKind};

/// Returns a name in double quotes, as standard SQL writes it.
pub fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for character in name.chars() {
        if character == '"' {
            quoted.push('"');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// Returns a name in backticks, as Databricks and BigQuery write it.
pub fn backtick(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Returns a text in single quotes, as standard SQL writes it.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns the candidate that a person most likely meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&candidate.to_lowercase(), &name), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 1 + name.chars().count() / 3)
        .map(|(_, candidate)| candidate)
}

/// Returns the error for a column that a selection does not have.
pub fn missing_column(name: &str, columns: &Columns, selection: &str) -> Error {
    let hint = match nearest(name, columns.names().iter().map(String::as_str)) {
        Some(column) => format!("did you mean `{column}`? Correct the name, or add the column there"),
        None => {
            let columns = columns.names().join(", ");
            format!("the columns are: {columns}; correct the name, or add the column there")
        }
    };
    Error::new(ErrorKind::Missing, format!("{selection} has no column `{name}`")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_name_or_a_text_cannot_end_it() {
        assert_eq!(quote("Order \"Lines\""), "\"Order \"\"Lines\"\"\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(backtick("a`b"), "`a``b`");
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("custmer", ["id", "customer", "total"]), Some("customer"));
        assert_eq!(nearest("Customer", ["customer"]), Some("customer"));
        assert_eq!(nearest("zebra", ["id", "customer", "total"]), None);
    }
}
