//! One sync while it is read: its keys, and what was found about them.

use indexmap::IndexMap;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde_json::Value as Member;
use tidegate_model::{ConnectionId, Connector, ContractRole};

use super::conform::{Conform, Spot};
use super::file_position::FilePosition;
use super::findings::Finding;
use super::references::Written;
use super::yaml::Entry;

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
    /// The names of the channels of alerts.
    pub(super) channels: Vec<String>,
}

/// One sync while it is read.
pub(super) struct Sheet<'a> {
    pub(super) file: &'a File<'a>,
    pub(super) id: &'a str,
    pub(super) spot: Spot,
    /// The entries by key; a habit word is listed under the key that it means.
    pub(super) given: IndexMap<String, &'a Entry>,
    /// Keys of the ends that a finding is about already.
    pub(super) told: Vec<&'static str>,
    /// Whether an end names a connection that does not exist or cannot be used:
    /// nothing else can be said of the sync then.
    pub(super) unknown: bool,
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

impl<'a> Sheet<'a> {
    /// Returns the entry of a key.
    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.given.get(key).copied()
    }

    /// Returns where a key is, or the sync if it is not given.
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

    /// Adds a finding for each key below `end` that belongs to the other kind of sync.
    pub(super) fn foreign_in(&mut self, end: &str, keys: &[&'static str], kind: &str, why: &str) {
        let Some(entry) = self.entry(end) else { return };
        for key in keys {
            let Some(inner) = entry.value.entry(key) else { continue };
            let spot = self.spot.key(end, entry.at).key(key, inner.at);
            let found = spot.finding(format!("`{key}` belongs to an {kind}, and {why}"));
            self.findings.push(found.hint(format!("remove `{key}`")));
            self.told.push(key);
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
        let position = FilePosition::new(spot.at, &spot.path, entry);
        self.findings.append(&mut conform.findings);
        match value {
            Member::Object(mut members) => {
                // They are read apart.
                ["connection", "object", "layout"].iter().for_each(|key| drop(members.shift_remove(*key)));
                Some(Written::new(members, conform.references, position))
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
