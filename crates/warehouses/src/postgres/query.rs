//! The SQL of a selection and a reach. Pure: nothing here is sent.

use tidegate_model::{DataType, Error};
use tidegate_transport::sql::incremental::PostgreSql;
use tidegate_transport::sql::selection::parts;
use tidegate_transport::sql::table::{AsCursor, SelectedColumn, SqlTable};
use tidegate_transport::sql::{self, quote};
use tokio_postgres::types::{Kind, Type};

use super::decode::Shape;
use super::types::data_type;

/// What rows are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// A table or view.
    Table {
        /// Its schema; found by the user's search path if absent.
        schema: Option<String>,
        /// Its name.
        name: String,
    },
    /// A query, checked to be a single one.
    Query(String),
}

/// Stands in front of a query that is wrapped; error positions count from its end.
pub const QUERY_PREFIX: &str = "SELECT * FROM (";

impl Relation {
    /// Returns whether it can be a statement that reads, by its first word.
    pub fn is_select(&self) -> bool {
        let Relation::Query(sql) = self else { return true };
        let text = sql.trim_start_matches(|sign: char| sign.is_whitespace() || sign == '(');
        let word = text.split(|sign: char| !sign.is_ascii_alphabetic()).next().unwrap_or_default();
        word.is_empty()
            || ["select", "with", "values", "table"].iter().any(|first| word.eq_ignore_ascii_case(first))
    }

    /// Reads `schema.table`, exactly as written; names in double quotes may hold dots.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything but one or two names.
    pub fn table(text: &str) -> Result<Relation, Error> {
        let wrong = || {
            Error::settings("`table`: expected `schema.table`")
                .hint("`database` of the connection names the database; names that hold a dot are written in double quotes: public.\"a.b\"")
        };
        let names = parts(text, '"').filter(|_| !text.contains('\0')).ok_or_else(wrong)?;
        match <[String; 2]>::try_from(names) {
            Ok([schema, name]) => Ok(Relation::Table { schema: Some(schema), name }),
            Err(mut names) if names.len() == 1 => Ok(Relation::Table { schema: None, name: names.remove(0) }),
            Err(_) => Err(wrong()),
        }
    }

    /// The quoted name of a table; `None` for a query.
    pub fn quoted(&self) -> Option<String> {
        match self {
            Relation::Table { schema: Some(schema), name } => {
                Some(format!("{}.{}", quote(schema), quote(name)))
            }
            Relation::Table { schema: None, name } => Some(quote(name)),
            Relation::Query(_) => None,
        }
    }
}

impl sql::table::Relation for Relation {
    fn label(&self) -> String {
        match self {
            Relation::Table { schema: Some(schema), name } => format!("{}.{}", shown(schema), shown(name)),
            Relation::Table { schema: None, name } => shown(name),
            Relation::Query(_) => "the query".to_owned(),
        }
    }

    fn from(&self) -> String {
        match self {
            Relation::Query(query) => format!("({query}\n) AS tidegate_rows"),
            Relation::Table { .. } => format!("{} AS tidegate_rows", self.quoted().unwrap_or_default()),
        }
    }
}

/// Returns a name as it is written in a selection: quoted only where it has to be.
pub fn shown(name: &str) -> String {
    if name.contains(['.', '"']) || name.trim() != name { quote(name) } else { name.to_owned() }
}

/// Returns a type as a cast names it, whatever the search path is.
pub fn cast_name(column_type: &Type) -> String {
    format!("{}.{}", quote(column_type.schema()), quote(column_type.name()))
}

/// A column that is read.
#[derive(Clone, Debug)]
pub struct SourceColumn {
    /// Name.
    pub name: String,
    /// Type at the source.
    pub column_type: Type,
    /// What its type says besides, such as the digits of a numeric; -1 for nothing.
    pub modifier: i32,
    /// How its cells arrive.
    pub shape: Shape,
    /// Whether it may be read.
    pub granted: bool,
}

impl SourceColumn {
    /// The column and a type, both to compare with what was read. Types that have
    /// no equality, or another one than that of their text, are compared as text.
    pub fn compared(&self) -> (String, String) {
        let name = quote(&self.name);
        match self.column_type {
            Type::JSON
            | Type::XML
            | Type::POINT
            | Type::LINE
            | Type::LSEG
            | Type::BOX
            | Type::PATH
            | Type::POLYGON
            | Type::CIRCLE => (format!("{name}::text"), "text".to_owned()),
            Type::MONEY => (format!("{name}::numeric"), "numeric".to_owned()),
            // The values take the column's type, not the column the values': an index stays of use.
            ref other => (name, cast_name(other)),
        }
    }
}

impl SelectedColumn for SourceColumn {
    fn name(&self) -> &str {
        &self.name
    }

    fn quoted(&self) -> String {
        quote(&self.name)
    }

    fn asked(&self) -> String {
        let name = quote(&self.name);
        match self.shape {
            Shape::AsText => format!("{name}::text AS {name}"),
            Shape::Money => format!("{name}::numeric AS {name}"),
            _ => name,
        }
    }

    fn as_cursor(&self) -> AsCursor {
        let name = quote(&self.name);
        let type_name = self.column_type.name().to_owned();
        // Types whose own order is not that of their bytes, or depends on a locale.
        let (expression, cast) = match self.column_type {
            Type::NAME => (format!("{name}::text"), "text".to_owned()),
            _ if type_name == "citext" => (format!("{name}::text"), "text".to_owned()),
            ref column_type => (name, cast_name(column_type)),
        };
        let data_type = match self.column_type {
            Type::MONEY => DataType::Other,
            ref column_type if matches!(column_type.kind(), Kind::Enum(_)) => DataType::Other,
            ref column_type => data_type(column_type, self.modifier),
        };
        AsCursor { expression, data_type, cast, type_name }
    }
}

/// The relation and its columns: everything that is needed to write statements.
pub type Table = SqlTable<PostgreSql, Relation, SourceColumn>;

/// Returns the table with the columns that may be read.
pub fn granted(mut table: Table) -> Table {
    table.columns.retain(|column| column.granted);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Such a statement must not be answered with the advice to run it.
    #[test]
    fn a_statement_that_deletes_is_not_taken_for_one_that_reads() {
        let reads = |sql: &str| Relation::Query(sql.to_owned()).is_select();
        for sql in ["select 1", " (SELECT 1)", "WITH a AS (SELECT 1) TABLE a", "values (1)", "-- a\nselect 1"]
        {
            assert!(reads(sql), "{sql}");
        }
        for sql in ["delete from orders returning id", "\nUPDATE orders SET a = 1", "truncate orders"] {
            assert!(!reads(sql), "{sql}");
        }
    }
}
