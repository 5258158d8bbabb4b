//! Tunnels through OpenSSH.

use serde_json::{Value, json};
use tidegate_model::{Error, ErrorKind, Settings};
use tidegate_testkit::sshd::Sshd;
use tidegate_tunnel::{KeyPair, Tunnel, TunnelSettings, generate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that repeats what it is sent. Returns its port.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reading, mut writing) = stream.split();
                tokio::io::copy(&mut reading, &mut writing).await
            });
        }
    });
    port
}

fn tunnel(server: &Sshd, pair: &KeyPair, host_key: Value) -> Tunnel {
    tunnel_to(server.port(), &server.user(), pair, host_key)
}

fn tunnel_to(port: u16, user: &str, pair: &KeyPair, host_key: Value) -> Tunnel {
    let mut members = json!({
        "host": "127.0.0.1", "port": port, "user": user, "private_key": pair.private.expose(),
    });
    members["host_key"] = host_key;
    let settings = Settings::new(members.as_object().expect("an object").clone());
    Tunnel::new(&settings.parse::<TunnelSettings>().expect("settings")).expect("keys")
}

/// Sends a text to the echo and returns what comes back.
async fn round_trip(tunnel: &Tunnel, port: u16, text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut stream = tunnel.connect("127.0.0.1", port).await?;
    stream.write_all(text).await.expect("written");
    stream.shutdown().await.expect("the end is sent");
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.expect("read");
    Ok(back)
}

async fn refused(tunnel: &Tunnel, port: u16, pair: &KeyPair) -> Error {
    let error = tunnel.connect("127.0.0.1", port).await.expect_err("refused");
    let told = format!("{} {} {tunnel:?}", error.chain(), error.next_step());
    let secret = pair.private.expose().lines().nth(1).expect("a line of the key");
    assert!(!told.contains(secret), "{told}");
    error
}

#[tokio::test]
async fn ten_megabytes_come_back_through_a_tunnel_whole_while_its_keys_are_exchanged() {
    let (server, pair, port) = (Sshd::start(), generate().expect("a key"), echo().await);
    server.allow(&[&pair.public]);
    let tunnel = tunnel(&server, &pair, json!(server.host_key()));
    let sent: Vec<u8> = (0..2_500_000_u32).flat_map(u32::to_le_bytes).collect();

    let stream = tunnel.connect("127.0.0.1", port).await.expect("a tunnel");
    let (mut reading, mut writing) = tokio::io::split(stream);
    let text = sent.clone();
    let writer = tokio::spawn(async move {
        writing.write_all(&text).await.expect("written");
        writing
    });
    let mut back = vec![0; sent.len()];
    reading.read_exact(&mut back).await.expect("read");

    assert!(back == sent, "other bytes come back");
    drop(writer.await.expect("no panic"));
}

#[tokio::test]
async fn a_missing_host_key_is_answered_with_the_line_to_pin_and_nothing_is_sent() {
    let (server, pair, port) = (Sshd::start(), generate().expect("a key"), echo().await);
    server.allow(&[&pair.public]);

    let error = refused(&tunnel(&server, &pair, json!([])), port, &pair).await;

    assert_eq!(error.kind(), ErrorKind::Settings, "{error}");
    assert!(error.message().contains("SHA256:"), "{error}");
    let pinned = error.next_step().rsplit_once("host_key: ").expect("the line to pin").1.to_owned();
    assert_eq!(pinned, server.host_key());
    let tunnel = tunnel(&server, &pair, json!(pinned));
    assert_eq!(round_trip(&tunnel, port, b"hello").await.expect("a tunnel"), b"hello");
}

#[tokio::test]
async fn a_server_with_another_host_key_is_refused_and_both_keys_may_be_pinned_while_it_changes() {
    let (mut server, pair, port) = (Sshd::start(), generate().expect("a key"), echo().await);
    server.allow(&[&pair.public]);
    let former = server.host_key();
    let pinned = tunnel(&server, &pair, json!(former));
    round_trip(&pinned, port, b"hello").await.expect("a tunnel");

    server.change_host_key();
    let error = refused(&pinned, port, &pair).await;

    assert_eq!(error.kind(), ErrorKind::Settings, "{error}");
    assert!(error.message().contains("nothing was sent to it"), "{error}");
    assert!(error.next_step().ends_with(&server.host_key()), "{}", error.next_step());
    let both = tunnel(&server, &pair, json!([former, server.host_key()]));
    round_trip(&both, port, b"hello").await.expect("a tunnel");
}

#[tokio::test]
async fn a_key_that_is_not_accepted_is_answered_with_the_line_that_allows_this_database_alone() {
    let (server, pair, port) = (Sshd::start(), generate().expect("a key"), echo().await);
    let tunnel = tunnel(&server, &pair, json!(server.host_key()));

    let error = refused(&tunnel, port, &pair).await;

    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let line = error.next_step().split_once("there: ").expect("the line").1.to_owned();
    server.allow(&[&line]);
    assert_eq!(round_trip(&tunnel, port, b"hello").await.expect("a tunnel"), b"hello");
    let elsewhere = refused(&tunnel, echo().await, &pair).await;
    assert_eq!(elsewhere.kind(), ErrorKind::Denied, "{elsewhere}");
    assert!(elsewhere.next_step().contains("permitopen"), "{}", elsewhere.next_step());
}

#[tokio::test]
async fn a_key_is_changed_without_a_moment_in_which_none_works() {
    let (server, port) = (Sshd::start(), echo().await);
    let (former, new) = (generate().expect("a key"), generate().expect("a key"));
    let with = |pair| tunnel(&server, pair, json!(server.host_key()));
    server.allow(&[&former.public, &new.public]);
    round_trip(&with(&former), port, b"hello").await.expect("a tunnel");
    round_trip(&with(&new), port, b"hello").await.expect("a tunnel");

    server.allow(&[&new.public]);

    round_trip(&with(&new), port, b"hello").await.expect("a tunnel");
    assert_eq!(refused(&with(&former), port, &former).await.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn the_end_of_a_server_is_an_error_and_not_the_end_of_the_data() {
    let (mut server, pair, port) = (Sshd::start(), generate().expect("a key"), echo().await);
    server.allow(&[&pair.public]);
    let tunnel = tunnel(&server, &pair, json!(server.host_key()));
    let mut stream = tunnel.connect("127.0.0.1", port).await.expect("a tunnel");
    stream.write_all(b"hello").await.expect("written");
    stream.read_exact(&mut [0; 5]).await.expect("read");

    server.kill();

    let error = stream.read_u8().await.expect_err("the server is gone");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    let error = refused(&tunnel, port, &pair).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    server.restart();
    round_trip(&tunnel, port, b"hello").await.expect("a tunnel again");
}

#[tokio::test]
async fn a_database_that_the_server_cannot_reach_and_a_server_of_another_kind_are_told_apart() {
    let (server, pair, port) = (Sshd::start(), generate().expect("a key"), echo().await);
    server.allow(&[&pair.public]);
    let nothing =
        TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();

    let closed = refused(&tunnel(&server, &pair, json!(server.host_key())), nothing, &pair).await;
    assert_eq!(closed.kind(), ErrorKind::Unavailable, "{closed}");
    assert!(closed.message().contains(&format!("cannot reach 127.0.0.1:{nothing}")), "{closed}");
    // It repeats our own greeting, so it speaks SSH until it has to show a key.
    let echoing = refused(&tunnel_to(port, "tidegate", &pair, json!([])), 1, &pair).await;
    assert!(matches!(echoing.kind(), ErrorKind::Unavailable | ErrorKind::Settings), "{echoing:?}");
}
