//! Settings for people, without secrets.

use serde_json::{Map, Value};
use tidegate_model::alert::ChannelType;
use tidegate_model::{Connector, MappingSpec};
use tidegate_project::{Project, SyncSpec};

use super::Engine;

/// The mark that replaces a secret.
const HIDDEN: &str = "••••••";

impl Engine {
    /// Returns the settings of both ends of a sync, for people.
    pub(super) fn shown_ends(&self, sync: &SyncSpec) -> (Value, Value) {
        let connector = |id| {
            let kind = self.config.project.connections.get(id).map(|spec| spec.kind.as_str());
            self.config.connectors.iter().find(|connector| Some(connector.kind) == kind)
        };
        let (reads, writes) = match sync {
            SyncSpec::Import(import) => (import.source.selection.shown(), import.destination.target.shown()),
            SyncSpec::Export(export) => (export.source.selection.shown(), export.destination.target.shown()),
        };
        let source = connector(sync.source()).and_then(|connector| connector.source);
        let destination = connector(sync.destination());
        let reads = match (sync, source) {
            (SyncSpec::Import(_), Some(role)) => without_secrets(&reads, (role.selection)().as_value()),
            // The lists of an export name kinds, apps, messages and templates.
            _ => Value::Object(reads),
        };
        let target = match sync {
            SyncSpec::Import(_) => destination.and_then(|connector| Some((connector.platform?.target)())),
            SyncSpec::Export(_) => destination.and_then(|connector| Some((connector.sink?.target)())),
        };
        let writes = target.map_or(Value::Null, |schema| without_secrets(&writes, schema.as_value()));
        (reads, writes)
    }
}

/// Returns settings with a mark in the place of each secret, and of each value that the
/// schema does not know.
pub(super) fn without_secrets(members: &Map<String, Value>, schema: &Value) -> Value {
    visible_members(members, &[schema], schema)
}

/// Returns the paths of the settings of connections and channels whose secrets are written out, as
/// `connections.shop.password`. A key of the sandbox is none.
pub(super) fn written_secrets(
    project: &Project,
    connectors: &[Connector],
    channels: &[ChannelType],
) -> Vec<String> {
    let mut paths = Vec::new();
    let mut look = |path: String, settings: &Map<String, Value>, schema: Value| {
        let masked = without_secrets(settings, &schema);
        written_out(&Value::Object(settings.clone()), &masked, &path, &mut paths);
    };
    for (id, spec) in &project.connections {
        let settings = spec.settings.shown();
        let connector = connectors.iter().find(|connector| connector.kind == spec.kind);
        let is_sandbox = settings.get("endpoint").is_some_and(|endpoint| endpoint == "sandbox");
        if let Some(connector) = connector.filter(|_| !is_sandbox) {
            look(format!("connections.{id}"), &settings, (connector.settings)().to_value());
        }
    }
    for (name, spec) in &project.alerts.channels {
        if let Some(channel) = channels.iter().find(|channel| channel.kind == spec.kind) {
            let schema = (channel.settings)().to_value();
            look(format!("alerts.channels.{name}"), &spec.settings.shown(), schema);
        }
    }
    if let Some(dbt) = &project.dbt {
        look("dbt".to_owned(), &dbt.settings.shown(), Value::Null);
    }
    paths
}

/// Adds the paths at which a value is masked and is no reference, which is shown as `<name>`.
fn written_out(value: &Value, masked: &Value, path: &str, paths: &mut Vec<String>) {
    match (value, masked) {
        (Value::Object(members), Value::Object(masked)) => {
            for (name, value) in members {
                let masked = masked.get(name).unwrap_or(&Value::Null);
                written_out(value, masked, &format!("{path}.{name}"), paths);
            }
        }
        (Value::Array(items), Value::Array(masked)) => {
            for (at, (value, masked)) in items.iter().zip(masked).enumerate() {
                written_out(value, masked, &format!("{path}[{at}]"), paths);
            }
        }
        (Value::Null, _) => {}
        (Value::String(text), _) if text.starts_with('<') && text.ends_with('>') => {}
        (_, Value::String(masked)) if masked == HIDDEN => paths.push(path.to_owned()),
        _ => {}
    }
}

