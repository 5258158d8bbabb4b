//! Identities: deleting, aliasing, identifying and merging users.

use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value, json};
use tidegate_model::{Identity, Result, Text};

use super::{Call, Desk, message, reply};
use tidegate_profiles::Session;

/// What an object without an identifier is told.
pub(super) const REQUIRED: &str = "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required";

/// The identifier of an object. E-mail beats phone.
pub(super) fn identity(object: &Map<String, Value>) -> Option<Identity> {
    let text =
        |name: &str| object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(Into::into);
    if let Some(id) = text("external_id") {
        return Some(Identity::ExternalId(id));
    }
    if let Some(alias) = object.get("user_alias") {
        return alias_of(alias);
    }
    text("braze_id")
        .map(Identity::PlatformId)
        .or_else(|| text("email").map(Identity::Email))
        .or_else(|| text("phone").map(Identity::Phone))
}

/// An external id. Clients that keep their ids as numbers send numbers.
fn external_id(value: &Value) -> Option<Text> {
    match value {
        Value::String(id) if !id.is_empty() => Some(id.as_str().into()),
        Value::Number(id) => Some(id.to_string().into()),
        _ => None,
    }
}

fn alias_of(alias: &Value) -> Option<Identity> {
    let part = |name: &str| alias.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    Some(Identity::Alias { label: part("alias_label")?.into(), name: part("alias_name")?.into() })
}

/// One entry of an array of `/users/delete`; addresses also come with their prioritization.
fn deleted(array: &str, entry: &Value) -> Option<Identity> {
    let text = |name: &str| entry.as_str().or_else(|| entry.get(name)?.as_str()).map(Into::into);
    match array {
        "external_ids" => external_id(entry).map(Identity::ExternalId),
        "braze_ids" => entry.as_str().map(|id| Identity::PlatformId(id.into())),
        "user_aliases" => alias_of(entry),
        "email_addresses" => text("email").map(Identity::Email),
        _ => text("phone").map(Identity::Phone),
    }
}

impl Desk {
    pub(super) fn delete_users(&self, call: &Call<'_>) -> Result<Response<Bytes>> {
        const ARRAYS: [&str; 5] =
            ["external_ids", "user_aliases", "braze_ids", "email_addresses", "phone_numbers"];
        let body = match call.object() {
            Ok(body) => body,
            Err(response) => return Ok(*response),
        };
        let given: Vec<&str> = ARRAYS.into_iter().filter(|name| body.contains_key(*name)).collect();
        let [array] = given.as_slice() else {
            return Ok(message(400, "Exactly one kind of identifier must be given"));
        };
        let entries = match &body[*array] {
            Value::Array(entries) if !entries.is_empty() => entries,
            _ => return Ok(message(400, &format!("'{array}' must be an array with identifiers"))),
        };
        if entries.len() > 50 {
            return Ok(message(400, &format!("max number of {array} exceeded")));
        }
        let Some(users) = entries.iter().map(|entry| deleted(array, entry)).collect::<Option<Vec<_>>>()
        else {
            return Ok(message(400, &format!("'{array}' is not valid")));
        };
        self.profiles.transact(call.now, |session| {
            for who in &users {
                if let Some(user) = session.find(who)? {
                    session.delete(user)?;
                }
            }
            Ok(())
        })?;
        Ok(reply(201, &json!({ "deleted": users.len(), "message": "success" })))
    }

    pub(super) fn new_aliases(&self, call: &Call<'_>) -> Result<Response<Bytes>> {
        self.each(call, "user_aliases", |session, entry| {
            let Some(alias @ Identity::Alias { label, name }) = &alias_of(entry) else { return Ok(false) };
            match entry.get("external_id").and_then(external_id) {
                Some(id) => match session.find(&Identity::ExternalId(id))? {
                    Some(user) => session.add_alias(user, label, name),
                    None => Ok(false),
                },
                None => Ok(session.find_or_create(alias)?.is_some()),
            }
        })
    }

    pub(super) fn update_aliases(&self, call: &Call<'_>) -> Result<Response<Bytes>> {
        self.each(call, "alias_updates", |session, entry| {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            let (Some(label), Some(old), Some(new)) =
                (text("alias_label"), text("old_alias_name"), text("new_alias_name"))
            else {
                return Ok(false);
            };
            let who = Identity::Alias { label: label.into(), name: old.into() };
            match session.find(&who)? {
                Some(user) if session.add_alias(user, label, new)? => session.remove_alias(label, old),
                _ => Ok(false),
            }
        })
    }

    /// Gives alias-only, e-mail-only and phone-only users their external id.
    pub(super) fn identify(&self, call: &Call<'_>) -> Result<Response<Bytes>> {
        let body = match call.object() {
            Ok(body) => body,
            Err(response) => return Ok(*response),
        };
        let mut array = "aliases_to_identify";
        for name in ["emails_to_identify", "phone_numbers_to_identify"] {
            if body.contains_key(name) {
                array = name;
            }
        }
        self.each(call, array, |session, entry| {
            let who = entry
                .get("user_alias")
                .and_then(alias_of)
                .or_else(|| Some(Identity::Email(entry.get("email")?.as_str()?.into())))
                .or_else(|| Some(Identity::Phone(entry.get("phone")?.as_str()?.into())));
            let (Some(who), Some(id)) = (who, entry.get("external_id").and_then(external_id)) else {
                return Ok(false);
            };
            let Some(from) = session.find(&who)? else { return Ok(false) };
            match session.find(&Identity::ExternalId(id.clone()))? {
                Some(into) if into == from => {}
                Some(into) => session.absorb(from, into)?,
                None => {
                    if let Some(mut user) = session.user(from)? {
                        user.external_id = Some(id.to_string());
                        session.save(&user)?;
                    }
                }
            }
            Ok(true)
        })
    }

    pub(super) fn merge(&self, call: &Call<'_>) -> Result<Response<Bytes>> {
        self.each(call, "merge_updates", |session, entry| {
            let who = |name: &str| entry.get(name).and_then(Value::as_object).and_then(identity);
            let (Some(from), Some(into)) = (who("identifier_to_merge"), who("identifier_to_keep")) else {
                return Ok(false);
            };
            match (session.find(&from)?, session.find(&into)?) {
                (Some(from), Some(into)) if from != into => session.absorb(from, into).map(|()| true),
                _ => Ok(false),
            }
        })
    }

    /// Runs `work` on up to 50 entries; those that it could not do anything with are counted out.
    fn each(
        &self,
        call: &Call<'_>,
        array: &str,
        work: impl Fn(&Session<'_>, &Value) -> Result<bool>,
    ) -> Result<Response<Bytes>> {
        let entries = match call.list(array) {
            Ok(entries) => entries,
            Err(response) => return Ok(*response),
        };
        let processed = self.profiles.transact(call.now, |session| {
            entries.iter().try_fold(0, |sum, entry| Ok(sum + usize::from(work(session, entry)?)))
        })?;
        Ok(reply(201, &json!({ "aliases_processed": processed, "message": "success" })))
    }
}
