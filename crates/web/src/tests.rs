//! Connections, seen from the other end.

use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;

/// A server of three routes: health, one that reads its body, one that waits to be let go.
struct Server {
    address: SocketAddr,
    let_go: Arc<Semaphore>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Server {
        Server::of(Router::new(), TaskTracker::new(), limits).await
    }

    /// A server that has these routes, too.
    async fn of(more: Router, tasks: TaskTracker, limits: Limits) -> Server {
        let listener = listen("127.0.0.1:0".parse().expect("an address")).await.expect("listening");
        let address = listener.local_addr().expect("an address");
        let (stop, let_go) = (CancellationToken::new(), Arc::new(Semaphore::new(0)));
        let waiting = let_go.clone();
        let routes = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/wait", get(move || async move { drop(waiting.acquire().await) }))
            .merge(more)
            .fallback(|request: Request<Body>| async {
                let body = request.into_body().collect().await.map(|body| body.to_bytes().len());
                body.map_or_else(|_| "cut off".to_owned(), |length| length.to_string())
            });
        let running = server::run(listener, layered(routes), None, limits, tasks, stop.clone());
        Server { address, let_go, stop, running: tokio::spawn(running) }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// A connection that sent this.
    async fn sent(&self, text: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.expect("written");
        stream
    }

    /// The status of an answer, on a connection of its own; `None` where it is closed without one.
    async fn status(&self, path: &str) -> Option<String> {
        let mut stream =
            self.sent(&format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
        let answer = end(&mut stream).await;
        Some(answer.split_whitespace().nth(1)?.to_owned())
    }
}

const LIMITS: Limits = Limits { connections: 8, reserved: 2, head: Duration::from_secs(30) };

/// Everything that comes until the connection ends.
async fn end(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut read)).await;
    // A reset is an end, too.
    let _ = ended.expect("it ends");
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn a_sender_that_stays_silent_or_ends_half_way_through_a_head_is_closed() {
    let server = Server::start(Limits { head: Duration::from_millis(300), ..LIMITS }).await;
    let started = Instant::now();
    let mut silent = server.connect().await;
    let mut half = server.sent("POST /in/events/shop HTTP/1.1\r\nhost: a\r\n").await;
    let mut kept = server.sent("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(!end(&mut silent).await.starts_with("HTTP/1.1 2"));
    assert!(!end(&mut half).await.starts_with("HTTP/1.1 2"));
    assert!(end(&mut kept).await.starts_with("HTTP/1.1 200"), "answered, and closed once it was idle");
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_head_without_an_end_is_refused_and_a_long_body_is_not() {
    let server = Server::start(LIMITS).await;
    let head = format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: {}", "x".repeat(64 << 10));
    let mut huge = server.connect().await;
    // It is answered before all of it was written.
    let _ = huge.write_all(head.as_bytes()).await;
    let answer = end(&mut huge).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");

    let length = 1 << 20;
    let mut stream = server
        .sent(&format!(
            "POST /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
    stream.write_all(&vec![b' '; length]).await.expect("written");
    assert!(end(&mut stream).await.ends_with("1048576"));
}

#[tokio::test]
async fn any_number_of_idle_connections_keeps_no_sender_out() {
    let server = Server::start(LIMITS).await;
    let mut idle = Vec::new();
    for number in 0..60 {
        idle.push(server.sent(if number % 2 == 0 { "" } else { "GET /wait HTT" }).await);
        if number % 10 == 9 {
            assert_eq!(server.status("/healthz").await.as_deref(), Some("200"), "beside {number}");
            assert_eq!(server.status("/anything").await.as_deref(), Some("200"), "beside {number}");
        }
    }
    // The longest idle ones made room.
    assert!(!end(&mut idle[0]).await.starts_with("HTTP/1.1 2"));
}

#[tokio::test]
async fn where_every_connection_has_a_request_under_way_health_is_answered_and_others_come_back() {
    let server = Server::start(LIMITS).await;
    let mut busy = Vec::new();
    for _ in 0..LIMITS.connections {
        busy.push(server.sent("GET /wait HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await);
    }
    loop {
        match server.status("/anything").await.as_deref() {
            Some("503") => break,
            status => assert_eq!(status, Some("200")),
        }
    }
    let silent: Vec<TcpStream> = vec![server.connect().await, server.connect().await, server.connect().await];
    assert_eq!(server.status("/healthz").await.as_deref(), Some("200"));
    drop(silent);

    server.let_go.add_permits(LIMITS.connections);
    for stream in &mut busy {
        assert!(end(stream).await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(server.status("/anything").await.as_deref(), Some("200"));
}

#[tokio::test]
async fn at_the_end_requests_are_answered_and_idle_connections_do_not_hold_the_process() {
    let server = Server::start(LIMITS).await;
    let _silent = server.connect().await;
    let _half = server.sent("GET /hea").await;
    let mut busy = server.sent("GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(server.status("/healthz").await.as_deref(), Some("200"));

    server.stop.cancel();
    server.let_go.add_permits(1);

    assert!(end(&mut busy).await.starts_with("HTTP/1.1 200"));
    tokio::time::timeout(Duration::from_secs(5), server.running).await.expect("it ends").expect("no fault");
}

#[tokio::test]
async fn a_request_is_finished_although_its_sender_hung_up_and_the_end_of_the_process_waits_for_it() {
    let tasks = TaskTracker::new();
    let [begun, dropped, let_go, done] = std::array::from_fn(|_| CancellationToken::new());
    let (seen, work) = ((begun.clone(), dropped.clone()), (let_go.clone(), done.clone(), tasks.clone()));
    let finish = move || async move {
        let _dropped = seen.1.drop_guard();
        let (let_go, done, tasks) = work;
        seen.0.cancel();
        ingest::finished(&tasks, async move {
            let_go.cancelled().await;
            done.cancel();
        })
        .await;
    };
    let server = Server::of(Router::new().route("/finish", get(finish)), tasks, LIMITS).await;
    let sender = server.sent("GET /finish HTTP/1.1\r\nhost: a\r\n\r\n").await;
    begun.cancelled().await;
    drop(sender);
    dropped.cancelled().await;

    server.stop.cancel();
    let mut running = server.running;
    let early = tokio::time::timeout(Duration::from_millis(200), &mut running).await;
    early.expect_err("it waits for the request");
    let_go.cancel();
    tokio::time::timeout(Duration::from_secs(5), running).await.expect("it ends").expect("no fault");
    assert!(done.is_cancelled());
}
