//! A row's attributes as OneSignal has them: properties, tags, subscriptions.
//!
//! Source: OneSignal docs, Create user, Update user, Tags.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_model::{Json, Members, Reason, json};

use super::rules;
use crate::rule::{Rule, is_email};

/// Tags that OneSignal keeps for itself in messages. Source: see [`rules::RESTRICTED_TAG`].
const RESTRICTED_TAGS: [&str; 11] = [
    "message",
    "notification",
    "subscription",
    "user",
    "template",
    "app",
    "org",
    "dynamic_content",
    "data_feed",
    "journey",
    "custom_data",
];

/// What one row says about a user.
#[derive(Debug, Default)]
pub(super) struct Profile<'a> {
    email: Option<Cow<'a, str>>,
    phone: Option<Cow<'a, str>>,
    /// Name and JSON text.
    properties: Vec<(&'static str, Cow<'a, str>)>,
    /// Name and plain text; empty text removes the tag.
    tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Profile<'a> {
    /// Reads a row's attributes.
    ///
    /// `email` and `phone` become subscriptions, the names that OneSignal has
    /// fields for become these, everything else becomes a tag.
    ///
    /// # Errors
    /// A reason that names the member that OneSignal cannot store.
    pub(super) fn read(attributes: &'a Json) -> Result<Profile<'a>, Reason> {
        let mut profile = Profile::default();
        for (name, value) in members(attributes.as_str())? {
            profile.take(name, value)?;
        }
        Ok(profile)
    }

    fn take(&mut self, name: Cow<'a, str>, value: &'a RawValue) -> Result<(), Reason> {
        match &*name {
            "email" => self.email = token("email", value, &rules::EMAIL, is_email)?,
            "phone" => self.phone = token("phone", value, &rules::PHONE, is_phone)?,
            "language" => self.set("language", code("language", value, &rules::LANGUAGE, is_language)?),
            "country" => self.set("country", code("country", value, &rules::COUNTRY, is_country)?),
            "timezone_id" => self.set("timezone_id", text("timezone_id", value)?),
            "lat" => self.set("lat", degrees("lat", value, &rules::LATITUDE)?),
            "long" => self.set("long", degrees("long", value, &rules::LONGITUDE)?),
            "first_active" => self.set("first_active", seconds("first_active", value)?),
            "last_active" => self.set("last_active", seconds("last_active", value)?),
            "tags" if value.get() == "null" => {}
            "tags" if value.get().starts_with('{') => {
                for (name, value) in members(value.get())? {
                    self.tag(name, value)?;
                }
            }
            _ => self.tag(name, value)?,
        }
        Ok(())
    }

    /// Null says nothing about a field: OneSignal has no way to empty one.
    fn set(&mut self, name: &'static str, value: Option<Cow<'a, str>>) {
        if let Some(value) = value {
            self.properties.push((name, value));
        }
    }

    fn tag(&mut self, name: Cow<'a, str>, value: &'a RawValue) -> Result<(), Reason> {
        let Some(value) = plain(value) else {
            let nested = value.get().starts_with(['{', '[']);
            return Err(if nested {
                let what = format!("`{name}` is an object or an array");
                rules::NESTED_TAG.broken_by(&what, "map its members one by one")
            } else {
                Reason::new("not_text", format!("`{name}` is not valid text"))
            });
        };
        if RESTRICTED_TAGS.contains(&&*name) {
            return Err(
                rules::RESTRICTED_TAG.broken_by(&format!("`{name}` is one of them"), "rename the column")
            );
        }
        if is_time(&value) {
            let next = format!("write it like extract(epoch from {name})::bigint in the query");
            return Err(rules::TIME_IN_TAG.broken_by(&format!("`{name}` is a time"), &next));
        }
        self.tags.push((name, value));
        Ok(())
    }

    /// Whether the row has what a user is reached at, so that it can be created.
    pub(super) fn has_subscription(&self) -> bool {
        self.email.is_some() || self.phone.is_some()
    }

    /// Type and token of each subscription.
    pub(super) fn subscriptions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let email = self.email.as_deref().map(|token| ("Email", token));
        let phone = self.phone.as_deref().map(|token| ("SMS", token));
        email.into_iter().chain(phone)
    }

    /// How many properties a request with this profile sets.
    pub(super) fn updates(&self) -> usize {
        self.properties.len() + self.tags.len()
    }

    /// Appends the `properties` object.
    pub(super) fn write_properties(&self, out: &mut String) {
        out.push('{');
        for (at, (name, value)) in self.properties.iter().enumerate() {
            out.push_str(if at > 0 { ",\"" } else { "\"" });
            out.push_str(name);
            out.push_str("\":");
            out.push_str(value);
        }
        if !self.tags.is_empty() {
            out.push_str(if self.properties.is_empty() { "\"tags\":{" } else { ",\"tags\":{" });
            for (at, (name, value)) in self.tags.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                json::write_string(name, out);
                out.push(':');
                json::write_string(value, out);
            }
            out.push('}');
        }
        out.push('}');
    }
}

