//! What rows are read from, and the SQL of a selection. Pure: nothing here is sent.

use tidegate_model::Error;
use tidegate_transport::sql::incremental::Redshift;
use tidegate_transport::sql::relation::{Named, Naming};
use tidegate_transport::sql::selection::parts;
use tidegate_transport::sql::table::{SqlTable, TypedColumn};
use tidegate_transport::sql::{self, quote};

use super::types::SqlType;

/// How Redshift names tables. It finds those whose schema is not written by the user's search path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names;

impl Naming for Names {
    const FORM: &'static str = "schema.table";
    const OUTER: [&'static str; 2] = ["database", "schema"];
    const HINT: &'static str = "names that hold a dot are written in double quotes: public.\"a.b\"";

    fn parts(text: &str) -> Option<Vec<String>> {
        parts(text, '"')
    }

    fn is_name(name: &str) -> bool {
        !name.contains('\0')
    }

    fn quote(name: &str) -> String {
        quote(name)
    }

    fn shown(name: &str) -> String {
        if name.contains(['.', '"']) || name.trim() != name { quote(name) } else { name.to_owned() }
    }
}

/// What rows are read from: a table, before its name its schema and its database if they are written, or a query.
pub type Relation = Named<Names, Vec<String>>;

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

/// Returns the schema, if it is written, and the name of a table in the database `own`; `None` for a query and
/// for a table of another database.
pub fn in_database<'a>(relation: &'a Relation, own: &str) -> Option<(Option<&'a str>, &'a str)> {
    let Relation::Table(names, _) = relation else { return None };
    match names.as_slice() {
        [name] => Some((None, name)),
        [schema, name] => Some((Some(schema), name)),
        [database, schema, name] if database.eq_ignore_ascii_case(own) => Some((Some(schema), name)),
        _ => None,
    }
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
pub type SourceColumn = TypedColumn<SqlType>;

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
            let relation = Relation::written(text).unwrap();
            assert_eq!((relation.label().as_str(), relation.quoted().as_deref()), (label, Some(from)));
        }
        for wrong in ["", "a.b.c.d", "a..b", "\"a", "a\0"] {
            assert!(Relation::written(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            in_database(&Relation::written("DEV.s.t").unwrap(), "dev"),
            Some((Some("s"), "t")),
            "names of databases fold"
        );
        assert_eq!(in_database(&Relation::written("other.s.t").unwrap(), "dev"), None);
    }

    #[test]
    fn a_text_in_sql_means_the_same_whether_or_not_a_backslash_is_an_escape() {
        assert_eq!(literal("it's").as_deref(), Some("'it''s'"));
        assert_eq!(literal("a\\'b").as_deref(), Some("('a' || CHR(92) || '''b')"));
        assert_eq!(literal("a\0"), None);
    }
}
