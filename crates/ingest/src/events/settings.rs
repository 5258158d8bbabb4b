//! The settings of a connection for events of any program.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use tidegate_model::{Error, Result, Secret};

/// Anything shorter can be guessed.
const TOKEN_LENGTH_MIN: usize = 16;

/// An endpoint that receives events of any shape by HTTP.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsSettings {
    /// The secret that senders carry in the header `Authorization: Bearer …`.
    pub(super) token: Secret,
    /// Where an event keeps its id, kind, time, user and app.
    #[serde(default)]
    pub(super) fields: Fields,
    /// How many requests are taken in a second; more are answered 429. Default: no limit.
    #[schemars(range(min = 1))]
    pub(super) requests_per_second: Option<u32>,
}

/// Where an event keeps what all events have. The first member that is there counts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fields {
    /// A value that no other event has. Default: `id`, `event_id`; else it is derived from its bytes if it has a time, and a new one if not.
    pub(super) id: Paths,
    /// What happened. Default: `kind`, `event`, `type`, `name`, `event_name`.
    pub(super) kind: Paths,
    /// When it happened. Default: `time`, `timestamp`, `event_timestamp`; else when it came.
    pub(super) time: Paths,
    /// Whom it is about. Default: `external_id`, `user_id`, `user`.
    pub(super) user: Paths,
    /// The app it happened in. Default: `app_id`, `app`.
    pub(super) app: Paths,
}

impl Default for Fields {
    fn default() -> Fields {
        Fields {
            id: Paths::of(&["id", "event_id"]),
            kind: Paths::of(&["kind", "event", "type", "name", "event_name"]),
            time: Paths::of(&["time", "timestamp", "event_timestamp"]),
            user: Paths::of(&["external_id", "user_id", "user"]),
            app: Paths::of(&["app_id", "app"]),
        }
    }
}

/// A member of an event, or several of which the first that is there counts. A
/// dot leads into an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paths(pub(super) Vec<Vec<String>>);

impl Paths {
    fn of(paths: &[impl AsRef<str>]) -> Paths {
        let split = |path: &str| path.split('.').map(str::to_owned).collect();
        Paths(paths.iter().map(|path| split(path.as_ref())).collect())
    }
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Paths, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a path such as `meta.id`, or a list of them")]
        enum Written {
            One(String),
            Several(Vec<String>),
        }
        let paths = match Written::deserialize(deserializer)? {
            Written::One(path) => Paths::of(&[path]),
            Written::Several(paths) => Paths::of(&paths),
        };
        if paths.0.iter().flatten().any(String::is_empty) {
            return Err(serde::de::Error::custom("a path has an empty part"));
        }
        Ok(paths)
    }
}

impl JsonSchema for Paths {
    fn schema_name() -> Cow<'static, str> {
        "Paths".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A path such as `meta.id`, or a list of them.",
            "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
        })
    }
}

impl EventsSettings {
    /// Checks what the types cannot say.
    pub(super) fn validate(&self) -> Result<()> {
        let token = self.token.expose();
        if token.len() < TOKEN_LENGTH_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::settings(format!(
                "`token` is shorter than {TOKEN_LENGTH_MIN} characters or has some that no header takes"
            ))
            .hint("make one with `openssl rand -hex 32`"));
        }
        if self.requests_per_second == Some(0) {
            return Err(Error::settings("`requests_per_second` must be greater than 0")
                .hint("leave it out for no limit"));
        }
        Ok(())
    }
}
