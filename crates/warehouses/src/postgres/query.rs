//! The SQL of a selection and a reach. Pure: nothing here is sent.

use tidegate_model::{Columns, DataType, Error};
use tokio_postgres::types::{Kind, Type};

use super::decode::Shape;
use super::types::data_type;
use tidegate_transport::sql::incremental::{CursorColumn, Incremental, PostgreSql};
use tidegate_transport::sql::{missing_column, quote};

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
    /// Reads `schema.table`, exactly as written; names in double quotes may hold dots.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything but one or two names.
    pub fn table(text: &str) -> Result<Relation, Error> {
        let wrong = || {
            Error::settings("`table`: expected `schema.table`")
                .hint("names that hold a dot are written in double quotes: public.\"a.b\"")
        };
        let mut names = vec![String::new()];
        let mut quoted = false;
        let mut characters = text.trim().chars().peekable();
        while let Some(character) = characters.next() {
            let name = names.last_mut().ok_or_else(wrong)?;
            match character {
                '"' if quoted && characters.next_if_eq(&'"').is_some() => name.push('"'),
                '"' => quoted = !quoted,
                '.' if !quoted => names.push(String::new()),
                '\0' => return Err(wrong()),
                _ => name.push(character),
            }
        }
        if quoted || names.iter().any(String::is_empty) {
            return Err(wrong());
        }
        match <[String; 2]>::try_from(names) {
            Ok([schema, name]) => Ok(Relation::Table { schema: Some(schema), name }),
            Err(mut names) if names.len() == 1 => Ok(Relation::Table { schema: None, name: names.remove(0) }),
            Err(_) => Err(wrong()),
        }
    }

    /// Returns its name in messages.
    pub fn label(&self) -> String {
        match self {
            Relation::Table { schema: Some(schema), name } => format!("{}.{}", shown(schema), shown(name)),
            Relation::Table { schema: None, name } => shown(name),
            Relation::Query(_) => "the query".to_owned(),
        }
    }

    /// Returns the quoted name of a table; `None` for a query.
    pub fn quoted(&self) -> Option<String> {
        match self {
            Relation::Table { schema: Some(schema), name } => {
                Some(format!("{}.{}", quote(schema), quote(name)))
            }
            Relation::Table { schema: None, name } => Some(quote(name)),
            Relation::Query(_) => None,
        }
    }

    /// The text after `FROM`.
    fn from(&self) -> String {
        match self {
            Relation::Query(query) => format!("({query}\n) AS tidegate_rows"),
            Relation::Table { .. } => format!("{} AS tidegate_rows", self.quoted().unwrap_or_default()),
        }
    }

    /// Returns a statement whose columns are those of the relation. It gives no rows.
    pub fn probe(&self) -> String {
        format!("SELECT * FROM {} LIMIT 0", self.from())
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
    /// The column as its cells are asked for.
    fn asked(&self) -> String {
        let name = quote(&self.name);
        match self.shape {
            Shape::AsText => format!("{name}::text AS {name}"),
            Shape::Money => format!("{name}::numeric AS {name}"),
            _ => name,
        }
    }

    /// The column and a type, both to compare with what was read. Types that have
    /// no equality, or another one than that of their text, are compared as text.
    fn compared(&self) -> (String, String) {
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

/// The relation and its columns: everything that is needed to write statements.
#[derive(Clone, Debug)]
pub struct Table {
    /// What is read from.
    pub relation: Relation,
    /// Its columns in order.
    pub columns: Vec<SourceColumn>,
}

impl Table {
    /// Every row, in no particular order.
    pub fn everything(&self) -> String {
        format!("SELECT {} FROM {}", self.list(), self.relation.from())
    }

    /// Returns the rows whose `key` columns are null where `nulls` says so, and elsewhere have the
    /// values in as many text arrays.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] for a column that is not there.
    pub fn lookup(&self, key: &[String], nulls: &[bool]) -> Result<String, Error> {
        let mut conditions = Vec::with_capacity(key.len());
        let (mut names, mut casts) = (Vec::with_capacity(key.len()), Vec::with_capacity(key.len()));
        for (name, is_null) in key.iter().zip(nulls) {
            let column = self.find(name)?;
            let (expression, cast) = column.compared();
            if *is_null {
                conditions.push(format!("{} IS NULL", quote(&column.name)));
            } else {
                casts.push(format!("wanted.k{}::{cast}", names.len()));
                names.push(expression);
            }
        }
        if !names.is_empty() {
            let of = |text: fn(usize) -> String| (0..names.len()).map(text).collect::<Vec<_>>().join(", ");
            conditions.push(format!(
                "({}) IN (SELECT {} FROM unnest({}) AS wanted({}))",
                names.join(", "),
                casts.join(", "),
                of(|at| format!("${}::text[]", at + 1)),
                of(|at| format!("k{at}")),
            ));
        }
        Ok(format!("{} WHERE {}", self.everything(), conditions.join(" AND ")))
    }

    /// Returns the table with these of its columns alone, in this order.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] for a column that is not there.
    pub fn narrowed(self, columns: &[String]) -> Result<Table, Error> {
        let columns = columns.iter().map(|name| self.find(name).cloned()).collect::<Result<_, _>>()?;
        Ok(Table { relation: self.relation, columns })
    }

    /// Returns the table with the columns that may be read.
    pub fn granted(mut self) -> Table {
        self.columns.retain(|column| column.granted);
        self
    }

    /// Finds a column: its exact name, else the only one that differs in case alone.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] if it is not there.
    pub fn find(&self, name: &str) -> Result<&SourceColumn, Error> {
        let columns = self.names();
        match columns.position(name).and_then(|at| self.columns.get(at)) {
            Some(column) => Ok(column),
            None => Err(missing_column(name, &columns, &self.relation.label())),
        }
    }

    /// Prepares the statements of an incremental read.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] for a column that is not there,
    /// [`tidegate_model::ErrorKind::Settings`] for one that has no usable order.
    pub fn cursor(&self, column: &str, time_zone: &str) -> Result<Incremental<PostgreSql>, Error> {
        let column = self.find(column)?;
        let name = quote(&column.name);
        let other = column.column_type.name();
        // Types whose own order is not that of their bytes, or depends on a locale.
        let (expression, cast) = match column.column_type {
            Type::NAME => (format!("{name}::text"), "text".to_owned()),
            _ if other == "citext" => (format!("{name}::text"), "text".to_owned()),
            ref column_type => (name, cast_name(column_type)),
        };
        let data_type = match column.column_type {
            Type::MONEY => DataType::Other,
            ref column_type if matches!(column_type.kind(), Kind::Enum(_)) => DataType::Other,
            ref column_type => data_type(column_type, column.modifier),
        };
        let cursor = CursorColumn { expression, data_type: &data_type, cast };
        Incremental::new(PostgreSql, &self.list(), &self.relation.from(), cursor, time_zone).ok_or_else(
            || {
                Error::settings(format!("column `{}` of type {other} cannot be a cursor", column.name)).hint(
                    "take a timestamp, a date, a number, a text or a uuid that only grows, or `mode: full`",
                )
            },
        )
    }

    /// Returns the names of the columns, to share.
    pub fn names(&self) -> std::sync::Arc<Columns> {
        Columns::new(self.columns.iter().map(|column| column.name.as_str()))
    }

    fn list(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(SourceColumn::asked).collect();
        columns.join(", ")
    }
}
