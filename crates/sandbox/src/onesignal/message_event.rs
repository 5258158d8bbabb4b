//! Message events as an event stream of OneSignal posts them.
//!
//! The body is what OneSignal makes from a template that puts one member on a line: variables
//! without a value leave an empty text. Source: OneSignal docs, Event Streams.

use serde_json::{Map, Value};

/// Members of the template that a push message of a journey leaves empty.
const EMPTY: [&str; 16] = [
    "failure_reason",
    "page_name",
    "page_id",
    "target_name",
    "target_id",
    "live_activity_id",
    "live_activity_type",
    "url",
    "app_url",
    "web_url",
    "live_activity_event_kind",
    "device_model",
    "game_version",
    "session_count",
    "play_time",
    "amount_spent",
];

/// Returns the body of a webhook with these members.
pub(super) fn body(members: &Map<String, Value>) -> String {
    let mut lines = vec![r#"  "version": "1""#.to_owned()];
    lines.extend(members.iter().map(|(name, value)| match value {
        Value::String(text) => format!("  \"{name}\": {}", Value::from(text.as_str())),
        // The template has quotes around every variable.
        value => format!("  \"{name}\": \"{value}\""),
    }));
    lines.extend(EMPTY.iter().map(|name| format!("  \"{name}\": \"\"")));
    lines.push(r#"  "tags": {}"#.to_owned());
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}
