//! The SQL of a selection and a reach. Pure: nothing here is sent.

use tidegate_model::{Columns, Error};
use tokio_postgres::types::{Kind, Type};

use super::decode::Shape;
use tidegate_transport::sql::{literal, missing_column, quote};

/// What rows are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// A table or view.
    Table {
        /// Its schema; found by the user's search path where absent.
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

    /// How people read it in a message.
    pub fn label(&self) -> String {
        match self {
            Relation::Table { schema: Some(schema), name } => format!("{}.{}", shown(schema), shown(name)),
            Relation::Table { schema: None, name } => shown(name),
            Relation::Query(_) => "the query".to_owned(),
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

    /// What stands behind `FROM`.
    fn from(&self) -> String {
        match self {
            Relation::Query(query) => format!("({query}\n) AS tidegate_rows"),
            Relation::Table { .. } => format!("{} AS tidegate_rows", self.quoted().unwrap_or_default()),
        }
    }

    /// A statement whose columns are those of the relation. It gives no rows.
    pub fn probe(&self) -> String {
        format!("SELECT * FROM {} LIMIT 0", self.from())
    }
}

/// A name as it is written in a selection: quoted only where it has to be.
pub fn shown(name: &str) -> String {
    if name.contains(['.', '"']) || name.trim() != name { quote(name) } else { name.to_owned() }
}

/// A type as a cast names it, whatever the search path is.
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
    /// How its cells arrive.
    pub shape: Shape,
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

    /// The rows whose `key` columns have the values in as many text arrays.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] for a column that is not there.
    pub fn lookup(&self, key: &[String]) -> Result<String, Error> {
        let mut names = Vec::with_capacity(key.len());
        let mut casts = Vec::with_capacity(key.len());
        let mut arrays = Vec::with_capacity(key.len());
        let mut aliases = Vec::with_capacity(key.len());
        for (at, name) in key.iter().enumerate() {
            let column = self.find(name)?;
            names.push(quote(&column.name));
            // The values take the column's type, not the column the values': an index stays of use.
            casts.push(format!("wanted.k{at}::{}", cast_name(&column.column_type)));
            arrays.push(format!("${}::text[]", at + 1));
            aliases.push(format!("k{at}"));
        }
        Ok(format!(
            "{} WHERE ({}) IN (SELECT {} FROM unnest({}) AS wanted({}))",
            self.everything(),
            names.join(", "),
            casts.join(", "),
            arrays.join(", "),
            aliases.join(", "),
        ))
    }

    /// Prepares the statements of a cursor read.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Missing`] for a column that is not there,
    /// [`tidegate_model::ErrorKind::Settings`] for one that has no usable order.
    pub fn cursor(&self, column: &str, time_zone: &str) -> Result<Cursor<'_>, Error> {
        let column = self.find(column)?;
        let name = quote(&column.name);
        let now = |expression: &str| Edge::Clock(expression.to_owned());
        let zoned = format!("now() AT TIME ZONE {}", literal(time_zone));
        let (expression, edge) = match column.column_type {
            Type::TIMESTAMPTZ => (name, now("now()")),
            Type::TIMESTAMP => (name, now(&format!("({zoned})"))),
            Type::DATE => (name, now(&format!("({zoned})::date"))),
            Type::INT2 | Type::INT4 | Type::INT8 | Type::OID | Type::UUID => (name, Edge::Open),
            Type::FLOAT4 | Type::FLOAT8 => (name, Edge::Finite { as_text: false }),
            Type::NUMERIC => (name, Edge::Finite { as_text: true }),
            // Byte order, so that the database and this program agree on what is later.
            Type::TEXT | Type::VARCHAR | Type::BPCHAR => (format!("{name} COLLATE \"C\""), Edge::Open),
            Type::NAME => (format!("{name}::text COLLATE \"C\""), Edge::Open),
            ref other if other.name() == "citext" && matches!(other.kind(), Kind::Simple) => {
                (format!("{name}::text COLLATE \"C\""), Edge::Open)
            }
            ref other => {
                return Err(Error::settings(format!(
                    "column `{}` of type {} cannot be a cursor",
                    column.name,
                    other.name()
                ))
                .hint(
                    "take a timestamp, a date, a number, a text or a uuid that only grows, or `mode: full`",
                ));
            }
        };
        let cast = match column.column_type {
            Type::NAME => "text".to_owned(),
            ref other if other.name() == "citext" => "text".to_owned(),
            ref other => cast_name(other),
        };
        Ok(Cursor { table: self, expression, cast, edge })
    }

    fn find(&self, name: &str) -> Result<&SourceColumn, Error> {
        let columns = self.names();
        match columns.position(name).and_then(|at| self.columns.get(at)) {
            Some(column) => Ok(column),
            None => Err(missing_column(name, &columns, &self.relation.label())),
        }
    }

    /// The names of the columns, to share.
    pub fn names(&self) -> std::sync::Arc<Columns> {
        Columns::new(self.columns.iter().map(|column| column.name.as_str()))
    }

    fn list(&self) -> String {
        let mut list = String::new();
        for column in &self.columns {
            if !list.is_empty() {
                list.push_str(", ");
            }
            let name = quote(&column.name);
            list.push_str(&name);
            if column.shape == Shape::AsText {
                list.push_str(&format!("::text AS {name}"));
            }
        }
        list
    }
}

/// Where a cursor read ends.
enum Edge {
    /// Nowhere.
    Open,
    /// At the server's own clock: what is later waits for its time.
    Clock(String),
    /// Before `NaN` and the infinities: they compare with every number and would
    /// hide all rows below them for ever.
    Finite { as_text: bool },
}

/// The statements of a cursor read, all for the same snapshot.
pub struct Cursor<'a> {
    table: &'a Table,
    expression: String,
    cast: String,
    edge: Edge,
}

impl Cursor<'_> {
    /// Rows that have no cursor value.
    pub fn nulls(&self) -> String {
        format!("{} WHERE {} IS NULL", self.table.everything(), self.expression)
    }

    /// Rows in order, from the value in `$1` where there is one.
    pub fn rows(&self, from: bool) -> String {
        let start = if from {
            format!("{} >= $1::text::{}", self.expression, self.cast)
        } else {
            format!("{} IS NOT NULL", self.expression)
        };
        let end = match &self.edge {
            Edge::Open => String::new(),
            Edge::Clock(now) => format!(" AND {} <= {now}", self.expression),
            Edge::Finite { as_text } => format!(" AND {}", self.endless(*as_text, "NOT IN")),
        };
        format!("{} WHERE {start}{end} ORDER BY {}", self.table.everything(), self.expression)
    }

    /// The last of these rows.
    pub fn highest(&self) -> String {
        format!("{} DESC LIMIT 1", self.rows(false))
    }

    /// Counts the rows behind the edge; `None` where there is no edge.
    pub fn beyond(&self) -> Option<String> {
        let condition = match &self.edge {
            Edge::Open => return None,
            Edge::Clock(now) => format!("{} > {now}", self.expression),
            Edge::Finite { as_text } => self.endless(*as_text, "IN"),
        };
        Some(format!("SELECT count(*) FROM {} WHERE {condition}", self.table.relation.from()))
    }

    fn endless(&self, as_text: bool, operator: &str) -> String {
        // Before PostgreSQL 14 'Infinity' is no numeric, but it is always a text.
        let cast = if as_text { "::text" } else { "" };
        format!("{}{cast} {operator} ('NaN', 'Infinity', '-Infinity')", self.expression)
    }
}
