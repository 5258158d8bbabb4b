//! Users. Source: OneSignal docs, Create user, Update user, Delete user, View user.

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidegate_model::{Identity, json::is_number};

use super::aliases::{self, Names, known};
use super::reply::{Reply, Stop};
use super::rules::{UPDATES_PER_REQUEST, is_country, is_language};
use super::subscriptions::Subscription;
use tidegate_profiles::{Purchase, Session, User};

#[derive(Deserialize)]
struct Creation {
    #[serde(default)]
    identity: Names,
    #[serde(default)]
    properties: Map<String, Value>,
    #[serde(default)]
    subscriptions: Vec<Subscription>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Update {
    properties: Map<String, Value>,
    deltas: Deltas,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Deltas {
    session_time: i64,
    session_count: i64,
    purchases: Vec<Bought>,
}

#[derive(Deserialize)]
struct Bought {
    sku: String,
    iso: String,
    amount: Value,
    count: Option<u32>,
}

/// Creates a user, or updates the one that has one of the names.
pub(super) fn create(session: &Session<'_>, body: &Bytes) -> Result<Reply, Stop> {
    let creation: Creation =
        serde_json::from_slice(body).map_err(|_| Stop::bad("the body is not a valid user"))?;
    aliases::check(&creation.identity)?;
    if creation.identity.is_empty() || creation.subscriptions.is_empty() {
        return Err(Stop::bad("a user needs at least one alias and one subscription"));
    }
    for subscription in &creation.subscriptions {
        subscription.check()?;
    }
    let owners = aliases::owners(session, &creation.identity)?;
    let (id, status) = match (owners.as_slice(), creation.identity.get("external_id")) {
        ([one], _) => (Some(*one), StatusCode::ACCEPTED),
        ([], Some(external_id)) => {
            (session.find_or_create(&Identity::ExternalId(external_id.as_str().into()))?, StatusCode::CREATED)
        }
        ([], None) => return Err(Stop::bad("a user can only be created with an external_id")),
        (_, _) => {
            let (label, name) = creation.identity.iter().next_back().unzip();
            return Err(Stop::conflict(label.map_or("", String::as_str), name.map_or("", String::as_str)));
        }
    };
    let Some(mut user) = id.map(|id| session.user(id)).transpose()?.flatten() else {
        return Err(Stop::no_such_user());
    };
    set(&mut user, &creation.properties)?;
    aliases::attach(session, &mut user, &creation.identity)?;
    for subscription in &creation.subscriptions {
        subscription.add_to(session, &mut user)?;
    }
    session.save(&user)?;
    Ok(Reply::new(status, &whole(session, &user)?))
}

/// A user with everything.
pub(super) fn view(session: &Session<'_>, who: &Identity) -> Result<Reply, Stop> {
    let user = known(session, who)?;
    Ok(Reply::new(StatusCode::OK, &whole(session, &user)?))
}

/// Sets properties and tags and books purchases.
pub(super) fn update(session: &Session<'_>, who: &Identity, body: &Bytes) -> Result<Reply, Stop> {
    let update: Update =
        serde_json::from_slice(body).map_err(|_| Stop::bad("the body is not a valid update"))?;
    let mut user = known(session, who)?;
    let tags = update.properties.get("tags").and_then(Value::as_object).map_or(0, Map::len);
    if update.properties.len() + tags + update.deltas.purchases.len()
        > UPDATES_PER_REQUEST + usize::from(tags > 0)
    {
        return Err(Stop::bad(format!("a request updates {UPDATES_PER_REQUEST} properties at most")));
    }
    set(&mut user, &update.properties)?;
    for (name, delta) in
        [("session_time", update.deltas.session_time), ("session_count", update.deltas.session_count)]
    {
        if delta != 0 {
            let before = user.attributes.get(name).and_then(Value::as_i64).unwrap_or(0);
            user.attributes.insert(name.to_owned(), before.saturating_add(delta).into());
        }
    }
    for (at, bought) in update.deltas.purchases.iter().enumerate() {
        bought.book(session, &user).map_err(|stop| match stop {
            Stop::Refused(_) => {
                Stop::bad(format!("deltas.purchases[{at}] needs sku, iso and a numeric amount"))
            }
            failed @ Stop::Failed(_) => failed,
        })?;
    }
    session.save(&user)?;
    Ok(Reply::new(StatusCode::ACCEPTED, &json!({ "properties": properties_of(&user) })))
}

/// Sets tags, as clients did before the Users API.
///
/// Source: OneSignal docs, Edit tags with external user id.
pub(super) fn edit_tags(session: &Session<'_>, who: &Identity, body: &Bytes) -> Result<Reply, Stop> {
    #[derive(Deserialize)]
    struct Edit {
        tags: Map<String, Value>,
    }
    let Edit { tags } = serde_json::from_slice(body).map_err(|_| Stop::bad("tags must be an object"))?;
    let mut user = known(session, who)?;
    set_tags(&mut user, &tags)?;
    session.save(&user)?;
    Ok(Reply::new(StatusCode::OK, &json!({ "success": true })))
}

/// Deletes a user with everything that belongs to it.
pub(super) fn delete(session: &Session<'_>, who: &Identity) -> Result<Reply, Stop> {
    let user = known(session, who)?;
    session.delete(user.id)?;
    Ok(Reply::new(StatusCode::ACCEPTED, &json!({ "identity": { "onesignal_id": user.platform_id } })))
}

/// Sets properties of `user`. The caller saves it.
fn set(user: &mut User, properties: &Map<String, Value>) -> Result<(), Stop> {
    for (name, value) in properties {
        match (name.as_str(), value) {
            ("tags", Value::Object(tags)) => set_tags(user, tags)?,
            ("language", Value::String(code)) if !is_language(code) => {
                return Err(Stop::bad("properties.language is not an ISO 639-1 code"));
            }
            ("country", Value::String(code)) if !is_country(code) => {
                return Err(Stop::bad("properties.country is not an ISO 3166-1 alpha-2 code"));
            }
            ("lat", Value::Number(degrees)) if !within(degrees, 90.0) => {
                return Err(Stop::bad("properties.lat is not a latitude"));
            }
            ("long", Value::Number(degrees)) if !within(degrees, 180.0) => {
                return Err(Stop::bad("properties.long is not a longitude"));
            }
            ("language" | "country" | "timezone_id", Value::String(_))
            | ("lat" | "long" | "first_active" | "last_active", Value::Number(_)) => {
                user.attributes.insert(name.clone(), value.clone());
            }
            ("tags" | "language" | "country" | "timezone_id", _)
            | ("lat" | "long" | "first_active" | "last_active", _) => {
                return Err(Stop::bad(format!("properties.{name} has the wrong type")));
            }
            _ => {}
        }
    }
    Ok(())
}

fn within(degrees: &serde_json::Number, most: f64) -> bool {
    degrees.as_f64().is_some_and(|degrees| degrees.abs() <= most)
}

/// Sets tags; empty text removes one.
fn set_tags(user: &mut User, tags: &Map<String, Value>) -> Result<(), Stop> {
    let mut kept = match user.attributes.remove("tags") {
        Some(Value::Object(tags)) => tags,
        _ => Map::new(),
    };
    for (name, value) in tags {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            _ => return Err(Stop::bad(format!("tag {name} must be a string"))),
        };
        if text.is_empty() {
            kept.shift_remove(name);
        } else {
            kept.insert(name.clone(), text.into());
        }
    }
    user.attributes.insert("tags".to_owned(), Value::Object(kept));
    Ok(())
}

impl Bought {
    fn book(&self, session: &Session<'_>, user: &User) -> Result<(), Stop> {
        let price = match &self.amount {
            // The example of the documentation is `$33.33`.
            Value::String(amount) => amount.strip_prefix('$').unwrap_or(amount).to_owned(),
            amount => amount.to_string(),
        };
        if self.sku.is_empty() || self.iso.len() != 3 || !is_number(&price) {
            return Err(Stop::bad("a purchase needs sku, iso and a numeric amount"));
        }
        let purchase = Purchase {
            product_id: &self.sku,
            currency: &self.iso,
            price: &price,
            quantity: self.count.unwrap_or(1),
            // OneSignal books a purchase when it hears of it.
            time: session.now,
            properties: "{}",
            app_id: None,
            key: None,
        };
        session.record_purchase(user.id, &purchase)?;
        Ok(())
    }
}

fn whole(session: &Session<'_>, user: &User) -> Result<Value, Stop> {
    let subscriptions = user.attributes.get("subscriptions").cloned().unwrap_or_else(|| json!([]));
    Ok(json!({
        "identity": aliases::identity_of(session, user)?,
        "properties": properties_of(user),
        "subscriptions": subscriptions,
    }))
}

fn properties_of(user: &User) -> Value {
    let mut properties = user.attributes.clone();
    properties.shift_remove("subscriptions");
    Value::Object(properties)
}
