//! Settings of connectors, and secrets.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::{Error, ErrorKind};

/// A piece of configuration that only its connector can read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(serde_json::Map<String, serde_json::Value>);

impl Settings {
    /// Creates settings from a JSON object.
    pub fn new(members: serde_json::Map<String, serde_json::Value>) -> Settings {
        Settings(members)
    }

    /// Returns the members as they were written, secrets unresolved.
    pub fn members(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.0
    }

    /// Reads the settings as `T`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] with the path of the member that does not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let value = serde_json::Value::Object(self.0.clone());
        serde_path_to_error::deserialize(value).map_err(|cause| {
            let path = cause.path().to_string();
            let message = without_value(&cause.into_inner().to_string());
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

/// Returns what a deserializer says about a value, without the value: it may be a secret, or
/// have been meant for one.
pub fn without_value(message: &str) -> String {
    let misfit = ["invalid type: ", "invalid value: ", "invalid length "];
    if misfit.iter().any(|start| message.starts_with(start)) {
        let expected = message.rsplit_once(", expected ").map_or("another value", |(_, expected)| expected);
        let (expected, at) = expected.split_once(" at line ").unwrap_or((expected, ""));
        let expected = match expected {
            "a string" | "string" | "a borrowed string" => "text",
            "a boolean" => "`true` or `false`",
            "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
            "i8" | "i16" | "i32" | "i64" => "a whole number",
            "f32" | "f64" => "a number",
            "a sequence" => "a list",
            "a map" => "a mapping",
            structure if structure.starts_with("struct ") => "a mapping",
            other => other,
        };
        let at = if at.is_empty() { String::new() } else { format!(" at line {at}") };
        return format!("expected {expected}{at}");
    }
    if message.contains("did not match any variant") {
        return "this has none of the forms that are expected here".to_owned();
    }
    message.to_owned()
}

/// Returns the JSON Schema of a settings type: names, help texts, defaults.
pub fn schema_of<T: JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<T>()
}

/// A value that is never printed, logged or written out.
///
/// In a project file it is given as `${NAME}`, `{ file: PATH }` or
/// `{ secret: NAME }` and resolved before a connector sees it.
/// Its memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Creates a secret.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(SecretString::from(value.into()))
    }

    /// Returns the value, for the moment of its use.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
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
    fn a_value_of_the_wrong_type_is_not_repeated() {
        #[derive(Debug, Deserialize)]
        struct Login {
            #[expect(dead_code, reason = "only its parsing is looked at")]
            password: Secret,
        }
        let canary = 8_675_309_424_242_u64;
        for value in [
            serde_json::json!(canary),
            serde_json::json!([canary.to_string()]),
            serde_json::json!({ canary.to_string(): canary }),
            serde_json::json!(0.008_675_309),
        ] {
            let members = serde_json::json!({ "password": value });
            let settings = Settings::new(members.as_object().expect("object").clone());
            let error = settings.parse::<Login>().expect_err("no text");
            assert_eq!(error.message(), "`password`: expected text");
            assert!(!error.chain().contains("8675309"), "{error:?}");
        }
        let told = without_value("invalid type: string \"a, expected b\", expected u16 at line 1 column 9");
        assert_eq!(told, "expected a whole number from 0 at line 1 column 9");
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
