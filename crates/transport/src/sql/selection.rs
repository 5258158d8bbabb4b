//! What a sync selects of a SQL source: exactly one of `table` and `query`.

use tidegate_model::{Error, Selection};

use super::statement::trimmed;

/// The member that holds the columns which are read. Only [`narrow`] sets it.
const COLUMNS: &str = "columns";

/// A table or a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selected<'a> {
    /// The name of a table or view, as it is written.
    Table(&'a str),
    /// A query, without the semicolons at its end.
    Query(&'a str),
}

/// Returns what is selected. `example` is the name of a table.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] for anything but one table or one query.
pub fn selected<'a>(
    table: Option<&'a str>,
    query: Option<&'a str>,
    example: &str,
) -> Result<Selected<'a>, Error> {
    match (table, query) {
        (Some(table), None) => Ok(Selected::Table(table)),
        (None, Some(query)) => trimmed(query).map(Selected::Query),
        (Some(_), Some(_)) => {
            Err(Error::settings("`source` has both `table` and `query`").hint("keep one of them"))
        }
        (None, None) => Err(Error::settings("`source` has neither `table` nor `query`")
            .hint(format!("name a table, for example `table: {example}`"))),
    }
}

/// Returns the selection that has only these columns.
pub fn narrow(selection: &Selection, columns: &[String]) -> Selection {
    let mut members = selection.members().clone();
    members.insert(COLUMNS.to_owned(), columns.into());
    Selection::new(members)
}

/// Splits a name at its dots. Parts between `quote` signs may hold some; a doubled sign inside is
/// one. Returns `None` for an empty part and for a quote that does not end.
pub fn parts(text: &str, quote: char) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.trim().chars().peekable();
    while let Some(character) = characters.next() {
        let part = parts.last_mut()?;
        if character == quote {
            match quoted && characters.next_if_eq(&quote).is_some() {
                true => part.push(quote),
                false => quoted = !quoted,
            }
        } else if character == '.' && !quoted {
            parts.push(String::new());
        } else {
            part.push(character);
        }
    }
    (!quoted && !parts.iter().any(String::is_empty)).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_at_dots_that_are_not_in_quotes() {
        for (text, quote, expected) in [
            ("public.orders", '"', vec!["public", "orders"]),
            ("public.\"a.b\"\"c\"", '"', vec!["public", "a.b\"c"]),
            (" main.shop.`a.b``c` ", '`', vec!["main", "shop", "a.b`c"]),
        ] {
            assert_eq!(parts(text, quote).unwrap(), expected);
        }
        for wrong in ["", "a..b", ".a", "\"a"] {
            assert_eq!(parts(wrong, '"'), None, "{wrong}");
        }
    }

    #[test]
    fn exactly_one_of_table_and_query_is_selected() {
        assert_eq!(selected(Some("t"), None, "a.b").unwrap(), Selected::Table("t"));
        assert_eq!(selected(None, Some("select 1;"), "a.b").unwrap(), Selected::Query("select 1"));
        assert!(selected(Some("t"), Some("select 1"), "a.b").is_err());
        assert_eq!(
            selected(None, None, "a.b").unwrap_err().next_step(),
            "name a table, for example `table: a.b`"
        );
    }
}
