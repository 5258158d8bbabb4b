//! What users are reached at. Source: OneSignal docs, Create user, Subscriptions.

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_model::Identity;

use super::reply::{Reply, Stop};
use super::rules;
use tidegate_profiles::{Session, User};

/// Subscriptions of one user. Source: OneSignal docs, Subscriptions.
const SUBSCRIPTIONS_MAX: usize = 20;

const TYPES: &[&str] = &[
    "Email",
    "SMS",
    "iOSPush",
    "AndroidPush",
    "HuaweiPush",
    "FireOSPush",
    "WindowsPush",
    "macOSPush",
    "ChromePush",
    "FirefoxPush",
    "SafariPush",
];

/// A subscription as it arrives; members that are not looked at are ignored.
#[derive(Deserialize)]
pub(super) struct Subscription {
    #[serde(rename = "type")]
    kind: String,
    token: String,
    enabled: Option<bool>,
    notification_types: Option<i64>,
}

/// Gives a user that exists one more subscription.
pub(super) fn create(session: &Session<'_>, who: &Identity, body: &Bytes) -> Result<Reply, Stop> {
    #[derive(Deserialize)]
    struct Creation {
        subscription: Subscription,
    }
    let Creation { subscription } =
        serde_json::from_slice(body).map_err(|_| Stop::bad("subscription needs a type and a token"))?;
    subscription.check()?;
    let mut user = super::aliases::known(session, who)?;
    let made = subscription.add_to(session, &mut user)?;
    session.save(&user)?;
    Ok(Reply::new(StatusCode::CREATED, &json!({ "subscription": made })))
}

impl Subscription {
    /// Refuses types that there are not and empty tokens.
    pub(super) fn check(&self) -> Result<(), Stop> {
        if !TYPES.contains(&self.kind.as_str()) {
            return Err(Stop::bad("subscription type is not supported"));
        }
        if self.token.is_empty() {
            return Err(Stop::bad("subscription token must not be empty"));
        }
        if self.kind == "Email" && !rules::is_email(&self.token) {
            return Err(Stop::bad("subscription token is not a valid email"));
        }
        if self.kind == "SMS" && !rules::is_phone(&self.token) {
            return Err(Stop::bad("subscription token is not a phone number in E.164"));
        }
        Ok(())
    }

    /// Adds the subscription to `user`, taking it away from whoever had it. The
    /// caller saves `user`.
    pub(super) fn add_to(&self, session: &Session<'_>, user: &mut User) -> Result<Value, Stop> {
        let address = match self.kind.as_str() {
            "Email" => Some(Identity::Email(self.token.as_str().into())),
            "SMS" => Some(Identity::Phone(self.token.as_str().into())),
            _ => None,
        };
        if let Some(address) = &address {
            self.take_from_others(session, address, user)?;
        }
        match &address {
            Some(Identity::Email(_)) => user.email = Some(self.token.clone()),
            Some(_) => user.phone = Some(self.token.clone()),
            None => {}
        }
        let list = user.attributes.entry("subscriptions").or_insert_with(|| json!([]));
        let Some(list) = list.as_array_mut() else { return Err(Stop::bad("subscriptions are not a list")) };
        let same = list.iter_mut().find(|other| self.is(other));
        if let Some(same) = same {
            self.update(same);
            return Ok(same.clone());
        }
        if list.len() >= SUBSCRIPTIONS_MAX {
            return Err(Stop::full("Subscription Limit Exceeded"));
        }
        let mut made = json!({
            "id": uuid::Uuid::new_v4().to_string(),
            "type": self.kind,
            "token": self.token,
            "enabled": true,
            "notification_types": 1,
        });
        self.update(&mut made);
        list.push(made.clone());
        Ok(made)
    }

    fn is(&self, other: &Value) -> bool {
        other["type"] == self.kind && other["token"] == self.token
    }

    fn update(&self, subscription: &mut Value) {
        if let Some(enabled) = self.enabled {
            subscription["enabled"] = enabled.into();
        }
        if let Some(types) = self.notification_types {
            subscription["notification_types"] = types.into();
        }
    }

    fn take_from_others(&self, session: &Session<'_>, address: &Identity, user: &User) -> Result<(), Stop> {
        let Some(id) = session.find(address)?.filter(|id| *id != user.id) else { return Ok(()) };
        let Some(mut other) = session.user(id)? else { return Ok(()) };
        match address {
            Identity::Email(_) => other.email = None,
            _ => other.phone = None,
        }
        if let Some(list) = other.attributes.get_mut("subscriptions").and_then(Value::as_array_mut) {
            list.retain(|subscription| !self.is(subscription));
        }
        Ok(session.save(&other)?)
    }
}
