//! Applying a mapping to one row.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::compile::{FieldPlan, Mapping, Plan, Take, Write};
use crate::{Body, Identity, Json, ObjectKind, Purchase, Reason, Record, Row, RowHash, Text, Value, json};

impl Mapping {
    /// Returns the record of `row`. `key` is its [`RowResult::key`](crate::store::RowResult::key),
    /// `whole` its `version_of`: both go into the idempotency key.
    ///
    /// # Errors
    /// The reason why the row cannot be a record: no identifier or two of them, a missing part, or
    /// a value whose type does not fit.
    pub fn apply(&self, row: &Row, key: RowHash, whole: RowHash) -> Result<Record, Reason> {
        let (identity, body) = match &self.plan {
            Plan::Fields(plan) => (plan.identity(row)?, plan.body(row, self)?),
            Plan::Contract(plan) => plan.apply(row, &self.time_zone)?,
        };
        let id = RowHash::of_delivery(&self.sync, key, whole);
        Ok(Record { id, identity, body })
    }

    /// Returns the text to find a row by: the identifier of its user, or the id of its catalog
    /// item. `None` if it cannot be read. Other faults of the row do not matter.
    pub fn label(&self, row: &Row) -> Option<Text> {
        match &self.plan {
            Plan::Fields(plan) => plan.label(row),
            Plan::Contract(plan) => plan.label(row),
        }
    }
}

/// Returns the only identifier that is given. An e-mail address takes precedence over a phone number.
///
/// # Errors
/// `no_identifier` if there is none, `two_identifiers` if there are several.
pub fn one_identity(
    external_id: Option<Text>,
    alias: Option<(Text, Text)>,
    platform_id: Option<Text>,
    email: Option<Text>,
    phone: Option<Text>,
) -> Result<Identity, Reason> {
    // The usual case.
    if alias.is_none() && platform_id.is_none() && email.is_none() && phone.is_none() {
        let id = external_id.ok_or_else(no_identifier)?;
        return Ok(Identity::ExternalId(id));
    }
    let mut found: Vec<(&str, Identity)> = Vec::with_capacity(2);
    if let Some(id) = external_id {
        found.push(("external_id", Identity::ExternalId(id)));
    }
    if let Some((label, name)) = alias {
        found.push(("alias", Identity::Alias { label, name }));
    }
    if let Some(id) = platform_id {
        found.push(("platform_id", Identity::PlatformId(id)));
    }
    match (email, phone) {
        (Some(email), _) => found.push(("email", Identity::Email(email))),
        (None, Some(phone)) => found.push(("phone", Identity::Phone(phone))),
        (None, None) => {}
    }
    match found.len() {
        1 => Ok(found.remove(0).1),
        0 => Err(no_identifier()),
        _ => {
            let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
            Err(Reason::new(
                "two_identifiers",
                format!(
                    "the row has {} identifiers ({}); exactly one is allowed",
                    names.len(),
                    names.join(", ")
                ),
            ))
        }
    }
}

fn no_identifier() -> Reason {
    Reason::new("no_identifier", "the row has no identifier of a user: the column is empty")
}

impl FieldPlan {
    /// Returns the first identifier that can be read.
    fn label(&self, row: &Row) -> Option<Text> {
        let text = |take: &Option<Take>| take.as_ref().and_then(|take| take.text(row).ok().flatten());
        if self.object == ObjectKind::CatalogItem {
            return text(&self.id);
        }
        let alias = || {
            let (label, name) = (text(&self.alias_label)?, text(&self.alias_name)?);
            Some(Identity::Alias { label, name }.label().into_owned().into())
        };
        text(&self.external_id)
            .or_else(alias)
            .or_else(|| text(&self.platform_id))
            .or_else(|| text(&self.email))
            .or_else(|| text(&self.phone))
    }

