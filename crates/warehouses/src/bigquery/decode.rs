//! From the cells of BigQuery's JSON to values. Pure, and exact.
//!
//! Everything is a text, whatever its type is: `{"v": "1"}`; a list is `{"v": [{"v": "1"}]}` and a
//! structure `{"v": {"f": [{"v": "1"}]}}`. Timestamps are microseconds, which has to be asked for.
//!
//! Source: BigQuery REST reference, `jobs.getQueryResults`; google-cloud-bigquery 3.47, `_helpers.py`,
//! for `RANGE` and `INTERVAL`.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{Timestamp, civil};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use tidegate_model::{Json, Reason, Value, json};
use tidegate_transport::arena::{Alone, Keep};
use tidegate_transport::arrow::wide;

use super::types::{Field, Kind};

/// The cells of a row, or the members of a structure.
#[derive(Debug, Deserialize)]
pub struct Cells<'a> {
    #[serde(borrow)]
    f: Vec<Cell<'a>>,
}

#[derive(Debug, Deserialize)]
struct Cell<'a> {
    #[serde(borrow, default)]
    v: Raw<'a>,
}

/// What a cell holds.
#[derive(Debug, Default)]
enum Raw<'a> {
    #[default]
    Null,
    Text(Cow<'a, str>),
    List(Vec<Cell<'a>>),
    Members(Vec<Cell<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw<'a>, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cell")
    }

    fn visit_unit<E>(self) -> Result<Raw<'de>, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw<'de>, E> {
        Ok(Raw::Text(Cow::Borrowed(if value { "true" } else { "false" })))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Raw<'de>, E> {
        Ok(Raw::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw<'de>, E> {
        Ok(Raw::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw<'de>, A::Error> {
        let mut cells = Vec::new();
        while let Some(cell) = items.next_element()? {
            cells.push(cell);
        }
        Ok(Raw::List(cells))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Raw<'de>, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            match &*name {
                "f" => found = Some(members.next_value()?),
                _ => drop(members.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        found.map(Raw::Members).ok_or_else(|| A::Error::custom("a structure without members"))
    }
}

/// Reads the cells of a row.
///
/// # Errors
/// If they have not the documented form.
pub fn cells(row: &[u8]) -> Result<Cells<'_>, Reason> {
    serde_json::from_slice(row).map_err(|_| Reason::new("unknown_form", "a row that cannot be read"))
}

impl Cells<'_> {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.f.len()
    }

    /// Returns the value of each cell, whose texts are kept where `keep` says, or why it has none: without repeating
    /// any of it, and the text that stands there.
    pub fn values<'a>(
        &'a self,
        fields: &'a [Field],
        keep: &'a mut impl Keep,
    ) -> impl Iterator<Item = Result<Value, (String, Reason)>> + 'a {
        self.f.iter().zip(fields).map(|(cell, field)| {
            value(&cell.v, field, keep).map_err(|reason| {
                let text =
                    if let Raw::Text(text) = &cell.v { text.clone().into_owned() } else { String::new() };
                (text, reason)
            })
        })
    }
}

fn value(raw: &Raw<'_>, field: &Field, keep: &mut impl Keep) -> Result<Value, Reason> {
    match (raw, field.is_repeated) {
        (Raw::Null, _) => Ok(Value::Null),
        (Raw::Text(text), false) => one(text, &field.kind, keep),
        _ => {
            let mut out = String::new();
            write(raw, field, &mut out)?;
            Ok(Value::Json(Json::trusted(out)))
        }
    }
}

/// Writes a list, a structure or a value inside of one as JSON.
fn write(raw: &Raw<'_>, field: &Field, out: &mut String) -> Result<(), Reason> {
    match (raw, field.is_repeated) {
        (Raw::Null, _) => out.push_str("null"),
        (Raw::List(cells), true) => {
            let element = Field { is_repeated: false, ..field.clone() };
            out.push('[');
            for (at, cell) in cells.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(&cell.v, &element, out)?;
            }
            out.push(']');
        }
        (Raw::Members(cells), false) => {
            let Kind::Struct(members) = &field.kind else { return Err(unknown(&field.kind)) };
            if members.len() != cells.len() {
                return Err(unknown(&field.kind));
            }
            out.push('{');
            for (at, (cell, member)) in cells.iter().zip(members).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                json::write_string(&member.name, out);
                out.push(':');
                write(&cell.v, member, out)?;
            }
            out.push('}');
        }
        (Raw::Text(text), false) => {
            let value = one(text, &field.kind, &mut Alone)?;
            let before = out.len();
            if value.write_json(out).is_err() {
                // What is no JSON number (NaN) becomes a string, so that nothing is lost.
                out.truncate(before);
                json::write_string(text, out);
            }
        }
        _ => return Err(unknown(&field.kind)),
    }
    Ok(())
}

fn unknown(kind: &Kind) -> Reason {
    Reason::new("unknown_form", format!("a {kind} that cannot be read"))
}

/// Returns the value of a text.
fn one(text: &str, kind: &Kind, keep: &mut impl Keep) -> Result<Value, Reason> {
    let unknown = || unknown(kind);
    Ok(match kind {
        Kind::Text | Kind::Other(_) => Value::Text(keep.text(text)),
        Kind::Int64 => Value::Int(text.parse().map_err(|_| unknown())?),
        Kind::Float64 => Value::Float(text.parse().map_err(|_| unknown())?),
        Kind::Numeric(_) | Kind::BigNumeric(_) if json::is_number(text) => Value::Decimal(keep.text(text)),
        Kind::Numeric(_) | Kind::BigNumeric(_) | Kind::Struct(_) => return Err(unknown()),
        Kind::Bool => Value::Bool(match text {
            "true" => true,
            "false" => false,
            _ => return Err(unknown()),
        }),
        Kind::Bytes => Value::Bytes(STANDARD.decode(text).map_err(|_| unknown())?.into()),
        Kind::Timestamp => timestamp(text.parse().map_err(|_| unknown())?),
        Kind::DateTime => Value::DateTime(text.parse::<civil::DateTime>().map_err(|_| unknown())?),
        Kind::Date => Value::Date(text.parse::<civil::Date>().map_err(|_| unknown())?),
        Kind::Time => Value::Time(text.parse::<civil::Time>().map_err(|_| unknown())?),
        Kind::Json => Value::Json(Json::parse(keep.text(text))?),
        Kind::Range(element) => Value::Json(Json::trusted(range(text, element).ok_or_else(unknown)?)),
    })
}

/// A moment, of its microseconds since 1970; text if it is beyond the years that a timestamp can have.
fn timestamp(microseconds: i64) -> Value {
    match Timestamp::from_microsecond(microseconds) {
        Ok(at) => Value::Timestamp(at),
        Err(_) => Value::Text(wide::moment(i128::from(microseconds) * 1_000, true).into()),
    }
}

/// Returns a range, `[2024-01-01, UNBOUNDED)`, as an object with `start` and `end`.
fn range(text: &str, element: &Kind) -> Option<String> {
    let (start, end) = text.strip_prefix('[')?.strip_suffix(')')?.split_once(", ")?;
    let mut out = String::new();
    for (name, bound) in [("{\"start\":", start), (",\"end\":", end)] {
        out.push_str(name);
        match bound {
            "UNBOUNDED" | "NULL" => out.push_str("null"),
            bound => one(bound, element, &mut Alone).ok()?.write_json(&mut out).ok()?,
        }
    }
    out.push('}');
    Some(out)
}

/// Returns the column of a statement that counts.
pub fn count_field() -> Field {
    Field { name: String::new(), kind: Kind::Int64, is_repeated: false, collation: String::new() }
}
