//! The types of Databricks, and the types of Tidegate that they become.
//!
//! Source: Databricks docs, SQL language reference, "Data types"; the spellings in answers of the
//! Statement Execution API (`BIGINT`) and of Unity Catalog (`bigint`) differ in case alone.

mod parse;

use std::fmt;

use tidegate_model::DataType;
use tidegate_transport::sql::backtick as quote;
use tidegate_transport::sql::table::ColumnSql;

pub use parse::parse;

/// A type of Databricks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlType {
    /// `BOOLEAN`.
    Boolean,
    /// `TINYINT`, `SMALLINT`, `INT`, `BIGINT`: its name.
    Integer(&'static str),
    /// `FLOAT`.
    Float,
    /// `DOUBLE`.
    Double,
    /// `DECIMAL(precision, scale)`.
    Decimal(u32, u32),
    /// `STRING`, `CHAR(n)`, `VARCHAR(n)`, as it is written.
    Text(String),
    /// `BINARY`.
    Binary,
    /// `DATE`.
    Date,
    /// `TIMESTAMP`: an instant.
    Timestamp,
    /// `TIMESTAMP_NTZ`: a wall clock.
    TimestampNtz,
    /// `VARIANT`.
    Variant,
    /// `ARRAY<element>`.
    Array(Box<SqlType>),
    /// `MAP<key, value>`.
    Map(Box<SqlType>, Box<SqlType>),
    /// `STRUCT<name: type, …>`.
    Struct(Vec<(String, SqlType)>),
    /// `GEOMETRY(…)` or `GEOGRAPHY(…)`, as it is written.
    Geo(String),
    /// Anything else, as it is written: intervals, `VOID`, and types that came later.
    Other(String),
}

/// How the cells of a column arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As the Arrow type of their column.
    Arrow,
    /// The same, but text is JSON.
    Json,
}

impl SqlType {
    /// Returns how the cells arrive.
    ///
    /// Structures, maps and arrays have Arrow types of their own, or are text that is JSON: that
    /// is for the workspace to choose.
    pub fn shape(&self) -> Shape {
        match self {
            SqlType::Variant | SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => Shape::Json,
            _ => Shape::Arrow,
        }
    }

    /// Returns whether the column is asked for as JSON: a variant, or something with a part
    /// that Arrow has no type for.
    fn is_json(&self) -> bool {
        match self {
            SqlType::Variant => true,
            SqlType::Array(element) => element.is_foreign(),
            SqlType::Map(key, value) => key.is_foreign() || value.is_foreign(),
            SqlType::Struct(members) => members.iter().any(|(_, member)| member.is_foreign()),
            _ => false,
        }
    }

    fn is_foreign(&self) -> bool {
        self.is_json() || matches!(self, SqlType::Geo(_) | SqlType::Other(_))
    }

    /// Returns a text as a value of this type; `None` for types without equality.
    pub fn converted(&self, text: &str) -> Option<String> {
        match self {
            SqlType::Text(_) => Some(text.to_owned()),
            SqlType::Binary => Some(format!("unbase64({text})")),
            SqlType::Boolean
            | SqlType::Integer(_)
            | SqlType::Float
            | SqlType::Double
            | SqlType::Decimal(..)
            | SqlType::Date
            | SqlType::Timestamp
            | SqlType::TimestampNtz => Some(format!("CAST({text} AS {self})")),
            _ => None,
        }
    }
}

impl ColumnSql for SqlType {
    fn texts() -> SqlType {
        SqlType::Text("STRING".to_owned())
    }

    fn quote(name: &str) -> String {
        quote(name)
    }

    fn data_type(&self) -> DataType {
        match self {
            SqlType::Boolean => DataType::Boolean,
            SqlType::Integer(_) => DataType::Integer,
            SqlType::Float | SqlType::Double => DataType::Float,
            SqlType::Decimal(precision, scale) => {
                DataType::Decimal { precision: Some(*precision), scale: i32::try_from(*scale).ok() }
            }
            SqlType::Text(_) => DataType::Text,
            SqlType::Binary => DataType::Bytes,
            SqlType::Date => DataType::Date,
            SqlType::Timestamp => DataType::Timestamp,
            SqlType::TimestampNtz => DataType::DateTime,
            SqlType::Variant => DataType::Json,
            SqlType::Array(element) => DataType::List(Box::new(element.data_type())),
            SqlType::Map(..) | SqlType::Struct(_) => DataType::Object,
            SqlType::Geo(_) | SqlType::Other(_) => DataType::Other,
        }
    }

    // Arrow has no type for a variant, and texts of intervals are those that Databricks writes.
    fn asked(&self, column: &str) -> Option<String> {
        match self {
            SqlType::Geo(_) => Some(format!("st_asewkt({column})")),
            SqlType::Other(_) => Some(format!("CAST({column} AS STRING)")),
            SqlType::Variant => Some(format!("to_json({column})")),
            _ if self.is_json() => Some(as_json(column)),
            _ => None,
        }
    }

    fn text(&self, column: &str) -> Option<String> {
        Some(match self {
            SqlType::Text(_) => column.to_owned(),
            SqlType::Binary => format!("hex({column})"),
            // Its text is that of a wall clock, which shows some hours twice.
            SqlType::Timestamp => format!("CAST(unix_micros({column}) AS STRING)"),
            SqlType::Boolean
            | SqlType::Integer(_)
            | SqlType::Float
            | SqlType::Double
            | SqlType::Decimal(..)
            | SqlType::Date
            | SqlType::TimestampNtz => format!("CAST({column} AS STRING)"),
            SqlType::Variant | SqlType::Geo(_) | SqlType::Other(_) => self.asked(column)?,
            SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => as_json(column),
        })
    }

    fn cast(&self) -> String {
        match self {
            // Texts are compared as bytes.
            SqlType::Text(_) => "BINARY".to_owned(),
            other => other.to_string(),
        }
    }
}

/// Returns the JSON of a structure, a map or an array, with all of its members.
fn as_json(column: &str) -> String {
    format!(
        "to_json({column}, map('ignoreNullFields', 'false', \
         'timestampFormat', \"yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX\", \
         'timestampNTZFormat', \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS\"))"
    )
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlType::Boolean => f.write_str("BOOLEAN"),
            SqlType::Integer(name) => f.write_str(name),
            SqlType::Float => f.write_str("FLOAT"),
            SqlType::Double => f.write_str("DOUBLE"),
            SqlType::Decimal(precision, scale) => write!(f, "DECIMAL({precision},{scale})"),
            SqlType::Text(name) | SqlType::Geo(name) | SqlType::Other(name) => f.write_str(name),
            SqlType::Binary => f.write_str("BINARY"),
            SqlType::Date => f.write_str("DATE"),
            SqlType::Timestamp => f.write_str("TIMESTAMP"),
            SqlType::TimestampNtz => f.write_str("TIMESTAMP_NTZ"),
            SqlType::Variant => f.write_str("VARIANT"),
            SqlType::Array(element) => write!(f, "ARRAY<{element}>"),
            SqlType::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            SqlType::Struct(members) => {
                f.write_str("STRUCT<")?;
                for (at, (name, member)) in members.iter().enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    write!(f, "{comma}{name}: {member}")?;
                }
                f.write_str(">")
            }
        }
    }
}
