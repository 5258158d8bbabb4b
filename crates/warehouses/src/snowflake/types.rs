//! The types of Snowflake, and the types of Tidegate that they become.
//!
//! Source: Snowflake docs, "Summary of data types"; SQL API, "Handling responses". The names of answers
//! (`fixed`) and of the information schema (`NUMBER`) differ, and answers have them in either case.

use std::fmt;

use tidegate_model::DataType;
use tidegate_transport::sql::hashed::exact_float;
use tidegate_transport::sql::quote;
use tidegate_transport::sql::table::ColumnSql;

/// Numbers of more digits may not fit into 64 bits.
const INTEGER_DIGITS: u32 = 18;

/// A type of Snowflake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlType {
    /// `NUMBER(precision, scale)`.
    Number(u32, u32),
    /// `FLOAT`, 64 bits under each of its names.
    Float,
    /// `VARCHAR`; with whether the column has a collation.
    Text(bool),
    /// `BOOLEAN`.
    Boolean,
    /// `BINARY`.
    Binary,
    /// `DATE`.
    Date,
    /// `TIME`.
    Time,
    /// `TIMESTAMP_NTZ`: a wall clock.
    TimestampNtz,
    /// `TIMESTAMP_LTZ`: an instant.
    TimestampLtz,
    /// `TIMESTAMP_TZ`: an instant, and the offset it was written with.
    TimestampTz,
    /// `VARIANT`.
    Variant,
    /// `OBJECT` or `MAP`: its name.
    Object(&'static str),
    /// `ARRAY` or `VECTOR`: its name.
    Array(&'static str),
    /// `GEOGRAPHY` or `GEOMETRY`: its name.
    Geo(&'static str),
    /// Anything else, as it is written: `DECFLOAT`, `UUID`, and types that come later.
    Other(String),
}

impl SqlType {
    /// Returns the type that an answer or the information schema names.
    pub fn new(name: &str, precision: Option<u32>, scale: Option<u32>, collation: Option<&str>) -> SqlType {
        match name.to_ascii_lowercase().as_str() {
            "fixed" | "number" => SqlType::Number(precision.unwrap_or(38), scale.unwrap_or(0)),
            "real" | "float" => SqlType::Float,
            "text" | "varchar" => SqlType::Text(collation.is_some_and(|name| !name.is_empty())),
            "boolean" => SqlType::Boolean,
            "binary" => SqlType::Binary,
            "date" => SqlType::Date,
            "time" => SqlType::Time,
            "timestamp_ntz" => SqlType::TimestampNtz,
            "timestamp_ltz" => SqlType::TimestampLtz,
            "timestamp_tz" => SqlType::TimestampTz,
            "variant" => SqlType::Variant,
            "object" => SqlType::Object("OBJECT"),
            "map" => SqlType::Object("MAP"),
            "array" => SqlType::Array("ARRAY"),
            "vector" => SqlType::Array("VECTOR"),
            "geography" => SqlType::Geo("GEOGRAPHY"),
            "geometry" => SqlType::Geo("GEOMETRY"),
            _ => SqlType::Other(name.to_uppercase()),
        }
    }

    /// Returns a text as a value of this type; `None` for types without equality.
    pub fn converted(&self, text: &str) -> Option<String> {
        match self {
            SqlType::Text(_) => Some(text.to_owned()),
            SqlType::Binary => Some(format!("BASE64_DECODE_BINARY({text})")),
            SqlType::Number(..)
            | SqlType::Float
            | SqlType::Boolean
            | SqlType::Date
            | SqlType::Time
            | SqlType::TimestampNtz
            | SqlType::TimestampLtz
            | SqlType::TimestampTz => Some(format!("CAST({text} AS {})", self.cast())),
            _ => None,
        }
    }
}

impl ColumnSql for SqlType {
    fn texts() -> SqlType {
        SqlType::Text(false)
    }

    fn quote(name: &str) -> String {
        quote(name)
    }

    fn data_type(&self) -> DataType {
        match self {
            SqlType::Number(precision, 0) if *precision <= INTEGER_DIGITS => DataType::Integer,
            SqlType::Number(precision, scale) => {
                DataType::Decimal { precision: Some(*precision), scale: i32::try_from(*scale).ok() }
            }
            SqlType::Float => DataType::Float,
            SqlType::Text(_) => DataType::Text,
            SqlType::Boolean => DataType::Boolean,
            SqlType::Binary => DataType::Bytes,
            SqlType::Date => DataType::Date,
            SqlType::Time => DataType::Time,
            SqlType::TimestampNtz => DataType::DateTime,
            SqlType::TimestampLtz | SqlType::TimestampTz => DataType::Timestamp,
            SqlType::Variant => DataType::Json,
            SqlType::Object(_) => DataType::Object,
            SqlType::Array(_) => DataType::List(Box::new(DataType::Json)),
            SqlType::Geo(_) | SqlType::Other(_) => DataType::Other,
        }
    }

    // Documents would come with an indentation that no request can set.
    fn asked(&self, column: &str) -> Option<String> {
        match self {
            SqlType::Variant => Some(format!("TO_JSON({column})")),
            SqlType::Array("VECTOR") => Some(format!("TO_JSON(TO_VARIANT({column}::ARRAY))")),
            SqlType::Object(_) | SqlType::Array(_) => Some(format!("TO_JSON(TO_VARIANT({column}))")),
            SqlType::Geo(_) => Some(format!("ST_ASEWKT({column})")),
            SqlType::Other(_) => Some(format!("CAST({column} AS VARCHAR)")),
            _ => None,
        }
    }

    fn text(&self, column: &str) -> Option<String> {
        Some(match self {
            SqlType::Float => exact_float(column, ("FLOAT", "VARCHAR")),
            SqlType::Text(_) => self.ordered(column.to_owned()),
            SqlType::Binary => format!("HEX_ENCODE({column})"),
            // Times have all of their digits: each request says so.
            SqlType::Number(..)
            | SqlType::Boolean
            | SqlType::Date
            | SqlType::Time
            | SqlType::TimestampNtz
            | SqlType::TimestampLtz
            | SqlType::TimestampTz => format!("CAST({column} AS VARCHAR)"),
            SqlType::Variant
            | SqlType::Object(_)
            | SqlType::Array(_)
            | SqlType::Geo(_)
            | SqlType::Other(_) => self.asked(column)?,
        })
    }

    // Texts are compared byte by byte, whatever their collation. Source: Snowflake docs, "Collation support": `utf8` compares the bytes, as texts without a
    // collation do.
    fn ordered(&self, column: String) -> String {
        match self {
            SqlType::Text(true) => format!("COLLATE({column}, 'utf8')"),
            _ => column,
        }
    }

    fn cast(&self) -> String {
        match self {
            // A lookback may have a digit more than the column.
            SqlType::Number(_, scale) => format!("NUMBER(38,{scale})"),
            SqlType::TimestampNtz => "TIMESTAMP_NTZ(9)".to_owned(),
            SqlType::TimestampLtz => "TIMESTAMP_LTZ(9)".to_owned(),
            SqlType::TimestampTz => "TIMESTAMP_TZ(9)".to_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SqlType::Number(precision, scale) => return write!(f, "NUMBER({precision},{scale})"),
            SqlType::Float => "FLOAT",
            SqlType::Text(_) => "VARCHAR",
            SqlType::Boolean => "BOOLEAN",
            SqlType::Binary => "BINARY",
            SqlType::Date => "DATE",
            SqlType::Time => "TIME",
            SqlType::TimestampNtz => "TIMESTAMP_NTZ",
            SqlType::TimestampLtz => "TIMESTAMP_LTZ",
            SqlType::TimestampTz => "TIMESTAMP_TZ",
            SqlType::Variant => "VARIANT",
            SqlType::Object(name) | SqlType::Array(name) | SqlType::Geo(name) => name,
            SqlType::Other(name) => name,
        })
    }
}
