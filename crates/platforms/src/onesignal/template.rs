//! The body of an event stream: what to paste at OneSignal, and what it means here.
//!
//! One table says both, so that what is printed is what is read.
//! Source: OneSignal docs, Event Streams, Event Stream data.

/// How a member is written in the template and read from a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Text, in quotes.
    Text,
    /// Text of which the English is wanted: an object by language, or plain text.
    Localized,
    /// A number; in quotes too, as it may be empty.
    Number,
    /// True or false; in quotes too.
    Flag,
    /// An object, without quotes.
    Object,
}

/// A member of the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Its name here: that of the column, if there is one.
    pub(super) name: &'static str,
    /// The Liquid variable that fills it.
    pub(super) variable: &'static str,
    /// How it is written.
    pub(super) shape: Shape,
}

const fn text(name: &'static str, variable: &'static str) -> Member {
    Member { name, variable, shape: Shape::Text }
}

const fn shaped(name: &'static str, variable: &'static str, shape: Shape) -> Member {
    Member { name, variable, shape }
}

/// Every documented variable. Where one is documented twice, the event's own is taken.
pub(super) const MEMBERS: &[Member] = &[
    text("event_id", "event.id"),
    text("event_kind", "event.kind"),
    text("event_timestamp", "event.timestamp"),
    text("event_datetime", "event.datetime"),
    text("app_id", "event.app_id"),
    text("external_id", "event.external_id"),
    text("onesignal_id", "event.onesignal_id"),
    text("subscription_id", "event.subscription_id"),
    text("subscription_device_type", "event.subscription_device_type"),
    text("failure_reason", "event.data.failure_reason"),
    text("page_name", "event.data.page_name"),
    text("page_id", "event.data.page_id"),
    text("target_name", "event.data.target_name"),
    text("target_id", "event.data.target_id"),
    text("live_activity_id", "event.data.live_activity_id"),
    text("live_activity_type", "event.data.live_activity_type"),
    text("message_id", "message.id"),
    text("message_name", "message.name"),
    shaped("message_title", "message.title", Shape::Localized),
    shaped("message_contents", "message.contents", Shape::Localized),
    text("template_id", "message.template_id"),
    text("url", "message.url"),
    text("app_url", "message.app_url"),
    text("web_url", "message.web_url"),
    text("live_activity_event_kind", "message.live_activity_event_kind"),
    text("token", "user.subscription.subscription_token"),
    text("language", "user.subscription.language"),
    text("user_language", "user.language"),
    shaped("subscribed", "user.subscription.subscribed", Shape::Flag),
    text("last_active", "user.subscription.last_active"),
    text("sdk", "user.subscription.sdk"),
    text("device_os", "user.subscription.device_os"),
    text("device_model", "user.subscription.device_model"),
    text("game_version", "user.subscription.game_version"),
    shaped("session_count", "user.subscription.session_count", Shape::Number),
    shaped("play_time", "user.subscription.play_time", Shape::Number),
    shaped("amount_spent", "user.subscription.amount_spent", Shape::Number),
    text("subscription_created_at", "user.subscription.created_at"),
    shaped("tags", "user.tags", Shape::Object),
];

/// The version of the template, in the column `version`: "version of the integration".
const VERSION: Member = text("version", "");
const CURRENT_VERSION: &str = "1";

/// The member with this name, or filled by this variable.
pub(super) fn member(name: &str) -> Option<&'static Member> {
    if name == VERSION.name {
        return Some(&VERSION);
    }
    MEMBERS.iter().find(|member| member.name == name || member.variable == name)
}

/// The text to paste: one member a line, so that a value with a quote in it can
/// still be told from its neighbors.
pub(super) fn template() -> String {
    written(|member| {
        let variable = member.variable;
        match member.shape {
            // An empty object would leave nothing after the colon.
            Shape::Object => format!("{{{{ {variable} | default: '{{}}' }}}}"),
            // Push has an object by language, e-mail plain text.
            Shape::Localized => format!("\"{{{{ {variable}.en | default: {variable} }}}}\""),
            Shape::Text | Shape::Number | Shape::Flag => format!("\"{{{{ {variable} }}}}\""),
        }
    })
}

fn written(value: impl Fn(&Member) -> String) -> String {
    let version = format!("  \"{}\": \"{CURRENT_VERSION}\"", VERSION.name);
    let lines = MEMBERS.iter().map(|member| format!("  \"{}\": {}", member.name, value(member)));
    let lines: Vec<String> = std::iter::once(version).chain(lines).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use tidegate_model::Layout;

    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn every_column_of_a_message_has_its_member() {
        // `device_type` follows from the type of the subscription; the others are made by the table.
        let made = ["device_type", "_created", "_id", "_index", "_fivetran_synced", "event_date"];
        for column in Layout::Messages.columns() {
            assert!(made.contains(&column.name) || member(column.name).is_some(), "{}", column.name);
        }
    }

    #[test]
    fn the_template_is_json_once_its_variables_are_empty() {
        let template = template();
        let mut rest = template.as_str();
        let mut filled = String::new();
        while let Some((before, after)) = rest.split_once("{{") {
            let (expression, behind) = after.split_once(" }}").expect("an end");
            filled.push_str(before);
            filled.push_str(if expression.ends_with("'{}'") { "{}" } else { "" });
            rest = behind;
        }
        filled.push_str(rest);
        let body: Map<String, Value> = serde_json::from_str(&filled).expect("JSON");
        assert_eq!(body.len(), MEMBERS.len() + 1);
    }
}
