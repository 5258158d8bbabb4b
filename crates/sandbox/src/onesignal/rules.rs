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
/// Digits of a phone number. Source: OneSignal docs, Create user: E.164.
const PHONE_DIGITS: usize = 15;

/// Whether the text is a phone number in E.164.
pub(super) fn is_phone(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    let all = digits.bytes().all(|byte| byte.is_ascii_digit());
    all && (1..=PHONE_DIGITS).contains(&digits.len()) && !digits.starts_with('0')
}

/// Whether the text could be an e-mail address: a name, an `@`, a host with a dot, no blanks.
pub(super) fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    let blank = text.chars().any(|char| char.is_whitespace() || char.is_control());
    !blank && !name.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
}

/// Whether the text is a language: ISO 639-1 in small letters, or Chinese by its script.
/// Source: OneSignal docs, Create user; Multi-language messaging.
pub(super) fn is_language(text: &str) -> bool {
    matches!(text, "zh-Hans" | "zh-Hant")
        || (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// Whether the text is a country: ISO 3166-1 alpha-2 in capital letters.
/// Source: OneSignal docs, Create user.
pub(super) fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
