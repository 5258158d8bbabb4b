//! A relation and its columns, and the statements that read them: what a SQL source writes whatever
//! its dialect. A system adds how its names are read, how a cell is asked for and how rows are
//! looked up by key. Pure: nothing here is sent.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use tidegate_model::source::Column;
use tidegate_model::{Columns, DataType, Error};

use super::hashed::HashedColumn;
use super::incremental::{CursorColumn, Dialect, Incremental};
use super::missing_column;

/// What rows are read from: a table, a view or a query.
pub trait Relation {
    /// Returns how people read it in a message.
    fn label(&self) -> String;

    /// Returns the clause after `FROM`.
    fn from(&self) -> String;

    /// Returns a statement whose columns are those of the relation. It gives no rows.
    fn probe(&self) -> String {
        format!("SELECT * FROM {} LIMIT 0", self.from())
    }
}

/// A column of a relation.
pub trait SelectedColumn: Clone {
    /// Returns its name.
    fn name(&self) -> &str;

    /// Returns its name in quotes.
    fn quoted(&self) -> String;

    /// Returns what is selected for it: its name in quotes, or an expression under that name.
    fn asked(&self) -> String;

    /// Returns the column as one that rows may be read by.
    fn as_cursor(&self) -> AsCursor;
}

/// A column as one that rows may be read by.
#[derive(Clone, Debug)]
pub struct AsCursor {
    /// The column in quotes, with a cast if its own order is not of use.
    pub expression: String,
    /// The type that decides how it is compared; [`DataType::Other`] if it has no usable order.
    pub data_type: DataType,
    /// The type that a text is cast to, to be compared with it.
    pub cast: String,
    /// The type for people.
    pub type_name: String,
}

/// The type of a column, as a system has it. Its text is the type's name for people.
pub trait ColumnSql: Clone + fmt::Display {
    /// Returns the type of texts.
    fn texts() -> Self;

    /// Returns a name in quotes.
    fn quote(name: &str) -> String;

    /// Returns what is selected instead of a column of this type, whose name is in quotes; `None` for the
    /// column itself.
    fn asked(&self, column: &str) -> Option<String>;

    /// Returns a column of this type as a text that is exact, see [`HashedColumn::text`]; `None` if it has none.
    fn text(&self, column: &str) -> Option<String>;

    /// Returns the type that decides how its values are compared.
    fn data_type(&self) -> DataType;

    /// Returns the type that a text is cast to, to be compared with a value.
    fn cast(&self) -> String;

    /// Returns a column of this type as it is compared, if its own order is not of use.
    fn ordered(&self, column: String) -> String {
        column
    }
}

/// A column that is read, of a system whose types are `T`.
#[derive(Clone, Debug)]
pub struct TypedColumn<T> {
    /// Name.
    pub name: String,
    /// Type.
    pub sql_type: T,
}

impl<T: ColumnSql> TypedColumn<T> {
    /// Returns the column as people and the engine know it.
    pub fn described(&self) -> Column {
        Column {
            name: self.name.clone(),
            data_type: self.sql_type.data_type(),
            type_name: self.sql_type.to_string(),
        }
    }
}

impl<T: ColumnSql> SelectedColumn for TypedColumn<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn quoted(&self) -> String {
        T::quote(&self.name)
    }

    fn asked(&self) -> String {
        let name = T::quote(&self.name);
        match self.sql_type.asked(&name) {
            Some(expression) => format!("{expression} AS {name}"),
            None => name,
        }
    }

    fn as_cursor(&self) -> AsCursor {
        AsCursor {
            // The name alone would be that of the expression under it.
            expression: self.sql_type.ordered(format!("tidegate_rows.{}", T::quote(&self.name))),
            data_type: self.sql_type.data_type(),
            cast: self.sql_type.cast(),
            type_name: self.sql_type.to_string(),
        }
    }
}

