//! Words that people bring along from other tools, and the words for them here.

use super::findings::{listed, nearest};

/// The part of the file in which a key occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Top,
    Connection,
    Sync,
    Source,
    Destination,
    Mapping,
    Other,
}

impl Room {
    /// Returns the room of the mapping at a path.
    fn of(path: &str) -> Room {
        let parts: Vec<&str> = path.split('.').collect();
        match parts.as_slice() {
            [] | [""] => Room::Top,
            ["connections", _] => Room::Connection,
            ["syncs", _] => Room::Sync,
            ["syncs", _, "source"] => Room::Source,
            ["syncs", _, "destination"] => Room::Destination,
            ["syncs", _, "mapping"] => Room::Mapping,
            _ => Room::Other,
        }
    }
}

/// What to say about an unknown key.
pub(super) struct Answer {
    /// The key that was meant, if it is clear: its value is read as that key's.
    pub(super) meant: Option<String>,
    /// What to do.
    pub(super) hint: String,
}

/// Words with one word for them here: room, foreign word, our word.
const WORDS: &[(Room, &str, &str)] = &[
    (Room::Top, "timezone", "time_zone"),
    (Room::Top, "notifications", "alerts"),
    (Room::Top, "alerting", "alerts"),
    (Room::Top, "models", "syncs"),
    (Room::Top, "sources", "connections"),
    (Room::Top, "destinations", "connections"),
    (Room::Connection, "kind", "type"),
    (Room::Connection, "connector", "type"),
    (Room::Connection, "username", "user"),
    (Room::Connection, "dbname", "database"),
    (Room::Connection, "db", "database"),
    (Room::Connection, "hostname", "host"),
    (Room::Connection, "server", "host"),
    (Room::Connection, "pass", "password"),
    (Room::Connection, "pwd", "password"),
    (Room::Connection, "ssl", "tls"),
    (Room::Connection, "sslmode", "tls"),
    (Room::Connection, "bootstrap_servers", "brokers"),
    (Room::Connection, "servers", "brokers"),
    (Room::Connection, "token", "api_key"),
    (Room::Connection, "key", "api_key"),
    (Room::Connection, "bucket", "path"),
    (Room::Connection, "url", "endpoint"),
    (Room::Other, "url", "endpoint"),
    (Room::Sync, "from", "source"),
    (Room::Sync, "to", "destination"),
    (Room::Sync, "map", "mapping"),
    (Room::Sync, "mappings", "mapping"),
    (Room::Sync, "overlap", "lookback"),
    (Room::Sync, "key", "primary_key"),
    (Room::Sync, "keys", "primary_key"),
    (Room::Sync, "unique_key", "primary_key"),
    (Room::Sync, "sync_mode", "mode"),
    (Room::Sync, "field_mapping", "mapping"),
    (Room::Sync, "field_mappings", "mapping"),
    (Room::Sync, "cursor_field", "cursor"),
    (Room::Sync, "tags", "labels"),
    (Room::Sync, "owner", "contacts"),
    (Room::Sync, "owners", "contacts"),
    (Room::Sync, "notifications", "alerts"),
    (Room::Source, "sql", "query"),
    (Room::Source, "table_name", "table"),
    (Room::Source, "model", "table"),
    (Room::Source, "timezone", "time_zone"),
    (Room::Source, "topic", "topics"),
    (Room::Source, "events", "connection"),
    (Room::Destination, "table_name", "table"),
    (Room::Destination, "object_type", "object"),
    (Room::Mapping, "time", "timestamp"),
    (Room::Mapping, "event_timestamp", "timestamp"),
    (Room::Mapping, "event_name", "name"),
    (Room::Mapping, "event", "name"),
    (Room::Mapping, "user_id", "external_id"),
    (Room::Mapping, "braze_id", "platform_id"),
    (Room::Mapping, "onesignal_id", "platform_id"),
    (Room::Mapping, "custom_attributes", "attributes"),
    (Room::Mapping, "amount", "price"),
];

