//! Finding and reading a project file.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use jiff::tz::TimeZone;
use serde_json::{Value as Member, json};
use tidegate_model::alert::ChannelType;
use tidegate_model::{ConnectionId, Connector, Error, SyncId};

use super::alerts;
use super::conform::{Conform, Spot};
use super::dbt;
use super::file::{BYTE_ORDER_MARK, read_text};
use super::file_position::FilePosition;
use super::findings::{Finding, Invalid, listed, nearest};
use super::formats;
use super::habits;
use super::references::Written;
use super::shape;
use super::sheet::File;
use super::spec::{ConnectionSpec, Project, Retention, SyncSpec};
use super::sync;
use super::yaml::{self, Data, Entry, Node};

/// The file that makes a folder a project.
pub const FILE_NAME: &str = "tidegate.yaml";
/// The other name that it may have.
const OTHER_NAME: &str = "tidegate.yml";

/// The keys at the top of a file.
const KEYS: &[&str] = &["time_zone", "egress", "retention", "alerts", "dbt", "connections", "syncs"];

/// Finds the project file: `path` itself if it is a file, otherwise the one in that folder.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) if the folder has two.
pub fn locate(path: &Path) -> Result<PathBuf, Error> {
    let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    if path.is_file() || (is_yaml && !path.is_dir()) {
        return Ok(path.to_owned());
    }
    let (file, other) = (path.join(FILE_NAME), path.join(OTHER_NAME));
    match (file.exists(), other.exists()) {
        (true, true) => {
            Err(Error::settings(format!("{} holds both {FILE_NAME} and {OTHER_NAME}", path.display()))
                .hint("remove one of them, or name the one that counts by `--project FILE`"))
        }
        (false, true) => Ok(other),
        _ => Ok(file),
    }
}

/// Returns whether a folder holds a project file.
pub fn is_project(folder: &Path) -> bool {
    folder.join(FILE_NAME).exists() || folder.join(OTHER_NAME).exists()
}

/// Returns the folder of a project that `path` names, itself or by its file.
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if path.is_file() && folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) if path.is_file() => folder.to_owned(),
        _ => path.to_owned(),
    }
}

/// Reads the project that a folder or a file holds.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) if there is no project file or it cannot be read.
/// A file with errors is `Ok(Err(…))`, with all of them.
pub fn read(
    path: &Path,
    connectors: &'static [Connector],
    channels: &'static [ChannelType],
) -> Result<Result<Project, Invalid>, Error> {
    let file = locate(path)?;
    let text = read_text(&file)?;
    Ok(parse(&text, &file.display().to_string(), connectors, channels))
}

/// Reads the project that a folder or a file holds.
///
/// # Errors
/// [`Settings`](tidegate_model::ErrorKind::Settings) as [`read`], and with file, line
/// and column of every error in it.
pub fn load(
    path: &Path,
    connectors: &'static [Connector],
    channels: &'static [ChannelType],
) -> Result<Project, Error> {
    Ok(read(path, connectors, channels)??)
}

/// Reads the text of a project file; `name` is what messages call it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(
    text: &str,
    name: &str,
    connectors: &'static [Connector],
    channels: &'static [ChannelType],
) -> Result<Project, Invalid> {
    let mut findings = Vec::new();
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let root = yaml::read(text, &mut findings).map_err(|errors| Invalid::new(name, errors))?;
    let project = project(&root, connectors, channels, &mut findings);
    if findings.is_empty() { Ok(project) } else { Err(Invalid::new(name, findings)) }
}

