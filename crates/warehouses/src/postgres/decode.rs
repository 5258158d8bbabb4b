//! From PostgreSQL's binary forms to values. Pure, and exact.
//!
//! Sources: PostgreSQL `src/backend/utils/adt/*send` functions (numeric.c,
//! timestamp.c, date.c, uuid.c, jsonb.c), stable since protocol 3.

use bytes::{Bytes, BytesMut};
use jiff::{SignedDuration, Timestamp, civil};
use tidegate_model::{Json, Reason, Text, Value};
use tidegate_transport::arena::{Arena, Keep as _};
use tokio_postgres::types::{FromSql, Kind, Type};

use super::{array, beyond};

/// A cell as it came over the wire, whatever its type is.
pub struct Raw<'a>(pub &'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw<'a>, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// How the cells of a column arrive; chosen once per statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One byte.
    Bool,
    /// 16 bits, signed.
    Int2,
    /// 32 bits, signed.
    Int4,
    /// 64 bits, signed.
    Int8,
    /// 32 bits, unsigned.
    Oid,
    /// IEEE 754, 32 bits.
    Float4,
    /// IEEE 754, 64 bits.
    Float8,
    /// Groups of four decimal digits.
    Numeric,
    /// The same: the server is asked for a number, for its text depends on settings.
    Money,
    /// Characters.
    Text,
    /// Characters, filled up with blanks that are no part of the value: `char(n)`.
    Padded,
    /// Characters that are JSON.
    Json,
    /// A version byte, then characters that are JSON.
    Jsonb,
    /// Bytes.
    Bytea,
    /// Microseconds since 2000 in UTC.
    Timestamptz,
    /// Microseconds since 2000 on a wall clock.
    Timestamp,
    /// Days since 2000.
    Date,
    /// Microseconds since midnight.
    Time,
    /// Sixteen bytes.
    Uuid,
    /// Dimensions and elements; becomes a JSON array.
    Array(Box<Shape>),
    /// Any other type: the server is asked for its text.
    AsText,
}

impl Shape {
    /// Returns how cells of a type arrive.
    pub fn of(column_type: &Type) -> Shape {
        match *column_type {
            Type::BOOL => Shape::Bool,
            Type::INT2 => Shape::Int2,
            Type::INT4 => Shape::Int4,
            Type::INT8 => Shape::Int8,
            Type::OID => Shape::Oid,
            Type::FLOAT4 => Shape::Float4,
            Type::FLOAT8 => Shape::Float8,
            Type::NUMERIC => Shape::Numeric,
            Type::MONEY => Shape::Money,
            Type::TEXT | Type::VARCHAR | Type::NAME => Shape::Text,
            Type::BPCHAR => Shape::Padded,
            Type::JSON => Shape::Json,
            Type::JSONB => Shape::Jsonb,
            Type::BYTEA => Shape::Bytea,
            Type::TIMESTAMPTZ => Shape::Timestamptz,
            Type::TIMESTAMP => Shape::Timestamp,
            Type::DATE => Shape::Date,
            Type::TIME => Shape::Time,
            Type::UUID => Shape::Uuid,
            ref other => match other.kind() {
                Kind::Enum(_) => Shape::Text,
                Kind::Simple if other.name() == "citext" => Shape::Text,
                Kind::Array(element) => match Shape::of(element) {
                    // Bytes have no JSON form of their own, and arrays of arrays are one array here.
                    Shape::AsText | Shape::Bytea | Shape::Money | Shape::Array(_) => Shape::AsText,
                    element => Shape::Array(Box::new(element)),
                },
                _ => Shape::AsText,
            },
        }
    }

    /// Returns the value of a cell. What it holds is copied once, into `arena`.
    ///
    /// # Errors
    /// Why the cell has no value here, without repeating any of it.
    pub fn decode(&self, cell: &[u8], arena: &mut Arena) -> Result<Value, Reason> {
        Ok(match self {
            Shape::Text | Shape::AsText => Value::Text(text(arena.bytes(cell))?),
            Shape::Padded => Value::Text(text(arena.bytes(unpadded(cell)))?),
            Shape::Json => Value::Json(Json::trusted(text(arena.bytes(cell))?)),
            Shape::Jsonb => match cell {
                [1, json @ ..] => Value::Json(Json::trusted(text(arena.bytes(json))?)),
                _ => return Err(Reason::new("unknown_form", "a jsonb version that is not known")),
            },
            Shape::Bytea => Value::Bytes(arena.bytes(cell)),
            Shape::Bool => Value::Bool(fixed::<1>(cell)? != [0]),
            Shape::Int2 => Value::Int(i16::from_be_bytes(fixed(cell)?).into()),
            Shape::Int4 => Value::Int(i32::from_be_bytes(fixed(cell)?).into()),
            Shape::Int8 => Value::Int(i64::from_be_bytes(fixed(cell)?)),
            Shape::Oid => Value::Int(u32::from_be_bytes(fixed(cell)?).into()),
            Shape::Float4 => Value::Float(widen(f32::from_be_bytes(fixed(cell)?))),
            Shape::Float8 => Value::Float(f64::from_be_bytes(fixed(cell)?)),
            Shape::Numeric | Shape::Money => {
                let (digits, written) = arena.written(cell.len() * 2 + 16, |out| numeric(cell, out));
                written?;
                Value::Decimal(text(digits)?)
            }
            Shape::Timestamptz => timestamp(i64::from_be_bytes(fixed(cell)?))?,
            Shape::Timestamp => date_time(i64::from_be_bytes(fixed(cell)?))?,
            Shape::Date => date(i32::from_be_bytes(fixed(cell)?))?,
            Shape::Time => time(i64::from_be_bytes(fixed(cell)?))?,
            Shape::Uuid => {
                let mut buffer = uuid::Uuid::encode_buffer();
                let uuid = uuid::Uuid::from_bytes(fixed(cell)?).hyphenated().encode_lower(&mut buffer);
                Value::Text(text(arena.bytes(uuid.as_bytes()))?)
            }
            Shape::Array(element) => Value::Json(array::to_json(cell, |cell| element.decode(cell, arena))?),
        })
    }
}

