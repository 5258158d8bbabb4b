//! Catalogs: list, create, delete. Their items are next door.

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tidegate_model::Result;

use super::reply::catalog_error;
use super::{Call, Desk, message, reply};
use tidegate_profiles::Catalog;

const TYPES: [&str; 7] = ["string", "number", "boolean", "time", "object", "array", "geo"];

/// Letters, digits, hyphens and underscores, at most 250.
pub(super) fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= 250 && text.bytes().all(good)
}

/// What a request about a missing catalog is answered.
pub(super) fn not_found(name: &str) -> Response<Bytes> {
    catalog_error(404, "catalog-not-found", "Could not find catalog", "catalog_name", name)
}

impl Desk {
    pub(super) fn list_catalogs(&self, call: &Call<'_>) -> Result<Response<Bytes>> {
        let catalogs = self.profiles.transact(call.now, |session| session.catalogs())?;
        let catalogs: Vec<Value> = catalogs.iter().map(describe).collect();
        Ok(reply(200, &json!({ "catalogs": catalogs, "message": "success" })))
    }

    pub(super) fn create_catalog(&self, call: &Call<'_>) -> Result<Response<Bytes>> {
        let body = match call.object() {
            Ok(body) => body,
            Err(response) => return Ok(*response),
        };
        let Some([catalog]) = body.get("catalogs").and_then(Value::as_array).map(Vec::as_slice) else {
            return Ok(catalog_error(
                400,
                "catalog-array-invalid",
                "Exactly one catalog must be given",
                "catalogs",
                "",
            ));
        };
        let name = catalog.get("name").and_then(Value::as_str).unwrap_or_default();
        if !is_name(name) {
            return Ok(catalog_error(400, "invalid-catalog-name", "The name is not valid", "name", name));
        }
        let fields = catalog.get("fields").and_then(Value::as_array).cloned().unwrap_or_default();
        if fields.len() > 500 {
            return Ok(catalog_error(400, "too-many-fields", "There are more than 500 fields", "fields", ""));
        }
        let word = |field: &Value, part: &str| field.get(part).and_then(Value::as_str).map(str::to_owned);
        let first = fields.first().map(|field| (word(field, "name"), word(field, "type")));
        if first != Some((Some("id".to_owned()), Some("string".to_owned()))) {
            return Ok(catalog_error(
                400,
                "id-not-first-column",
                "The first field must be id, a string",
                "fields",
                "id",
            ));
        }
        let good = |field: &Value| {
            word(field, "name").is_some_and(|name| is_name(&name))
                && word(field, "type").is_some_and(|kind| TYPES.contains(&kind.as_str()))
        };
        if let Some(bad) = fields.iter().find(|field| !good(field)) {
            let name = word(bad, "name").unwrap_or_default();
            return Ok(catalog_error(400, "invalid-fields", "A field is not valid", "fields", &name));
        }
        let description = catalog.get("description").and_then(Value::as_str).unwrap_or_default();
        let created = self.profiles.transact(call.now, |session| {
            let created = session.create_catalog(name, description, &Value::Array(fields).to_string())?;
            Ok(if created { session.catalog(name)? } else { None })
        })?;
        Ok(match created {
            Some(catalog) => reply(201, &json!({ "catalogs": [describe(&catalog)], "message": "success" })),
            None => catalog_error(400, "catalog-name-already-exists", "The name is taken", "name", name),
        })
    }

    pub(super) fn delete_catalog(&self, call: &Call<'_>, name: &str) -> Result<Response<Bytes>> {
        let deleted = self.profiles.transact(call.now, |session| session.delete_catalog(name))?;
        Ok(if deleted { message(200, "success") } else { not_found(name) })
    }
}

fn describe(catalog: &Catalog) -> Value {
    json!({
        "name": catalog.name,
        "description": catalog.description,
        "fields": serde_json::from_str::<Value>(&catalog.fields).unwrap_or_default(),
        "num_items": catalog.items,
        "updated_at": catalog.updated_at.to_string(),
    })
}