fn project(
    root: &Node,
    connectors: &'static [Connector],
    channels: &'static [ChannelType],
    findings: &mut Vec<Finding>,
) -> Project {
    let schema = shape::schema(connectors);
    let top = Spot::new(root.at, "");
    if !matches!(root.data, Data::Map(_) | Data::Null) {
        let found = top.finding("expected a mapping with the keys `connections` and `syncs`");
        findings.push(found.hint("write `connections:`, and below it a name for each"));
        return Project::default();
    }
    for entry in root.entries().iter().filter(|entry| !KEYS.contains(&entry.key.as_str())) {
        let answer = habits::of_key("", &entry.key, KEYS);
        let found = Finding::new(entry.at, "", format!("unknown key `{}`", entry.key));
        findings.push(found.hint(answer.hint));
    }
    let zone = time_zone(root, &schema, findings);
    let mut project = Project { retention: retention(root, &schema, findings), ..Project::default() };
    project.egress = egress(root, &schema, findings);
    project.alerts = alerts::read(root, &schema, channels, findings);
    project.dbt = dbt::read(root, &schema, findings);
    let mut ends = IndexMap::new();
    for entry in named(root, "connections", findings) {
        let id = ConnectionId::new(&entry.key);
        let (connector, read) = connection(entry, connectors, findings);
        project.notes.extend(plain_variables(entry));
        ends.insert(id.clone(), connector);
        if let Some(read) = read {
            project.connections.insert(id, read);
        }
    }
    let contracts = shape::contracts(connectors).collect();
    // A channel that was told to be wrong is there.
    let named_channels = alerts::names(root);
    let file = File { schema: &schema, connections: ends, contracts, zone, channels: named_channels };
    for entry in named(root, "syncs", findings) {
        if let Some(read) = sync::read(&file, entry, findings, &mut project.notes) {
            project.syncs.insert(SyncId::new(&entry.key), read);
        }
    }
    findings.extend(dbt::without_secret(root, &project));
    project.notes.extend(contacts_without_mail(root, &project, channels));
    project
}

/// Returns a note if there are channels and contacts with an address, and no channel sends mail to contacts.
fn contacts_without_mail(root: &Node, project: &Project, known: &[ChannelType]) -> Option<Finding> {
    let entry = root.entry("alerts")?;
    let mail: Vec<&str> =
        known.iter().filter(|channel| channel.reaches_contacts).map(|channel| channel.kind).collect();
    let channels = &project.alerts.channels;
    if mail.is_empty()
        || channels.is_empty()
        || channels.values().any(|spec| mail.contains(&spec.kind.as_str()))
    {
        return None;
    }
    let contacts = |sync: &SyncSpec| sync.options().contacts.iter().any(|contact| contact.contains('@'));
    let (id, _) = project.syncs.iter().find(|(_, sync)| contacts(sync))?;
    let note = Spot::new(entry.at, "alerts.channels")
        .finding(format!("the contacts of `{id}` are not told: no channel sends mail"));
    Some(note.hint(format!("add a channel of the type {}", listed(mail))))
}

/// Returns a note for each setting of a connection that is written as a shell writes a variable.
fn plain_variables(connection: &Entry) -> Vec<Finding> {
    let spot = Spot::new(connection.at, format!("connections.{}", connection.key));
    let is_variable = |text: &str| {
        text.strip_prefix('$').is_some_and(|name| {
            name.starts_with(|sign: char| sign.is_ascii_uppercase() || sign == '_')
                && name.bytes().all(|sign| sign.is_ascii_uppercase() || sign.is_ascii_digit() || sign == b'_')
        })
    };
    let entries = connection.value.entries().iter();
    let written = entries.filter(|entry| entry.value.text().is_some_and(is_variable));
    written
        .map(|entry| {
            let note = spot.key(&entry.key, entry.at).finding("a name after `$` is a text as it stands");
            note.hint("write `${NAME}` for the value of a variable")
        })
        .collect()
}

fn time_zone(root: &Node, schema: &Member, findings: &mut Vec<Finding>) -> TimeZone {
    let Some(entry) = root.entry("time_zone") else { return TimeZone::UTC };
    let mut conform = Conform::plain(schema);
    let spot = Spot::new(entry.at, "time_zone");
    let name = conform.read(&entry.value, &schema["properties"]["time_zone"], &spot);
    findings.append(&mut conform.findings);
    name.as_str().and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC)
}

