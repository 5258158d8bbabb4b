//! Events that come in by HTTP: which connection they belong to, and how much
//! of them is held at once.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::resume_unwind;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tidegate_engine::service::{ActiveProject, Engine, IngestEndpoint, OpenRequest, Opened};
use tidegate_model::{ConnectionId, Error, ErrorKind, IngestRoute, SentBody};
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use tokio_util::task::TaskTracker;
use xxhash_rust::xxh3::xxh3_64;

use crate::body::{self, BodyError, Encoding};
use crate::budget::{Budget, Sender, Share};
use crate::pages;
use crate::server::Peer;

/// Bytes that all requests hold at once: bodies as they are sent, decompressed
/// ones, and the events in them until they are durable.
const HELD_BYTES_MAX: usize = 128 << 20;

/// Bytes of all bodies that are split into events at once, or one body that is larger;
/// the others wait. A body of tiny members can take forty times its size meanwhile.
const SPLIT_BYTES_MAX: usize = 2 << 20;

#[derive(Clone)]
struct Ingest {
    project: Arc<ActiveProject>,
    budget: Arc<Budget>,
    splitting: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// Every path that no other route has. What is finished without its sender is among `tasks`.
pub(super) fn routes(project: Arc<ActiveProject>, tasks: TaskTracker) -> Router {
    let budget = Arc::new(Budget::new(HELD_BYTES_MAX));
    let splitting = Arc::new(Semaphore::new(SPLIT_BYTES_MAX));
    Router::new().fallback(receive).with_state(Ingest { project, budget, splitting, tasks })
}

/// A connection that takes events, and the path after its own.
struct Found {
    route: IngestRoute,
    path: String,
}

/// Whether an answer is shown to a person.
fn shows_html(head: &HeaderMap) -> bool {
    let accepted = head.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

async fn receive(State(ingest): State<Ingest>, request: Request) -> Response {
    let engine = ingest.project.engine();
    let head = request.uri().clone();
    let Some(found) = find(engine.ingest_endpoints(), &head) else {
        let is_browser = request.method() == Method::GET && shows_html(request.headers());
        body::throw_away(request.into_body());
        if is_browser {
            return pages::nothing_here();
        }
        return nothing_at(head.path());
    };
    let (mut head, body) = request.into_parts();
    let connection = found.route.connection.clone();
    let sender = sender(&connection, &head);
    let opened = match rebase(&mut head, found) {
        Ok(()) => engine.open_request(&connection, &head).await,
        Err(error) => Err(error),
    };
    let (answer, rest) = match opened {
        Ok(Opened::Accepted(open)) => ingest.take(engine, open, sender, head, body).await,
        Ok(Opened::Answered(answer)) => (answer.map(Body::from), Some(body)),
        Err(error) => {
            tracing::warn!(%connection, error = error.chain(), "a request could not be taken");
            let mut answer = (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response();
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            (answer, Some(body))
        }
    };
    if let Some(rest) = rest {
        body::throw_away(rest);
    }
    answer
}

/// Answers a request for which there is no route. Senders of events read JSON.
fn nothing_at(path: &str) -> Response {
    let Some((kind, name)) = path.strip_prefix("/in/").and_then(|rest| rest.split_once('/')) else {
        return (StatusCode::NOT_FOUND, "there is nothing at this path\n").into_response();
    };
    let [kind, name] = [kind, name].map(|part| tidegate_model::address::decoded(part).unwrap_or_default());
    let answer = serde_json::json!({
        "error": format!("no connection `{name}` of the type `{kind}` takes events"),
        "hint": "`/in/TYPE/CONNECTION` is the address; the page Events and `tidegate setup CONNECTION` show it",
    });
    (StatusCode::NOT_FOUND, axum::Json(answer)).into_response()
}

fn sender(connection: &ConnectionId, head: &Parts) -> Sender {
    let address = head.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    Sender { connection: xxh3_64(connection.as_str().as_bytes()), address }
}

/// Gives the request the path after the connection's own.
fn rebase(head: &mut Parts, found: Found) -> Result<(), Error> {
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    head.uri = format!("{}{query}", found.path)
        .parse()
        .map_err(|cause| Error::new(ErrorKind::Rejected, "the path is not valid").caused_by(cause))?;
    if !found.route.path.is_empty() {
        head.extensions.insert(found.route);
    }
    Ok(())
}

/// The connection that a request belongs to.
fn find(endpoints: &[IngestEndpoint], uri: &Uri) -> Option<Found> {
    let path = uri.path();
    if let Some(rest) = path.strip_prefix("/in/") {
        let (kind, rest) = rest.split_once('/')?;
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        // The path stays as it was sent: signatures cover it.
        let decoded = tidegate_model::address::decoded(name)?;
        let wanted =
            |endpoint: &&IngestEndpoint| endpoint.kind == kind && endpoint.connection.as_str() == decoded;
        let connection = endpoints.iter().find(wanted)?.connection.clone();
        let route = IngestRoute { connection, path: format!("/in/{kind}/{name}") };
        return Some(Found { route, path: format!("/{rest}") });
    }
    let first = path.trim_start_matches('/').split('/').next()?;
    let endpoint = endpoints.iter().find(|endpoint| endpoint.paths.contains(&first))?;
    let route = IngestRoute { connection: endpoint.connection.clone(), path: String::new() };
    Some(Found { route, path: path.to_owned() })
}

impl Ingest {
    /// Takes the events of a request whose head was accepted. Returns the
    /// answer, and the body if it was not read to its end.
    async fn take(
        &self,
        engine: Arc<Engine>,
        open: OpenRequest,
        sender: Sender,
        mut head: Parts,
        mut body: Body,
    ) -> (Response, Option<Body>) {
        let mut share = self.budget.share(sender);
        let encoding = match Encoding::of(&head.headers) {
            Ok(encoding) => encoding,
            Err(bad) => return (refusal(&open, &bad), Some(body)),
        };
        let sent = match body::read(&head.headers, &mut body, &mut share).await {
            Ok(sent) => sent,
            Err(bad) => return (refusal(&open, &bad), Some(body)),
        };
        let read = match encoding {
            None => Ok((sent, share)),
            Some(encoding) => decoded(encoding, sent, &mut head, share).await,
        };
        let answer = match read {
            Ok((read, share)) => self.log(engine, open, Request::from_parts(head, read), share).await,
            Err(bad) => refusal(&open, &bad),
        };
        (answer, None)
    }

    /// Makes the events of a request durable.
    async fn log(
        &self,
        engine: Arc<Engine>,
        open: OpenRequest,
        request: http::Request<Bytes>,
        mut share: Share,
    ) -> Response {
        let bytes = u32::try_from(request.body().len().min(SPLIT_BYTES_MAX)).unwrap_or(u32::MAX);
        // The semaphore is never closed; without a permit the body would be split all the same.
        let turn = self.splitting.acquire_many(bytes).await.ok();
        let received = engine.read_events(&open, &request).await;
        drop(turn);
        if let Err(error) = share.grow(received.memory()) {
            return open.error_response(&error).map(Body::from);
        }
        let logging = async move {
            let answer = engine.log_events(&open, received).await;
            drop(share);
            answer.map(Body::from)
        };
        finished(&self.tasks, logging).await
    }
}

/// Runs work to its end, also if the sender of its request hangs up before: events that may be in the
/// log are known by their ids when they are sent again.
pub(super) async fn finished<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    match tasks.spawn(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => resume_unwind(panic),
        // The process ends.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// The body as it was before it was compressed. Megabytes take milliseconds, beside the threads that answer.
async fn decoded(
    encoding: Encoding,
    sent: Bytes,
    head: &mut Parts,
    mut share: Share,
) -> Result<(Bytes, Share), BodyError> {
    /// A body of this size is a megabyte at most.
    const SMALL: usize = 1_024;
    let (is_small, compressed) = (sent.len() <= SMALL, sent.clone());
    let decode = move || encoding.decode(&compressed, &mut share).map(|body| (body, share));
    let decoded = match is_small {
        true => decode()?,
        false => tokio::task::spawn_blocking(decode)
            .await
            .map_err(|cause| Error::internal("decompressing a body ended early").caused_by(cause))??,
    };
    head.extensions.insert(SentBody(sent));
    Ok(decoded)
}

/// The answer to a body that cannot be taken, in the shape of the connection's API.
fn refusal(open: &OpenRequest, bad: &BodyError) -> Response {
    let mut answer = open.error_response(&bad.error).map(Body::from);
    if let Some(status) = bad.status {
        *answer.status_mut() = status;
    }
    if answer.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        answer.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
    }
    answer
}
