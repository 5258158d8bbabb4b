//! What a connector says of itself and of its settings.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use tidegate_model::Connector;

use super::suite::Suite;

/// `kind:` in project files names one connector.
pub async fn a_kind_is_one_lowercase_word_of_its_own(suite: &Suite) {
    let mut seen = BTreeSet::new();
    for Connector { kind, .. } in suite.connectors {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(
            kind.starts_with(|first: char| first.is_ascii_lowercase()) && kind.bytes().all(word),
            "{kind}"
        );
        assert!(seen.insert(kind), "`{kind}` is there twice");
    }
}

/// It has a title, a page and a picture that needs nothing from elsewhere.
pub async fn a_connector_introduces_itself(suite: &Suite) {
    for Connector { kind, title, readme, icon, platform, source, sink, ingest, .. } in suite.connectors {
        assert!(!title.trim().is_empty(), "{kind}: title");
        assert!(readme.starts_with("# ") && readme.contains(&format!("type: {kind}")), "{kind}: README");
        let icon = icon.trim();
        assert!(icon.starts_with("<svg ") && icon.ends_with("</svg>"), "{kind}: the icon is no SVG");
        assert!(icon.contains("http://www.w3.org/2000/svg") && icon.contains("viewBox="), "{kind}: icon");
        for foreign in ["<script", "href=", "<!", "url(http", " on"] {
            assert!(!icon.contains(foreign), "{kind}: the icon holds `{foreign}`");
        }
        let roles = [platform.is_some(), source.is_some(), sink.is_some(), ingest.is_some()];
        assert!(roles.contains(&true), "{kind} plays no role");
        assert!(platform.is_none_or(|role| !role.objects.is_empty()), "{kind} takes no objects");
    }
}

/// A schema with its name for messages.
pub(super) fn schemas(connector: &Connector) -> Vec<(String, Value)> {
    let named = |what: &str, schema: Value| (format!("{}, {what}", connector.kind), schema);
    let mut schemas = vec![named("settings", (connector.settings)().to_value())];
    schemas.extend(connector.source.map(|role| named("selection", (role.selection)().to_value())));
    schemas.extend(connector.platform.map(|role| named("target", (role.target)().to_value())));
    schemas.extend(connector.sink.map(|role| named("sink target", (role.target)().to_value())));
    schemas
}

/// Shows every object type of a schema to `see`, with its definitions.
pub(super) fn each_object(schema: &Value, see: &mut impl FnMut(&Map<String, Value>, &Map<String, Value>)) {
    // How a secret is written is the same for all connectors, and explained once.
    if schema["writeOnly"] == true {
        return;
    }
    if let (Some(object), Value::Object(properties)) = (schema.as_object(), &schema["properties"]) {
        see(object, properties);
    }
    match schema {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    // What is here are settings by name: one may be called `properties`.
                    Value::Object(named) if name == "properties" || name == "$defs" => {
                        named.values().for_each(|member| each_object(member, see));
                    }
                    _ => each_object(member, see),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|member| each_object(member, see)),
        _ => {}
    }
}

/// The schema that a property refers to, or itself.
fn resolved<'a>(root: &'a Value, property: &'a Value) -> &'a Value {
    let alternatives = property["anyOf"].as_array().into_iter().flatten();
    let reference = alternatives.chain([property]).find_map(|schema| schema["$ref"].as_str());
    reference.and_then(|path| root.pointer(path.trim_start_matches('#'))).unwrap_or(property)
}

/// The doc comment of a setting is its help everywhere.
pub async fn every_setting_has_its_help_text(suite: &Suite) {
    for connector in suite.connectors {
        for (backend, schema) in schemas(connector) {
            assert!(schema["description"].is_string(), "{backend}: no description");
            each_object(&schema, &mut |_, properties| {
                for (name, property) in properties {
                    let help = property["description"].as_str().unwrap_or_default();
                    assert!(help.len() > 10 && help.ends_with('.'), "{backend}: help of `{name}`: {help:?}");
                }
            });
        }
    }
}

/// A person finds each setting on the connector's page.
pub async fn every_setting_stands_in_the_readme(suite: &Suite) {
    for connector in suite.connectors {
        let words: BTreeSet<&str> =
            connector.readme.split(|char: char| !char.is_ascii_alphanumeric() && char != '_').collect();
        for (backend, schema) in schemas(connector) {
            each_object(&schema, &mut |_, properties| {
                for name in properties.keys() {
                    assert!(words.contains(name.as_str()), "{backend}: the README does not mention `{name}`");
                }
            });
        }
    }
}

/// What is called a key, a password or a token is a secret; others may be, too.
pub async fn every_secret_is_write_only(suite: &Suite) {
    for connector in suite.connectors {
        for (backend, schema) in schemas(connector) {
            each_object(&schema, &mut |_, properties| {
                for (name, property) in properties {
                    let secret = ["api_key", "password", "token", "secret", "private_key"];
                    if secret.iter().any(|word| name.contains(word)) {
                        let write_only =
                            property["writeOnly"] == true || resolved(&schema, property)["writeOnly"] == true;
                        assert!(write_only, "{backend}: `{name}` is not write-only");
                    }
                }
            });
        }
    }
}

/// The values of an example's secrets.
pub(super) fn secrets(connector: &Connector, settings: &Value) -> Vec<(String, String)> {
    let schema = (connector.settings)().to_value();
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .filter(|(_, property)| resolved(&schema, property)["writeOnly"] == true)
        .filter_map(|(name, _)| Some((name.clone(), settings[name].as_str()?.to_owned())))
        .collect()
}
