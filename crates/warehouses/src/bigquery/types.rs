//! The types of BigQuery, and the types of Tidegate that they become.
//!
//! Source: BigQuery docs, "Data types"; REST reference, `TableFieldSchema`, whose names of types are the
//! older ones: `INTEGER` for `INT64`, `RECORD` for `STRUCT`.

use std::fmt;

use serde::Deserialize;
use tidegate_model::DataType;

/// A column or a member of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name.
    pub name: String,
    /// The type of its values, or of the elements of its lists.
    pub kind: Kind,
    /// Whether it holds lists.
    pub is_repeated: bool,
    /// The collation; empty if texts are compared as they are.
    pub collation: String,
}

/// A type of BigQuery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `STRING`.
    Text,
    /// `BYTES`.
    Bytes,
    /// `INT64`.
    Int64,
    /// `FLOAT64`.
    Float64,
    /// `NUMERIC`, with precision and scale if they are limited.
    Numeric(Option<(u32, u32)>),
    /// `BIGNUMERIC`, the same.
    BigNumeric(Option<(u32, u32)>),
    /// `BOOL`.
    Bool,
    /// `TIMESTAMP`: an instant.
    Timestamp,
    /// `DATETIME`: a wall clock.
    DateTime,
    /// `DATE`.
    Date,
    /// `TIME`.
    Time,
    /// `JSON`.
    Json,
    /// `STRUCT<…>`.
    Struct(Vec<Field>),
    /// `RANGE<…>`.
    Range(Box<Kind>),
    /// Anything else, by its name: `GEOGRAPHY`, `INTERVAL`, and types that came later. Its text is what
    /// BigQuery writes.
    Other(String),
}

/// A field, as answers have it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldSchema {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    fields: Vec<FieldSchema>,
    #[serde(default)]
    collation: String,
    /// Numbers as texts.
    precision: Option<String>,
    scale: Option<String>,
    range_element_type: Option<ElementType>,
}

#[derive(Debug, Deserialize)]
struct ElementType {
    #[serde(rename = "type")]
    type_name: String,
}

/// The columns of a table or a result.
#[derive(Debug, Default, Deserialize)]
pub struct Schema {
    /// In order.
    #[serde(default)]
    pub fields: Vec<FieldSchema>,
}

impl From<FieldSchema> for Field {
    fn from(schema: FieldSchema) -> Field {
        let digits = schema.precision.as_deref().and_then(|digits| digits.parse().ok());
        let scale = schema.scale.as_deref().and_then(|scale| scale.parse().ok()).unwrap_or(0);
        let limits = digits.map(|digits: u32| (digits, scale));
        let kind = match schema.type_name.to_uppercase().as_str() {
            "NUMERIC" | "DECIMAL" => Kind::Numeric(limits),
            "BIGNUMERIC" | "BIGDECIMAL" => Kind::BigNumeric(limits),
            "RECORD" | "STRUCT" => Kind::Struct(schema.fields.into_iter().map(Field::from).collect()),
            "RANGE" => {
                let element = schema
                    .range_element_type
                    .map_or(Kind::Other(String::new()), |element| scalar(&element.type_name.to_uppercase()));
                Kind::Range(Box::new(element))
            }
            name => scalar(name),
        };
        let is_repeated = schema.mode.eq_ignore_ascii_case("REPEATED");
        Field { name: schema.name, kind, is_repeated, collation: schema.collation }
    }
}

fn scalar(name: &str) -> Kind {
    match name {
        "STRING" => Kind::Text,
        "BYTES" => Kind::Bytes,
        "INTEGER" | "INT64" => Kind::Int64,
        "FLOAT" | "FLOAT64" => Kind::Float64,
        "BOOLEAN" | "BOOL" => Kind::Bool,
        "TIMESTAMP" => Kind::Timestamp,
        "DATETIME" => Kind::DateTime,
        "DATE" => Kind::Date,
        "TIME" => Kind::Time,
        "JSON" => Kind::Json,
        other => Kind::Other(other.to_owned()),
    }
}

impl Field {
    /// Returns the type of the values.
    pub fn data_type(&self) -> DataType {
        let one = self.kind.data_type();
        if self.is_repeated { DataType::List(Box::new(one)) } else { one }
    }

    /// Returns the type that a parameter has to be compared with the column; `None` for types without
    /// equality.
    pub fn comparable(&self) -> Option<&'static str> {
        if self.is_repeated {
            return None;
        }
        Some(match self.kind {
            Kind::Text => "STRING",
            Kind::Bytes => "BYTES",
            Kind::Int64 => "INT64",
            Kind::Float64 => "FLOAT64",
            Kind::Numeric(_) => "NUMERIC",
            Kind::BigNumeric(_) => "BIGNUMERIC",
            Kind::Bool => "BOOL",
            Kind::Timestamp => "TIMESTAMP",
            Kind::DateTime => "DATETIME",
            Kind::Date => "DATE",
            Kind::Time => "TIME",
            Kind::Json | Kind::Struct(_) | Kind::Range(_) | Kind::Other(_) => return None,
        })
    }
}

