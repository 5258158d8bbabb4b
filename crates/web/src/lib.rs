//! What `tidegate serve` answers: events that come in, the dashboard, the API, health, metrics.
//!
//! - `pages` is the dashboard, `assets` its script and stylesheet,
//! - `api` is what the command line does, over HTTP; `access` says who may ask, `rules` for what, `reader` who reads
//!   a page,
//! - `compat` answers operators of orchestrators that were written for other vendors' APIs,
//! - `mcp` answers agents, by the functions of the API,
//! - `server` accepts connections, `tls` encrypts them, `connections` counts them and makes room,
//! - `hooks` takes webhooks of other programs, by their signature,
//! - `ingest` gives requests to the connection that they belong to,
//! - `body` reads their bodies, `budget` shares the memory for them.

mod access;
mod api;
mod assets;
mod body;
mod budget;
mod compat;
mod connections;
mod hooks;
mod ingest;
mod mcp;
mod pages;
mod reader;
mod rules;
mod server;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tidegate_engine::service::{ActiveProject, Engine};
use tidegate_model::{Error, ErrorKind};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use connections::Limits;
pub use mcp::serve_agent;
use pages::live::LiveParts;
pub use server::HTTPS_ONLY;
pub use tls::ServerTls;

/// A request that takes longer is answered 408.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// Listens on an address.
///
/// # Errors
/// [`ErrorKind::Unavailable`] if another program listens on it, which may end, [`ErrorKind::Settings`] if it
/// cannot be listened on at all.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|cause| {
        let (kind, hint) = match cause.kind() {
            io::ErrorKind::AddrInUse => (
                ErrorKind::Unavailable,
                "end the program that uses it, or choose another address with `tidegate serve --listen`",
            ),
            io::ErrorKind::AddrNotAvailable => (
                ErrorKind::Settings,
                "this machine does not have the address: name one of its own with `tidegate serve --listen`",
            ),
            io::ErrorKind::PermissionDenied => (
                ErrorKind::Settings,
                "ports below 1024 need a privilege: choose another with `tidegate serve --listen`",
            ),
            _ => (ErrorKind::Settings, "choose another address with `tidegate serve --listen`"),
        };
        Error::new(kind, format!("cannot listen on {address}")).hint(hint).caused_by(cause)
    })
}

/// Serves until `stop` fires, by TLS if there is a certificate; requests under way are answered.
pub async fn serve(
    project: Arc<ActiveProject>,
    metrics: PrometheusHandle,
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let serving = Serving(project.clone(), LiveParts::until(stop.clone()), tasks.clone());
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness).with_state(serving.clone()))
        .route("/metrics", get(move || render(metrics.clone())))
        .merge(guarded(
            &serving,
            Router::new()
                .merge(pages::routes(serving.clone()))
                .merge(compat::routes(serving.clone()))
                .merge(mcp::routes(serving.clone()))
                .nest("/api", api::routes(serving.clone())),
        ))
        .merge(hooks::routes(serving))
        .merge(ingest::routes(project, tasks.clone()));
    server::run(listener, layered(routes), tls, Limits::of_process(), tasks, stop).await;
}

/// What handlers share: the project, and with it the engine that works by its latest version; the parts of
/// pages that readers follow; and the requests that are finished although their senders hung up.
#[derive(Clone)]
pub(crate) struct Serving(Arc<ActiveProject>, LiveParts, TaskTracker);

impl FromRef<Serving> for TaskTracker {
    fn from_ref(serving: &Serving) -> TaskTracker {
        serving.2.clone()
    }
}

impl FromRef<Serving> for LiveParts {
    fn from_ref(serving: &Serving) -> LiveParts {
        serving.1.clone()
    }
}

impl FromRef<Serving> for Arc<Engine> {
    fn from_ref(serving: &Serving) -> Arc<Engine> {
        serving.0.engine()
    }
}

impl Serving {
    /// Returns the engine of the latest version of the project.
    pub(crate) fn engine(&self) -> Arc<Engine> {
        self.0.engine()
    }
}

impl FromRef<Serving> for Arc<ActiveProject> {
    fn from_ref(serving: &Serving) -> Arc<ActiveProject> {
        serving.0.clone()
    }
}

/// Routes that ask who is there.
fn guarded(serving: &Serving, routes: Router) -> Router {
    routes.layer(axum::middleware::from_fn_with_state(serving.clone(), access::guard))
}

fn layered(routes: Router) -> Router {
    routes
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_MAX))
        .layer(CatchPanicLayer::new())
}

/// Answers 200 if the process can work, 503 with the reason if it cannot.
async fn readiness(State(engine): State<Arc<Engine>>) -> Response {
    /// A state database that takes longer is taken for not reachable.
    const PATIENCE: Duration = Duration::from_secs(5);
    let why = match tokio::time::timeout(PATIENCE, engine.not_ready()).await {
        Ok(None) => return "ok\n".into_response(),
        Ok(Some(why)) => why,
        Err(_) => "the state database does not answer".to_owned(),
    };
    tracing::debug!(why, "not ready");
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

async fn render(metrics: PrometheusHandle) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render())
}