fn visible(value: &Value, schemas: &[&Value], root: &Value) -> Value {
    let mut all = Vec::new();
    for schema in schemas {
        expand(schema, root, &mut all, 0);
    }
    if all.is_empty() || all.iter().any(|schema| schema["writeOnly"] == true) {
        return Value::String(HIDDEN.to_owned());
    }
    match value {
        Value::Object(members) => visible_members(members, &all, root),
        Value::Array(items) => {
            let of_items: Vec<&Value> = all.iter().filter_map(|schema| schema.get("items")).collect();
            Value::Array(items.iter().map(|item| visible(item, &of_items, root)).collect())
        }
        _ => value.clone(),
    }
}

fn visible_members(members: &Map<String, Value>, schemas: &[&Value], root: &Value) -> Value {
    let mut all = Vec::new();
    for schema in schemas {
        expand(schema, root, &mut all, 0);
    }
    let member = |(name, value): (&String, &Value)| {
        let known: Vec<&Value> = (all.iter())
            .filter_map(|schema| {
                schema["properties"].get(name).or_else(|| schema.get("additionalProperties"))
            })
            .filter(|schema| **schema != Value::Bool(false))
            .collect();
        (name.clone(), visible(value, &known, root))
    };
    Value::Object(members.iter().map(member).collect())
}

/// Returns a mapping as a project file says it: without what is empty, and in the short form.
pub(super) fn mapping(spec: &MappingSpec) -> Value {
    match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => {
            let set = fields.into_iter().filter(|(_, from)| !is_empty(from));
            Value::Object(set.map(|(name, from)| (name, short(from))).collect())
        }
        _ => Value::Null,
    }
}

/// The short form of what fills a field.
fn short(from: Value) -> Value {
    let Value::Object(members) = from else { return from };
    if !members.contains_key("rest") {
        return Value::Object(members);
    }
    let mut set: Map<String, Value> = members.into_iter().filter(|(_, part)| !is_empty(part)).collect();
    match set.keys().map(String::as_str).collect::<Vec<_>>()[..] {
        ["columns"] => set.shift_remove("columns").unwrap_or_default(),
        ["json"] => set.shift_remove("json").unwrap_or_default(),
        _ => Value::Object(set),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Lists a schema and those that it refers to or chooses from.
pub(super) fn expand<'a>(schema: &'a Value, root: &'a Value, all: &mut Vec<&'a Value>, depth: u8) {
    /// A schema that refers to itself ends somewhere.
    const DEPTH_MAX: u8 = 16;
    if depth > DEPTH_MAX {
        return;
    }
    all.push(schema);
    if let Some(path) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#'))
        && let Some(named) = root.pointer(path)
    {
        expand(named, root, all, depth + 1);
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        for one in schema[choice].as_array().into_iter().flatten() {
            expand(one, root, all, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mapping_is_shown_as_it_is_written() {
        let written = json!({
            "external_id": "customer", "name": { "value": false },
            "properties": { "columns": ["id"], "fields": { "total": "order_total" } },
            "attributes": ["email"], "fields": "document",
        });
        let spec: MappingSpec = serde_json::from_value(written.clone()).expect("a mapping");
        assert_eq!(mapping(&spec), written);
    }

    #[test]
    fn a_secret_is_hidden_wherever_it_stands_and_so_is_what_no_schema_knows() {
        let schema = json!({
            "properties": {
                "host": { "type": "string" },
                "password": { "$ref": "#/$defs/Secret" },
                "stream": { "anyOf": [{ "$ref": "#/$defs/Stream" }, { "type": "null" }] },
                "keys": { "type": "array", "items": { "properties": { "id": {}, "secret": { "$ref": "#/$defs/Secret" } } } },
            },
            "$defs": {
                "Secret": { "type": "string", "writeOnly": true },
                "Stream": { "properties": { "token": { "$ref": "#/$defs/Secret" }, "name": { "type": "string" } } },
            },
        });
        let settings = json!({
            "host": "db", "password": "canary", "other": "canary",
            "stream": { "token": "canary", "name": "events" },
            "keys": [{ "id": "one", "secret": "canary" }],
        });

        let shown = without_secrets(settings.as_object().expect("an object"), &schema);

        assert_eq!(
            shown,
            json!({
                "host": "db", "password": HIDDEN, "other": HIDDEN,
                "stream": { "token": HIDDEN, "name": "events" },
                "keys": [{ "id": "one", "secret": HIDDEN }],
            })
        );
    }
}
