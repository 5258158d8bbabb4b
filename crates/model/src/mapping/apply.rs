//! Applying a mapping to one row.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::compile::{FieldPlan, Mapping, Plan, Take, Write};
use super::spec::Absent;
use super::values::{currency, instant, number, quantity, truth};
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

    /// Returns what is sent for a row that is gone, of which only the key is known: a deletion, or
    /// else the attributes of the mapping set to null.
    ///
    /// # Errors
    /// The reason why there is nothing to send: the identifier is not known.
    pub fn removal(&self, row: &Row, key: RowHash, whole: RowHash, delete: bool) -> Result<Record, Reason> {
        let unknown = || {
            Reason::new(
                Reason::IDENTIFIER_NOT_KEPT,
                "the row is gone from the source, and its identifier is not known: it was sent before \
                 `removed` was written, or erased since",
            )
        };
        let Plan::Fields(plan) = &self.plan else { return Err(unknown()) };
        let id = RowHash::of_delivery(&self.sync, key, whole);
        if plan.object == ObjectKind::CatalogItem {
            let body = Body::CatalogRemoval { id: plan.label(row).ok_or_else(unknown)? };
            return Ok(Record { id, identity: Identity::None, body });
        }
        let identity = plan.identity(row).map_err(|_| unknown())?;
        let body = if delete { Body::Deletion } else { Body::User { attributes: plan.members.nulls() } };
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
            Some(take) => match take.time(row, mapping)? {
                None if self.needs_time => Err(Reason::new(
                    "no_timestamp",
                    format!(
                        "`{}` is empty, and `timestamp` is taken from it: without `timestamp` in `mapping`, the time is that of sending or of the cursor",
                        take.name()
                    ),
                )),
                time => Ok(time),
            },
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
            Take::Column { at, .. } => Ok(row.values.get(*at).cloned().unwrap_or(Value::Absent)),
            Take::Constant(value) => Ok(value.clone()),
            Take::Path { at, path, .. } => match row.values.get(*at) {
                None | Some(Value::Absent) => Ok(Value::Absent),
                Some(Value::Null) => Ok(Value::Null),
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

/// Follows `path` into a JSON text without building a tree of it; absent if it ends before.
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
            None => return Ok(Value::Absent),
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
    /// Every member that has a name, as null.
    fn nulls(&self) -> Json {
        let members: Vec<String> = self.members.iter().map(|(name, _)| format!("{name}null")).collect();
        Json::trusted(format!("{{{}}}", members.join(",")))
    }

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
            let found;
            let value = match take {
                Take::Column { at, .. } => row.values.get(*at).unwrap_or(&Value::Absent),
                other => {
                    found = other.value(row)?;
                    &found
                }
            };
            self.member(prepared, value, take.name(), &mut out)?;
        }
        // Columns that were not known before the row.
        let later = self.rest_from.unwrap_or(usize::MAX);
        for (name, value) in row.columns.names().iter().zip(&row.values).skip(later) {
            let mut prepared = String::with_capacity(name.len() + 3);
            json::write_string(name, &mut prepared);
            prepared.push(':');
            self.member(&prepared, value, name, &mut out)?;
        }
        out.push('}');
        Ok(Json::trusted(out))
    }

    /// Appends a member, unless it is absent and such ones are left out; `name` is that of its column.
    fn member(&self, prepared: &str, value: &Value, name: &str, out: &mut String) -> Result<(), Reason> {
        if self.absent == Absent::Skip && matches!(value, Value::Absent) {
            return Ok(());
        }
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(prepared);
        write_member(value, out)
            .map_err(|reason| Reason::new(reason.code, format!("`{name}`: {}", reason.message)))
    }
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
        None | Some(Value::Null | Value::Absent) => return Ok(None),
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
