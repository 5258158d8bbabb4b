//! One sync: which of the two kinds it is, and the connections at its ends.

use indexmap::IndexMap;
use tidegate_model::ConnectionId;

use super::conform::Spot;
use super::findings::{Finding, listed, nearest};
use super::habits;
use super::sheet::{End, File, Sheet};
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
    "compare",
    "mapping",
    "contract",
    "in_doubt",
    "absent",
    "limits",
];

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

    /// Sorts the entries by key and reports the unknown ones.
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
            // An error of the connection is reported there.
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
}