/// Words whose answer is more than a word: room, foreign word, what to do.
const SENTENCES: &[(Room, &str, &str)] = &[
    (
        Room::Connection,
        "url",
        "write `host`, `port`, `database`, `user` and `password` instead of one address",
    ),
    (Room::Sync, "detect", "write `mode: full`, or `cursor: <column>`, which implies `mode: incremental`"),
    (
        Room::Sync,
        "time_zone",
        "it belongs under `source`, for values without a zone; of a schedule, beside `cron`",
    ),
    (
        Room::Sync,
        "timezone",
        "write `time_zone` under `source`, for values without a zone; of a schedule, beside `cron`",
    ),
    (
        Room::Sync,
        "model",
        "write `source: { connection: <name>, table: <table> }`, or `query:` instead of `table:`",
    ),
    (Room::Sync, "sql", "write `query:` under `source`"),
    (Room::Sync, "query", "it belongs under `source`"),
    (Room::Sync, "table", "it belongs under `source`"),
    (Room::Sync, "table_name", "write `table:` under `source`"),
    (Room::Sync, "object", "it belongs under `destination`"),
    (Room::Sync, "connection", "write `source: { connection: <name> }`"),
    (Room::Sync, "cron", "write `schedule: { cron: \"0 6 * * *\" }`"),
    (Room::Sync, "frequency", "write `schedule: { every: 15m }`, or `{ cron: \"0 6 * * *\" }`"),
    (
        Room::Sync,
        "sync_key",
        "write the user's identifier under `mapping`, for example `external_id: <column>`; the key of the row is `primary_key`",
    ),
    (
        Room::Sync,
        "operation",
        "write `cursor: <column>` for new and changed rows, or `mode: full` for all; what rows become is `object` under `destination`",
    ),
    (Room::Sync, "every", "write `schedule: { every: 15m }`"),
    (Room::Sync, "kinds", "it belongs under `source`"),
    (Room::Source, "key", "write `primary_key:` in the sync, beside `source`"),
    (Room::Source, "primary_key", "it belongs in the sync, beside `source`"),
    (Room::Source, "cursor", "it belongs in the sync, beside `source`"),
    (Room::Source, "mode", "it belongs in the sync, beside `source`"),
    (Room::Destination, "key", "write `primary_key:` in the sync, beside `destination`"),
    (Room::Destination, "mapping", "it belongs in the sync, beside `destination`"),
    (Room::Mapping, "custom_event", "write `object: event` under `destination`, and its `name` here"),
];

/// Values with another word here: foreign word, our words.
const VALUES: &[(&str, &[&str])] = &[
    ("custom_event", &["event"]),
    ("custom_events", &["event"]),
    ("track", &["event"]),
    ("contact", &["user"]),
    ("profile", &["user"]),
    ("person", &["user"]),
    ("attributes", &["user"]),
    ("order", &["purchase"]),
    ("delete", &["deletion"]),
    ("upsert", &["incremental"]),
    ("append", &["incremental"]),
    ("insert", &["incremental"]),
    ("cdc", &["mirror"]),
    ("streaming", &["stream"]),
    ("full_refresh", &["full"]),
    ("all", &["full"]),
    ("postgresql", &["postgres"]),
    ("pg", &["postgres"]),
    ("s3", &["files", "delta"]),
    ("redpanda", &["kafka"]),
    ("confluent", &["kafka"]),
    ("bq", &["bigquery"]),
    ("google_bigquery", &["bigquery"]),
    ("databricks", &["delta"]),
    ("prefer", &["require"]),
    ("verify-ca", &["verify-full"]),
];

/// Answers an unknown key by the word that is known here.
pub(super) fn of_key(path: &str, key: &str, known: &[&str]) -> Answer {
    let room = Room::of(path);
    let word = WORDS.iter().find(|(of, foreign, own)| *of == room && *foreign == key && known.contains(own));
    if let Some((_, _, own)) = word {
        return Answer { meant: Some((*own).to_owned()), hint: format!("write `{own}`") };
    }
    let sentence = SENTENCES.iter().find(|(of, foreign, _)| *of == room && *foreign == key);
    if let Some((_, _, hint)) = sentence {
        return Answer { meant: None, hint: (*hint).to_owned() };
    }
    if path.contains(".mapping.") && key == "column" {
        return Answer {
            meant: None,
            hint: "write the name of the column alone: a word is a column".to_owned(),
        };
    }
    match nearest(key, known.iter().copied()) {
        Some(near) => Answer { meant: Some(near.to_owned()), hint: format!("did you mean `{near}`?") },
        None if known.is_empty() => Answer { meant: None, hint: "remove it: nothing is set here".to_owned() },
        None => Answer { meant: None, hint: format!("the keys here are: {}", listed(known.iter().copied())) },
    }
}

/// Answers an unknown value of a setting that takes some words only.
pub(super) fn of_value(value: &str, known: &[&str]) -> String {
    let habit = VALUES.iter().find(|(foreign, _)| foreign.eq_ignore_ascii_case(value));
    let words = habit.map(|(_, words)| *words).unwrap_or_default();
    let words: Vec<&str> = words.iter().copied().filter(|word| known.contains(word)).collect();
    match (words.as_slice(), nearest(value, known.iter().copied())) {
        ([], Some(near)) => format!("did you mean `{near}`?"),
        ([], None) => format!("it is one of {}", listed(known.iter().copied())),
        (words, _) => format!("write {}", listed(words.iter().copied()).replace(", ", " or ")),
    }
}

/// Whether a text is how people say yes or no elsewhere.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "on" | "true" | "1" => Some(true),
        "no" | "n" | "off" | "false" | "0" => Some(false),
        _ => None,
    }
}
