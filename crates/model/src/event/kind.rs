//! The kinds of message event.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The 21 kinds of message event that are exported to tables, and the five of
/// live activities that are streamed besides.
///
/// Source: OneSignal docs, Databricks integration (21 kinds) and Event Streams (26).
pub const MESSAGE_KINDS: &[&str] = &[
    "message.push.sent",
    "message.push.received",
    "message.push.clicked",
    "message.push.failed",
    "message.push.unsubscribed",
    "message.iam.impression",
    "message.iam.clicked",
    "message.iam.page_displayed",
    "message.email.sent",
    "message.email.received",
    "message.email.opened",
    "message.email.clicked",
    "message.email.unsubscribed",
    "message.email.reported_as_spam",
    "message.email.bounced",
    "message.email.failed",
    "message.email.suppressed",
    "message.sms.sent",
    "message.sms.delivered",
    "message.sms.failed",
    "message.sms.undelivered",
    "message.live_activity.sent",
    "message.live_activity.delivered",
    "message.live_activity.unsubscribed",
    "message.live_activity.failed",
    "message.live_activity.clicked",
];

/// Kinds under the names that earlier versions of the vendor's page gave them, each
/// with its name today. Events are kept under the name that they came with.
///
/// Source: OneSignal docs, Event Stream data, earlier versions.
pub const OLDER_KINDS: &[(&str, &str)] = &[
    ("message.iam.displayed", "message.iam.impression"),
    ("message.iam.pagedisplayed", "message.iam.page_displayed"),
    ("message.email.hardbounced", "message.email.bounced"),
    ("message.email.supressed", "message.email.suppressed"),
];

/// Returns the name that a kind has today.
pub fn current_kind(kind: &str) -> &str {
    OLDER_KINDS.iter().find(|(older, _)| *older == kind).map_or(kind, |(_, current)| current)
}

/// How a message reaches people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Push notification.
    Push,
    /// Message inside the app.
    InApp,
    /// E-mail.
    Email,
    /// Text message.
    Sms,
    /// Live activity on a lock screen.
    LiveActivity,
}

impl Channel {
    /// Returns the word used in JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Push => "push",
            Channel::InApp => "in_app",
            Channel::Email => "email",
            Channel::Sms => "sms",
            Channel::LiveActivity => "live_activity",
        }
    }
}

/// Returns the channel of a kind; `None` if it is not one of a message.
pub fn channel_of(kind: &str) -> Option<Channel> {
    match kind.strip_prefix("message.")?.split('.').next()? {
        "push" => Some(Channel::Push),
        "iam" => Some(Channel::InApp),
        "email" => Some(Channel::Email),
        "sms" => Some(Channel::Sms),
        "live_activity" => Some(Channel::LiveActivity),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_kind_has_a_channel_and_is_listed_once() {
        for (at, kind) in MESSAGE_KINDS.iter().enumerate() {
            assert!(channel_of(kind).is_some(), "{kind}");
            assert!(!MESSAGE_KINDS[..at].contains(kind), "{kind}");
        }
        assert_eq!(
            MESSAGE_KINDS.iter().filter(|kind| channel_of(kind) != Some(Channel::LiveActivity)).count(),
            21
        );
        for (older, current) in OLDER_KINDS {
            assert!(MESSAGE_KINDS.contains(current) && !MESSAGE_KINDS.contains(older), "{older}");
            assert_eq!((current_kind(older), channel_of(older)), (*current, channel_of(current)));
        }
        assert_eq!(current_kind("message.push.sent"), "message.push.sent");
        assert_eq!(channel_of("purchase"), None);
        assert_eq!(channel_of("message.fax.sent"), None);
    }
}
