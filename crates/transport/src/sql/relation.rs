//! What rows are read from in a system whose tables have names of three parts.

use tidegate_model::Error;

use super::table;

/// How a system names tables.
pub trait Naming {
    /// How a full name is written: `catalog.schema.table`.
    const FORM: &'static str;
    /// The settings of a connection that give the first and the second part.
    const OUTER: [&'static str; 2];
    /// What to do about a name that cannot be read.
    const HINT: &'static str;

    /// Splits a name at its dots, and takes its quotes off; `None` if that cannot be done.
    fn parts(text: &str) -> Option<Vec<String>>;

    /// Returns whether a text can be a part of a name.
    fn is_name(name: &str) -> bool;

    /// Returns a part that comes from a setting as the system stores it.
    fn stored(name: &str) -> String {
        name.to_owned()
    }

    /// Returns a part in quotes.
    fn quote(name: &str) -> String;

    /// Returns a part as it is written in a selection: in quotes only where it has to be.
    fn shown(name: &str) -> String;

    /// Returns parts joined by dots, each in quotes.
    fn quoted(names: &[String]) -> String {
        names.iter().map(|name| Self::quote(name)).collect::<Vec<_>>().join(".")
    }

    /// Returns parts joined by dots, for people.
    fn label(names: &[String]) -> String {
        names.iter().map(|name| Self::shown(name)).collect::<Vec<_>>().join(".")
    }
}

/// What rows are read from, in a system whose names are those of `N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<N> {
    /// A table or view: the three parts of its name.
    Table([String; 3], N),
    /// A query.
    Query(String),
}

impl<N: Naming + Default> Named<N> {
    /// Reads the name of a table; `outer` are the connection's own first and second part, which names that are
    /// shorter count from.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything but one to three parts, and for a part that is
    /// neither written nor set.
    pub fn table(text: &str, outer: [Option<&str>; 2]) -> Result<Named<N>, Error> {
        full_name::<N>("table", N::FORM, text, outer).map(|names| Named::Table(names, N::default()))
    }
}

/// Reads the value of a setting as a name of three parts. `form` is how it is written; `outer` are the
/// connection's own first and second part.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] as [`Named::table`] has them.
pub fn full_name<N: Naming>(
    setting: &str,
    form: &str,
    text: &str,
    outer: [Option<&str>; 2],
) -> Result<[String; 3], Error> {
    let wrong = || Error::settings(format!("`{setting}`: expected `{form}`")).hint(N::HINT);
    let is_one = |names: &Vec<String>| names.len() <= 3 && names.iter().all(|name| N::is_name(name));
    let mut names = N::parts(text).filter(is_one).ok_or_else(wrong)?;
    while names.len() < 3 {
        let at = 2 - names.len();
        let set = outer[at].ok_or_else(|| {
            Error::settings(format!("`{setting}`: `{text}` names no {}", N::OUTER[at]))
                .hint(format!("write `{form}`, or set `{}` in the connection", N::OUTER[at]))
        })?;
        names.insert(0, N::stored(set));
    }
    <[String; 3]>::try_from(names).map_err(|_| wrong())
}

impl<N: Naming> table::Relation for Named<N> {
    fn label(&self) -> String {
        match self {
            Named::Table(names, _) => N::label(names),
            Named::Query(_) => "the query".to_owned(),
        }
    }

    fn from(&self) -> String {
        match self {
            Named::Query(query) => format!("({query}\n) AS tidegate_rows"),
            Named::Table(names, _) => format!("{} AS tidegate_rows", N::quoted(names)),
        }
    }
}