    fn identity(&self, row: &Row) -> Result<Identity, Reason> {
        if self.object == ObjectKind::CatalogItem {
            return Ok(Identity::None);
        }
        let text = |take: &Option<Take>| match take {
            Some(take) => take.text(row),
            None => Ok(None),
        };
        let alias = match (text(&self.alias_name)?, text(&self.alias_label)?) {
            (Some(name), Some(label)) => Some((label, name)),
            (None, _) => None,
            (Some(_), None) => {
                return Err(Reason::new("no_identifier", "the row has an alias name without its label"));
            }
        };
        one_identity(
            text(&self.external_id)?,
            alias,
            text(&self.platform_id)?,
            text(&self.email)?,
            text(&self.phone)?,
        )
    }

    fn body(&self, row: &Row, mapping: &Mapping) -> Result<Body, Reason> {
        let time = || match &self.time {
            Some(take) => take.time(row, mapping),
            None => Ok(None),
        };
        let app_id = || match &self.app_id {
            Some(take) => take.text(row),
            None => Ok(None),
        };
        Ok(match self.object {
            ObjectKind::User => Body::User { attributes: self.members.object(row)? },
            ObjectKind::Deletion => Body::Deletion,
            ObjectKind::Event => Body::Event {
                name: required(&self.name, "name", row)?,
                time: time()?,
                properties: self.members.object(row)?,
                app_id: app_id()?,
            },
            ObjectKind::Purchase => Body::Purchase(Box::new(Purchase {
                product_id: required(&self.product_id, "product_id", row)?,
                currency: currency(&required(&self.currency, "currency", row)?)?,
                price: number(&required(&self.price, "price", row)?, "price")?,
                quantity: match &self.quantity {
                    Some(take) => quantity(take.text(row)?)?,
                    None => 1,
                },
                time: time()?,
                properties: self.members.object(row)?,
                app_id: app_id()?,
            })),
            ObjectKind::CatalogItem => {
                let id = required(&self.id, "id", row)?;
                match &self.deleted {
                    Some(take) if take.truth(row)? => Body::CatalogRemoval { id },
                    _ => Body::CatalogItem { id, fields: self.members.object(row)? },
                }
            }
        })
    }
}

fn required(take: &Option<Take>, field: &str, row: &Row) -> Result<Text, Reason> {
    let text = match take {
        Some(take) => take.text(row)?,
        None => None,
    };
    text.ok_or_else(|| Reason::new("missing_field", format!("`{field}` is empty")))
}

/// Returns a JSON number, digit for digit. `field` is its name in messages.
///
/// # Errors
/// `not_a_number`, or the reason of a number that JSON readers would round or refuse.
pub fn number(text: &str, field: &str) -> Result<Text, Reason> {
    if json::is_number(text) {
        json::check_number(text)
            .map_err(|reason| Reason::new(reason.code, format!("`{field}`: {}", reason.message)))?;
        Ok(text.into())
    } else {
        Err(Reason::new("not_a_number", format!("`{field}` is not a number")))
    }
}

/// Returns an ISO 4217 code in capitals. Only its form is checked.
///
/// # Errors
/// `not_a_currency`.
pub fn currency(text: &str) -> Result<Text, Reason> {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        Ok(text.to_ascii_uppercase().into())
    } else {
        Err(Reason::new("not_a_currency", "`currency` is not a three-letter ISO 4217 code"))
    }
}

/// Returns how many were bought: 1 if nothing is given.
///
/// # Errors
/// `not_a_quantity` if it is not a whole number greater than 0.
pub fn quantity(text: Option<Text>) -> Result<u32, Reason> {
    match text {
        None => Ok(1),
        Some(text) => text
            .parse()
            .ok()
            .filter(|quantity| *quantity > 0)
            .ok_or_else(|| Reason::new("not_a_quantity", "`quantity` is not a whole number above zero")),
    }
}

impl Take {
    fn name(&self) -> &str {
        match self {
            Take::Column { name, .. } | Take::Path { name, .. } => name,
            Take::Constant(_) => "the constant",
        }
    }

