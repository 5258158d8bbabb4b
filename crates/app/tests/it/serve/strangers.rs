//! Senders that are not proved, silent, slow, many, or send too much.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{BEARER, SHOP, TOKEN, events, ids};
use crate::served::{Served, until};
use crate::support::Project;

/// What all requests hold (128 MiB), the events that wait for the disk (64 MiB), what is being split, and
/// the program itself. The guide states 448 MiB: heads, and bodies that take more while they are split.
const MEMORY_MAX: u64 = 384;

fn project() -> Project {
    Project::new(&format!("connections:\n{SHOP}"))
}

/// A socket on which a request of 8 MiB began, with this many bytes of its body.
async fn begin(served: &Served, token: &str, bytes: usize) -> TcpStream {
    let mut socket = TcpStream::connect(served.address()).await.expect("it listens");
    let head = format!(
        "POST /in/events/shop HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
        8 << 20
    );
    socket.write_all(head.as_bytes()).await.expect("written");
    // A sender that is answered early is not read to its end.
    let _ = socket.write_all(&vec![b' '; bytes]).await;
    socket
}

/// The status that comes back on a socket.
async fn status(socket: &mut TcpStream) -> String {
    let mut answer = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(30), socket.read_exact(&mut answer)).await;
    let _ = read.expect("an answer").expect("a status line");
    String::from_utf8_lossy(&answer[9..]).into_owned()
}

