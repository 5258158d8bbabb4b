//! The JSON Schema of project files, for editors.

use serde_json::{Map, Value, json};
use tidegate_model::Connector;

use super::shape;

/// Returns the schema of a project with these connectors: the settings of a
/// connection follow from its `type`.
pub fn json_schema(connectors: &[Connector]) -> Value {
    let mut schema = shape::schema(connectors);
    let mut definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
    let mut types = Vec::new();
    for connector in connectors {
        let mut settings = named_apart(&json!((connector.settings)()), connector.kind);
        if let Some(nested) = settings.as_object_mut().and_then(|settings| settings.shift_remove("$defs")) {
            let nested = nested.as_object().cloned().unwrap_or_default();
            definitions
                .extend(nested.into_iter().map(|(name, one)| (format!("{}.{name}", connector.kind), one)));
        }
        let Some(settings) = settings.as_object_mut() else { continue };
        settings.shift_remove("$schema");
        settings.insert("title".to_owned(), json!(connector.title));
        let properties = settings.entry("properties").or_insert_with(|| json!({}));
        for property in properties.as_object_mut().into_iter().flat_map(Map::values_mut) {
            or_reference(property);
        }
        properties["type"] = json!({ "const": connector.kind });
        let required = settings.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            required.push(json!("type"));
        }
        types.push(settings.clone());
    }
    definitions.insert("Reference".to_owned(), reference());
    definitions.insert("Connection".to_owned(), json!({ "oneOf": types }));
    schema["$defs"] = Value::Object(definitions);
    schema["title"] = json!("Tidegate project");
    schema
}

/// Gives the definitions that a schema refers to the connector's name: two
/// connectors may have one of the same name.
fn named_apart(schema: &Value, connector: &str) -> Value {
    match schema {
        Value::String(text) => match text.strip_prefix("#/$defs/") {
            Some(name) => json!(format!("#/$defs/{connector}.{name}")),
            None => schema.clone(),
        },
        Value::Array(items) => items.iter().map(|item| named_apart(item, connector)).collect(),
        Value::Object(members) => {
            let named = members.iter().map(|(name, member)| (name.clone(), named_apart(member, connector)));
            Value::Object(named.collect())
        }
        plain => plain.clone(),
    }
}

/// Any setting of a connection may be a reference.
fn or_reference(property: &mut Value) {
    let written = property.take();
    let help = written.get("description").cloned();
    *property = json!({ "anyOf": [written, { "$ref": "#/$defs/Reference" }] });
    if let Some(help) = help {
        property["description"] = help;
    }
}

/// What [`super::Written::resolve`] looks up.
fn reference() -> Value {
    let by = |how: &str| {
        json!({
            "type": "object", "properties": { how: { "type": "string" } },
            "required": [how], "additionalProperties": false,
        })
    };
    json!({
        "description": "A value that stands elsewhere: `${NAME}`, `${NAME:-default}`, `{ file: PATH }` or `{ secret: NAME }`.",
        "oneOf": [{ "type": "string", "pattern": "\\$\\{" }, by("file"), by("secret")],
    })
}
