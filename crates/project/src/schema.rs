//! The JSON Schema of project files, for editors.

use serde_json::{Map, Value, json};
use tidegate_model::Connector;
use tidegate_model::alert::ChannelType;

use super::shape;

/// Returns the schema of a project with these connectors and channels: the settings of a
/// connection or a channel follow from its `type`.
pub fn json_schema(connectors: &[Connector], channels: &[ChannelType]) -> Value {
    let mut schema = shape::schema(connectors);
    let mut definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
    let types: Vec<Value> = connectors
        .iter()
        .map(|one| settings(one.kind, one.title, &json!((one.settings)()), &mut definitions))
        .collect();
    definitions.insert("Connection".to_owned(), json!({ "oneOf": types }));
    let types: Vec<Value> = channels
        .iter()
        .map(|one| settings(one.kind, one.title, &json!((one.settings)()), &mut definitions))
        .collect();
    definitions.insert("Channel".to_owned(), json!({ "oneOf": types }));
    if let Some(secret) =
        definitions.get_mut("Dbt").and_then(|dbt| dbt.pointer_mut("/properties/webhook_secret"))
    {
        or_reference(secret);
    }
    definitions.insert("Reference".to_owned(), reference());
    schema["$defs"] = Value::Object(definitions);
    schema["title"] = json!("Tidegate project");
    schema
}

/// The settings of one type, with `type` among them. What they refer to joins the definitions.
fn settings(kind: &str, title: &str, of_type: &Value, definitions: &mut Map<String, Value>) -> Value {
    let mut settings = named_apart(of_type, kind);
    let Some(members) = settings.as_object_mut() else { return settings };
    if let Some(Value::Object(nested)) = members.shift_remove("$defs") {
        definitions.extend(nested.into_iter().map(|(name, one)| (format!("{kind}.{name}"), one)));
    }
    members.shift_remove("$schema");
    members.insert("title".to_owned(), json!(title));
    let properties = members.entry("properties").or_insert_with(|| json!({}));
    for property in properties.as_object_mut().into_iter().flat_map(Map::values_mut) {
        or_reference(property);
    }
    properties["type"] = json!({ "const": kind });
    let required = members.entry("required").or_insert_with(|| json!([]));
    if let Some(required) = required.as_array_mut() {
        required.push(json!("type"));
    }
    settings
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
