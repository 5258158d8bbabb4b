//! The types of columns, as every source gives them.

use std::fmt;

use jiff::{Timestamp, civil};
use serde::{Deserialize, Serialize};

use crate::Value;

/// The type of a column, the same for every source.
///
/// A source maps its own types to these, and everything else is decided by
/// them: whether a column can be a cursor, how far back a run looks, which time
/// zone counts. What the source itself calls the type is
/// [`Column::type_name`](crate::source::Column::type_name), for people only.
///
/// A column holds null whatever its type is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// True or false: [`Value::Bool`].
    Boolean,
    /// A whole number of at most 64 bits, signed: [`Value::Int`].
    Integer,
    /// An exact decimal number: [`Value::Decimal`], or [`Value::Int`] if the
    /// source reads whole numbers so. Also whole numbers of more than 64 bits.
    Decimal {
        /// The digits that a value has at most, if they are limited.
        precision: Option<u32>,
        /// How many of them are after the decimal point, if that is fixed.
        /// Negative for numbers that are rounded to tens, hundreds and so on.
        scale: Option<i32>,
    },
    /// A binary floating-point number: [`Value::Float`].
    Float,
    /// Characters, also of fixed length, and enumerations: [`Value::Text`].
    Text,
    /// A UUID: [`Value::Text`] in lowercase with hyphens.
    Uuid,
    /// Raw bytes: [`Value::Bytes`].
    Bytes,
    /// A calendar day: [`Value::Date`], or [`Value::Text`] for one that no
    /// calendar here reaches: `infinity`, `10000-01-01`.
    Date,
    /// A time of day without a zone: [`Value::Time`], or [`Value::Text`] for
    /// `24:00:00`, which no clock shows.
    Time,
    /// A date and time on a wall clock without a zone: [`Value::DateTime`], or
    /// [`Value::Text`] as for [`DataType::Date`]. It is an instant only together
    /// with a time zone that a person names.
    DateTime,
    /// An instant: [`Value::Timestamp`], whatever zone or offset the source
    /// shows it in, or [`Value::Text`] for one that cannot be told:
    /// `infinity`, `9999-12-31T23:59:59Z`.
    Timestamp,
    /// A JSON document of any shape: [`Value::Json`].
    Json,
    /// A list of elements of one type: [`Value::Json`], an array.
    List(Box<DataType>),
    /// Named members, a structure or a map: [`Value::Json`], an object.
    Object,
    /// Each row has its own type, as a member of a JSON text does: any [`Value`].
    Any,
    /// A type that has no counterpart here, for example an interval or a network
    /// address: [`Value::Text`] as the source writes it. The order of such texts
    /// means nothing.
    Other,
}

impl DataType {
    /// A decimal number whose digits are not limited.
    pub const DECIMAL: DataType = DataType::Decimal { precision: None, scale: None };

    /// Returns the lowest place in the order of a column of times; `None` for other
    /// columns.
    pub fn beginning_of_time(&self) -> Option<&'static Value> {
        const DATE: Value = Value::Date(civil::Date::MIN);
        const DATE_TIME: Value = Value::DateTime(civil::DateTime::MIN);
        const TIMESTAMP: Value = Value::Timestamp(Timestamp::MIN);
        match self {
            DataType::Date => Some(&DATE),
            DataType::DateTime => Some(&DATE_TIME),
            DataType::Timestamp => Some(&TIMESTAMP),
            _ => None,
        }
    }

    /// Returns whether a column of this type can hold `value`.
    pub fn holds(&self, value: &Value) -> bool {
        let begins =
            |with| matches!(value, Value::Json(json) if json.as_str().trim_start().starts_with(with));
        match (self, value) {
            (_, Value::Null | Value::Absent)
            | (DataType::Any, _)
            | (DataType::Boolean, Value::Bool(_))
            | (DataType::Integer, Value::Int(_))
            | (DataType::Decimal { .. }, Value::Int(_) | Value::Decimal(_))
            | (DataType::Float, Value::Float(_))
            | (DataType::Text | DataType::Uuid | DataType::Other, Value::Text(_))
            | (DataType::Bytes, Value::Bytes(_))
            | (DataType::Date, Value::Date(_))
            | (DataType::Time, Value::Time(_))
            | (DataType::DateTime, Value::DateTime(_))
            | (DataType::Timestamp, Value::Timestamp(_))
            | (DataType::Json, Value::Json(_)) => true,
            (DataType::Time, Value::Text(text)) => &**text == "24:00:00",
            (DataType::Date | DataType::DateTime | DataType::Timestamp, Value::Text(text)) => is_beyond(text),
            (DataType::List(_), _) => begins('['),
            (DataType::Object, _) => begins('{'),
            _ => false,
        }
    }
}

