//! What `tidegate serve` answers: events that come in, health, metrics.

mod ingest;

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt;
use metrics_exporter_prometheus::PrometheusHandle;
use tidegate_engine::service::Engine;
use tidegate_model::{Error, ErrorKind};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

/// A request that takes longer is answered 408.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// How long requests under way may still take once the process is to end.
const GRACE: Duration = Duration::from_secs(10);

/// Listens on an address.
///
/// # Errors
/// [`ErrorKind::Settings`] where it cannot be listened on.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|cause| {
        Error::new(ErrorKind::Settings, format!("cannot listen on {address}"))
            .hint("choose another address with --listen")
            .caused_by(cause)
    })
}

/// Serves until `stop` fires; requests under way are answered.
pub async fn serve(
    engine: Arc<Engine>,
    metrics: PrometheusHandle,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), Error> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(move || render(metrics.clone())))
        .merge(ingest::routes(engine))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_MAX))
        .layer(CatchPanicLayer::new());
    let listener = listener.tap_io(|stream| {
        if let Err(cause) = stream.set_nodelay(true) {
            tracing::debug!(%cause, "TCP_NODELAY could not be set");
        }
    });
    let serving = axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
    let late = async {
        stop.cancelled().await;
        // Who holds half a request open does not hold the process.
        tokio::time::timeout(GRACE, std::future::pending::<()>()).await
    };
    tokio::select! {
        served = serving.into_future() => {
            served.map_err(|cause| Error::new(ErrorKind::Unexpected, "the HTTP server ended").caused_by(cause))
        }
        _ = late => Ok(()),
    }
}

async fn render(metrics: PrometheusHandle) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render())
}
