//! The types of Redshift: their types here, and how they are selected and compared.

use std::fmt;

use tidegate_model::DataType;
use tidegate_transport::sql::hashed::exact_float;
use tidegate_transport::sql::quote;
use tidegate_transport::sql::table::ColumnSql;

/// A type of Redshift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlType {
    /// `BOOLEAN`.
    Boolean,
    /// A whole number: its name.
    Integer(&'static str),
    /// `REAL`.
    Real,
    /// `DOUBLE PRECISION`.
    Double,
    /// `NUMERIC(precision, scale)`, as far as the digits are known.
    Numeric(Option<(u32, i32)>),
    /// `VARCHAR`, with its bytes.
    Varchar(Option<u32>),
    /// `CHAR`, with its bytes.
    Char(Option<u32>),
    /// `DATE`.
    Date,
    /// `TIME`.
    Time,
    /// `TIMESTAMP`: a wall clock.
    Timestamp,
    /// `TIMESTAMPTZ`: an instant.
    TimestampTz,
    /// `SUPER`.
    Super,
    /// `VARBYTE`.
    Varbyte,
    /// `GEOMETRY` or `GEOGRAPHY`: its name.
    Geo(&'static str),
    /// Anything else, such as `TIMETZ`, intervals and `HLLSKETCH`: its name.
    Other(String),
}

impl SqlType {
    /// Returns the type of a column of a result: its number, its modifier, and its name if it has another
    /// number than those that are known.
    ///
    /// Source: redshift_connector 2.2.0, `utils/oids.py`; modifiers as PostgreSQL has them.
    pub fn of(oid: u32, modifier: i32, name: &str) -> SqlType {
        // The length of a text counts the four bytes of the length itself.
        let length = modifier.checked_sub(4).and_then(|length| u32::try_from(length).ok());
        match oid {
            16 => SqlType::Boolean,
            21 => SqlType::Integer("smallint"),
            23 => SqlType::Integer("integer"),
            20 => SqlType::Integer("bigint"),
            26 => SqlType::Integer("oid"),
            700 => SqlType::Real,
            701 => SqlType::Double,
            1700 => SqlType::Numeric(length.map(|packed| {
                // Precision in the upper 16 bits, scale in the lower ones.
                (packed >> 16, i32::try_from(packed & 0xffff).unwrap_or_default())
            })),
            25 | 1043 => SqlType::Varchar(length),
            18 | 1042 => SqlType::Char(length),
            19 => SqlType::Varchar(None),
            1082 => SqlType::Date,
            1083 => SqlType::Time,
            1114 => SqlType::Timestamp,
            1184 => SqlType::TimestampTz,
            4000 => SqlType::Super,
            6551 => SqlType::Varbyte,
            3000 => SqlType::Geo("geometry"),
            3001 => SqlType::Geo("geography"),
            1266 => SqlType::Other("timetz".to_owned()),
            _ => SqlType::Other(name.to_owned()),
        }
    }

    /// Returns the type of a column of the catalog.
    ///
    /// Source: Amazon Redshift Database Developer Guide, `SVV_ALL_COLUMNS`, "Data types".
    pub fn named(name: &str, length: Option<u32>, precision: Option<u32>, scale: Option<i32>) -> SqlType {
        match name.to_ascii_lowercase().as_str() {
            "boolean" => SqlType::Boolean,
            "smallint" => SqlType::Integer("smallint"),
            "integer" => SqlType::Integer("integer"),
            "bigint" => SqlType::Integer("bigint"),
            "oid" => SqlType::Integer("oid"),
            "real" => SqlType::Real,
            "double precision" => SqlType::Double,
            "numeric" => SqlType::Numeric(precision.zip(scale)),
            "character varying" | "text" | "string" | "varchar" => SqlType::Varchar(length),
            "character" | "char" => SqlType::Char(length),
            "name" => SqlType::Varchar(None),
            "date" => SqlType::Date,
            "time without time zone" => SqlType::Time,
            "time with time zone" => SqlType::Other("timetz".to_owned()),
            "timestamp without time zone" => SqlType::Timestamp,
            "timestamp with time zone" => SqlType::TimestampTz,
            "super" => SqlType::Super,
            "binary varying" | "varbyte" => SqlType::Varbyte,
            "geometry" => SqlType::Geo("geometry"),
            "geography" => SqlType::Geo("geography"),
            _ => SqlType::Other(name.to_owned()),
        }
    }
}

impl ColumnSql for SqlType {
    fn texts() -> SqlType {
        SqlType::Varchar(None)
    }

    fn quote(name: &str) -> String {
        quote(name)
    }

    fn data_type(&self) -> DataType {
        match self {
            SqlType::Boolean => DataType::Boolean,
            SqlType::Integer(_) => DataType::Integer,
            SqlType::Real | SqlType::Double => DataType::Float,
            SqlType::Numeric(digits) => DataType::Decimal {
                precision: digits.map(|(precision, _)| precision),
                scale: digits.map(|(_, scale)| scale),
            },
            SqlType::Varchar(_) | SqlType::Char(_) => DataType::Text,
            SqlType::Date => DataType::Date,
            SqlType::Time => DataType::Time,
            SqlType::Timestamp => DataType::DateTime,
            SqlType::TimestampTz => DataType::Timestamp,
            SqlType::Super => DataType::Json,
            SqlType::Varbyte => DataType::Bytes,
            SqlType::Geo(_) | SqlType::Other(_) => DataType::Other,
        }
    }

    fn asked(&self, column: &str) -> Option<String> {
        match self {
            // As text it would have a digit less than it takes to be exact.
            SqlType::Real => Some(format!("CAST({column} AS FLOAT8)")),
            SqlType::Super => Some(format!("JSON_SERIALIZE({column})")),
            SqlType::Varbyte => Some(format!("TO_HEX({column})")),
            SqlType::Geo(_) => Some(format!("ST_AsEWKT({column})")),
            _ => None,
        }
    }

    fn text(&self, column: &str) -> Option<String> {
        Some(match self {
            SqlType::Boolean => format!("CASE WHEN {column} THEN 't' WHEN NOT {column} THEN 'f' END"),
            SqlType::Integer(_)
            | SqlType::Numeric(_)
            | SqlType::Date
            | SqlType::Time
            | SqlType::Timestamp => {
                format!("CAST({column} AS VARCHAR)")
            }
            SqlType::Real => exact_float(&format!("CAST({column} AS FLOAT8)"), ("FLOAT8", "VARCHAR")),
            SqlType::Double => exact_float(column, ("FLOAT8", "VARCHAR")),
            SqlType::TimestampTz => format!("CAST({column} AT TIME ZONE 'UTC' AS VARCHAR)"),
            SqlType::Varchar(_) | SqlType::Char(_) => column.to_owned(),
            SqlType::Super | SqlType::Varbyte | SqlType::Geo(_) => self.asked(column)?,
            // Which of them have a text is not documented.
            SqlType::Other(_) => return None,
        })
    }

    fn cast(&self) -> String {
        let name = match self {
            SqlType::Boolean => "BOOLEAN",
            SqlType::Integer(_) => "BIGINT",
            SqlType::Real => "FLOAT4",
            SqlType::Double => "FLOAT8",
            // A lookback may have a digit more than the column.
            SqlType::Numeric(digits) => {
                return format!("NUMERIC(38,{})", digits.map_or(10, |(_, scale)| scale));
            }
            SqlType::Date => "DATE",
            SqlType::Time => "TIME",
            SqlType::Timestamp => "TIMESTAMP",
            SqlType::TimestampTz => "TIMESTAMPTZ",
            _ => "VARCHAR(65535)",
        };
        name.to_owned()
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_length = |f: &mut fmt::Formatter<'_>, name: &str, length: &Option<u32>| match length {
            Some(length) => write!(f, "{name}({length})"),
            None => f.write_str(name),
        };
        f.write_str(match self {
            SqlType::Boolean => "boolean",
            SqlType::Integer(name) | SqlType::Geo(name) => name,
            SqlType::Real => "real",
            SqlType::Double => "double precision",
            SqlType::Numeric(Some((precision, scale))) => return write!(f, "numeric({precision},{scale})"),
            SqlType::Numeric(None) => "numeric",
            SqlType::Varchar(length) => return with_length(f, "varchar", length),
            SqlType::Char(length) => return with_length(f, "char", length),
            SqlType::Date => "date",
            SqlType::Time => "time",
            SqlType::Timestamp => "timestamp",
            SqlType::TimestampTz => "timestamptz",
            SqlType::Super => "super",
            SqlType::Varbyte => "varbyte",
            SqlType::Other(name) => name,
        })
    }
}