fn text(bytes: Bytes) -> Result<Text, Reason> {
    Text::try_from(bytes).map_err(|_| Reason::new("invalid_utf8", "text that is not valid UTF-8"))
}

/// Returns a `char(n)` without the blanks at its end, which its type adds.
fn unpadded(cell: &[u8]) -> &[u8] {
    let end = cell.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &cell[..end]
}

fn fixed<const N: usize>(cell: &[u8]) -> Result<[u8; N], Reason> {
    cell.try_into()
        .map_err(|_| Reason::new("unknown_form", format!("{} bytes where the type has {N}", cell.len())))
}

/// The shortest decimal that names the same number: 0.1 stays 0.1.
fn widen(number: f32) -> f64 {
    if number.is_finite() { number.to_string().parse().unwrap_or(f64::from(number)) } else { number.into() }
}

const EPOCH_2000: i64 = 946_684_800_000_000;

fn out_of_range(what: &str) -> Reason {
    Reason::new("out_of_range", format!("a {what} that PostgreSQL does not know"))
}

fn timestamp(micros: i64) -> Result<Value, Reason> {
    if matches!(micros, i64::MIN | i64::MAX) {
        return Ok(beyond::infinity(micros < 0));
    }
    (micros.checked_add(EPOCH_2000))
        .and_then(|micros| Timestamp::from_microsecond(micros).ok())
        .map(Value::Timestamp)
        .or_else(|| beyond::date_time(micros, "Z"))
        .ok_or_else(|| out_of_range("timestamp"))
}

fn date_time(micros: i64) -> Result<Value, Reason> {
    if matches!(micros, i64::MIN | i64::MAX) {
        return Ok(beyond::infinity(micros < 0));
    }
    (civil::date(2000, 1, 1).to_datetime(civil::Time::midnight()))
        .checked_add(SignedDuration::from_micros(micros))
        .map(Value::DateTime)
        .ok()
        .or_else(|| beyond::date_time(micros, ""))
        .ok_or_else(|| out_of_range("timestamp"))
}

fn date(days: i32) -> Result<Value, Reason> {
    if matches!(days, i32::MIN | i32::MAX) {
        return Ok(beyond::infinity(days < 0));
    }
    civil::date(2000, 1, 1)
        .checked_add(SignedDuration::from_hours(i64::from(days) * 24))
        .map(Value::Date)
        .ok()
        .or_else(|| beyond::date(days.into()))
        .ok_or_else(|| out_of_range("date"))
}

fn time(micros: i64) -> Result<Value, Reason> {
    // PostgreSQL knows a midnight at the end of the day; it stays what it is.
    if micros == 86_400_000_000 {
        return Ok(Value::Text(Text::from_static("24:00:00")));
    }
    civil::Time::midnight()
        .checked_add(SignedDuration::from_micros(micros))
        .map(Value::Time)
        .map_err(|_| Reason::new("out_of_range", "a time of day outside of the day"))
}

/// Writes a numeric digit for digit, as the server's own text form has it.
fn numeric(cell: &[u8], out: &mut BytesMut) -> Result<(), Reason> {
    let malformed = || Reason::new("unknown_form", "a numeric that cannot be read");
    let (header, groups) = cell.split_at_checked(8).ok_or_else(malformed)?;
    let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (count, weight, sign, scale) = (usize::from(half(0)), half(2) as i16, half(4), usize::from(half(6)));
    if groups.len() != count * 2 {
        return Err(malformed());
    }
    let prefix: &[u8] = match sign {
        0x0000 => b"",
        0x4000 => b"-",
        0xC000 => b"NaN",
        0xD000 => b"Infinity",
        0xF000 => b"-Infinity",
        _ => return Err(malformed()),
    };
    out.extend_from_slice(prefix);
    if sign >= 0xC000 {
        return Ok(());
    }
    // The group at `place` counts 10000^place; groups that are not sent are zero.
    let group = |place: i32| -> [u8; 4] {
        let value = usize::try_from(i32::from(weight) - place)
            .ok()
            .and_then(|at| groups.get(at * 2..at * 2 + 2))
            .map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]));
        [value / 1000 % 10, value / 100 % 10, value / 10 % 10, value % 10].map(|digit| b'0' + digit as u8)
    };
    if weight < 0 {
        out.extend_from_slice(b"0");
    } else {
        let first = group(weight.into());
        let leading = first.iter().position(|digit| *digit != b'0').unwrap_or(3);
        out.extend_from_slice(&first[leading..]);
        for place in (0..i32::from(weight)).rev() {
            out.extend_from_slice(&group(place));
        }
    }
    if scale > 0 {
        out.extend_from_slice(b".");
        for at in 0..scale.div_ceil(4) {
            let wanted = (scale - at * 4).min(4);
            out.extend_from_slice(&group(-1 - at as i32)[..wanted]);
        }
    }
    Ok(())
}
