//! The selection of a sync: its topics, group and start.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use tidegate_model::settings::schema_of;
use tidegate_model::{Error, Selection};

use crate::decode::FormatSettings;
use crate::names::Names;

/// The topics, the group, and where a group without committed offsets starts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TopicSettings {
    /// Topics, a list or one text with commas: `user-events,purchase-events`.
    topics: Names,
    /// The consumer group. Each sync has one of its own, for example
    /// `tidegate-orders`: two syncs in one group would share the messages.
    group: String,
    /// Where the first read of a topic starts if the group has committed no offset. Default: `earliest`.
    /// A partition that is added later is read from its beginning.
    #[serde(default)]
    start: Start,
    /// How messages without a value are treated. Default: `rows`.
    #[serde(default)]
    tombstones: Tombstones,
}

/// Where to start if the group has committed no offset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Start {
    /// With the oldest message there is.
    #[default]
    Earliest,
    /// With the next message that comes.
    Latest,
    /// With the first message of this time or later.
    Timestamp(Timestamp),
    /// With these offsets: topic → partition → offset. Partitions that are not
    /// named begin with the oldest message.
    Offsets(BTreeMap<String, BTreeMap<i32, i64>>),
}

/// Written by hand, so that each form has its help.
impl JsonSchema for Start {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where to start if the group has committed no offset.",
            "oneOf": [
                { "const": "earliest", "description": "With the oldest message there is." },
                { "const": "latest", "description": "With the next message that comes." },
                {
                    "type": "object",
                    "properties": {
                        "timestamp": {
                            "type": "string",
                            "format": "date-time",
                            "description": "With the first message of this time or later, for example `2026-11-01T00:00:00Z`."
                        }
                    },
                    "required": ["timestamp"],
                    "additionalProperties": false
                },
                {
                    "type": "object",
                    "properties": {
                        "offsets": {
                            "type": "object",
                            "description": "With these offsets: topic, then partition, then offset. Other partitions begin with the oldest message.",
                            "additionalProperties": {
                                "type": "object",
                                "additionalProperties": { "type": "integer", "minimum": 0 }
                            }
                        }
                    },
                    "required": ["offsets"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// How messages without a value are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tombstones {
    /// They are rows like others, with `tombstone` true.
    #[default]
    Rows,
    /// They alone are rows, as a sync of deletions wants it.
    Only,
    /// They are skipped.
    Skip,
}

/// A selection that was checked.
#[derive(Clone, Debug)]
pub(crate) struct KafkaSelection {
    /// The topics, each once.
    pub(crate) topics: Vec<String>,
    /// The consumer group.
    pub(crate) group: String,
    /// Where to begin.
    pub(crate) start: Start,
    /// How messages without a value are treated.
    pub(crate) tombstones: Tombstones,
    /// How messages are written.
    pub(crate) format: FormatSettings,
    /// The columns that are needed; `None` for all.
    pub(crate) columns: Option<Vec<String>>,
}

/// The member of a narrowed selection that names its columns. No project file has it.
const COLUMNS: &str = "columns";

/// Returns the selection that has only these columns.
pub(crate) fn narrow(selection: &Selection, columns: &[String]) -> Selection {
    let mut members = selection.members().clone();
    members.insert(COLUMNS.to_owned(), columns.into());
    Selection::new(members)
}

impl KafkaSelection {
    /// Reads a selection.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] with the setting that cannot work.
    pub(crate) fn of(selection: &Selection) -> Result<KafkaSelection, Error> {
        let formats = members_of(&schema_of::<FormatSettings>());
        let mut members = selection.members().clone();
        let columns = members.remove(COLUMNS).map(serde_json::from_value).transpose();
        let columns = columns.map_err(|cause| Error::internal("columns of a topic").caused_by(cause))?;
        let (format, topics) = members.into_iter().partition(|(name, _)| formats.contains(name));
        let format = Selection::new(format).parse()?;
        let topics: TopicSettings = Selection::new(topics).parse()?;
        if let Some(topic) = topics.topics.0.iter().find(|topic| !is_topic(topic)) {
            return Err(Error::settings(format!("`topics`: `{topic}` cannot be the name of a topic"))
                .hint("a name has up to 249 letters, digits, dots, underscores and dashes"));
        }
        if topics.group.is_empty() || topics.group.len() > 255 || topics.group.contains('\0') {
            return Err(Error::settings("`group`: a consumer group has a name of 1 to 255 characters")
                .hint("give each sync a group of its own, for example `tidegate-orders`"));
        }
        if let Start::Offsets(offsets) = &topics.start {
            if offsets.values().flatten().any(|(partition, offset)| *partition < 0 || *offset < 0) {
                return Err(Error::settings("`start.offsets`: partitions and offsets are not negative"));
            }
            if let Some(topic) = offsets.keys().find(|topic| !topics.topics.0.contains(topic)) {
                return Err(Error::settings(format!("`start.offsets`: `{topic}` is none of the `topics`")));
            }
        }
        Ok(KafkaSelection {
            topics: topics.topics.0,
            group: topics.group,
            start: topics.start,
            tombstones: topics.tombstones,
            format,
            columns,
        })
    }

    /// The schema of a selection: the topics' settings and the format's, side by side.
    pub(crate) fn schema() -> Schema {
        let mut schema = schema_of::<TopicSettings>();
        let format = schema_of::<FormatSettings>();
        for part in ["properties", "$defs"] {
            let added = format.get(part).and_then(Value::as_object).cloned().unwrap_or_default();
            let members =
                schema.ensure_object().entry(part).or_insert_with(|| Value::Object(Default::default()));
            if let Some(members) = members.as_object_mut() {
                members.extend(added);
            }
        }
        schema
    }
}

fn members_of(schema: &Schema) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect()
}

/// Source: Kafka, `Topic.validate` in `org.apache.kafka.common.internals`.
fn is_topic(name: &str) -> bool {
    !matches!(name, "." | "..")
        && (1..=249).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_model::Settings;

    use super::*;

    fn selection(value: &Value) -> Result<KafkaSelection, Error> {
        KafkaSelection::of(&Settings::new(value.as_object().expect("an object").clone()))
    }

    #[test]
    fn topics_and_format_stand_side_by_side() {
        let read = selection(&json!({
            "topics": "a,b", "group": "g", "start": { "timestamp": "2026-11-01T00:00:00Z" },
            "format": "json", "fields": { "name": "data.event_name" }, "tombstones": "only",
        }))
        .expect("a selection");
        assert_eq!(read.topics, ["a", "b"]);
        assert_eq!(read.tombstones, Tombstones::Only);
        assert!(matches!(read.start, Start::Timestamp(_)));
        assert_eq!(read.format.fields.len(), 1);
    }

    #[test]
    fn what_cannot_work_is_named() {
        for (value, told) in [
            (json!({ "topics": "a b", "group": "g" }), "`a b`"),
            (json!({ "topics": "a", "group": "" }), "`group`"),
            (json!({ "topics": "a" }), "group"),
            (json!({ "topics": "a", "group": "g", "tpoics": 1 }), "tpoics"),
            (json!({ "topics": "a", "group": "g", "start": { "offsets": { "b": { "0": 1 } } } }), "`b`"),
            (
                json!({ "topics": "a", "group": "g", "start": { "offsets": { "a": { "0": -1 } } } }),
                "negative",
            ),
        ] {
            let error = selection(&value).expect_err("cannot work");
            assert!(error.message().contains(told), "{error}");
        }
    }

    #[test]
    fn the_schema_holds_both_halves_and_nothing_else() {
        let schema = KafkaSelection::schema();
        let names = members_of(&schema);
        for name in ["topics", "group", "start", "tombstones", "format", "fields"] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        assert_eq!(schema.get("additionalProperties"), Some(&Value::Bool(false)));
    }
}
