//! Opens every part of a project without connecting to anything, and finds what can never work.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_model::{
    Connector, ConnectorContext, Error, Http, HttpFailure, Layout, SinkTarget, StreamId, SyncId, SystemClock,
};
use tidegate_project::{
    ExportSpec, Finding, ImportSpec, KnownSettings, Project, RowSource, SyncSpec, Written,
};

use crate::registry::{CHANNELS, CONNECTORS};

/// A folder that is not there: opening writes nothing.
const NOWHERE: &str = "/nonexistent/tidegate";

/// Returns what is wrong with the settings of connections, channels and syncs, in the order of the file. Settings that
/// depend on a value that is not known here are not judged.
pub(super) fn findings(project: &Project, folder: &Path) -> Vec<Finding> {
    let opening = Opening { project, folder, context: context(folder) };
    let mut findings = Vec::new();
    for (id, sync) in &project.syncs {
        match sync {
            SyncSpec::Import(import) => opening.import(import, &mut findings),
            SyncSpec::Export(export) => opening.export(id, export, &mut findings),
        }
    }
    for connection in project.connections.values() {
        let Some(connector) = connector(&connection.kind) else { continue };
        let known = connection.settings.known(folder);
        if let Some(role) = connector.source
            && let Err(error) = (role.open)(&known.settings, &opening.context)
        {
            findings.extend(connection.settings.finding(&error, &known.unknown));
        }
    }
    for channel in project.alerts.channels.values() {
        let Some(kind) = CHANNELS.iter().find(|kind| kind.kind == channel.kind) else { continue };
        let known = channel.settings.known(folder);
        if let Err(error) = (kind.open)(&known.settings, &opening.context) {
            findings.extend(channel.settings.finding(&error, &known.unknown));
        }
    }
    findings.sort_by(|a, b| (a.at, &a.path).cmp(&(b.at, &b.path)));
    findings.dedup();
    findings
}

struct Opening<'a> {
    project: &'a Project,
    folder: &'a Path,
    context: ConnectorContext,
}

/// An end of a sync: its connector, and the settings of its connection and of its own.
struct End<'a> {
    connector: &'static Connector,
    written: &'a Written,
    connection: KnownSettings,
    own: KnownSettings,
}

impl<'a> Opening<'a> {
    fn end(&self, id: &tidegate_model::ConnectionId, own: &Written) -> Option<End<'a>> {
        let spec = self.project.connections.get(id)?;
        Some(End {
            connector: connector(&spec.kind)?,
            written: &spec.settings,
            connection: spec.settings.known(self.folder),
            own: own.known(self.folder),
        })
    }

    fn import(&self, import: &ImportSpec, findings: &mut Vec<Finding>) {
        let selection = &import.source.selection;
        if let Some(end) = self.end(&import.source.connection, selection)
            && let Some(role) = end.connector.source
            && let Ok(source) = (role.open)(&end.connection.settings, &self.context)
            && let Err(error) = source.accepts(&RowSource::split(&end.own.settings).0)
        {
            // A name may be incomplete without a setting of the connection.
            let unknown = [end.own.unknown, end.connection.unknown].concat();
            findings.extend(selection.finding(&error, &unknown));
        }
        let (target, object) = (&import.destination.target, import.destination.object);
        if let Some(end) = self.end(&import.destination.connection, target)
            && let Some(role) = end.connector.platform
            && let Err(error) =
                (role.open)(&end.connection.settings, object, &end.own.settings, &self.context)
        {
            end.blame(target, &error, findings);
        }
    }

    fn export(&self, id: &SyncId, export: &ExportSpec, findings: &mut Vec<Finding>) {
        let target = &export.destination.target;
        let Some(end) = self.end(&export.destination.connection, target) else { return };
        let Some(role) = end.connector.sink else { return };
        let source = self.project.connections.get(&export.source.connection);
        let ingest = source.and_then(|source| connector(&source.kind)?.ingest);
        let described = SinkTarget {
            sync: id.clone(),
            stream: StreamId::new(export.source.connection.as_str()),
            layout: export.destination.layout.or(ingest.map(|role| role.layout)).unwrap_or(Layout::Events),
            settings: end.own.settings.clone(),
        };
        if let Err(error) = (role.open)(&end.connection.settings, &described, &self.context) {
            end.blame(target, &error, findings);
        }
    }
}

impl End<'_> {
    /// Adds what is wrong where it is written: in the sync if it names a setting of the sync, else in the connection.
    fn blame(&self, own: &Written, error: &Error, findings: &mut Vec<Finding>) {
        let unknown = [self.own.unknown.as_slice(), &self.connection.unknown].concat();
        let of_sync = error.message().strip_prefix('`').and_then(|rest| rest.split(['`', '.']).next());
        let written = match of_sync.is_some_and(|setting| self.own.settings.members().contains_key(setting)) {
            true => own,
            false => self.written,
        };
        findings.extend(written.finding(error, &unknown));
    }
}

fn connector(kind: &str) -> Option<&'static Connector> {
    CONNECTORS.iter().find(|connector| connector.kind == kind)
}

fn context(folder: &Path) -> ConnectorContext {
    ConnectorContext {
        http: Arc::new(NoNetwork),
        clock: Arc::new(SystemClock),
        project: folder.to_owned(),
        data: PathBuf::from(NOWHERE),
        dry_run: true,
    }
}

/// Sends nothing.
struct NoNetwork;

#[async_trait]
impl Http for NoNetwork {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        Err(HttpFailure::NotSent("nothing is connected to".to_owned()))
    }
}
