//! The cloud-ingestion table contract, unchanged: `UPDATED_AT`, the identifier
//! columns, `PAYLOAD`, `DELETED`.
//!
//! Source: Braze documentation, "Cloud Data Ingestion" (table setup, 2026-09).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use tidegate_model::mapping::{self, TableContract, missing_column};
use tidegate_model::{
    Body, Columns, ContractRole, Error, Identity, Json, ObjectKind, Purchase, Reason, Row, Text, Value, json,
};

/// The contract.
pub(super) const CONTRACT: ContractRole = ContractRole {
    name: "braze_cdi",
    about: "The cloud-ingestion tables of Braze: `UPDATED_AT`, identifier columns, `PAYLOAD`, `DELETED`.",
    cursor: "UPDATED_AT",
    compile: |object, columns| Ok(Arc::new(ContractPlan::compile(object, columns)?)),
};

/// Largest payload: 1 MB.
const PAYLOAD_BYTES_MAX: usize = 1_000_000;
/// Most attributes in a payload.
const ATTRIBUTES_MAX: usize = 250;
/// Names that a payload must not hold: the identifier has its own column.
const IDENTIFIERS: [&str; 6] = ["external_id", "user_alias", "alias_name", "alias_label", "braze_id", "id"];

/// The contract's columns, found.
#[derive(Clone, Debug)]
struct ContractPlan {
    object: ObjectKind,
    updated_at: usize,
    external_id: Option<usize>,
    alias_name: Option<usize>,
    alias_label: Option<usize>,
    braze_id: Option<usize>,
    email: Option<usize>,
    phone: Option<usize>,
    id: Option<usize>,
    payload: Option<usize>,
    deleted: Option<usize>,
}

impl ContractPlan {
    fn compile(object: ObjectKind, columns: &Columns) -> Result<ContractPlan, Error> {
        let at = |name: &str| columns.position(name);
        let needed = |name: &str| at(name).ok_or_else(|| missing_column(name, columns));
        let plan = ContractPlan {
            object,
            updated_at: needed("UPDATED_AT")?,
            external_id: at("EXTERNAL_ID"),
            alias_name: at("ALIAS_NAME"),
            alias_label: at("ALIAS_LABEL"),
            braze_id: at("BRAZE_ID"),
            email: at("EMAIL"),
            phone: at("PHONE"),
            id: at("ID"),
            payload: at("PAYLOAD"),
            deleted: at("DELETED"),
        };
        match object {
            ObjectKind::CatalogItem => {
                needed("ID")?;
                needed("PAYLOAD")?;
                needed("DELETED")?;
            }
            ObjectKind::Deletion => {
                if plan.payload.is_some() {
                    return Err(Error::settings("a table of deletions must not have a column PAYLOAD")
                        .hint("remove the column, or read through a view without it"));
                }
            }
            ObjectKind::User | ObjectKind::Event | ObjectKind::Purchase => {
                needed("PAYLOAD")?;
            }
        }
        if plan.alias_name.is_some() != plan.alias_label.is_some() {
            return Err(
                Error::settings("ALIAS_NAME and ALIAS_LABEL belong together").hint("add the missing column")
            );
        }
        let identified = [plan.external_id, plan.alias_name, plan.braze_id, plan.email, plan.phone];
        if object != ObjectKind::CatalogItem && identified.iter().all(Option::is_none) {
            return Err(Error::new(
                tidegate_model::ErrorKind::Missing,
                "the table has none of the identifier columns EXTERNAL_ID, ALIAS_NAME + ALIAS_LABEL, BRAZE_ID, EMAIL, PHONE",
            ));
        }
        Ok(plan)
    }
}

impl TableContract for ContractPlan {
    fn narrowed(&self, indexes: &[usize]) -> Arc<dyn TableContract> {
        let mut narrowed = self.clone();
        for column in narrowed.columns_mut() {
            let moved = indexes.iter().position(|index| index == column);
            *column = moved.expect("the indexes are those that are needed");
        }
        Arc::new(narrowed)
    }

