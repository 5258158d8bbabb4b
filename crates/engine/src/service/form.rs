//! Settings as the fields of a form, and forms as settings.

use std::collections::BTreeMap;

use schemars::Schema;
use serde_json::{Map, Value, json};

use super::shown::expand;

/// A setting that a person fills in.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The key in the project file.
    pub name: String,
    /// What it is, a text of its documentation.
    pub about: String,
    /// Whether nothing works without it.
    pub required: bool,
    /// What it takes.
    pub takes: Takes,
    /// What counts if nothing is filled in, if it is a word or a number.
    pub default: Option<String>,
    /// An example.
    pub example: Option<String>,
    /// The objects that it is for; empty if it is for all.
    pub objects: Vec<String>,
}

/// What a setting takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Takes {
    /// Any text.
    Text,
    /// A whole number.
    Number,
    /// Yes or no.
    Switch,
    /// One of these words.
    Choice(Vec<String>),
    /// Something that is kept sealed, and never shown.
    Secret,
}

/// Returns the settings of a schema that a form can take, those that are required first. Lists and nested
/// settings are left to the file.
pub fn fields(schema: &Schema) -> Vec<Field> {
    let root = json!(schema);
    let required = root["required"].as_array().cloned().unwrap_or_default();
    let properties = root["properties"].as_object().cloned().unwrap_or_default();
    let mut fields: Vec<Field> = properties
        .iter()
        .filter_map(|(name, property)| {
            let mut all = Vec::new();
            expand(property, &root, &mut all, 0);
            let word = |key: &str| all.iter().find_map(|one| one[key].as_str()).map(str::to_owned);
            let example = all.iter().find_map(|one| one["examples"][0].as_str()).map(str::to_owned);
            let default = all.iter().find_map(|one| one.get("default")).filter(|value| !value.is_null());
            Some(Field {
                name: name.clone(),
                about: word("description").unwrap_or_default().replace('\n', " "),
                required: required.iter().any(|one| one == name),
                takes: takes(&all)?,
                default: default.and_then(shown),
                example,
                objects: words_of(&property["x-objects"]),
            })
        })
        .collect();
    fields.sort_by_key(|field| !field.required);
    fields
}

