//! Connections for people: settings without secrets, and the syncs that use them.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tidegate_model::{ConnectionId, Error, SyncId};

use super::Engine;
use super::export::stream_of;
use super::receive::IngestEndpoint;
use super::shown::without_secrets;
use tidegate_project::{ConnectionSpec, Project};

/// A connection and its use.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionDetails {
    /// Its name.
    pub connection: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of that type for people.
    pub title: String,
    /// Its settings. A mark replaces each secret, and the name of the setting in
    /// the place of each reference.
    pub settings: Value,
    /// The address for events, if they come in through it.
    pub ingest_path: Option<String>,
    /// The syncs that use it.
    pub used_by: Vec<Usage>,
}

/// A sync that uses a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The sync.
    pub sync: SyncId,
    /// Whether it reads from the connection; otherwise it delivers to it.
    pub reads: bool,
}

impl Engine {
    /// Returns every connection of the project, in the order of the file.
    pub fn connections(&self) -> Vec<ConnectionDetails> {
        let endpoints = self.ingest_endpoints();
        let details = |(id, spec): (&ConnectionId, &ConnectionSpec)| {
            let connector = self.config.connectors.iter().find(|connector| connector.kind == spec.kind);
            let schema = connector.map_or(json!({}), |connector| json!((connector.settings)()));
            let used = self.config.project.syncs.iter().flat_map(|(sync, spec)| {
                let reads = (spec.source() == id).then(|| Usage { sync: sync.clone(), reads: true });
                let writes = (spec.destination() == id).then(|| Usage { sync: sync.clone(), reads: false });
                reads.into_iter().chain(writes)
            });
            let endpoint = endpoints.iter().find(|endpoint| endpoint.connection == *id);
            ConnectionDetails {
                connection: id.to_string(),
                kind: spec.kind.clone(),
                title: connector.map_or(spec.kind.as_str(), |connector| connector.title).to_owned(),
                settings: without_secrets(&spec.settings.shown(), &schema),
                ingest_path: endpoint.map(IngestEndpoint::path),
                used_by: used.collect(),
            }
        };
        self.config.project.connections.iter().map(details).collect()
    }
}

/// How much of a project talks to sandboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simulated {
    /// No connection.
    Nothing,
    /// A connection does, and a sync delivers to another one.
    Some,
    /// Every connection that a sync delivers to.
    All,
}

/// A stream of events.
#[derive(Clone, Debug, Serialize)]
pub struct StreamDetails {
    /// The connection that its events come in through.
    pub connection: String,
    /// The type of that connection.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address that takes them.
    pub path: String,
    /// About how many events are kept.
    pub events: u64,
}

impl Engine {
    /// Returns every stream of events of the project.
    ///
    /// # Errors
    /// If the event log cannot be read.
    pub async fn streams(&self) -> Result<Vec<StreamDetails>, Error> {
        let mut streams = Vec::new();
        for endpoint in self.ingest_endpoints() {
            let lag = self.config.log.lag(&stream_of(&endpoint.connection), None).await?;
            streams.push(StreamDetails {
                path: endpoint.path(),
                connection: endpoint.connection.to_string(),
                kind: endpoint.kind.to_owned(),
                events: lag.iter().map(|lag| lag.behind).sum(),
            });
        }
        Ok(streams)
    }

    /// Returns how much of the project talks to sandboxes of this process.
    pub fn simulated(&self) -> Simulated {
        let at_sandbox = |spec: &ConnectionSpec| {
            spec.settings.shown().get("endpoint").is_some_and(|endpoint| endpoint == "sandbox")
        };
        let Project { connections, syncs, .. } = &self.config.project;
        // A system that rows or events come from is sent nothing.
        let takes =
            |id: &ConnectionId| syncs.is_empty() || syncs.values().any(|sync| sync.destination() == id);
        let is_real = connections.iter().any(|(id, spec)| takes(id) && !at_sandbox(spec));
        match (connections.values().any(at_sandbox), is_real) {
            (false, _) => Simulated::Nothing,
            (true, true) => Simulated::Some,
            (true, false) => Simulated::All,
        }
    }

    /// Returns the time, as runs have it.
    pub fn now(&self) -> Timestamp {
        self.config.clock.now()
    }
}