/// A scalar as text, numbers digit for digit; `None` for what is no scalar, or
/// text with half a character (`"\ud800"`).
fn plain(value: &RawValue) -> Option<Cow<'_, str>> {
    Some(match value.get().as_bytes().first() {
        Some(b'{' | b'[') => return None,
        Some(b'n') => Cow::Borrowed(""),
        Some(b'"') => serde_json::from_str::<Characters<'_>>(value.get()).ok()?.0,
        _ => Cow::Borrowed(value.get()),
    })
}

/// Whether the text is a date and a time of day in ISO 8601, with an offset or without.
fn is_time(text: &str) -> bool {
    // These three bytes rule out most texts quickly.
    let bytes = text.as_bytes();
    bytes.len() >= 19
        && (bytes[4], bytes[13]) == (b'-', b':')
        && matches!(bytes[10], b'T' | b't' | b' ')
        && (text.parse::<Timestamp>().is_ok() || text.parse::<DateTime>().is_ok())
}

/// Where a subscription leads; null and empty text count as absent.
fn token<'a>(
    name: &'static str,
    value: &'a RawValue,
    rule: &Rule,
    good: impl Fn(&str) -> bool,
) -> Result<Option<Cow<'a, str>>, Reason> {
    let token = plain(value).ok_or_else(|| Reason::new("not_text", format!("`{name}` is not text")))?;
    if token.is_empty() {
        return Ok(None);
    }
    if good(&token) { Ok(Some(token)) } else { Err(rule.broken_by(&format!("`{name}` is not valid"), "")) }
}

/// A text of a known form, as JSON.
fn code<'a>(
    name: &'static str,
    value: &'a RawValue,
    rule: &Rule,
    good: impl Fn(&str) -> bool,
) -> Result<Option<Cow<'a, str>>, Reason> {
    let text = text(name, value)?;
    match &text {
        Some(written) if !good(written.trim_matches('"')) => {
            Err(rule.broken_by(&format!("`{name}` is not valid"), ""))
        }
        _ => Ok(text),
    }
}

/// E.164: a plus, then digits of which the first is not 0.
fn is_phone(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    digits.len() <= rules::PHONE.limit
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.is_empty()
        && !digits.starts_with('0')
}

fn is_language(text: &str) -> bool {
    matches!(text, "zh-Hans" | "zh-Hant")
        || text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Text, as JSON.
fn text<'a>(name: &'static str, value: &'a RawValue) -> Result<Option<Cow<'a, str>>, Reason> {
    match value.get().as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => Ok(Some(Cow::Borrowed(value.get()))),
        _ => Err(Reason::new("not_text", format!("`{name}` is not text"))),
    }
}

/// A number of degrees no further from 0 than the rule allows, as JSON.
fn degrees<'a>(name: &'static str, value: &'a RawValue, rule: &Rule) -> Result<Option<Cow<'a, str>>, Reason> {
    let number = plain(value).unwrap_or_default();
    if value.get() == "null" {
        return Ok(None);
    }
    let inside = number.parse::<f64>().is_ok_and(|degrees| degrees.abs() <= rule.limit as f64);
    if inside && json::is_number(&number) {
        return Ok(Some(number));
    }
    Err(rule.broken_by(&format!("`{name}` is not valid"), ""))
}

/// A point in time as whole seconds since 1970, as JSON.
fn seconds<'a>(name: &'static str, value: &'a RawValue) -> Result<Option<Cow<'a, str>>, Reason> {
    let text = plain(value).unwrap_or_default();
    if value.get() == "null" {
        return Ok(None);
    }
    if text.parse::<i64>().is_ok() {
        return Ok(Some(text));
    }
    match text.parse::<Timestamp>() {
        Ok(at) => Ok(Some(Cow::Owned(at.as_second().to_string()))),
        Err(_) => Err(rules::MOMENT.broken_by(&format!("`{name}` is neither"), "")),
    }
}

/// The members of a JSON object in order, values as their text.
fn members(object: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Reason> {
    match serde_json::from_str(object) {
        Ok(Members(members)) => Ok(members),
        Err(_) => Err(Reason::new("not_an_object", "the attributes cannot be read as a JSON object")),
    }
}

/// A JSON string, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Characters<'a>(#[serde(borrow)] Cow<'a, str>);
