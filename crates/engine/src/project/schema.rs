//! The JSON Schema of project files, for editors.

use serde_json::{Value, json};
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
        if let Some(nested) = settings.as_object_mut().and_then(|settings| settings.remove("$defs")) {
            definitions.extend(nested.as_object().cloned().unwrap_or_default());
        }
        settings["title"] = json!(connector.title);
        settings["properties"]["kind"] = json!({ "const": connector.kind });
        if let Some(required) = settings["required"].as_array_mut() {
            required.push(json!("kind"));
        }
        kinds.push(settings);
    }
    definitions.insert("ConnectionSpec".to_owned(), json!({ "oneOf": kinds }));
    schema["$defs"] = Value::Object(definitions);
    schema["title"] = json!("Tidegate project");
    schema
}
