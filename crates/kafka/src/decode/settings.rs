//! What a sync says about the messages of its topics.

use std::fmt;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::{
    self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer, value::SeqAccessDeserializer,
};
use serde::{Deserialize, Deserializer};
use tidegate_model::Error;

use super::parts::FIXED;

/// How messages are written and what is taken out of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct FormatSettings {
    /// How values are written. Default: `json`. With a schema registry,
    /// `avro`, `protobuf` and `json_schema` expect Confluent's framing.
    pub(crate) format: Format,
    /// How keys are written. Default: `text`; a key that is no text stays bytes.
    pub(crate) key_format: Format,
    /// How the producer names the subjects of its schemas. Default: `topic_name`.
    pub(crate) subject: SubjectStrategy,
    /// The schema of all values, for Avro or Protobuf without a schema registry.
    pub(crate) schema: Option<SchemaSource>,
    /// The schema of all keys, for Avro or Protobuf without a schema registry.
    pub(crate) key_schema: Option<SchemaSource>,
    /// Columns taken out of the value: name → path such as `data.event_name`,
    /// or `{ path: data.at, as: epoch_ms }`.
    pub(crate) fields: IndexMap<String, Field>,
}

impl Default for FormatSettings {
    fn default() -> FormatSettings {
        FormatSettings {
            format: Format::Json,
            key_format: Format::Text,
            subject: SubjectStrategy::default(),
            schema: None,
            key_schema: None,
            fields: IndexMap::new(),
        }
    }
}

/// How a key or a value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// JSON without any framing.
    #[default]
    Json,
    /// Avro: with a registry in Confluent's framing, with `schema` plain.
    Avro,
    /// Protobuf: with a registry in Confluent's framing, with `schema` plain.
    Protobuf,
    /// JSON in Confluent's framing. Schemas are not asked for: the text says it all.
    JsonSchema,
    /// Plain text.
    Text,
}

impl Format {
    /// The word used in settings.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Avro => "avro",
            Format::Protobuf => "protobuf",
            Format::JsonSchema => "json_schema",
            Format::Text => "text",
        }
    }

    /// Whether decoding needs a schema.
    pub(crate) fn needs_schema(self) -> bool {
        matches!(self, Format::Avro | Format::Protobuf)
    }
}

/// How producers name the subjects of their schemas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names that Confluent's serializers have for them")]
pub(crate) enum SubjectStrategy {
    /// `<topic>-value` and `<topic>-key`: sent to the registry with the id.
    #[default]
    TopicName,
    /// The record's full name: known only with the schema, so the id alone is asked for.
    RecordName,
    /// Topic and record's full name: known only with the schema, as before.
    TopicRecordName,
}

/// A schema that is given instead of a registry: `file` or `text`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SchemaSource {
    /// A file, relative to the project's folder. Imports of a `.proto` file are
    /// looked for beside it.
    pub(crate) file: Option<String>,
    /// The schema itself.
    pub(crate) text: Option<String>,
    /// Protobuf: the full name of the message. Default: the first one of the file.
    pub(crate) message: Option<String>,
}

/// A column taken out of the value.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "FieldShape")]
pub(crate) struct Field {
    /// Member names and array indexes, outermost first.
    pub(crate) steps: Vec<String>,
    /// What to make of what is found.
    pub(crate) reading: Reading,
}

/// What to make of what is found at a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reading {
    /// Text, numbers and booleans as they are; objects and arrays as JSON.
    #[default]
    Auto,
    /// A number of seconds since 1970, fractions included, becomes a timestamp.
    EpochS,
    /// A number of milliseconds since 1970 becomes a timestamp.
    EpochMs,
    /// A number of microseconds since 1970 becomes a timestamp.
    EpochUs,
    /// Text in ISO 8601 becomes a timestamp; without a zone, a date and time.
    Iso,
    /// JSON as it is; JSON inside a text is opened.
    Json,
    /// Text as it is; anything else as its JSON text.
    Text,
}

/// How a field is written in a project file.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "describes the form for the schema; reading is done by hand for better messages"
)]
enum FieldShape {
    /// A path: member names and array indexes, separated by dots.
    Path(String),
    /// A path as a list, for names that hold a dot.
    Steps(Vec<String>),
    /// A path and what to make of what is found there.
    Full(FullField),
}

/// A path and what to make of what is found there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FullField {
    /// Member names and array indexes, separated by dots, or as a list.
    path: FieldPath,
    /// What to make of what is found there.
    #[serde(default, rename = "as")]
    reading: Reading,
}

/// A path as one text or as a list.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum FieldPath {
    /// Separated by dots.
    Text(String),
    /// One step each.
    Steps(Vec<String>),
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Field, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path such as `data.event_name` or `{ path: data.at, as: epoch_ms }`")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<Field, E> {
                Ok(Field { steps: split(path), reading: Reading::Auto })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, steps: A) -> Result<Field, A::Error> {
                let steps = Vec::deserialize(SeqAccessDeserializer::new(steps))?;
                Ok(Field { steps, reading: Reading::Auto })
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Field, A::Error> {
                let full = FullField::deserialize(MapAccessDeserializer::new(members))?;
                let steps = match full.path {
                    FieldPath::Text(path) => split(&path),
                    FieldPath::Steps(steps) => steps,
                };
                Ok(Field { steps, reading: full.reading })
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

fn split(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

impl FormatSettings {
    /// What can be seen without a schema or a registry.
    pub(super) fn check(&self) -> Result<(), Error> {
        for (name, field) in &self.fields {
            if FIXED.iter().any(|(fixed, _)| fixed.eq_ignore_ascii_case(name)) {
                return Err(Error::settings(format!(
                    "`fields.{name}`: every message already has a column `{name}`; choose another name"
                )));
            }
            if field.steps.is_empty() || field.steps.iter().any(String::is_empty) {
                return Err(Error::settings(format!("`fields.{name}`: the path has an empty step")));
            }
        }
        if self.format == Format::Text && !self.fields.is_empty() {
            return Err(Error::settings("`fields`: plain text has no fields; set `format`"));
        }
        Ok(())
    }
}