impl<T: ColumnSql> HashedColumn for TypedColumn<T> {
    fn of_texts(name: &str) -> TypedColumn<T> {
        TypedColumn { name: name.to_owned(), sql_type: T::texts() }
    }

    fn text(&self) -> Option<String> {
        self.sql_type.text(&format!("tidegate_rows.{}", T::quote(&self.name)))
    }

    fn type_name(&self) -> String {
        self.sql_type.to_string()
    }
}

/// A relation and the columns of it that are read.
#[derive(Clone, Debug)]
pub struct SqlTable<D, R, C> {
    dialect: D,
    /// What rows are read from.
    pub relation: R,
    /// The columns in order.
    pub columns: Vec<C>,
}

impl<D: Dialect + Copy, R: Relation, C: SelectedColumn> SqlTable<D, R, C> {
    /// Creates a table of these columns. `folds` says that names which differ in case alone are
    /// the same name.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for two columns of one name.
    pub fn new(dialect: D, relation: R, columns: Vec<C>, folds: bool) -> Result<SqlTable<D, R, C>, Error> {
        let mut seen = HashSet::new();
        let folded = |name: &str| if folds { name.to_lowercase() } else { name.to_owned() };
        if let Some(twice) = columns.iter().find(|column| !seen.insert(folded(column.name()))) {
            return Err(Error::settings(format!("{} has two columns `{}`", relation.label(), twice.name()))
                .hint("give one of them another name with AS"));
        }
        Ok(SqlTable { dialect, relation, columns })
    }

    /// Returns the table with these of its columns alone, in this order; with all of them if
    /// there is no list.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] for a column that is not there.
    pub fn narrowed(self, columns: Option<&[String]>) -> Result<SqlTable<D, R, C>, Error> {
        let Some(columns) = columns else { return Ok(self) };
        let columns = columns.iter().map(|name| self.find(name).cloned()).collect::<Result<_, _>>()?;
        Ok(SqlTable { columns, ..self })
    }

    /// Returns the table with more columns behind its own, to read a statement that has them.
    #[must_use]
    pub fn followed_by(mut self, columns: impl IntoIterator<Item = C>) -> SqlTable<D, R, C> {
        self.columns.extend(columns);
        self
    }

    /// Finds a column: its exact name, else the only one that differs in case alone.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] if it is not there.
    pub fn find(&self, name: &str) -> Result<&C, Error> {
        let columns = self.names();
        match columns.position(name).and_then(|at| self.columns.get(at)) {
            Some(column) => Ok(column),
            None => Err(missing_column(name, &columns, &self.relation.label())),
        }
    }

    /// Returns the names of the columns, to share.
    pub fn names(&self) -> Arc<Columns> {
        Columns::new(self.columns.iter().map(SelectedColumn::name))
    }

    /// Returns the columns as a `SELECT` lists them.
    pub fn list(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(SelectedColumn::asked).collect();
        columns.join(", ")
    }

    /// Returns the statement for every row, in no particular order.
    pub fn everything(&self) -> String {
        format!("SELECT {} FROM {}", self.list(), self.relation.from())
    }

    /// Returns the statement for some rows, whichever.
    pub fn some(&self, rows: usize) -> String {
        format!("{} LIMIT {rows}", self.everything())
    }

    /// Prepares the statements of an incremental read.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] for a column that is not there,
    /// [`tidegate_model::ErrorKind::Settings`] for one that has no usable order.
    pub fn cursor(&self, column: &str, time_zone: &str) -> Result<Incremental<D>, Error> {
        let column = self.find(column)?;
        let AsCursor { expression, data_type, cast, type_name } = column.as_cursor();
        let cursor = CursorColumn { expression, data_type: &data_type, cast };
        Incremental::new(self.dialect, &self.list(), &self.relation.from(), cursor, time_zone).ok_or_else(
            || {
                Error::settings(format!("column `{}` of type {type_name} cannot be a cursor", column.name()))
                    .hint("take a timestamp, a date, a number or a text that only grows, or `mode: full`")
            },
        )
    }
}
