//! `POST /users/export/ids`.

use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value, json};
use tidegate_model::{Identity, Result};

use super::{Call, Desk, message, reply};
use tidegate_profiles::{ActivitySummary, Session, UserId};

/// Attributes that are fields of their own. The others are custom attributes.
const STANDARD: [&str; 13] = [
    "country",
    "date_of_first_session",
    "dob",
    "email_subscribe",
    "first_name",
    "gender",
    "home_city",
    "language",
    "last_name",
    "push_subscribe",
    "push_tokens",
    "time_zone",
    "current_location",
];

impl Desk {
    pub(super) fn export_ids(&self, call: &Call<'_>) -> Result<Response<Bytes>> {
        let body = match call.object() {
            Ok(body) => body,
            Err(response) => return Ok(*response),
        };
        let (asked, unknown_named) = asked(&body);
        if asked.is_empty() {
            return Ok(message(
                400,
                "At least one of 'external_ids', 'user_aliases', 'braze_id', 'email_address' or 'phone' is required",
            ));
        }
        if asked.len() > 50 {
            return Ok(message(400, "max number of external_ids exceeded"));
        }
        let fields: Option<Vec<&str>> = body
            .get("fields_to_export")
            .and_then(Value::as_array)
            .map(|fields| fields.iter().filter_map(Value::as_str).collect());

        let (mut users, mut invalid) = (Vec::new(), Vec::new());
        self.profiles.transact(call.now, |session| {
            for who in &asked {
                match session.find(who)? {
                    Some(id) => users.extend(profile(session, id, fields.as_deref())?),
                    None if unknown_named => invalid.push(who.label().into_owned()),
                    None => {}
                }
            }
            Ok(())
        })?;
        let mut answer = json!({ "message": "success", "users": users });
        if !invalid.is_empty() {
            answer["invalid_user_ids"] = json!(invalid);
        }
        Ok(reply(200, &answer))
    }
}

/// The users that are asked for, and whether the response names the missing ones.
fn asked(body: &Map<String, Value>) -> (Vec<Identity>, bool) {
    let list = |name: &str| body.get(name).and_then(Value::as_array).into_iter().flatten();
    let mut asked: Vec<Identity> =
        list("external_ids").filter_map(|id| id.as_str().map(|id| Identity::ExternalId(id.into()))).collect();
    asked.extend(list("user_aliases").filter_map(|alias| {
        let part = |name: &str| alias.get(name).and_then(Value::as_str).map(Into::into);
        Some(Identity::Alias { label: part("alias_label")?, name: part("alias_name")? })
    }));
    if !asked.is_empty() {
        return (asked, true);
    }
    let one = |name: &str| body.get(name).and_then(Value::as_str).map(Into::into);
    let only = one("braze_id")
        .map(Identity::PlatformId)
        .or_else(|| one("email_address").map(Identity::Email))
        .or_else(|| one("phone").map(Identity::Phone));
    (only.into_iter().collect(), false)
}

/// A profile as Braze writes it; what is empty is left out.
fn profile(session: &Session<'_>, id: UserId, fields: Option<&[&str]>) -> Result<Option<Value>> {
    let Some(user) = session.user(id)? else { return Ok(None) };
    let mut out = Map::new();
    let mut set = |name: &str, value: Value| {
        let empty = match &value {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        if !empty && fields.is_none_or(|fields| fields.contains(&name)) {
            out.insert(name.to_owned(), value);
        }
    };
    let (standard, custom): (Map<_, _>, Map<_, _>) =
        user.attributes.into_iter().partition(|(name, _)| STANDARD.contains(&name.as_str()));

    set("created_at", json!(user.created_at.to_string()));
    set("external_id", json!(user.external_id));
    set("braze_id", json!(user.platform_id));
    set("email", json!(user.email));
    set("phone", json!(user.phone));
    let alias = |(label, name): (String, String)| json!({ "alias_name": name, "alias_label": label });
    set("user_aliases", session.aliases(id)?.into_iter().map(alias).collect());
    for (name, value) in standard {
        set(&name, value);
    }
    set("custom_attributes", Value::Object(custom));
    set("custom_events", session.events_of(id)?.iter().map(tally).collect());
    set("purchases", session.purchases_of(id)?.iter().map(tally).collect());
    Ok(Some(Value::Object(out)))
}

fn tally(summary: &ActivitySummary) -> Value {
    json!({
        "name": summary.name,
        "first": summary.first.to_string(),
        "last": summary.last.to_string(),
        "count": summary.count,
    })
}