impl Field {
    /// Returns whether cells of this column are read as those of another one. The limits of decimals do not
    /// matter: results do not repeat them.
    pub fn reads_as(&self, other: &Field) -> bool {
        let is_same = match (&self.kind, &other.kind) {
            (Kind::Struct(ours), Kind::Struct(theirs)) => {
                ours.len() == theirs.len()
                    && ours
                        .iter()
                        .zip(theirs)
                        .all(|(one, other)| one.name == other.name && one.reads_as(other))
            }
            (Kind::Numeric(_), Kind::Numeric(_)) | (Kind::BigNumeric(_), Kind::BigNumeric(_)) => true,
            (one, other) => one == other,
        };
        is_same && self.is_repeated == other.is_repeated
    }
}

impl Kind {
    fn data_type(&self) -> DataType {
        let decimal = |limits: &Option<(u32, u32)>, most: (u32, u32)| {
            let (digits, scale) = limits.unwrap_or(most);
            DataType::Decimal { precision: Some(digits), scale: i32::try_from(scale).ok() }
        };
        match self {
            Kind::Text => DataType::Text,
            Kind::Bytes => DataType::Bytes,
            Kind::Int64 => DataType::Integer,
            Kind::Float64 => DataType::Float,
            Kind::Numeric(limits) => decimal(limits, (38, 9)),
            // 76 digits, and a 77th that is not always there.
            Kind::BigNumeric(limits) => decimal(limits, (77, 38)),
            Kind::Bool => DataType::Boolean,
            Kind::Timestamp => DataType::Timestamp,
            Kind::DateTime => DataType::DateTime,
            Kind::Date => DataType::Date,
            Kind::Time => DataType::Time,
            Kind::Json => DataType::Json,
            Kind::Struct(_) | Kind::Range(_) => DataType::Object,
            Kind::Other(_) => DataType::Other,
        }
    }
}

impl fmt::Display for Field {
    /// Writes the type as GoogleSQL does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_repeated {
            true => write!(f, "ARRAY<{}>", self.kind),
            false => self.kind.fmt(f),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limited = |f: &mut fmt::Formatter<'_>, name: &str, limits: &Option<(u32, u32)>| match limits {
            None => f.write_str(name),
            Some((digits, 0)) => write!(f, "{name}({digits})"),
            Some((digits, scale)) => write!(f, "{name}({digits}, {scale})"),
        };
        match self {
            Kind::Text => f.write_str("STRING"),
            Kind::Bytes => f.write_str("BYTES"),
            Kind::Int64 => f.write_str("INT64"),
            Kind::Float64 => f.write_str("FLOAT64"),
            Kind::Numeric(limits) => limited(f, "NUMERIC", limits),
            Kind::BigNumeric(limits) => limited(f, "BIGNUMERIC", limits),
            Kind::Bool => f.write_str("BOOL"),
            Kind::Timestamp => f.write_str("TIMESTAMP"),
            Kind::DateTime => f.write_str("DATETIME"),
            Kind::Date => f.write_str("DATE"),
            Kind::Time => f.write_str("TIME"),
            Kind::Json => f.write_str("JSON"),
            Kind::Range(element) => write!(f, "RANGE<{element}>"),
            Kind::Other(name) => f.write_str(name),
            Kind::Struct(members) => {
                f.write_str("STRUCT<")?;
                for (at, member) in members.iter().enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    write!(f, "{comma}{} {member}", member.name)?;
                }
                f.write_str(">")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_types_of_answers_are_read_under_both_of_their_names() {
        let read =
            |schema: serde_json::Value| Field::from(serde_json::from_value::<FieldSchema>(schema).unwrap());
        for (schema, written) in [
            (json!({ "name": "a", "type": "INTEGER", "mode": "REQUIRED" }), "INT64"),
            (json!({ "name": "a", "type": "INT64" }), "INT64"),
            (json!({ "name": "a", "type": "NUMERIC", "precision": "9", "scale": "2" }), "NUMERIC(9, 2)"),
            (json!({ "name": "a", "type": "BIGNUMERIC", "precision": "40" }), "BIGNUMERIC(40)"),
            (json!({ "name": "a", "type": "RANGE", "rangeElementType": { "type": "DATE" } }), "RANGE<DATE>"),
            (json!({ "name": "a", "type": "GEOGRAPHY", "mode": "NULLABLE" }), "GEOGRAPHY"),
            (
                json!({ "name": "a", "type": "RECORD", "mode": "REPEATED", "fields": [
                    { "name": "b", "type": "FLOAT" }, { "name": "c", "type": "STRING", "mode": "REPEATED" },
                ] }),
                "ARRAY<STRUCT<b FLOAT64, c ARRAY<STRING>>>",
            ),
        ] {
            assert_eq!(read(schema).to_string(), written);
        }
    }
}
