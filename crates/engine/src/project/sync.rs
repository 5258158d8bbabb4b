//! One sync: which of the two kinds it is, and the keys that both have.

use indexmap::IndexMap;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde_json::Value as Member;
use tidegate_model::{ConnectionId, Connector, ContractRole};

use super::conform::{Conform, Spot};
use super::findings::{Finding, listed, nearest};
use super::habits;
use super::references::Written;
use super::spec::SyncSpec;
use super::yaml::{Data, Entry, Node};
use super::{export, import};

/// Keys that are read by their schema alone, if nothing is known of the source.
const TYPED: &[&str] = &[
    "mode",
    "cursor",
    "lookback",
    "primary_key",
    "changed",
    "removed",
    "state",
    "mapping",
    "contract",
    "in_doubt",
    "absent",
    "limits",
];

/// Keys whose text is never looked through for references.
const LITERAL: &[&str] = &["query"];

/// What all syncs of a file are read with.
pub(super) struct File<'a> {
    /// The schema of project files.
    pub(super) schema: &'a Member,
    /// The connections by name, each with its connector unless that is unknown.
    pub(super) connections: IndexMap<ConnectionId, Option<&'static Connector>>,
    /// The contracts that a table can keep.
    pub(super) contracts: Vec<&'static ContractRole>,
    /// The zone of schedules.
    pub(super) zone: TimeZone,
}

/// One sync while it is read.
pub(super) struct Sheet<'a> {
    pub(super) file: &'a File<'a>,
    pub(super) id: &'a str,
    pub(super) spot: Spot,
    /// The entries by key; a habit word stands under the key that it means.
    given: IndexMap<String, &'a Entry>,
    /// Keys of the ends that a finding is about already.
    pub(super) told: Vec<&'static str>,
    /// Whether an end names a connection that does not exist or cannot be used:
    /// nothing else can be said of the sync then.
    unknown: bool,
    pub(super) findings: Vec<Finding>,
    pub(super) notes: Vec<Finding>,
}

/// A connection that a sync names, and its connector.
#[derive(Clone)]
pub(super) struct End {
    pub(super) connection: ConnectionId,
    pub(super) connector: &'static Connector,
}

impl End {
    /// Returns the connection for messages: `` `shop` (PostgreSQL) ``.
    pub(super) fn shown(&self) -> String {
        format!("`{}` ({})", self.connection, self.connector.title)
    }
}

/// Reads a sync. Returns nothing if it cannot be used; the findings say why.
pub(super) fn read(
    file: &File<'_>,
    entry: &Entry,
    findings: &mut Vec<Finding>,
    notes: &mut Vec<Finding>,
) -> Option<SyncSpec> {
    let spot = Spot::new(entry.at, format!("syncs.{}", entry.key));
    let mut sheet = Sheet {
        file,
        id: &entry.key,
        spot,
        given: IndexMap::new(),
        told: Vec::new(),
        unknown: false,
        findings: Vec::new(),
        notes: Vec::new(),
    };
    let read = sheet.sync(&entry.value);
    let usable = sheet.findings.is_empty();
    findings.append(&mut sheet.findings);
    notes.append(&mut sheet.notes);
    read.filter(|_| usable)
}

impl<'a> Sheet<'a> {
    fn sync(&mut self, node: &'a Node) -> Option<SyncSpec> {
        let Data::Map(entries) = &node.data else {
            let found = self.spot.finding(format!(
                "expected a mapping with `source` and `destination`, found {}",
                node.kind()
            ));
            self.findings.push(found.hint("write `source:` and `destination:` below it"));
            return None;
        };
        self.keys(entries);
        let (source, destination) = (self.end("source"), self.end("destination"));
        let (Some(source), Some(destination)) = (source, destination) else {
            if !self.unknown {
                TYPED.iter().for_each(|key| drop(self.value(key)));
                drop(self.options());
            }
            return None;
        };
        if source.connector.ingest.is_some() {
            export::read(self, source, destination).map(|export| SyncSpec::Export(Box::new(export)))
        } else {
            import::read(self, source, destination).map(|import| SyncSpec::Import(Box::new(import)))
        }
    }

    /// Sorts the entries by key and tells the unknown ones.
    fn keys(&mut self, entries: &'a [Entry]) {
        let schema = &self.file.schema["$defs"]["Sync"]["properties"];
        let known: Vec<&str> =
            schema.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        for entry in entries {
            if known.contains(&entry.key.as_str()) {
                self.given.insert(entry.key.clone(), entry);
                continue;
            }
            let answer = habits::of_key(&self.spot.path, &entry.key, &known);
            let found = Finding::new(entry.at, &self.spot.path, format!("unknown key `{}`", entry.key));
            self.findings.push(found.hint(answer.hint));
            if let Some(meant) = answer.meant
                && !entries.iter().any(|other| other.key == meant)
            {
                self.given.entry(meant).or_insert(entry);
            }
        }
    }