/// Returns whether a text is a day or a time that no calendar here reaches:
/// without end, or of the year 9999 or a later one.
fn is_beyond(text: &str) -> bool {
    let year = text.split_once('-').map_or("", |(year, _)| year);
    matches!(text, "infinity" | "-infinity") || year.parse::<u32>().is_ok_and(|year| year >= 9_999)
}

impl fmt::Display for DataType {
    /// Writes the type as people read it in messages, in the words of
    /// [`Value::type_name`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DataType::Boolean => "boolean",
            DataType::Integer => "integer",
            DataType::Decimal { precision: Some(precision), scale: Some(scale) } => {
                return write!(f, "decimal({precision},{scale})");
            }
            DataType::Decimal { precision: Some(precision), scale: None } => {
                return write!(f, "decimal({precision})");
            }
            DataType::Decimal { precision: None, .. } => "decimal",
            DataType::Float => "float",
            DataType::Text => "text",
            DataType::Uuid => "uuid",
            DataType::Bytes => "bytes",
            DataType::Date => "date",
            DataType::Time => "time",
            DataType::DateTime => "timestamp without time zone",
            DataType::Timestamp => "timestamp",
            DataType::Json => "JSON",
            DataType::List(element) => return write!(f, "list of {element}"),
            DataType::Object => "object",
            DataType::Any => "any",
            DataType::Other => "other",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Json;

    #[test]
    fn a_type_holds_its_own_values_and_no_others() {
        let json = |text: &str| Value::Json(Json::trusted(text.to_owned()));
        let number = DataType::Decimal { precision: Some(38), scale: Some(0) };
        let values = [
            (Value::Bool(true), vec![DataType::Boolean]),
            (Value::Int(1), vec![DataType::Integer, number.clone(), DataType::DECIMAL]),
            (Value::Decimal("1".into()), vec![number, DataType::DECIMAL]),
            (Value::Float(1.0), vec![DataType::Float]),
            (Value::Text("a".into()), vec![DataType::Text, DataType::Uuid, DataType::Other]),
            (Value::Bytes(bytes::Bytes::new()), vec![DataType::Bytes]),
            (Value::Timestamp(Timestamp::UNIX_EPOCH), vec![DataType::Timestamp]),
            (Value::DateTime(civil::DateTime::ZERO), vec![DataType::DateTime]),
            (Value::Date(civil::Date::ZERO), vec![DataType::Date]),
            (Value::Time(civil::Time::midnight()), vec![DataType::Time]),
            (json("[1]"), vec![DataType::Json, DataType::List(Box::new(DataType::Integer))]),
            (json("{}"), vec![DataType::Json, DataType::Object]),
            (json("1"), vec![DataType::Json]),
        ];
        let all: Vec<DataType> = values.iter().flat_map(|(_, types)| types.clone()).collect();
        for (value, types) in &values {
            for data_type in &all {
                assert_eq!(data_type.holds(value), types.contains(data_type), "{value:?} in {data_type}");
            }
            assert!(DataType::Any.holds(value), "{value:?}");
        }
        assert!(all.iter().all(|data_type| data_type.holds(&Value::Null)));
    }

    #[test]
    fn what_no_calendar_reaches_is_still_a_time() {
        for data_type in [DataType::Date, DataType::DateTime, DataType::Timestamp] {
            for text in ["infinity", "-infinity", "9999-12-31T23:59:59Z", "294276-12-31T23:59:59.999999"] {
                assert!(data_type.holds(&Value::Text(text.into())), "{text} in {data_type}");
            }
            for text in ["", "never", "2026-11-29T10:00:00Z", "-9999-01-01"] {
                assert!(!data_type.holds(&Value::Text(text.into())), "{text} in {data_type}");
            }
        }
    }

    #[test]
    fn the_end_of_a_day_is_a_time() {
        assert!(DataType::Time.holds(&Value::Text("24:00:00".into())));
        assert!(!DataType::Time.holds(&Value::Text("noon".into())));
    }

    #[test]
    fn a_type_survives_json() {
        let list = DataType::List(Box::new(DataType::Decimal { precision: Some(9), scale: Some(2) }));
        assert_eq!(list.to_string(), "list of decimal(9,2)");
        let text = serde_json::to_string(&list).expect("JSON");
        assert_eq!(serde_json::from_str::<DataType>(&text).expect("JSON"), list);
    }
}
