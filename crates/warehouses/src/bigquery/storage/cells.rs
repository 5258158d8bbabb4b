//! From Arrow's columns to the values that pages of JSON have: the same row is the same, whichever way it came.
//!
//! Source: BigQuery docs, Storage Read API, "Arrow schema details".

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef};
use bytes::Bytes;
use tidegate_model::{Json, Reason, Value, json};
use tidegate_transport::arena::{Alone, Keep};
use tidegate_transport::arrow;

use crate::bigquery::types::{Field, Kind};

/// Returns the value of a cell, whose texts are kept where `keep` says; or its bytes as far as there are some, and why
/// it has no value.
pub fn cell(
    column: &ArrayRef,
    at: usize,
    field: &Field,
    keep: &mut impl Keep,
) -> Result<Value, (Bytes, Reason)> {
    let nothing = |reason| (Bytes::new(), reason);
    if field.is_repeated || matches!(field.kind, Kind::Struct(_)) {
        // A list is never null: BigQuery makes no difference between none and an empty one.
        if column.is_null(at) && !field.is_repeated {
            return Ok(Value::Null);
        }
        let mut out = String::new();
        write(column, at, field, &mut out).map_err(nothing)?;
        return Ok(Value::Json(Json::trusted(out)));
    }
    match (one(column, at, field, keep).map_err(nothing)?, &field.kind) {
        (Value::Text(text), Kind::Json) => {
            Json::parse(text.clone()).map(Value::Json).map_err(|reason| (text.into_bytes(), reason))
        }
        (value, _) => Ok(value),
    }
}

/// Returns a value that is no list and no structure. Decimals are written as pages have them, without the zeros
/// that fill their scale.
fn one(column: &ArrayRef, at: usize, field: &Field, keep: &mut impl Keep) -> Result<Value, Reason> {
    Ok(match arrow::value_in(column, at, keep)? {
        Value::Decimal(digits) if digits.contains('.') => {
            let shortest = digits.trim_end_matches('0').trim_end_matches('.');
            Value::Decimal(if shortest == "-0" { "0".into() } else { shortest.into() })
        }
        Value::Text(text) if matches!(field.kind, Kind::Numeric(_) | Kind::BigNumeric(_)) => {
            Value::Decimal(text)
        }
        value => value,
    })
}

fn write(column: &ArrayRef, at: usize, field: &Field, out: &mut String) -> Result<(), Reason> {
    let unknown = || Reason::new("unknown_form", format!("a {field} that cannot be read"));
    if field.is_repeated {
        let element = Field { is_repeated: false, ..field.clone() };
        let elements = column.as_list_opt::<i32>().ok_or_else(unknown)?;
        out.push('[');
        if !column.is_null(at) {
            let elements = elements.value(at);
            for at in 0..elements.len() {
                if at > 0 {
                    out.push(',');
                }
                write(&elements, at, &element, out)?;
            }
        }
        out.push(']');
        return Ok(());
    }
    if column.is_null(at) {
        out.push_str("null");
        return Ok(());
    }
    if let Kind::Struct(members) = &field.kind {
        let columns = column.as_struct_opt().ok_or_else(unknown)?.columns();
        if columns.len() != members.len() {
            return Err(unknown());
        }
        out.push('{');
        for (index, (column, member)) in columns.iter().zip(members).enumerate() {
            if index > 0 {
                out.push(',');
            }
            json::write_string(&member.name, out);
            out.push(':');
            write(column, at, member, out)?;
        }
        out.push('}');
        return Ok(());
    }
    let value = cell(column, at, field, &mut Alone).map_err(|(_, reason)| reason)?;
    let before = out.len();
    if value.write_json(out).is_err() {
        // What is no JSON number (NaN) becomes a string, so that nothing is lost.
        out.truncate(before);
        json::write_string(&no_number(&value), out);
    }
    Ok(())
}

/// Returns what pages write for a float that is no number of JSON.
fn no_number(value: &Value) -> String {
    match value {
        Value::Float(float) if float.is_nan() => "NaN".to_owned(),
        Value::Float(float) if *float > 0.0 => "Infinity".to_owned(),
        Value::Float(_) => "-Infinity".to_owned(),
        other => other.to_text().unwrap_or_default().to_string(),
    }
}