    /// The value, looked up; a path is followed here.
    fn value(&self, row: &Row) -> Result<Value, Reason> {
        match self {
            Take::Column { at, .. } => Ok(row.values.get(*at).cloned().unwrap_or_default()),
            Take::Constant(value) => Ok(value.clone()),
            Take::Path { at, path, .. } => match row.values.get(*at) {
                None | Some(Value::Null) => Ok(Value::Null),
                Some(Value::Json(json)) => follow(json.as_str(), path),
                Some(Value::Text(text)) => {
                    let json = Json::parse(text.clone())?;
                    follow(json.as_str(), path)
                }
                Some(other) => Err(Reason::new(
                    "not_json",
                    format!("`{}` needs a JSON column, this one holds {}", self.name(), other.type_name()),
                )),
            },
        }
    }

    /// As an identifier or a name: no JSON objects, empty text counts as absent.
    fn text(&self, row: &Row) -> Result<Option<Text>, Reason> {
        let found;
        let value = match self {
            Take::Column { at, .. } => row.values.get(*at).unwrap_or(&Value::Null),
            Take::Constant(value) => value,
            Take::Path { .. } => {
                found = self.value(row)?;
                &found
            }
        };
        if let Value::Json(json) = value
            && (json.is_object() || json.as_str().trim_start().starts_with('['))
        {
            return Err(Reason::new(
                "not_text",
                format!("`{}` holds a JSON object or array, not text", self.name()),
            ));
        }
        Ok(value.to_text().filter(|text| !text.is_empty()))
    }

    fn time(&self, row: &Row, mapping: &Mapping) -> Result<Option<Timestamp>, Reason> {
        instant(&self.value(row)?, &mapping.time_zone)
            .map_err(|why| Reason::new("not_a_time", format!("`{}` {why}", self.name())))
    }

    fn truth(&self, row: &Row) -> Result<bool, Reason> {
        truth(&self.value(row)?).ok_or_else(|| {
            Reason::new("not_a_boolean", format!("`{}` is neither true nor false", self.name()))
        })
    }
}

/// Returns the truth of a value; `None` if it is neither true nor false. Null and empty text are
/// false.
pub fn truth(value: &Value) -> Option<bool> {
    Some(match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Int(0) => false,
        Value::Int(1) => true,
        Value::Text(text) if text.eq_ignore_ascii_case("true") || &**text == "t" || &**text == "1" => true,
        Value::Text(text) if text.eq_ignore_ascii_case("false") || &**text == "f" || &**text == "0" => false,
        Value::Text(text) if text.is_empty() => false,
        _ => return None,
    })
}

/// Returns the point in time of a value; `None` for null and empty text.
///
/// Text is read as ISO 8601, also in the forms that warehouses write; whole numbers
/// as seconds since 1970, or as milliseconds if they are too large for seconds.
///
/// # Errors
/// A clause that follows the name of the column in a message.
pub fn instant(value: &Value, zone: &jiff::tz::TimeZone) -> Result<Option<Timestamp>, String> {
    /// Seconds later than the year 5138 are milliseconds.
    const SECONDS_MAX: u64 = 100_000_000_000;
    match value {
        Value::Null => Ok(None),
        Value::Timestamp(at) => Ok(Some(*at)),
        Value::DateTime(at) => civil(*at, zone),
        Value::Date(day) => civil(day.to_datetime(jiff::civil::Time::midnight()), zone),
        Value::Int(number) => {
            let at = if number.unsigned_abs() < SECONDS_MAX {
                Timestamp::from_second(*number)
            } else {
                Timestamp::from_millisecond(*number)
            };
            at.map(Some).map_err(|_| "is no point in time that exists".to_owned())
        }
        Value::Text(text) if text.is_empty() => Ok(None),
        Value::Text(text) => match text.parse::<Timestamp>() {
            Ok(at) => Ok(Some(at)),
            Err(_) => instant_of_text(text, zone),
        },
        other => Err(format!("holds {}, not a time", other.type_name())),
    }
}

/// The point in time that a wall clock in `zone` means.
fn civil(at: jiff::civil::DateTime, zone: &jiff::tz::TimeZone) -> Result<Option<Timestamp>, String> {
    match zone.to_ambiguous_zoned(at).compatible() {
        Ok(zoned) => Ok(Some(zoned.timestamp())),
        Err(_) => Err(out_of_reach()),
    }
}

fn out_of_reach() -> String {
    format!("is before {} or after {}, and no time can be told there", Timestamp::MIN, Timestamp::MAX)
}

