//! A query as people paste it.

use tidegate_model::Error;

/// Returns a query without the semicolons and blanks at its end. Whether it is one query that only
/// reads is for the database to say: each dialect has quotes and comments of its own.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] if nothing is left.
pub fn trimmed(query: &str) -> Result<&str, Error> {
    match query.trim_start().trim_end_matches(|end: char| end == ';' || end.is_whitespace()) {
        "" => Err(Error::settings("`query` is empty").hint("give one SELECT statement")),
        query => Ok(query),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_ends_before_its_semicolon() {
        assert_eq!(trimmed("  SELECT ';' ; \n;").unwrap(), "SELECT ';'");
        assert_eq!(trimmed("select 1 -- the end;").unwrap(), "select 1 -- the end");
        for nothing in ["", " \n", ";;"] {
            assert!(trimmed(nothing).is_err(), "{nothing}");
        }
    }
}
