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

/// What rows are read from, in a system whose names are those of `N`. `T` are the parts of a name: three, unless
/// the system itself finds the parts that are not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<N, T = [String; 3]> {
    /// A table or view: the parts of its name.
    Table(T, N),
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

impl<N: Naming + Default> Named<N, Vec<String>> {
    /// Reads the name of a table as it is written: one to three parts.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything else.
    pub fn written(text: &str) -> Result<Named<N, Vec<String>>, Error> {
        let names = parts::<N>("table", N::FORM, text)?;
        Ok(Named::Table(names, N::default()))
    }
}

impl<N: Naming, T: AsRef<[String]>> Named<N, T> {
    /// Returns the name of a table in quotes; `None` for a query.
    pub fn quoted(&self) -> Option<String> {
        match self {
            Named::Table(names, _) => Some(N::quoted(names.as_ref())),
            Named::Query(_) => None,
        }
    }
}

/// Reads the value of a setting as a name of one to three parts.
fn parts<N: Naming>(setting: &str, form: &str, text: &str) -> Result<Vec<String>, Error> {
    let is_one = |names: &Vec<String>| names.len() <= 3 && names.iter().all(|name| N::is_name(name));
    let wrong = || Error::settings(format!("`{setting}`: expected `{form}`")).hint(N::HINT);
    N::parts(text).filter(is_one).ok_or_else(wrong)
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
    let mut names = parts::<N>(setting, form, text)?;
    while names.len() < 3 {
        let at = 2 - names.len();
        let set = outer[at].ok_or_else(|| {
            Error::settings(format!("`{setting}`: `{text}` names no {}", N::OUTER[at]))
                .hint(format!("write `{form}`, or set `{}` in the connection", N::OUTER[at]))
        })?;
        names.insert(0, N::stored(set));
    }
    <[String; 3]>::try_from(names).map_err(|_| Error::internal("a name of three parts"))
}

impl<N: Naming, T: AsRef<[String]>> table::Relation for Named<N, T> {
    fn label(&self) -> String {
        match self {
            Named::Table(names, _) => N::label(names.as_ref()),
            Named::Query(_) => "the query".to_owned(),
        }
    }

    fn from(&self) -> String {
        match self {
            Named::Query(query) => format!("({query}\n) AS tidegate_rows"),
            Named::Table(names, _) => format!("{} AS tidegate_rows", N::quoted(names.as_ref())),
        }
    }
}
