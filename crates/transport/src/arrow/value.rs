//! From Arrow's columns to values, exact.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DecimalType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, MapArray, StructArray};
use arrow_schema::{DataType, TimeUnit};
use jiff::{SignedDuration, Timestamp, civil};
use tidegate_model::{DataType as ColumnType, Json, Reason, Value, json};

use super::wide;
use crate::arena::{Alone, Keep};

/// Returns the type of the values that [`value`] gives for a column.
pub fn data_type(arrow: &DataType) -> ColumnType {
    match arrow {
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => ColumnType::Integer,
        DataType::UInt64 => ColumnType::Decimal { precision: Some(20), scale: Some(0) },
        DataType::Float16 | DataType::Float32 | DataType::Float64 => ColumnType::Float,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            ColumnType::Decimal { precision: Some((*precision).into()), scale: Some((*scale).into()) }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ColumnType::Bytes
        }
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Time32(_) | DataType::Time64(_) => ColumnType::Time,
        DataType::Timestamp(_, Some(_)) => ColumnType::Timestamp,
        DataType::Timestamp(_, None) => ColumnType::DateTime,
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
            ColumnType::List(Box::new(data_type(element.data_type())))
        }
        DataType::Struct(_) | DataType::Map(..) => ColumnType::Object,
        DataType::Dictionary(_, element) => data_type(element),
        _ => ColumnType::Other,
    }
}

/// Returns the value of one cell.
///
/// # Errors
/// Why it has none here, without repeating any of it.
pub fn value(array: &ArrayRef, at: usize) -> Result<Value, Reason> {
    value_in(array, at, &mut Alone)
}

/// Returns the value of one cell, whose texts and bytes are kept where `keep` says.
///
/// # Errors
/// As [`value`].
pub fn value_in(array: &ArrayRef, at: usize, keep: &mut impl Keep) -> Result<Value, Reason> {
    if array.is_null(at) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Bool(array.as_boolean().value(at)),
        DataType::Int8 => Value::Int(primitive::<Int8Type>(array, at).into()),
        DataType::Int16 => Value::Int(primitive::<Int16Type>(array, at).into()),
        DataType::Int32 => Value::Int(primitive::<Int32Type>(array, at).into()),
        DataType::Int64 => Value::Int(primitive::<Int64Type>(array, at)),
        DataType::UInt8 => Value::Int(primitive::<UInt8Type>(array, at).into()),
        DataType::UInt16 => Value::Int(primitive::<UInt16Type>(array, at).into()),
        DataType::UInt32 => Value::Int(primitive::<UInt32Type>(array, at).into()),
        DataType::UInt64 => {
            let number = primitive::<UInt64Type>(array, at);
            i64::try_from(number).map_or_else(|_| Value::Decimal(number.to_string().into()), Value::Int)
        }
        DataType::Float16 => Value::Float(primitive::<Float16Type>(array, at).into()),
        DataType::Float32 => {
            // The shortest decimal that names the same number: 0.1 stays 0.1.
            let number = primitive::<Float32Type>(array, at);
            Value::Float(number.to_string().parse().unwrap_or(number.into()))
        }
        DataType::Float64 => Value::Float(primitive::<Float64Type>(array, at)),
        DataType::Decimal32(..) => decimal::<Decimal32Type>(array, at),
        DataType::Decimal64(..) => decimal::<Decimal64Type>(array, at),
        DataType::Decimal128(..) => decimal::<Decimal128Type>(array, at),
        DataType::Decimal256(..) => decimal::<Decimal256Type>(array, at),
        DataType::Utf8 => Value::Text(keep.text(array.as_string::<i32>().value(at))),
        DataType::LargeUtf8 => Value::Text(keep.text(array.as_string::<i64>().value(at))),
        DataType::Utf8View => Value::Text(keep.text(array.as_string_view().value(at))),
        DataType::Binary => Value::Bytes(keep.bytes(array.as_binary::<i32>().value(at))),
        DataType::LargeBinary => Value::Bytes(keep.bytes(array.as_binary::<i64>().value(at))),
        DataType::BinaryView => Value::Bytes(keep.bytes(array.as_binary_view().value(at))),
        DataType::FixedSizeBinary(_) => Value::Bytes(keep.bytes(array.as_fixed_size_binary().value(at))),
        DataType::Date32 => date(primitive::<Date32Type>(array, at).into()),
        DataType::Date64 => date(primitive::<Date64Type>(array, at).div_euclid(86_400_000)),
        DataType::Time32(TimeUnit::Second) => {
            time(i64::from(primitive::<Time32SecondType>(array, at)), TimeUnit::Second)?
        }
        DataType::Time32(unit) => time(i64::from(primitive::<Time32MillisecondType>(array, at)), *unit)?,
        DataType::Time64(TimeUnit::Nanosecond) => {
            time(primitive::<Time64NanosecondType>(array, at), TimeUnit::Nanosecond)?
        }
        DataType::Time64(unit) => time(primitive::<Time64MicrosecondType>(array, at), *unit)?,
        DataType::Timestamp(unit, zone) => timestamp(array, at, *unit, zone.is_some()),
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Map(..) => {
            let mut out = String::new();
            write_json(array, at, &mut out)?;
            Value::Json(Json::trusted(out))
        }
        _ => Value::Text(shown(array, at)?.into()),
    })
}

fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef, at: usize) -> T::Native {
    array.as_primitive::<T>().value(at)
}

fn decimal<T: DecimalType + ArrowPrimitiveType>(array: &ArrayRef, at: usize) -> Value {
    Value::Decimal(array.as_primitive::<T>().value_as_string(at).into())
}

fn shown(array: &ArrayRef, at: usize) -> Result<String, Reason> {
    arrow_cast::display::array_value_to_string(array, at)
        .map_err(|_| Reason::new("unknown_form", format!("a {} that cannot be read", array.data_type())))
}

/// A day; text if it is beyond the years that a date can have.
fn date(days: i64) -> Value {
    days.checked_mul(24)
        .and_then(|hours| civil::date(1970, 1, 1).checked_add(SignedDuration::try_from_hours(hours)?).ok())
        .map_or_else(|| Value::Text(wide::date(days).into()), Value::Date)
}

fn since(count: i64, unit: TimeUnit) -> SignedDuration {
    match unit {
        TimeUnit::Second => SignedDuration::from_secs(count),
        TimeUnit::Millisecond => SignedDuration::from_millis(count),
        TimeUnit::Microsecond => SignedDuration::from_micros(count),
        TimeUnit::Nanosecond => SignedDuration::from_nanos(count),
    }
}

fn time(count: i64, unit: TimeUnit) -> Result<Value, Reason> {
    let since = since(count, unit);
    if since == SignedDuration::from_hours(24) {
        return Ok(Value::Text("24:00:00".into()));
    }
    let time = civil::Time::midnight().checked_add(since);
    time.map(Value::Time).map_err(|_| Reason::new("out_of_range", "a time of day that no day has"))
}

/// A moment; text if it is beyond the years that a timestamp can have.
fn timestamp(array: &ArrayRef, at: usize, unit: TimeUnit, zoned: bool) -> Value {
    let count = match unit {
        TimeUnit::Second => primitive::<TimestampSecondType>(array, at),
        TimeUnit::Millisecond => primitive::<TimestampMillisecondType>(array, at),
        TimeUnit::Microsecond => primitive::<TimestampMicrosecondType>(array, at),
        TimeUnit::Nanosecond => primitive::<TimestampNanosecondType>(array, at),
    };
    let since = since(count, unit);
    let value = if zoned {
        Timestamp::UNIX_EPOCH.checked_add(since).map(Value::Timestamp)
    } else {
        civil::datetime(1970, 1, 1, 0, 0, 0, 0).checked_add(since).map(Value::DateTime)
    };
    value.unwrap_or_else(|_| Value::Text(wide::moment(since.as_nanos(), zoned).into()))
}

/// Writes a cell as JSON; lists and structs as what they are.
fn write_json(array: &ArrayRef, at: usize, out: &mut String) -> Result<(), Reason> {
    if array.is_null(at) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::List(_) => write_list(&array.as_list::<i32>().value(at), out),
        DataType::LargeList(_) => write_list(&array.as_list::<i64>().value(at), out),
        DataType::FixedSizeList(..) => write_list(&array.as_fixed_size_list().value(at), out),
        DataType::Struct(_) => write_struct(array.as_struct(), at, out),
        DataType::Map(..) => write_map(array.as_map(), at, out),
        _ => {
            let value = value(array, at)?;
            let before = out.len();
            if value.write_json(out).is_err() {
                // What is no JSON number (NaN) becomes a string, so that nothing is lost.
                out.truncate(before);
                json::write_string(&value.to_text().unwrap_or_default(), out);
            }
            Ok(())
        }
    }
}

fn write_list(elements: &ArrayRef, out: &mut String) -> Result<(), Reason> {
    out.push('[');
    for at in 0..elements.len() {
        if at > 0 {
            out.push(',');
        }
        write_json(elements, at, out)?;
    }
    out.push(']');
    Ok(())
}

fn write_struct(members: &StructArray, at: usize, out: &mut String) -> Result<(), Reason> {
    out.push('{');
    for (index, (field, column)) in members.fields().iter().zip(members.columns()).enumerate() {
        if index > 0 {
            out.push(',');
        }
        json::write_string(field.name(), out);
        out.push(':');
        write_json(column, at, out)?;
    }
    out.push('}');
    Ok(())
}

fn write_map(map: &MapArray, at: usize, out: &mut String) -> Result<(), Reason> {
    let entries = map.value(at);
    out.push('{');
    for index in 0..entries.len() {
        if index > 0 {
            out.push(',');
        }
        let key = value(entries.column(0), index)?.to_text().unwrap_or_default();
        json::write_string(&key, out);
        out.push(':');
        write_json(entries.column(1), index, out)?;
    }
    out.push('}');
    Ok(())
}
