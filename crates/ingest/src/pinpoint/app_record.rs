//! An app's event as the record of an event stream.
//!
//! Source: Amazon Pinpoint developer guide, event streams, app events; what
//! clients' own campaign and session events look like in public consumers of
//! version 3.1. Parts that are absent are empty objects.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::timestamp;
use super::store::Object;

/// What a record needs besides its event and endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    /// The application id.
    pub(super) app: &'a str,
    /// The account id.
    pub(super) account: &'a str,
    /// When the event arrived.
    pub(super) arrival: Timestamp,
}

/// The record of a checked event.
pub(super) fn app_record(context: Context<'_>, endpoint: &Object, event: &Object, at: Timestamp) -> Value {
    let part =
        |name: &str| event.get(name).filter(|value| !value.is_null()).cloned().unwrap_or_else(|| json!({}));
    let kind = event.get("EventType").cloned().unwrap_or_default();
    json!({
        "event_type": kind,
        "event_timestamp": at.as_millisecond(),
        "arrival_timestamp": context.arrival.as_millisecond(),
        "event_version": "3.1",
        "application": application(context.app, endpoint, event),
        "client": { "client_id": endpoint.get("Id") },
        "device": device(endpoint),
        "session": session(event),
        "attributes": part("Attributes"),
        "metrics": part("Metrics"),
        "endpoint": endpoint,
        "awsAccountId": context.account,
    })
}

fn application(app: &str, endpoint: &Object, event: &Object) -> Value {
    let mut sdk = Object::new();
    copy(event, "SdkName", &mut sdk, "name");
    copy(event, "ClientSdkVersion", &mut sdk, "version");
    let mut application = Object::new();
    application.insert("app_id".to_owned(), app.into());
    copy(event, "AppPackageName", &mut application, "package_name");
    application.insert("sdk".to_owned(), Value::Object(sdk));
    copy(event, "AppTitle", &mut application, "title");
    if let Some(demographic) = demographic(endpoint) {
        copy(demographic, "AppVersion", &mut application, "version_name");
    }
    copy(event, "AppVersionCode", &mut application, "version_code");
    Value::Object(application)
}

fn device(endpoint: &Object) -> Value {
    let (mut device, mut platform) = (Object::new(), Object::new());
    if let Some(demographic) = demographic(endpoint) {
        if let Some(locale) =
            demographic.get("Locale").and_then(Value::as_str).filter(|text| !text.is_empty())
        {
            device.insert("locale".to_owned(), locale_of(locale));
        }
        copy(demographic, "Make", &mut device, "make");
        copy(demographic, "Model", &mut device, "model");
        copy(demographic, "Platform", &mut platform, "name");
        copy(demographic, "PlatformVersion", &mut platform, "version");
    }
    device.insert("platform".to_owned(), Value::Object(platform));
    Value::Object(device)
}

/// `en_US` in its parts.
fn locale_of(code: &str) -> Value {
    let (language, country) = code.split_once(['_', '-']).unwrap_or((code, ""));
    json!({ "code": code, "country": country, "language": language })
}

fn session(event: &Object) -> Value {
    let mut session = Object::new();
    if let Some(given) = event.get("Session").and_then(Value::as_object) {
        copy(given, "Id", &mut session, "session_id");
        copy(given, "Duration", &mut session, "duration");
        for (from, to) in [("StartTimestamp", "start_timestamp"), ("StopTimestamp", "stop_timestamp")] {
            if let Some(at) = given.get(from).and_then(timestamp) {
                session.insert(to.to_owned(), at.as_millisecond().into());
            }
        }
    }
    Value::Object(session)
}

fn demographic(endpoint: &Object) -> Option<&Object> {
    endpoint.get("Demographic")?.as_object()
}

fn copy(from: &Object, name: &str, to: &mut Object, new_name: &str) {
    if let Some(value) = from.get(name).filter(|value| !value.is_null()) {
        to.insert(new_name.to_owned(), value.clone());
    }
}
