//! Events that come in by HTTP: which connection they belong to, and how much
//! of them is held at once.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use http_body_util::BodyExt;
use tidegate_engine::service::{Engine, IngestEndpoint};
use tidegate_model::{ConnectionId, Error, ErrorKind, IngestRoute};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The largest body. The largest that a vendor documents is 7 MB.
///
/// Source: Amazon Pinpoint developer guide, quotas.
const BODY_BYTES_MAX: usize = 8 << 20;

/// Bytes of all bodies that are held at once. Beyond it requests are refused, so
/// that memory stays bounded whatever comes in.
const HELD_BYTES_MAX: usize = 64 << 20;

/// How much of a refused body is read and thrown away: a sender that is still
/// writing when the connection ends never sees the answer.
const THROWN_AWAY_BYTES_MAX: usize = 64 << 20;

#[derive(Clone)]
struct Ingest {
    engine: Arc<Engine>,
    ingest_endpoints: Arc<[IngestEndpoint]>,
    held: Arc<Semaphore>,
}

/// Every path that does not belong to anybody else.
pub(super) fn routes(engine: Arc<Engine>) -> Router {
    let ingest_endpoints = engine.ingest_endpoints().into();
    let held = Arc::new(Semaphore::new(HELD_BYTES_MAX));
    Router::new().fallback(receive).with_state(Ingest { engine, ingest_endpoints, held })
}

async fn receive(State(ingest): State<Ingest>, request: Request) -> Response {
    let Some((route, path)) = ingest.endpoint(request.uri()) else {
        return (StatusCode::NOT_FOUND, "there is nothing at this path\n").into_response();
    };
    let connection = route.connection.clone();
    match ingest.take(route, &path, request).await {
        Ok(answer) => answer,
        Err(error) => ingest.error_response(&connection, &error).await,
    }
}

impl Ingest {
    /// The route of a request, and the path behind it.
    fn endpoint(&self, uri: &Uri) -> Option<(IngestRoute, String)> {
        let path = uri.path();
        if let Some(rest) = path.strip_prefix("/in/") {
            let (kind, rest) = rest.split_once('/')?;
            let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
            let endpoint = self
                .ingest_endpoints
                .iter()
                .find(|endpoint| endpoint.kind == kind && endpoint.connection.as_str() == name)?;
            let route =
                IngestRoute { connection: endpoint.connection.clone(), path: format!("/in/{kind}/{name}") };
            return Some((route, format!("/{rest}")));
        }
        let first = path.trim_start_matches('/').split('/').next()?;
        let endpoint = self.ingest_endpoints.iter().find(|endpoint| endpoint.paths.contains(&first))?;
        let route = IngestRoute { connection: endpoint.connection.clone(), path: String::new() };
        Some((route, path.to_owned()))
    }

    async fn take(&self, route: IngestRoute, path: &str, request: Request) -> Result<Response, Error> {
        let (mut head, mut body) = request.into_parts();
        let announced = head.headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
        let read = self.read(announced.unwrap_or_default(), &mut body).await;
        if read.is_err() {
            throw_away(&mut body).await;
        }
        let (body, _held) = read?;
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        head.uri = format!("{path}{query}")
            .parse()
            .map_err(|cause| Error::new(ErrorKind::Rejected, "the path is not valid").caused_by(cause))?;
        let connection = route.connection.clone();
        if !route.path.is_empty() {
            head.extensions.insert(route);
        }
        let answer = self.engine.receive(&connection, &Request::from_parts(head, body)).await?;
        Ok(answer.map(Body::from))
    }

    /// Reads a body, and holds room for what came of it: who announces much and
    /// sends nothing takes nothing from others.
    async fn read(&self, announced: usize, body: &mut Body) -> Result<(Bytes, OwnedSemaphorePermit), Error> {
        let mut held = self.hold(0)?;
        let mut read = BytesMut::new();
        if announced > BODY_BYTES_MAX {
            return Err(too_large());
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|cause| {
                Error::new(ErrorKind::Rejected, "the request ended before its body did").caused_by(cause)
            })?;
            let Ok(piece) = frame.into_data() else { continue };
            if read.len() + piece.len() > BODY_BYTES_MAX {
                return Err(too_large());
            }
            held.merge(self.hold(piece.len())?);
            read.extend_from_slice(&piece);
        }
        Ok((read.freeze(), held))
    }

    /// Room for so many bytes.
    fn hold(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.held.clone().try_acquire_many_owned(bytes).map_err(|_| {
            Error::new(ErrorKind::Throttled(None), "too many requests are under way")
                .hint("send it again in a second")
        })
    }

    async fn error_response(&self, connection: &ConnectionId, error: &Error) -> Response {
        match self.engine.error_response(connection, error).await {
            Ok(answer) => answer.map(Body::from),
            Err(broken) => {
                tracing::error!(%connection, error = broken.chain(), "a request could not be taken");
                let mut answer = (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response();
                answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                answer
            }
        }
    }
}

fn too_large() -> Error {
    Error::new(ErrorKind::TooLarge, format!("the body is larger than {} MiB", BODY_BYTES_MAX >> 20))
}

async fn throw_away(body: &mut Body) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > THROWN_AWAY_BYTES_MAX {
            return;
        }
    }
}
