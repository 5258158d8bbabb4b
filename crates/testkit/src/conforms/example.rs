//! Examples: settings that work, and where they lead.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use serde_json::Value;
use tidegate_model::{ConnectorContext, Http};

use super::world::PlatformExample;

/// A value that every example record and every example row holds, and that
/// must not come up in an error, a check or the log.
pub const PRIVATE: &str = "zanzibar";

/// What the suite has to know about one kind of connector.
#[derive(Default)]
pub struct Example {
    /// Settings that can be opened. Nothing has to listen where they lead.
    pub settings: Value,
    /// For connectors that records are sent to.
    pub platform: Option<PlatformExample>,
    /// For connectors that rows are read from.
    pub source: Option<SourceExample>,
    /// For connectors that events come in through.
    pub ingest: Option<IngestExample>,
}

/// Requests that bring events.
pub struct IngestExample {
    /// A good request without credentials, at the connector's own route; different
    /// numbers make requests that differ. Its events hold [`PRIVATE`].
    pub request: fn(usize) -> Request<Bytes>,
    /// How many events it brings.
    pub events: usize,
    /// Adds the credentials, as a client does, at the time of [`ManualClock::default`](crate::ManualClock::default).
    pub prove: fn(Request<Bytes>) -> Request<Bytes>,
}

/// Selections to read.
pub struct SourceExample {
    /// Makes a new backend with rows for each way the source reads.
    pub backends: fn() -> BoxFuture<'static, Vec<SourceBackend>>,
}

/// Some rows and how to read them.
pub struct SourceBackend {
    /// Connection settings that reach it.
    pub settings: Value,
    /// The project's folder.
    pub project: PathBuf,
    /// The way to speak HTTP, for sources that do.
    pub http: Option<Arc<dyn Http>>,
    /// What is read.
    pub selection: Value,
    /// A selection of something that is not there.
    pub missing: Value,
    /// A selection whose read fails at a row that holds [`PRIVATE`], where one exists.
    pub failing: Option<Value>,
    /// How many rows there are; more than 30.
    pub rows: usize,
    /// A column that can be a cursor, with ties and nulls, where the source has cursors.
    pub cursor: Option<&'static str>,
    /// The columns that name a row.
    pub key: &'static [&'static str],
    /// The columns whose type is known row by row only, or has no counterpart
    /// ([`DataType::Any`](tidegate_model::DataType::Any) and `Other`).
    pub untyped: &'static [&'static str],
    /// How many reads are under way, as seen from outside.
    pub running: Box<dyn Fn() -> BoxFuture<'static, usize> + Send + Sync>,
    /// What has to live as long as this.
    pub keep: Box<dyn Any + Send + Sync>,
}

impl SourceBackend {
    /// Returns what its source is opened with.
    pub(super) fn context(&self) -> ConnectorContext {
        let context = super::context::context(&self.project);
        match &self.http {
            Some(http) => ConnectorContext { http: Arc::clone(http), ..context },
            None => context,
        }
    }
}