fn egress(root: &Node, schema: &Member, findings: &mut Vec<Finding>) -> Vec<String> {
    let Some(entry) = root.entry("egress") else { return Vec::new() };
    let mut conform = Conform::plain(schema);
    let spot = Spot::new(entry.at, "egress");
    let read = conform.read(&entry.value, &schema["properties"]["egress"], &spot);
    findings.append(&mut conform.findings);
    let addresses: Vec<String> =
        read.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect();
    for (found, hint) in addresses.iter().filter_map(|address| formats::network(address).err()) {
        findings.push(spot.finding(found).hint(hint));
    }
    addresses
}

fn retention(root: &Node, schema: &Member, findings: &mut Vec<Finding>) -> Retention {
    let Some(entry) = root.entry("retention") else { return Retention::default() };
    let mut conform = Conform::plain(schema);
    let spot = Spot::new(entry.at, "retention");
    let read = conform.read(&entry.value, &schema["properties"]["retention"], &spot);
    findings.append(&mut conform.findings);
    let of = |key: &str| read[key].as_str().and_then(|text| formats::days(text).ok());
    Retention {
        history_days: of("history"),
        failed_row_days: of("failed_rows"),
        event_days: of("events"),
        key_days: of("keys"),
    }
}

/// The entries of `connections` or `syncs`. A key without a value, as in a file
/// whose entries are all commented out, has none.
fn named<'n>(root: &'n Node, key: &str, findings: &mut Vec<Finding>) -> &'n [Entry] {
    let meant = |entry: &&Entry| habits::of_key("", &entry.key, KEYS).meant.as_deref() == Some(key);
    let Some(entry) = root.entry(key).or_else(|| root.entries().iter().find(meant)) else { return &[] };
    match &entry.value.data {
        Data::Map(entries) => entries,
        Data::Null | Data::MalformedRecord => &[],
        _ => {
            let found = format!("expected a mapping from names to {key}, found {}", entry.value.kind());
            let told = Finding::new(entry.at, key, found);
            findings.push(told.hint(format!("write `{key}:`, and below it a name for each")));
            &[]
        }
    }
}

/// Reads a connection. The connector is known even if its settings are not right.
fn connection(
    entry: &Entry,
    connectors: &'static [Connector],
    findings: &mut Vec<Finding>,
) -> (Option<&'static Connector>, Option<ConnectionSpec>) {
    let spot = Spot::new(entry.at, format!("connections.{}", entry.key));
    let types: Vec<&str> = connectors.iter().map(|connector| connector.kind).collect();
    if !matches!(entry.value.data, Data::Map(_)) {
        let found = spot.finding(format!("expected a mapping with `type`, found {}", entry.value.kind()));
        findings.push(found.hint(format!("write `type:` with one of {}, and its settings", listed(types))));
        return (None, None);
    }
    let habit =
        || entry.value.entries().iter().find(|entry| ["kind", "connector"].contains(&entry.key.as_str()));
    let Some(written) = entry.value.entry("type").or_else(habit) else {
        let found = spot.finding("`type` is missing: which system it is");
        findings.push(found.hint(format!("add `type:` with one of {}", listed(types))));
        return (None, None);
    };
    let name = written.value.text().unwrap_or_default();
    let Some(connector) = connectors.iter().find(|connector| connector.kind == name) else {
        let found = spot.key("type", written.at).finding(format!("there is no connector `{name}`"));
        let hint = match nearest(name, types.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => habits::of_value(name, &types),
        };
        findings.push(found.hint(hint));
        return (None, None);
    };
    let mut schema = json!((connector.settings)());
    if !schema["properties"].is_object() {
        schema = json!({ "type": "object", "properties": {} });
    }
    schema["properties"]["type"] = json!({ "type": "string" });
    schema["additionalProperties"] = json!(false);
    let mut conform = Conform::resolving(&schema, &[]);
    let read = conform.read(&entry.value, &schema, &spot);
    findings.append(&mut conform.findings);
    let Member::Object(mut members) = read else { return (Some(connector), None) };
    members.shift_remove("type");
    let settings = Written::new(members, conform.references, FilePosition::new(spot.at, &spot.path, entry));
    (Some(connector), Some(ConnectionSpec { kind: connector.kind.to_owned(), settings }))
}