    /// Finds the connection at one end.
    fn end(&mut self, key: &str) -> Option<End> {
        let Some(entry) = self.given.get(key).copied() else {
            let found = self.spot.finding(format!("`{key}` is missing"));
            let example = if key == "source" { "table: <table>" } else { "object: event" };
            self.findings.push(found.hint(format!("add `{key}: {{ connection: <name>, {example} }}`")));
            return None;
        };
        let spot = self.spot.key(key, entry.at);
        let Data::Map(entries) = &entry.value.data else {
            let found =
                spot.finding(format!("expected a mapping with `connection`, found {}", entry.value.kind()));
            self.findings.push(found.hint("write for example `{ connection: <name>, … }`"));
            return None;
        };
        let habit = |entry: &&Entry| key == "source" && entry.key == "events";
        let named = entry.value.entry("connection").or_else(|| entries.iter().find(habit));
        let Some(named) = named else {
            let names = self.file.connections.keys().map(ConnectionId::as_str);
            let hint = match self.file.connections.len() {
                0 => "add the connection under `connections`, and its name here".to_owned(),
                _ => format!("add `connection:` with one of {}", listed(names)),
            };
            self.findings.push(spot.finding("`connection` is missing").hint(hint));
            return None;
        };
        let spot = spot.key("connection", named.at);
        let Some(name) = named.value.text() else {
            let found =
                spot.finding(format!("expected the name of a connection, found {}", named.value.kind()));
            self.findings.push(found.hint("write the name that it has under `connections`"));
            return None;
        };
        let connection = ConnectionId::new(name);
        match self.file.connections.get(&connection) {
            Some(Some(connector)) => Some(End { connection, connector }),
            // What is wrong with the connection is told there.
            Some(None) => {
                self.unknown = true;
                None
            }
            None => {
                self.unknown = true;
                let found = spot.finding(format!("there is no connection `{name}`"));
                let names = self.file.connections.keys().map(ConnectionId::as_str);
                let hint = match nearest(name, names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "add it under `connections`".to_owned(),
                };
                self.findings.push(found.hint(hint));
                None
            }
        }
    }

    // --- keys --------------------------------------------------------------------

    /// Returns the entry of a key.
    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.given.get(key).copied()
    }

    /// Returns where a key stands, or the sync if it is not given.
    pub(super) fn spot_of(&self, key: &str) -> Spot {
        match self.given.get(key) {
            Some(entry) => self.spot.key(key, entry.at),
            None => self.spot.clone(),
        }
    }

    /// Adds a finding about a key.
    pub(super) fn tell(&mut self, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        let found = self.spot_of(key).finding(message).hint(hint);
        self.findings.push(found);
    }

    /// Adds a finding for each of these keys that is given.
    pub(super) fn foreign(&mut self, keys: &[&str], kind: &str, why: &str) {
        for key in keys {
            if self.given.contains_key(*key) {
                self.tell(key, format!("`{key}` belongs to an {kind}, and {why}"), format!("remove `{key}`"));
            }
        }
    }

    /// Reads the value of a key by its schema; `None` if it is not given or does not fit.
    pub(super) fn value(&mut self, key: &str) -> Option<Member> {
        let entry = self.entry(key)?;
        let schema = &self.file.schema["$defs"]["Sync"]["properties"][key];
        let mut conform = Conform::plain(self.file.schema);
        let value = conform.read(&entry.value, schema, &self.spot.key(key, entry.at));
        let fits = conform.findings.is_empty();
        self.findings.append(&mut conform.findings);
        fits.then_some(value)
    }

    /// Reads the value of a key as a type of this program.
    pub(super) fn typed<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.value(key)?;
        let read = serde_json::from_value(value).ok();
        if read.is_none() {
            self.tell(key, "this value cannot be read", "compare it with the reference of the project file");
        }
        read
    }

    /// Reads `source` or `destination`: the keys of all connectors named in
    /// `own`, and those of this connector.
    pub(super) fn settings(&mut self, key: &str, own: &[&str], of_connector: Member) -> Option<Written> {
        let entry = self.entry(key)?;
        let shape = if key == "source" { "Source" } else { "Destination" };
        let schema = merged(of_connector, self.file.schema, shape, own);
        let mut conform = Conform::resolving(&schema, LITERAL).without(self.told.clone());
        let mut spot = self.spot.key(key, entry.at);
        spot.steps.clear();
        let value = conform.read(&entry.value, &schema, &spot);
        self.findings.append(&mut conform.findings);
        match value {
            Member::Object(mut members) => {
                // They are read apart.
                ["connection", "object", "layout"].iter().for_each(|key| drop(members.shift_remove(*key)));
                Some(Written::new(members, conform.references))
            }
            _ => None,
        }
    }
}

/// The schema of a connector's part with some keys of ours in it.
fn merged(of_connector: Member, file: &Member, shape: &str, own: &[&str]) -> Member {
    let mut schema = of_connector;
    if !schema.is_object() {
        schema = serde_json::json!({});
    }
    let ours = &file["$defs"][shape];
    let mut properties = serde_json::Map::new();
    for key in own {
        properties.insert((*key).to_owned(), ours["properties"][*key].clone());
    }
    if let Some(theirs) = schema["properties"].as_object() {
        properties.extend(theirs.clone());
    }
    schema["properties"] = Member::Object(properties);
    schema["additionalProperties"] = Member::Bool(false);
    // Whether the connection is there was looked at before.
    let mut definitions = file["$defs"].as_object().cloned().unwrap_or_default();
    definitions.extend(schema["$defs"].as_object().cloned().unwrap_or_default());
    schema["$defs"] = Member::Object(definitions);
    schema
}