    fn columns(&self) -> Vec<usize> {
        let optional = [
            self.external_id,
            self.alias_name,
            self.alias_label,
            self.braze_id,
            self.email,
            self.phone,
            self.id,
            self.payload,
            self.deleted,
        ];
        optional.into_iter().flatten().chain([self.updated_at]).collect()
    }

    fn label(&self, row: &Row) -> Option<Text> {
        let text = |at: Option<usize>| {
            at.and_then(|at| row.values.get(at)).and_then(Value::to_text).filter(|text| !text.is_empty())
        };
        if self.object == ObjectKind::CatalogItem {
            return text(self.id);
        }
        let alias = || {
            let (label, name) = (text(self.alias_label)?, text(self.alias_name)?);
            Some(Identity::Alias { label, name }.label().into_owned().into())
        };
        text(self.external_id)
            .or_else(alias)
            .or_else(|| text(self.braze_id))
            .or_else(|| text(self.email))
            .or_else(|| text(self.phone))
    }

    fn apply(&self, row: &Row, zone: &TimeZone) -> Result<(Identity, Body), Reason> {
        let text = |at: Option<usize>| {
            at.and_then(|at| row.values.get(at)).and_then(Value::to_text).filter(|text| !text.is_empty())
        };
        if self.object == ObjectKind::CatalogItem {
            let id = text(self.id).ok_or_else(|| Reason::new("missing_field", "ID is empty"))?;
            let deleted = self.deleted.and_then(|at| row.values.get(at)).unwrap_or(&Value::Null);
            let gone = mapping::truth(deleted)
                .ok_or_else(|| Reason::new("not_a_boolean", "DELETED is neither true nor false"))?;
            let body = if gone {
                Body::CatalogRemoval { id }
            } else {
                Body::CatalogItem { id, fields: self.payload(row)? }
            };
            return Ok((Identity::None, body));
        }
        let alias = match (text(self.alias_name), text(self.alias_label)) {
            (Some(name), Some(label)) => Some((label, name)),
            (None, None) => None,
            _ => return Err(Reason::new("no_identifier", "ALIAS_NAME and ALIAS_LABEL must both be filled")),
        };
        let identity = mapping::one_identity(
            text(self.external_id),
            alias,
            text(self.braze_id),
            text(self.email),
            text(self.phone),
        )?;
        let body = match self.object {
            ObjectKind::User => Body::User { attributes: self.payload(row)? },
            ObjectKind::Deletion => Body::Deletion,
            _ => self.event_or_purchase(row, zone)?,
        };
        Ok((identity, body))
    }
}

impl ContractPlan {
    /// The index of every column, to change it.
    fn columns_mut(&mut self) -> impl Iterator<Item = &mut usize> {
        let optional = [
            &mut self.external_id,
            &mut self.alias_name,
            &mut self.alias_label,
            &mut self.braze_id,
            &mut self.email,
            &mut self.phone,
            &mut self.id,
            &mut self.payload,
            &mut self.deleted,
        ];
        optional.into_iter().flatten().chain([&mut self.updated_at])
    }