/// The point in time of a text that is not an instant in ISO 8601 as it stands.
fn instant_of_text(text: &str, zone: &jiff::tz::TimeZone) -> Result<Option<Timestamp>, String> {
    if matches!(text, "infinity" | "-infinity") {
        return Err(format!("is {text}, which is no point in time"));
    }
    let (local, offset) = split_offset(text);
    if offset.is_empty() {
        if let Ok(at) = text.parse::<jiff::civil::DateTime>() {
            return civil(at, zone);
        }
    } else if let Ok(at) = format!("{local}{offset}").parse::<Timestamp>() {
        return Ok(Some(at));
    }
    let year = local.split_once('-').map_or("", |(year, _)| year);
    match year.parse::<u32>() {
        Ok(year) if year >= 9_999 => Err(out_of_reach()),
        _ => Err("is not a time in ISO 8601".to_owned()),
    }
}

/// Parts a time from the text after a blank: `UTC`, as BigQuery writes it,
/// `+0000` or `+02:00`, as Snowflake does, or `Z`.
fn split_offset(text: &str) -> (&str, &str) {
    match text.rsplit_once(' ') {
        Some((local, "UTC" | "Z")) => (local, "Z"),
        Some((local, offset)) if offset.starts_with(['+', '-']) => (local, offset),
        _ => (text, ""),
    }
}

/// Follows `path` into a JSON text without building a tree of it.
fn follow(text: &str, path: &[std::sync::Arc<str>]) -> Result<Value, Reason> {
    let broken = |_| Reason::new("invalid_json", "a JSON column holds invalid JSON");
    let mut here: &RawValue = serde_json::from_str(text).map_err(broken)?;
    for step in path {
        let inner = here.get();
        let next: Option<&RawValue> = if inner.starts_with('{') {
            #[derive(Deserialize)]
            #[serde(transparent)]
            struct Object<'a>(#[serde(borrow)] HashMap<std::borrow::Cow<'a, str>, &'a RawValue>);
            let Object(members) = serde_json::from_str(inner).map_err(broken)?;
            members.get(&**step).copied()
        } else if inner.starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(inner).map_err(broken)?;
            step.parse::<usize>().ok().and_then(|at| items.get(at).copied())
        } else {
            None
        };
        match next {
            Some(next) => here = next,
            None => return Ok(Value::Null),
        }
    }
    scalar(here.get()).map_err(broken)
}

/// The value of one JSON text: scalars as such, objects and arrays as JSON.
fn scalar(text: &str) -> Result<Value, serde_json::Error> {
    Ok(match text.as_bytes().first() {
        Some(b'"') => Value::Text(serde_json::from_str::<String>(text)?.into()),
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'n') => Value::Null,
        Some(b'{' | b'[') => Value::Json(Json::trusted(text)),
        _ => match text.parse::<i64>() {
            Ok(number) => Value::Int(number),
            Err(_) => Value::Decimal(text.into()),
        },
    })
}

impl Write {
    /// Writes the JSON object; a JSON column alone is passed on without a copy.
    fn object(&self, row: &Row) -> Result<Json, Reason> {
        if self.members.is_empty() && self.rest_from.is_none() {
            return match &self.spread {
                None => Ok(Json::empty_object()),
                Some((at, name)) => Ok(spread(row.values.get(*at), name)?.unwrap_or_else(Json::empty_object)),
            };
        }
        let mut out = String::with_capacity(32 * self.members.len());
        out.push('{');
        if let Some((at, name)) = &self.spread
            && let Some(object) = spread(row.values.get(*at), name)?
        {
            let inner = object.as_str().trim();
            out.push_str(inner[1..inner.len() - 1].trim());
        }
        for (prepared, take) in &self.members {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(prepared);
            let written = match take {
                Take::Column { at, .. } => {
                    write_member(row.values.get(*at).unwrap_or(&Value::Null), &mut out)
                }
                other => write_member(&other.value(row)?, &mut out),
            };
            written.map_err(|reason| {
                Reason::new(reason.code, format!("`{}`: {}", take.name(), reason.message))
            })?;
        }
        if let Some(from) = self.rest_from.filter(|from| *from < row.values.len()) {
            write_rest(row, from, &mut out)?;
        }
        out.push('}');
        Ok(Json::trusted(out))
    }
}

