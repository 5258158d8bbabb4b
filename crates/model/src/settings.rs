//! What a person types in, and what must not be seen again.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::{Error, ErrorKind};

/// A piece of configuration that only its connector can read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(serde_json::Map<String, serde_json::Value>);

impl Settings {
    /// Settings from a JSON object.
    pub fn new(members: serde_json::Map<String, serde_json::Value>) -> Settings {
        Settings(members)
    }

    /// The members as they were written, secrets unresolved.
    pub fn members(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.0
    }

    /// Reads the settings as `T`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] with the path of the member that does not fit;
    /// for an unknown member, the nearest known one.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let value = serde_json::Value::Object(self.0.clone());
        serde_path_to_error::deserialize(value).map_err(|cause| {
            let path = cause.path().to_string();
            let message = cause.into_inner().to_string();
            let place = if path == "." { String::new() } else { format!("`{path}`: ") };
            Error::new(ErrorKind::Settings, format!("{place}{message}"))
        })
    }
}

/// Shows the names of the members only: a value may be a secret.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The JSON Schema of a settings type: names, help texts, defaults.
pub fn schema_of<T: JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<T>()
}

/// A value that is never printed, logged or written out.
///
/// In a project file it is given as `${NAME}`, `{ file: PATH }` or
/// `{ secret: NAME }` and resolved before a connector sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value, for the moment of its use.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A secret: `${NAME}`, `{ file: PATH }` or `{ secret: NAME }`.",
            "writeOnly": true,
            "type": "string"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[expect(dead_code, reason = "only its parsing is looked at")]
        port: u16,
    }

    #[test]
    fn a_misfit_is_named_by_its_path() {
        let members = serde_json::json!({ "port": "x" });
        let settings = Settings::new(members.as_object().expect("object").clone());
        let error = settings.parse::<Example>().expect_err("no number");
        assert!(error.message().starts_with("`port`: "), "{error}");
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
