//! What is refused, and how.

use std::process::Command;

use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::{BEARER, SHOP, TOKEN, events, send};
use crate::bad_input::disk::Mount;
use crate::served::{Served, until};
use crate::support::Project;

fn project() -> Project {
    Project::new(&format!("connections:\n{SHOP}"))
}

#[tokio::test]
async fn journey_a_sender_without_the_secret_is_refused_and_nothing_is_kept() {
    let project = project();
    let served = Served::start(&project);

    for headers in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", TOKEN)]] {
        let answer = served.post("/in/events/shop", headers, events(1..2)).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{headers:?}");
        assert!(!answer.body.contains(TOKEN), "{answer:?}");
    }
    for path in ["/in/events/other", "/in/onesignal/shop", "/in/events", "/nothing"] {
        assert_eq!(served.post(path, &[BEARER], events(1..2)).await.status, 404, "{path}");
    }
    assert_eq!(served.get("/in/events/shop").await.status, 401);

    assert_eq!(project.json(&["events"]), json!([]));
    assert!(!served.said().contains(TOKEN));
}

#[tokio::test]
async fn journey_a_connection_with_a_space_in_its_name_takes_events_at_its_encoded_path() {
    let project = Project::new(
        "connections:\n  my app é: { type: events, token: a-token-of-the-shops-own }\n  \
         100%: { type: events, token: a-token-of-the-shops-own }\n",
    );
    let served = Served::start(&project);

    for (path, status) in [
        ("/in/events/my%20app%20%C3%A9", 202),
        ("/in/events/my%20app%20%c3%a9/", 202),
        ("/in/events/100%25", 202),
        ("/in/events/my%2520app%2520%25C3%25A9", 404),
        ("/in/events/my%20app%20%ff", 404),
        ("/in/events/my%20app", 404),
    ] {
        let answer = served.post(path, &[BEARER], events(1..2)).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }

    let shown = "/in/events/my%20app%20%C3%A9";
    assert!(served.said().contains(&format!("events  {shown}\n")), "{}", served.said());
    let setup = project.done(&["setup", "my app é"]).stdout;
    assert!(setup.contains(&format!("https://YOUR-HOST{shown} ")), "{setup}");
}

#[tokio::test]
async fn journey_a_body_that_is_too_large_or_no_event_is_refused_as_a_whole() {
    let project = project();
    let served = Served::start(&project);

    let large = served.post("/in/events/shop", &[BEARER], vec![b' '; 9 << 20]).await;
    assert_eq!(large.status, 413, "{large:?}");
    // One that does not tell its length is counted as it comes.
    let pieces = (0..9).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20]));
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let large = served.post("/in/events/shop", &[BEARER], stream).await;
    assert_eq!(large.status, 413, "{large:?}");
    let half = format!("{}{{\"id\": \"x\"}}\n", events(1..3));
    let bad = served.post("/in/events/shop", &[BEARER], half).await;
    assert_eq!(bad.status, 400);
    let error = bad.json()["error"].as_str().expect("a sentence").to_owned();
    assert!(error.contains("event 3") && error.contains("kind"), "{error}");

    assert_eq!(project.json(&["events"]), json!([]));
}

#[tokio::test]
async fn journey_beyond_its_rate_a_sender_is_told_when_to_come_back() {
    let project = Project::new(
        "connections:\n  shop: { type: events, token: a-token-of-the-shops-own, requests_per_second: 5 }\n",
    );
    let served = Served::start(&project);

    let mut taken = 0;
    let refused = loop {
        let answer = served.post("/in/events/shop", &[BEARER], events(taken..taken + 1)).await;
        if answer.status != 202 {
            break answer;
        }
        taken += 1;
        assert!(taken < 1_000, "nothing is ever refused");
    };

    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"), "{refused:?}");
    assert!(taken >= 5, "only {taken}");
    assert_eq!(project.json(&["events"]).as_array().map(Vec::len), Some(2.min(taken as usize)));
}

#[tokio::test]
async fn journey_more_than_memory_is_given_to_is_refused_and_taken_later() {
    let project = project();
    let served = Served::start(&project);

    // A sender that announces a body and does not send it keeps no other out.
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(begin(served.address(), 0).await);
    }
    assert_eq!(served.post("/in/events/shop", &[BEARER], events(0..1)).await.status, 202);
    // Bodies that come but for their last byte, until there is no room for more.
    let refused = loop {
        held.push(begin(served.address(), (8 << 20) - 1).await);
        let answer = served.post("/in/events/shop", &[BEARER], events(1..2)).await;
        if answer.status != 202 {
            break answer;
        }
        assert!(held.len() < 100, "there is always room");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"), "{refused:?}");
    assert_eq!(served.get("/healthz").await.status, 200);

    drop(held);
    until("room", async || {
        let answer = served.post("/in/events/shop", &[BEARER], events(2..3)).await;
        (answer.status == 202).then_some(())
    })
    .await;
}

/// Begins a request of 8 MiB and sends this many bytes of its body.
async fn begin(address: &str, bytes: usize) -> tokio::net::TcpStream {
    let mut socket = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let head = format!(
        "POST /in/events/shop HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n",
        8 << 20
    );
    socket.write_all(head.as_bytes()).await.expect("written");
    socket.write_all(&vec![b' '; bytes]).await.expect("written");
    socket
}

#[tokio::test]
async fn journey_on_a_full_disk_events_are_answered_503_until_there_is_room() {
    let project = project();
    let data = project.path().join(".tidegate");
    let _disk = Mount::new(&data, "size=4m");
    let served = Served::start(&project);

    let mut taken = 0;
    let refused = loop {
        let answer = served.post("/in/events/shop", &[BEARER], events(taken..taken + 1_000)).await;
        if answer.status != 202 {
            break answer;
        }
        taken += 1_000;
        assert!(taken < 1_000_000, "4 MiB are never full");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, "10"), "{refused:?}");
    until("the reason", async || served.said().contains("the disk is full").then_some(())).await;
    assert_eq!(served.get("/healthz").await.status, 200);

    let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&data).status().expect("mount");
    assert!(grown.success());
    send(&served, taken..taken + 1_000).await;
    let counts = project.json(&["events", "shop"]);
    let kept: u64 =
        counts.as_array().expect("a list").iter().filter_map(|count| count["events"].as_u64()).sum();
    assert_eq!(kept, u64::from(taken) + 1_000, "what was taken, once each");
}
