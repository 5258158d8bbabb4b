//! The JSON Schema of project files, for editors.

use serde_json::{Map, Value, json};
use tidegate_model::Connector;
use tidegate_model::settings::schema_of;

use super::spec::Project;

/// The schema of a project with these connectors: a connection's settings
/// follow from its `kind`.
pub fn json_schema(connectors: &[Connector]) -> Value {
    let mut schema = json!(schema_of::<Project>());
    let mut definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
    let mut kinds = Vec::new();
    for connector in connectors {
        let mut settings = json!((connector.settings)());
        if let Some(nested) = settings.as_object_mut().and_then(|settings| settings.shift_remove("$defs")) {
            definitions.extend(nested.as_object().cloned().unwrap_or_default());
        }
        let Some(settings) = settings.as_object_mut() else { continue };
        settings.shift_remove("$schema");
        settings.insert("title".to_owned(), json!(connector.title));
        let properties = settings.entry("properties").or_insert_with(|| json!({}));
        for property in properties.as_object_mut().into_iter().flat_map(Map::values_mut) {
            or_reference(property);
        }
        properties["kind"] = json!({ "const": connector.kind });
        let required = settings.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            required.push(json!("kind"));
        }
        kinds.push(settings.clone());
    }
    definitions.insert("Reference".to_owned(), reference());
    definitions.insert("ConnectionSpec".to_owned(), json!({ "oneOf": kinds }));
    schema["$defs"] = Value::Object(definitions);
    schema["title"] = json!("Tidegate project");
    schema
}

/// Any setting of a connection may stand outside the project file.
fn or_reference(property: &mut Value) {
    let written = property.take();
    let help = written.get("description").cloned();
    *property = json!({ "anyOf": [written, { "$ref": "#/$defs/Reference" }] });
    if let Some(help) = help {
        property["description"] = help;
    }
}

/// What [`super::resolve`] looks up.
fn reference() -> Value {
    let by = |how: &str| {
        json!({
            "type": "object", "properties": { how: { "type": "string" } },
            "required": [how], "additionalProperties": false,
        })
    };
    json!({
        "description": "A value that stands elsewhere: `{ env: NAME }`, `{ file: path }` or `{ secret: name }`.",
        "oneOf": [by("env"), by("file"), by("secret")],
    })
}
