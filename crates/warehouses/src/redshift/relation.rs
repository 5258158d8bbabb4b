//! What rows are read from, and the SQL of a selection. Pure: nothing here is sent.

use tidegate_model::Error;
use tidegate_transport::sql::incremental::Redshift;
use tidegate_transport::sql::selection::parts;
use tidegate_transport::sql::table::{AsCursor, SelectedColumn, SqlTable};
use tidegate_transport::sql::{self, quote};

use super::types::SqlType;

/// What rows are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// A table or view: its name, before it its schema and its database if they are written.
    Table(Vec<String>),
    /// A query, checked to be a single one.
    Query(String),
}

impl Relation {
    /// Reads `database.schema.table`, of which the first two may be missing; names in double quotes may hold
    /// dots.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything but one to three names.
    pub fn table(text: &str) -> Result<Relation, Error> {
        let names = parts(text, '"').filter(|names| names.len() <= 3 && !text.contains('\0'));
        names.map(Relation::Table).ok_or_else(|| {
            Error::settings("`table`: expected `schema.table`")
                .hint("names that hold a dot are written in double quotes: public.\"a.b\"")
        })
    }

    /// Takes a query.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for one that no server can read.
    pub fn query(text: &str) -> Result<Relation, Error> {
        match text.contains('\0') {
            true => Err(Error::settings("`query` has a character that no statement can have: U+0000")),
            false => Ok(Relation::Query(text.to_owned())),
        }
    }

    /// Returns the quoted name of a table; `None` for a query.
    pub fn quoted(&self) -> Option<String> {
        match self {
            Relation::Table(names) => Some(quoted(names)),
            Relation::Query(_) => None,
        }
    }

    /// Returns the schema, if it is written, and the name of a table in the database `own`; `None` for a
    /// query and for a table of another database.
    pub fn in_database(&self, own: &str) -> Option<(Option<&str>, &str)> {
        let Relation::Table(names) = self else { return None };
        match names.as_slice() {
            [name] => Some((None, name)),
            [schema, name] => Some((Some(schema), name)),
            [database, schema, name] if database.eq_ignore_ascii_case(own) => Some((Some(schema), name)),
            _ => None,
        }
    }
}

impl sql::table::Relation for Relation {
    fn label(&self) -> String {
        match self {
            Relation::Table(names) => names.iter().map(|name| shown(name)).collect::<Vec<_>>().join("."),
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

/// Returns a name as it is written in a selection: quoted only where it has to be.
pub fn shown(name: &str) -> String {
    if name.contains(['.', '"']) || name.trim() != name { quote(name) } else { name.to_owned() }
}

/// Returns names joined by dots, each in double quotes.
pub fn quoted(names: &[String]) -> String {
    names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(".")
}

/// Returns a text in SQL, whether or not a backslash is an escape; `None` if it has U+0000, which no text of
/// Redshift has.
pub fn literal(text: &str) -> Option<String> {
    if text.contains('\0') {
        return None;
    }
    let pieces: Vec<String> = text.split('\\').map(sql::literal).collect();
    match pieces.as_slice() {
        [whole] => Some(whole.clone()),
        pieces => Some(format!("({})", pieces.join(" || CHR(92) || "))),
    }
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
            // The name alone would be that of the expression under it.
            expression: format!("tidegate_rows.{}", quote(&self.name)),
            data_type: self.sql_type.data_type(),
            cast: self.sql_type.cast(),
            type_name: self.sql_type.to_string(),
        }
    }
}

/// The relation and its columns: everything that is needed to write statements.
pub type Table = SqlTable<Redshift, Relation, SourceColumn>;

#[cfg(test)]
mod tests {
    use tidegate_transport::sql::table::Relation as _;

    use super::*;

    #[test]
    fn a_table_has_one_to_three_names() {
        for (text, label, from) in [
            ("orders", "orders", "\"orders\""),
            ("public.Orders", "public.Orders", "\"public\".\"Orders\""),
            ("dev.public.\"a.b\"\"c\"", "dev.public.\"a.b\"\"c\"", "\"dev\".\"public\".\"a.b\"\"c\""),
        ] {
            let relation = Relation::table(text).unwrap();
            assert_eq!((relation.label().as_str(), relation.quoted().as_deref()), (label, Some(from)));
        }
        for wrong in ["", "a.b.c.d", "a..b", "\"a", "a\0"] {
            assert!(Relation::table(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            Relation::table("DEV.s.t").unwrap().in_database("dev"),
            Some((Some("s"), "t")),
            "names of databases fold"
        );
        assert_eq!(Relation::table("other.s.t").unwrap().in_database("dev"), None);
    }

    #[test]
    fn a_text_in_sql_means_the_same_whether_or_not_a_backslash_is_an_escape() {
        assert_eq!(literal("it's").as_deref(), Some("'it''s'"));
        assert_eq!(literal("a\\'b").as_deref(), Some("('a' || CHR(92) || '''b')"));
        assert_eq!(literal("a\0"), None);
    }
}