#[tokio::test]
async fn journey_eight_sockets_with_a_wrong_token_do_not_stop_other_senders() {
    let project = project();
    let served = Served::start(&project);

    let mut strangers = Vec::new();
    for _ in 0..8 {
        strangers.push(begin(&served, "wrong", (8 << 20) - 1).await);
    }

    for number in 0..20 {
        let answer = served.post("/in/events/shop", &[BEARER], events(number..number + 1)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    for stranger in &mut strangers {
        assert_eq!(status(stranger).await, "401", "at once, although its body is not complete");
    }
}

#[tokio::test]
async fn journey_a_sender_that_fills_its_share_of_the_memory_leaves_room_for_another_connection() {
    let project = Project::new(&format!(
        "connections:\n{SHOP}  other: {{ type: events, token: a-token-of-the-shops-own }}\n"
    ));
    let served = Served::start(&project);

    let mut held = Vec::new();
    loop {
        held.push(begin(&served, TOKEN, (8 << 20) - 1).await);
        if served.post("/in/events/shop", &[BEARER], events(0..1)).await.status == 429 {
            break;
        }
        assert!(held.len() < 100, "there is always room");
    }

    let megabyte = format!("{}{}", events(0..1), " ".repeat(1 << 20));
    let answer = served.post("/in/events/other", &[BEARER], megabyte).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test]
async fn journey_1100_idle_connections_keep_no_sender_and_no_health_check_out() {
    let project = project();
    // As many files as connections: those that are open already would be all that there can be.
    let served = Served::with_files(&project, 1_024);

    let mut idle = Vec::new();
    for number in 0..1_100 {
        let mut socket = TcpStream::connect(served.address()).await.expect("it listens");
        if number % 3 == 0 {
            socket.write_all(b"POST /in/events/shop HTTP/1.1\r\nhost:").await.expect("written");
        }
        idle.push(socket);
    }

    for number in 0..20 {
        let answer = served.post("/in/events/shop", &[BEARER], events(number..number + 1)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(served.get("/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn journey_a_sender_that_falls_silent_in_its_body_is_answered_408_and_holds_nothing() {
    let project = project();
    let served = Served::start(&project);
    let started = Instant::now();
    let mut silent = begin(&served, TOKEN, 1 << 20).await;
    assert_eq!(served.post("/in/events/shop", &[BEARER], events(0..1)).await.status, 202);

    assert_eq!(status(&mut silent).await, "408");
    let took = started.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(25)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn journey_twelve_senders_of_tiny_events_stay_within_the_stated_memory() {
    let project = project();
    let served = Served::start(&project);
    let before = served.peak_memory();
    // As many as one request may have, and far more.
    let most: String =
        (0..99_000).map(|number| format!("{{\"kind\":\"k\",\"id\":\"{number:050}\"}}\n")).collect();
    let beyond = "{\"kind\":\"k\"}\n".repeat(640_000);
    assert!(most.len() > 6 << 20 && beyond.len() > 7 << 20);

    let mut taken = 0;
    for (body, expected) in [(&beyond, 413), (&most, 202)] {
        let sent = (0..12).map(|_| served.post("/in/events/shop", &[BEARER], body.clone()));
        for answer in futures_util::future::join_all(sent).await {
            assert!(answer.status == expected || answer.status == 429, "{answer:?}");
            taken += u64::from(answer.status == 202);
        }
    }

    assert!(taken > 0, "none was taken");
    let peak = served.peak_memory();
    assert!(peak < MEMORY_MAX, "{peak} MiB, {before} MiB at first");
    assert_eq!(served.post("/in/events/shop", &[BEARER], events(0..1)).await.status, 202);
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("written");
    encoder.finish().expect("finished")
}

#[tokio::test]
async fn journey_compressed_bodies_are_taken_everywhere_and_a_bomb_is_refused() {
    let project = Project::new(&format!(
        "connections:
{SHOP}  push: {{ type: onesignal, api_key: k, app_id: 7a1d6b3e-52f4-4c0b-9a86-0c5e2f9d4b17, event_stream: {{ token: a-token-of-the-shops-own }} }}
  apps: {{ type: pinpoint, anonymous: true }}
"
    ));
    let served = Served::start(&project);
    let pushed =
        json!({ "event_id": "1", "event_kind": "message.push.sent", "event_timestamp": "1763798400" });
    let event = json!({ "EventType": "visit", "Timestamp": "2026-01-02T03:04:05.678Z" });
    let put = json!({ "BatchItem": { "phone": { "Endpoint": {}, "Events": { "e": event } } } });
    let bomb = gzip(&vec![b' '; 20 << 20]);
    for (path, body, status) in [
        ("/in/events/shop", events(0..100), 202),
        ("/in/onesignal/push", pushed.to_string(), 200),
        ("/in/pinpoint/apps/v1/apps/a/events", put.to_string(), 202),
    ] {
        let mut deflate = ZlibEncoder::new(Vec::new(), Compression::default());
        deflate.write_all(body.as_bytes()).expect("written");
        let deflated = deflate.finish().expect("finished");
        for (encoding, sent) in [("gzip", gzip(body.as_bytes())), ("deflate", deflated)] {
            let answer = served.post(path, &[BEARER, ("content-encoding", encoding)], sent).await;
            assert_eq!(answer.status, status, "{path} {encoding}: {answer:?}");
        }
        let answer = served.post(path, &[BEARER, ("content-encoding", "gzip")], bomb.clone()).await;
        assert_eq!(answer.status, 413, "{path}: {answer:?}");
        let answer = served.post(path, &[BEARER, ("content-encoding", "br")], body.clone()).await;
        assert_eq!((answer.status, answer.header("accept-encoding")), (415, "gzip, deflate"), "{path}");
        let answer = served.post(path, &[BEARER, ("content-encoding", "gzip")], body).await;
        assert_eq!(answer.status, 400, "{path}: it is not compressed");
    }
    assert!(served.peak_memory() < MEMORY_MAX);
    let counts = project.json(&["events", "shop"]);
    let kept: u64 =
        counts.as_array().expect("a list").iter().filter_map(|count| count["events"].as_u64()).sum();
    assert_eq!(kept, ids(0..100).len() as u64, "the same events, compressed in two ways");
}

#[tokio::test]
async fn journey_a_body_without_an_end_is_refused() {
    let project = project();
    let served = Served::start(&project);
    let mut socket = TcpStream::connect(served.address()).await.expect("it listens");
    let head = format!(
        "POST /in/events/shop HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.expect("written");
    let (mut read, mut write) = socket.into_split();
    let sending = tokio::spawn(async move {
        let piece = [&b"100000\r\n"[..], &vec![b' '; 1 << 20], b"\r\n"].concat();
        let mut sent = 0;
        while write.write_all(&piece).await.is_ok() {
            sent += 1;
        }
        sent
    });
    let mut answer = [0; 12];
    read.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer[9..], b"413");
    // Neither is it read for ever.
    let sent =
        tokio::time::timeout(Duration::from_secs(30), sending).await.expect("an end").expect("no fault");
    assert!((8..64).contains(&sent), "{sent} MiB");
    until("the next one", async || {
        (served.post("/in/events/shop", &[BEARER], events(0..1)).await.status == 202).then_some(())
    })
    .await;
}