/// Writes the columns of a row that were not known before it.
fn write_rest(row: &Row, from: usize, out: &mut String) -> Result<(), Reason> {
    for (name, value) in row.columns.names().iter().zip(&row.values).skip(from) {
        if out.len() > 1 {
            out.push(',');
        }
        json::write_string(name, out);
        out.push(':');
        write_member(value, out)
            .map_err(|reason| Reason::new(reason.code, format!("`{name}`: {}", reason.message)))?;
    }
    Ok(())
}

/// Writes a member that every reader of JSON can read.
fn write_member(value: &Value, out: &mut String) -> Result<(), Reason> {
    match value {
        Value::Json(json) => json::check_readable(json.as_str())?,
        Value::Decimal(number) => json::check_number(number)?,
        _ => {}
    }
    value.write_json(out)
}

/// The JSON object of a column whose members are taken over.
fn spread(value: Option<&Value>, name: &str) -> Result<Option<Json>, Reason> {
    let json = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Json(json)) => json.clone(),
        Some(Value::Text(text)) => Json::parse(text.clone())
            .map_err(|reason| Reason::new(reason.code, format!("`{name}`: {}", reason.message)))?,
        Some(other) => {
            return Err(Reason::new(
                "not_json",
                format!(
                    "`{name}` holds {}, not a JSON object: to send it under its own name, write `[{name}]`",
                    other.type_name()
                ),
            ));
        }
    };
    json::check_readable(json.as_str())
        .map_err(|reason| Reason::new(reason.code, format!("`{name}`: {}", reason.message)))?;
    if json.is_object() {
        Ok(Some(json))
    } else {
        Err(Reason::new("not_an_object", format!("`{name}` holds JSON that is not an object")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_no_time_is_told_and_stops_nothing() {
        for number in [i64::MIN, i64::MAX] {
            assert!(instant(&Value::Int(number), &jiff::tz::TimeZone::UTC).is_err(), "{number}");
        }
    }

    #[test]
    fn the_time_texts_of_bigquery_and_snowflake_are_read() {
        let berlin = jiff::tz::TimeZone::get("Europe/Berlin").expect("a zone");
        for (text, at) in [
            ("2026-11-22 10:00:00 UTC", "2026-11-22T10:00:00Z"),
            ("2026-11-22 10:00:00.123456 UTC", "2026-11-22T10:00:00.123456Z"),
            ("2026-11-22 10:00:00.000 +0000", "2026-11-22T10:00:00Z"),
            ("2026-11-22 10:00:00.000 +02:00", "2026-11-22T08:00:00Z"),
            ("2026-11-22 10:00:00 -0830", "2026-11-22T18:30:00Z"),
            ("2026-11-22 10:00:00 Z", "2026-11-22T10:00:00Z"),
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            ("2026-11-22 10:00:00+00", "2026-11-22T10:00:00Z"),
            ("2026-11-22 10:00:00", "2026-11-22T09:00:00Z"),
            ("2026-11-22", "2026-11-21T23:00:00Z"),
        ] {
            let expected: Timestamp = at.parse().expect("a time");
            assert_eq!(instant(&Value::Text(text.into()), &berlin), Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_told_is_not_called_malformed() {
        let utc = jiff::tz::TimeZone::UTC;
        let why = |value: Value| instant(&value, &utc).expect_err("no point in time");
        for value in [
            Value::Text("9999-12-31T23:59:59Z".into()),
            Value::Text("9999-12-31 23:59:59".into()),
            Value::Text("10000-01-01".into()),
            Value::Date(jiff::civil::date(9999, 12, 31)),
        ] {
            let why = why(value.clone());
            assert!(why.contains("after 9999-12-30T22:00:00"), "{value:?}: {why}");
        }
        assert!(why(Value::Text("infinity".into())).contains("no point in time"));
        assert!(why(Value::Text("22/11/2026".into())).contains("ISO 8601"));
    }
}
