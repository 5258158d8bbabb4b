//! Opening exports: those of the project, and those that callers of an API asked for.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_model::{
    ConnectionId, Error, ErrorKind, ExportRequest, Layout, Sink, SinkTarget, StreamId, SyncId,
};

use super::Engine;
use crate::pipeline::Export;
use tidegate_project::{EventSource, ExportSpec};

/// How long the sink of a requested export is tried.
pub(crate) const RETRY_FOR: Duration = Duration::from_secs(120);

/// The stream of the events that come in through a connection.
pub(crate) fn stream_of(connection: &ConnectionId) -> StreamId {
    StreamId::new(connection.as_str())
}

impl Engine {
    /// The layout of a stream's events if they are written to tables.
    fn layout(&self, stream: &ConnectionId) -> Layout {
        let spec = self.config.project.connections.get(stream);
        let connector =
            spec.and_then(|spec| self.config.connectors.iter().find(|connector| connector.kind == spec.kind));
        connector.and_then(|connector| connector.ingest).map_or(Layout::Events, |ingest| ingest.layout)
    }

    /// Opens the sink of an export.
    pub(crate) async fn sink(&self, id: &SyncId, export: &ExportSpec) -> Result<Arc<Sink>, Error> {
        let connection = &export.destination.connection;
        let (connector, settings) = self.connection(connection).await?;
        let role = connector.sink.ok_or_else(|| {
            Error::settings(format!("`{connection}` ({}) takes no events", connector.title))
        })?;
        let target = SinkTarget {
            sync: id.clone(),
            stream: stream_of(&export.source.connection),
            layout: export.destination.layout.unwrap_or_else(|| self.layout(&export.source.connection)),
            settings: self.resolved(&export.destination.target).await?,
        };
        (role.open)(&settings, &target, &self.context(self.http(connector, &settings)?, false))
            .map_err(|error| error.context(format!("connection `{connection}`")).at(connection))
    }

    /// Opens both ends of an export.
    pub(crate) async fn export(&self, id: &SyncId, export: &ExportSpec) -> Result<Export, Error> {
        let sink = self.sink(id, export).await?;
        self.backlogs.gathers(id, sink.limits().linger);
        Ok(Export {
            sync: id.clone(),
            log: self.config.log.clone(),
            stream: stream_of(&export.source.connection),
            selection: EventSource::lists(&self.resolved(&export.source.selection).await?)?,
            since: Timestamp::MIN,
            connection: export.destination.connection.clone(),
            sink,
            retry_for: export.options.retry_for,
        })
    }

    /// Opens both ends of an export that was asked for through `connection`.
    pub(crate) fn requested_export(
        &self,
        connection: &ConnectionId,
        request: &ExportRequest,
    ) -> Result<Export, Error> {
        let connector = self.config.connectors.iter().find(|connector| connector.kind == request.kind);
        let role = connector.and_then(|connector| Some((connector, connector.sink?))).ok_or_else(|| {
            Error::new(ErrorKind::Settings, format!("events cannot be exported to `{}`", request.kind))
        })?;
        let (connector, role) = role;
        let sync = requested_id(connection, &request.name);
        let target = SinkTarget {
            sync: sync.clone(),
            stream: stream_of(connection),
            layout: self.layout(connection),
            settings: request.target.clone(),
        };
        let context = self.context(self.http(connector, &request.settings)?, false);
        Ok(Export {
            log: self.config.log.clone(),
            stream: stream_of(connection),
            selection: request.selection.clone(),
            since: request.since,
            // Its pace is its own: there is no connection that others share.
            connection: ConnectionId::new(sync.as_str()),
            sink: (role.open)(&request.settings, &target, &context)?,
            retry_for: RETRY_FOR,
            sync,
        })
    }
}

/// The name of a sync that callers of a connection's API asked for.
pub(crate) fn requested_id(connection: &ConnectionId, name: &str) -> SyncId {
    SyncId::new(format!("{connection}.{name}"))
}
