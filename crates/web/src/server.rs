//! The HTTP server: accepts connections and serves their requests.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::access::SCHEME;
use crate::connections::{Connections, Limits, Seat};
use crate::tls::ServerTls;

/// How long requests under way may still take once the process is to end.
const GRACE: Duration = Duration::from_secs(10);

/// How long a connection may take to end that is to end and has no request under way.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes of a head, and of a body that were received and not read yet. AWS clients
/// have the longest heads, with session tokens of some kilobytes.
const BUFFER: usize = 32 << 10;

/// How long the handshake of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(15);

/// The first byte of a handshake of TLS.
///
/// Source: RFC 8446, 5.1 (`ContentType` 22).
const HANDSHAKE_BYTE: u8 = 22;

/// What those are answered who leave out the `s` of `https`.
pub const HTTPS_ONLY: &str = "this server speaks https: begin its address with https://\n";

/// Browsers that were here once come by `https` only, for a year.
const HSTS: &str = "max-age=31536000";

/// How long nothing is accepted after the system could not give a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// The paths that are answered under any load.
pub(super) const HEALTH: &[&str] = &["/healthz", "/readyz", "/metrics"];

/// The address a request comes from, among its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// What connections share.
#[derive(Clone)]
struct Shared {
    routes: Router,
    tls: Option<Arc<ServerTls>>,
    limits: Limits,
    stop: CancellationToken,
}

/// Serves until `stop` fires; requests under way are answered, and other `tasks` have as long to end.
pub(super) async fn run(
    listener: TcpListener,
    routes: Router,
    tls: Option<Arc<ServerTls>>,
    limits: Limits,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let connections = Connections::new(limits);
    let shared = Shared { routes, tls, limits, stop: stop.clone() };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(cause) => {
                tracing::debug!(%cause, "a connection could not be accepted");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = pause() => continue,
                }
            }
        };
        // A connection for which not even a reserved place is left is closed.
        let Some(seat) = connections.enter() else { continue };
        tasks.spawn(serve(stream, Peer(peer.ip()), seat, shared.clone()));
    }
    drop(listener);
    tasks.close();
    // A sender that holds half a request open does not hold the process.
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::debug!("connections or requests were still open at the end");
    }
}

#[expect(clippy::disallowed_methods, reason = "the system does not tell when it has a file for a connection")]
async fn pause() {
    tokio::time::sleep(PAUSE).await;
}

/// Serves one connection.
async fn serve(stream: TcpStream, peer: Peer, seat: Seat, shared: Shared) {
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%cause, "TCP_NODELAY could not be set");
    }
    let Some(tls) = shared.tls.clone() else { return answer(stream, peer, seat, shared).await };
    let encrypted = tokio::select! {
        encrypted = tokio::time::timeout(HANDSHAKE, encrypt(&tls, stream)) => encrypted,
        () = seat.displaced() => return,
        () = shared.stop.cancelled() => return,
    };
    match encrypted {
        Ok(Ok(Some(stream))) => answer(stream, peer, seat, shared).await,
        Ok(Ok(None)) => {}
        Ok(Err(cause)) => tracing::debug!(%cause, "a client ended the handshake of TLS"),
        Err(_) => tracing::debug!("a client did not end the handshake of TLS"),
    }
}

/// Makes the handshake of TLS; `None` for a client that speaks plain HTTP, which is answered.
async fn encrypt(tls: &Arc<ServerTls>, mut stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 || first[0] == HANDSHAKE_BYTE {
        return tls.acceptor().await.accept(stream).await.map(Some);
    }
    // Read first: a connection that is closed over bytes that were not read loses its answer.
    let _ = stream.read(&mut [0; 4 << 10]).await?;
    let length = HTTPS_ONLY.len();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(format!("{head}{HTTPS_ONLY}").as_bytes()).await?;
    stream.shutdown().await.map(|()| None)
}

/// Answers the requests of one connection.
async fn answer<S>(stream: S, peer: Peer, seat: Seat, shared: Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Shared { routes, tls, limits, stop } = shared;
    let is_encrypted = tls.is_some();
    let seat = Arc::new(seat);
    let service = service_fn(|request: Request<Incoming>| {
        let busy = seat.busy();
        let turned_away = seat.is_reserved() && !HEALTH.contains(&request.uri().path());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        if is_encrypted {
            // As a proxy would say it, and in the place of what the client says.
            request.headers_mut().insert(SCHEME, HeaderValue::from_static("https"));
        }
        let routes = routes.clone();
        async move {
            let mut answer = if turned_away { full() } else { routes.oneshot(request).await? };
            if is_encrypted {
                let hsts = HeaderValue::from_static(HSTS);
                answer.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, hsts);
            }
            drop(busy);
            Ok::<Response<Body>, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head);
    builder.max_buf_size(BUFFER).keep_alive(!seat.is_reserved());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // How a connection ends is its sender's business.
        _ = connection.as_mut() => return,
        () = seat.displaced() => {}
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    while tokio::time::timeout(FAREWELL, connection.as_mut()).await.is_err() {
        if !seat.is_busy() {
            return;
        }
    }
}

/// The answer where all connections have a request under way.
fn full() -> Response<Body> {
    let mut answer = (StatusCode::SERVICE_UNAVAILABLE, "too many connections\n").into_response();
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}
