//! Limits of the API as OneSignal documents them.

/// Bytes of one event in a request. Source: OneSignal docs, Create custom events.
pub(super) const EVENT_BYTES: usize = 2_024;
/// Characters of an event's name. Source: OneSignal docs, Create custom events.
pub(super) const EVENT_NAME_CHARACTERS: usize = 128;
/// Properties and tags that one request may set. Source: OneSignal docs, Rate limits.
pub(super) const UPDATES_PER_REQUEST: usize = 100;
/// External ids that are rejected because many users would share them.
/// Source: OneSignal docs, Users, External ID.
pub(super) const PLACEHOLDER_IDS: [&str; 7] =
    ["NA", "NULL", "0", "1", "-1", "all", "00000000-0000-0000-0000-000000000000"];