fn words_of(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Returns what a setting with these schemas takes; `None` if a form cannot take it.
fn takes(all: &[&Value]) -> Option<Takes> {
    if all.iter().any(|one| one["writeOnly"] == true) {
        return Some(Takes::Secret);
    }
    let consts = all.iter().filter_map(|one| one["const"].as_str());
    let listed =
        all.iter().flat_map(|one| one["enum"].as_array().into_iter().flatten()).filter_map(Value::as_str);
    let choices: Vec<String> = consts.chain(listed).map(str::to_owned).collect();
    if !choices.is_empty() {
        return Some(Takes::Choice(choices));
    }
    let is = |kind: &str| {
        all.iter().any(|one| match &one["type"] {
            Value::String(of) => of == kind,
            Value::Array(of) => of.iter().any(|of| of == kind),
            _ => false,
        })
    };
    match () {
        () if is("string") => Some(Takes::Text),
        () if is("boolean") => Some(Takes::Switch),
        () if is("integer") || is("number") => Some(Takes::Number),
        () => None,
    }
}

/// Returns the settings that were filled in. What is empty, or the default, is left out. Secrets are passed
/// through `secret`, which returns what the file says in their place. A number that is none stays text, so
/// that the project says what is wrong with it, and where.
pub fn filled(
    fields: &[Field],
    given: &BTreeMap<String, String>,
    mut secret: impl FnMut(&Field, &str) -> Value,
) -> Map<String, Value> {
    let mut settings = Map::new();
    for field in fields {
        let text = given.get(&field.name).map(|text| text.trim()).unwrap_or_default();
        let is_default = !field.required && field.default.as_deref() == Some(text);
        if text.is_empty() || is_default {
            continue;
        }
        settings.insert(field.name.clone(), value_of(field, text, &mut secret));
    }
    settings
}

/// Returns what the file says for the text of a field.
fn value_of(field: &Field, text: &str, secret: &mut impl FnMut(&Field, &str) -> Value) -> Value {
    let is_reference = text.starts_with("${") && text.ends_with('}');
    match &field.takes {
        Takes::Secret if !is_reference => secret(field, text),
        Takes::Number if !is_reference => text.parse::<i64>().map_or_else(|_| json!(text), Value::from),
        Takes::Switch if !is_reference => json!(text == "true"),
        _ => json!(text),
    }
}

/// Returns the text of a setting in a form, empty if it is not written; `None` if a form cannot show it, as a
/// list or a reference to a file.
pub fn form_text(value: Option<&Value>) -> Option<String> {
    value.map_or(Some(String::new()), shown)
}

/// Returns the settings that a form changes: the key and the new value, or `None` for one that is removed. A field
/// that shows what is written changes nothing, nor does one that the form lacks or cannot show. A secret that is
/// left empty stays, unless `remove.FIELD` is ticked.
pub fn changed(
    fields: &[Field],
    written: &Map<String, Value>,
    given: &BTreeMap<String, String>,
    mut secret: impl FnMut(&Field, &str) -> Value,
) -> Vec<(String, Option<Value>)> {
    let mut changes = Vec::new();
    for field in fields {
        let Some(text) = given.get(&field.name).map(|text| text.trim()) else { continue };
        let before = written.get(&field.name);
        let is_secret = field.takes == Takes::Secret;
        let is_same = match form_text(before) {
            _ if is_secret => text.is_empty(),
            None => true,
            // Nothing is written, so that the form shows the default.
            Some(shown) if shown.is_empty() => text.is_empty() || field.default.as_deref() == Some(text),
            Some(shown) => text == shown.trim(),
        };
        let is_removed = match is_secret {
            true => given.contains_key(&format!("remove.{}", field.name)),
            false => !is_same,
        };
        if text.is_empty() && is_removed {
            changes.push((field.name.clone(), None));
        } else if !is_same {
            changes.push((field.name.clone(), Some(value_of(field, text, &mut secret))));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use tidegate_model::Secret;

    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Shop {
        /// The port.
        #[serde(default = "port")]
        port: u16,
        /// The host.
        host: String,
        /// The password.
        password: Option<Secret>,
        /// How it is encrypted.
        #[serde(default)]
        tls: Tls,
        /// A list.
        names: Vec<u32>,
        /// Whether.
        close: Option<bool>,
    }

    #[derive(Default, JsonSchema, serde::Serialize)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Tls {
        #[default]
        Full,
        Off,
    }

    fn port() -> u16 {
        5432
    }

    #[test]
    fn settings_become_fields_and_what_is_filled_in_becomes_settings() {
        let fields = fields(&schemars::schema_for!(Shop));
        let names: Vec<(&str, bool)> =
            fields.iter().map(|field| (field.name.as_str(), field.required)).collect();
        assert_eq!(
            names,
            [("host", true), ("port", false), ("password", false), ("tls", false), ("close", false)]
        );
        assert_eq!(fields[1].default.as_deref(), Some("5432"));
        assert_eq!(fields[2].takes, Takes::Secret);
        assert_eq!(fields[3].takes, Takes::Choice(vec!["Full".to_owned(), "Off".to_owned()]));
        assert_eq!((&fields[4].takes, fields[0].about.as_str()), (&Takes::Switch, "The host."));

        let given = [
            ("host", " db "),
            ("port", "5432"),
            ("password", "p"),
            ("tls", ""),
            ("close", "true"),
            ("x", "y"),
        ];
        let given = given.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let settings = filled(&fields, &given, |field, _| json!({ "secret": field.name }));
        assert_eq!(
            Value::Object(settings),
            json!({ "host": "db", "password": { "secret": "password" }, "close": true })
        );
        let wrong = [("port".to_owned(), "many".to_owned())].into();
        assert_eq!(filled(&fields, &wrong, |_, _| Value::Null)["port"], "many", "the project tells");
        let reference = [("port".to_owned(), "${PORT}".to_owned())].into();
        let settings = filled(&fields, &reference, |_, _| Value::Null);
        assert_eq!(settings["port"], "${PORT}");
    }

    #[test]
    fn a_form_that_is_sent_back_as_it_was_shown_changes_nothing() {
        let fields = fields(&schemars::schema_for!(Shop));
        let written =
            json!({ "host": "${HOST}", "port": 5432, "password": { "file": "key" }, "close": true });
        let written = written.as_object().expect("an object");
        let of = |given: &[(&str, &str)]| {
            let given = given.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            changed(&fields, written, &given, |_, text| json!({ "secret": text }))
        };
        let shown =
            [("host", "${HOST}"), ("port", "5432"), ("password", ""), ("tls", "Full"), ("close", "true")];
        assert!(of(&shown).is_empty());
        assert!(of(&[]).is_empty(), "what a form lacks stays");
        let change = |name: &str, value: Value| (name.to_owned(), Some(value));
        assert_eq!(
            of(&[("host", "db"), ("port", " 5433 "), ("password", "p"), ("tls", "Off"), ("close", "")]),
            [
                change("host", json!("db")),
                change("port", json!(5433)),
                change("password", json!({ "secret": "p" })),
                change("tls", json!("Off")),
                ("close".to_owned(), None),
            ]
        );
        assert_eq!(of(&[("password", ""), ("remove.password", "yes")]), [("password".to_owned(), None)]);
        assert_eq!(of(&[("password", "p"), ("remove.password", "yes")]).len(), 1);
    }
}
