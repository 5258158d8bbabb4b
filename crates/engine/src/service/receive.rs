//! Events that come in: made durable, then acknowledged.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use tidegate_model::{ConnectionId, Connector, Error, Ingest, Received, address};
use tidegate_project::Project;

use super::Engine;
use super::export::stream_of;

/// A connection through which events come in, and the paths of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestEndpoint {
    /// The connection.
    pub connection: ConnectionId,
    /// The word in its path: `/in/{type}/{connection}`.
    pub kind: &'static str,
    /// First path segments that are its alone.
    pub paths: &'static [&'static str],
}

impl IngestEndpoint {
    /// Returns the path that senders use, with the connection's name encoded.
    pub fn path(&self) -> String {
        format!("/in/{}/{}", self.kind, address::encoded(self.connection.as_str()))
    }
}

/// Returns the connections of a project through which events come in.
pub(super) fn endpoints_of(project: &Project, connectors: &'static [Connector]) -> Vec<IngestEndpoint> {
    let mut ingest_endpoints: Vec<IngestEndpoint> = Vec::new();
    for (id, spec) in &project.connections {
        let connector = connectors.iter().find(|connector| connector.kind == spec.kind);
        let Some((kind, role)) = connector.and_then(|connector| Some((connector.kind, connector.ingest?)))
        else {
            continue;
        };
        // The first of a type has them; the others are reached by their own routes.
        let taken = ingest_endpoints.iter().any(|other| other.kind == kind);
        let paths = if taken { &[] } else { role.paths };
        ingest_endpoints.push(IngestEndpoint { connection: id.clone(), kind, paths });
    }
    ingest_endpoints
}

impl Engine {
    /// Every connection through which events come in.
    pub fn ingest_endpoints(&self) -> &[IngestEndpoint] {
        &self.ingest_endpoints
    }

    /// The API of a connection, opened on first use.
    ///
    /// # Errors
    /// If there is no such connection, no events come in through it, or its
    /// settings are not right.
    pub(crate) async fn ingest(&self, id: &ConnectionId) -> Result<Arc<dyn Ingest>, Error> {
        if let Some(open) = self.ingests.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(open.clone());
        }
        let (connector, settings) = self.connection(id).await?;
        let role = connector.ingest.ok_or_else(|| {
            Error::settings(format!("no events come in through `{id}` ({})", connector.title))
        })?;
        let mut ingests = self.ingests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = ingests.get(id) {
            return Ok(open.clone());
        }
        let opened = (role.open)(&settings, &self.context(self.config.http.clone(), false))
            .map_err(|error| error.context(format!("connection `{id}`")))?;
        ingests.insert(id.clone(), opened.clone());
        Ok(opened)
    }

    /// Opens every API under which events come in, so that a setting which is
    /// not right is told before the first request.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub async fn open_ingest_endpoints(&self) -> Result<(), Error> {
        for endpoint in self.ingest_endpoints() {
            self.ingest(&endpoint.connection).await?;
        }
        Ok(())
    }

    /// Judges a request of a connection by its head, before its body is read.
    ///
    /// # Errors
    /// If the connection's API cannot be opened.
    pub async fn open_request(&self, connection: &ConnectionId, head: &Parts) -> Result<Opened, Error> {
        let ingest = self.ingest(connection).await?;
        Ok(match ingest.answer_head(head) {
            Some(answer) => Opened::Answered(answer),
            None => Opened::Accepted(OpenRequest { connection: connection.clone(), ingest }),
        })
    }

    /// Reads the body of a request into events, which are not durable yet.
    pub async fn read_events(&self, open: &OpenRequest, request: &Request<Bytes>) -> Received {
        let version = open.ingest.exports_version();
        let received = open.ingest.receive(request).await;
        if open.ingest.exports_version() != version {
            self.requested.send_modify(|changes| *changes += 1);
        }
        received
    }

    /// Takes the events of a request: they are durable when the answer says so.
    pub async fn log_events(&self, request: &OpenRequest, received: Received) -> Response<Bytes> {
        if received.events.is_empty() {
            return received.answer;
        }
        let name = request.connection.to_string();
        match self.config.log.append(&stream_of(&request.connection), received.events).await {
            Ok(appended) => {
                metrics::counter!("tidegate_events_logged_total", "stream" => name.clone())
                    .increment(appended.events);
                metrics::counter!("tidegate_events_duplicates_total", "stream" => name)
                    .increment(appended.duplicates);
                received.answer
            }
            Err(error) => {
                metrics::counter!("tidegate_events_rejected_total", "stream" => name).increment(1);
                if error.kind() == tidegate_model::ErrorKind::Storage {
                    let (connection, error, next) = (&request.connection, error.chain(), error.next_step());
                    tracing::warn!(%connection, error, next, "events could not be made durable");
                }
                request.ingest.error_response(&error)
            }
        }
    }
}

/// What a request's head led to.
pub enum Opened {
    /// The answer: the body is not wanted.
    Answered(Response<Bytes>),
    /// The body may be read.
    Accepted(OpenRequest),
}

/// A request whose head its API accepted. There is no other way to have events taken.
pub struct OpenRequest {
    connection: ConnectionId,
    ingest: Arc<dyn Ingest>,
}

impl OpenRequest {
    /// Returns the answer to a request that cannot be taken, in the shape of the connection's API.
    pub fn error_response(&self, error: &Error) -> Response<Bytes> {
        self.ingest.error_response(error)
    }
}