    /// The payload: a JSON object of at most 1 MB and 250 members without identifiers.
    fn payload(&self, row: &Row) -> Result<Json, Reason> {
        let value = self.payload.and_then(|at| row.values.get(at)).unwrap_or(&Value::Null);
        let json = match value {
            Value::Json(json) => json.clone(),
            Value::Text(text) if text.len() <= PAYLOAD_BYTES_MAX => Json::parse(text.clone())
                .map_err(|reason| Reason::new(reason.code, format!("PAYLOAD: {}", reason.message)))?,
            Value::Text(text) => Json::trusted(text.clone()),
            Value::Null | Value::Absent => return Err(Reason::new("missing_field", "PAYLOAD is empty")),
            other => {
                return Err(Reason::new(
                    "not_json",
                    format!("PAYLOAD holds {}, not JSON", other.type_name()),
                ));
            }
        };
        if json.as_str().len() > PAYLOAD_BYTES_MAX {
            return Err(Reason::new("payload_too_large", "Payload was greater than 1MB"));
        }
        json::check_readable(json.as_str())
            .map_err(|reason| Reason::new(reason.code, format!("PAYLOAD: {}", reason.message)))?;
        if !json.is_object() {
            return Err(Reason::new("not_an_object", "PAYLOAD holds JSON that is not an object"));
        }
        let members = members(&json)?;
        if members.len() > ATTRIBUTES_MAX {
            return Err(Reason::new(
                "too_many_attributes",
                format!("PAYLOAD has {} attributes; {ATTRIBUTES_MAX} are allowed", members.len()),
            ));
        }
        let identifiers: &[&str] =
            if self.object == ObjectKind::CatalogItem { &["id"] } else { &IDENTIFIERS[..5] };
        if let Some(name) = identifiers.iter().find(|name| members.contains_key(**name)) {
            return Err(Reason::new(
                "identifier_in_payload",
                format!("PAYLOAD must not contain the identifier `{name}`"),
            ));
        }
        Ok(json)
    }

    /// An event or a purchase; `time` defaults to UPDATED_AT.
    fn event_or_purchase(&self, row: &Row, zone: &TimeZone) -> Result<Body, Reason> {
        let payload = self.payload(row)?;
        let members = members(&payload)?;
        let text = |name: &str| -> Result<Option<Text>, Reason> {
            match members.get(name) {
                None => Ok(None),
                Some(raw) if raw.get() == "null" => Ok(None),
                Some(raw) => serde_json::from_str::<String>(raw.get())
                    .map(|text| Some(text.into()))
                    .map_err(|_| Reason::new("not_text", format!("`{name}` in PAYLOAD is not text"))),
            }
        };
        let needed = |name: &str| {
            text(name)?
                .filter(|text: &Text| !text.is_empty())
                .ok_or_else(|| Reason::new("missing_field", format!("PAYLOAD has no `{name}`")))
        };
        let properties = match members.get("properties") {
            None => Json::empty_object(),
            Some(raw) if raw.get() == "null" => Json::empty_object(),
            Some(raw) if raw.get().starts_with('{') => Json::trusted(raw.get()),
            Some(_) => return Err(Reason::new("not_an_object", "`properties` in PAYLOAD is not an object")),
        };
        let stated = text("time")?.map(Value::Text);
        let updated_at = row.values.get(self.updated_at).cloned().unwrap_or_default();
        let time = mapping::instant(&stated.unwrap_or(updated_at), zone)
            .map_err(|why| Reason::new("not_a_time", format!("`time` {why}")))?;
        let app_id = text("app_id")?;
        if self.object == ObjectKind::Event {
            return Ok(Body::Event { name: needed("name")?, time, properties, app_id });
        }
        let plain = |name: &str| members.get(name).map(|raw| raw.get()).filter(|raw| *raw != "null");
        let price = plain("price").ok_or_else(|| Reason::new("missing_field", "PAYLOAD has no `price`"))?;
        Ok(Body::Purchase(Box::new(Purchase {
            product_id: needed("product_id")?,
            currency: mapping::currency(&needed("currency")?)?,
            price: mapping::number(price, "price")?,
            quantity: mapping::quantity(plain("quantity").map(Text::from))?,
            time,
            properties,
            app_id,
        })))
    }
}

/// The members of an object, values as raw text.
fn members(json: &Json) -> Result<BTreeMap<String, &RawValue>, Reason> {
    serde_json::from_str(json.as_str()).map_err(|_| Reason::new("invalid_json", "PAYLOAD is not valid JSON"))
}
