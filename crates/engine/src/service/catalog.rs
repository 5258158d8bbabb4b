//! The connectors: what each can be connected as, and the steps that connect it.

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tidegate_model::{ConnectionId, Connector, Error, Settings};

use tidegate_project::{Project, SyncSpec};

/// One connector, as command line, API and pages show it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConnectorInfo {
    /// The word used for `type:` in project files.
    #[serde(rename = "type")]
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// Whether rows can be read from it.
    pub source: bool,
    /// The objects that it takes.
    pub objects: Vec<&'static str>,
    /// Whether events can be exported to it.
    pub sink: bool,
    /// Whether events come in through it.
    pub ingest: bool,
    /// Whether its API can be served locally.
    pub sandbox: bool,
    /// The JSON Schema of its settings.
    pub settings: Value,
    /// The JSON Schema of what a sync selects.
    pub selection: Option<Value>,
    /// The JSON Schema of an import's own settings under `destination`.
    pub target: Option<Value>,
    /// Its page of documentation.
    #[serde(skip)]
    pub readme: &'static str,
}

/// Lists the connectors.
pub fn connectors(registry: &[Connector]) -> Vec<ConnectorInfo> {
    registry.iter().map(info).collect()
}

/// Returns one connector by its type.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) if there is none.
pub fn connector(registry: &[Connector], name: &str) -> Result<ConnectorInfo, Error> {
    registry.iter().find(|connector| connector.kind == name).map(info).ok_or_else(|| {
        Error::settings(format!("there is no connector `{name}`")).hint("`tidegate connectors` lists them")
    })
}

fn info(connector: &Connector) -> ConnectorInfo {
    let objects = connector.platform.iter().flat_map(|role| role.objects);
    ConnectorInfo {
        name: connector.kind,
        title: connector.title,
        source: connector.source.is_some(),
        objects: objects.map(|object| object.as_str()).collect(),
        sink: connector.sink.is_some(),
        ingest: connector.ingest.is_some(),
        sandbox: connector.sandbox.is_some(),
        settings: json!((connector.settings)()),
        selection: connector.source.map(|role| json!((role.selection)())),
        target: connector.platform.map(|role| json!((role.target)())),
        readme: connector.readme,
    }
}

/// Returns the statements and steps that connect a system: `name` is a connection of the
/// project or a connector, and `set` replaces settings. References are not resolved: the
/// name of the setting replaces them.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) if the name or a setting is unknown.
pub fn setup(
    registry: &[Connector],
    project: Option<&Project>,
    name: &str,
    set: &[(String, String)],
) -> Result<String, Error> {
    let id = ConnectionId::new(name);
    let spec = project.and_then(|project| Some((project, project.connections.get(&id)?)));
    let (kind, mut members, selection) = match spec {
        Some((project, spec)) => (spec.kind.as_str(), spec.settings.shown(), first_use(project, &id)),
        None => (name, Map::new(), None),
    };
    let connector = registry.iter().find(|connector| connector.kind == kind).ok_or_else(|| {
        Error::settings(format!("`{name}` is neither a connection of the project nor a connector"))
            .hint("`tidegate connectors` lists the connectors")
    })?;
    let schema = (connector.settings)();
    known_settings(&schema, kind, set)?;
    members.extend(set.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))));
    let egress = project.map_or(&[][..], |project| &project.egress);
    let Some(setup) = connector.setup else { return Ok(with_egress(connector.readme.to_owned(), egress)) };
    match spec {
        None => fill_in(&schema, &mut members),
        Some(_) => without_placeholders(&schema, &mut members),
    }
    let (settings, selection) = (Settings::new(members), selection.map(Settings::new));
    // Of a connection with several roles, the text may be about another one.
    let text = setup(&id, &settings, selection.as_ref()).or_else(|_| setup(&id, &settings, None));
    let text = text.map_err(|error| match spec {
        Some(_) => error,
        None => error.hint(format!("give it on the command line: `tidegate setup {kind} --set NAME=VALUE`")),
    })?;
    Ok(with_egress(text, egress))
}

/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) if a connector has no setting of a name that is set.
fn known_settings(schema: &Schema, kind: &str, set: &[(String, String)]) -> Result<(), Error> {
    let Some(known) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
    let Some((unknown, _)) = set.iter().find(|(name, _)| !known.contains_key(name)) else { return Ok(()) };
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    Err(Error::settings(format!("`{kind}` has no setting `{unknown}`"))
        .hint(format!("its settings are {}", names.join(", "))))
}

/// Names the addresses that allow lists need, instead of "this machine".
fn with_egress(text: String, egress: &[String]) -> String {
    if egress.is_empty() {
        return text;
    }
    const NETWORK: &str = "<address of this machine>/32";
    let mut named = String::with_capacity(text.len());
    for line in text.lines() {
        // A line of `pg_hba.conf` takes one network.
        let lines: Vec<String> = match line.contains(NETWORK) {
            true => egress.iter().map(|address| line.replace(NETWORK, &network(address))).collect(),
            false => vec![line.to_owned()],
        };
        for line in lines {
            named.push_str(&line);
            named.push('\n');
        }
    }
    let comment = if named.starts_with("--") { "-- " } else { "" };
    named.push_str(&format!("\n{comment}Addresses for allow lists: {}\n", egress.join(", ")));
    named
}

fn network(address: &str) -> String {
    match (address.contains('/'), address.contains(':')) {
        (true, _) => address.to_owned(),
        (false, true) => format!("{address}/128"),
        (false, false) => format!("{address}/32"),
    }
}

/// Gives each required text setting that is missing a placeholder, such as `your-host`.
fn fill_in(schema: &Schema, members: &mut Map<String, Value>) {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        let setting = schema.get("properties").and_then(|settings| settings.get(name));
        let is_text = setting.and_then(|setting| setting.get("type")).is_some_and(|kind| kind == "string");
        if is_text && !members.contains_key(name) {
            members.insert(name.to_owned(), Value::String(format!("your-{}", name.replace('_', "-"))));
        }
    }
}

/// Leaves out the numbers and flags that are references: their placeholder is a text, which they do not take.
fn without_placeholders(schema: &Schema, members: &mut Map<String, Value>) {
    let takes_text = |name: &str| {
        let kind = schema.get("properties").and_then(|settings| settings.get(name)?.get("type"));
        let is_text =
            |kind: &Value| !matches!(kind.as_str(), Some("integer" | "number" | "boolean" | "null"));
        match kind {
            Some(Value::Array(kinds)) => kinds.iter().any(is_text),
            Some(kind) => is_text(kind),
            None => true,
        }
    };
    members.retain(|name, value| takes_text(name) || value.as_str() != Some(&format!("<{name}>")));
}

/// What the first sync of a connection reads or writes there.
fn first_use(project: &Project, id: &ConnectionId) -> Option<Map<String, Value>> {
    project.syncs.values().find_map(|sync| match sync {
        SyncSpec::Import(import) if import.source.connection == *id => Some(import.source.selection.shown()),
        SyncSpec::Export(export) if export.destination.connection == *id => {
            Some(export.destination.target.shown())
        }
        _ => None,
    })
}
