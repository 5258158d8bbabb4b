//! Channels against receivers that are not ours: aiosmtpd, and the library of Standard Webhooks.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_alerts::CHANNELS;
use tidegate_model::alert::{Alert, Change, Channel, Message, Trigger};
use tidegate_model::{ConnectorContext, Error, Http as _, Settings, SystemClock};
use tidegate_transport::http::RealHttp;

/// A program that receives alerts.
struct Receiver {
    process: Child,
    lines: BufReader<ChildStdout>,
    port: u64,
}

impl Receiver {
    fn start(arguments: &[&str]) -> Receiver {
        let python = std::env::var("TIDEGATE_TEST_PYTHON").expect("scripts/test sets it");
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python/alerts.py");
        let mut process = Command::new(python)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let lines = BufReader::new(process.stdout.take().expect("piped"));
        let mut receiver = Receiver { process, lines, port: 0 };
        receiver.port = receiver.next().as_u64().expect("a port");
        receiver
    }

    /// The next message.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|cause| panic!("{line}: {cause}"))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn open(kind: &str, settings: Value) -> Result<Arc<dyn Channel>, Error> {
    // As the program does at its start.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Value::Object(members) = settings else { panic!("settings are an object") };
    let context = ConnectorContext {
        http: Arc::new(RealHttp::new().expect("a client")),
        clock: Arc::new(SystemClock),
        project: PathBuf::from("/"),
        data: PathBuf::new(),
        dry_run: false,
    };
    let channel = CHANNELS.iter().find(|channel| channel.kind == kind).expect("a type");
    (channel.open)(&Settings::new(members), &context)
}

/// A message as of now: verifiers take no old ones.
fn message(change: Change) -> Message {
    let at = Timestamp::from_second(jiff::Zoned::now().timestamp().as_second()).expect("a time");
    Message {
        id: "0001-opened-7".to_owned(),
        alert: Alert {
            id: "0001".to_owned(),
            subject: "commandes_été".to_owned(),
            trigger: Trigger::Failed,
            summary: "The last run failed: Braze refused the key. Next: correct it".to_owned(),
            opened_at: at,
            resolved_at: (change == Change::Resolved).then_some(at),
        },
        change,
        contact: None,
        at,
        link: Some("https://tidegate.example.com/syncs/x".to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_gets_the_alert_and_its_recovery_as_one_thread() {
    let mut server = Receiver::start(&["smtp", "tidegate", "sesame"]);
    let settings = json!({
        "host": "127.0.0.1", "port": server.port, "tls": "disable", "user": "tidegate", "password": "sesame",
        "sender": "Tidegate <tidegate@example.com>", "recipients": ["ops@example.com", "Ada <ada@example.com>"],
    });
    let channel = open("email", settings).expect("opened");

    channel.send(&message(Change::Opened)).await.expect("accepted");
    let opened = server.next();
    channel.send(&message(Change::Resolved)).await.expect("accepted");
    let resolved = server.next();

    assert_eq!(opened["to"], json!(["ops@example.com", "ada@example.com"]));
    assert_eq!(opened["from"], "tidegate@example.com");
    assert_eq!(opened["subject"], "[tidegate] commandes_été fails");
    assert_eq!(opened["message_id"], "<0001-opened-7@example.com>", "the same in each attempt");
    assert_eq!(resolved["subject"], "[tidegate] Resolved: commandes_été fails");
    assert_eq!(opened["references"], resolved["references"], "they stand together");
    let body = opened["body"].as_str().expect("text");
    assert!(body.contains("Braze refused the key") && body.contains("critical"), "{body}");
    assert!(body.contains("https://tidegate.example.com/syncs/x"), "{body}");

    let contact = Message { contact: Some("lin@example.com".to_owned()), ..message(Change::Opened) };
    channel.send(&contact).await.expect("accepted");
    assert_eq!(server.next()["to"], json!(["lin@example.com"]), "a contact alone");

    let gone = Message { contact: Some("gone@example.com".to_owned()), ..message(Change::Opened) };
    let error = channel.send(&gone).await.expect_err("refused");
    let said = "the mail server answered 550 to a message for gone@example.com: ";
    assert!(error.chain().starts_with(said), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_server_that_is_gone_say_so() {
    let server = Receiver::start(&["smtp", "tidegate", "sesame"]);
    let with = |port: u64| {
        json!({
            "host": "127.0.0.1", "port": port, "tls": "disable", "user": "tidegate", "password": "wrong-canary",
            "sender": "tidegate@example.com", "recipients": ["ops@example.com"],
        })
    };
    let channel = open("email", with(server.port)).expect("opened");
    let error = channel.send(&message(Change::Opened)).await.expect_err("refused");
    assert!(error.chain().starts_with("the mail server answered 535"), "{}", error.chain());
    assert!(!error.chain().contains("canary"), "{}", error.chain());

    let channel = open("email", with(9)).expect("opened");
    let error = channel.send(&message(Change::Opened)).await.expect_err("nothing listens");
    let told = error.message();
    assert!(told.starts_with("the mail server at ") && told.ends_with(" cannot be reached"), "{told}");

    let clear = json!({
        "host": "mail.example.com", "tls": "disable", "user": "a", "password": "b", "sender": "a@example.com",
    });
    let error = open("email", clear).err().expect("it would give the password away");
    assert!(error.message().contains("unencrypted"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_signed_as_another_library_verifies_it_also_while_its_key_changes() {
    let (new, old) = (
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazfgXXv0A1k=",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
    );
    let mut receiver = Receiver::start(&["webhook", new, old]);
    let url = format!("http://127.0.0.1:{}/alerts", receiver.port);
    let both = json!({ "url": url, "secret": new, "previous_secret": old, "headers": { "X-Room": "ops" } });
    let channel = open("webhook", both).expect("opened");

    channel.send(&message(Change::Opened)).await.expect("accepted");

    let received = receiver.next();
    assert_eq!(received["id"], "0001-opened-7");
    assert_eq!(received["room"], "ops");
    assert_eq!(received["body"]["type"], "alert.opened");
    assert_eq!(received["body"]["data"]["trigger"], "failed");
    assert_eq!(received["body"]["data"]["severity"], "critical");
    assert_eq!(received["body"]["data"]["subject"], "commandes_été");

    let one = open("webhook", json!({ "url": url, "secret": new })).expect("opened");
    let error = one.send(&message(Change::Opened)).await.expect_err("the other key does not fit");
    assert_eq!(error.message(), "the webhook answered 401");
    let short = open("webhook", json!({ "url": url, "secret": "whsec_c2hvcnQ=" })).err().expect("too short");
    assert!(short.message().contains("24 bytes"), "{short}");
}

/// Debian's Alertmanager, which keeps what it is told in memory.
struct Alertmanager {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    async fn start() -> Alertmanager {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("alertmanager.yml");
        std::fs::write(&config, "route: { receiver: none }\nreceivers: [{ name: none }]\n").expect("written");
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port").to_string();
        let process = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--cluster.listen-address=", "--log.level=error"])
            .spawn()
            .expect("scripts/setup installs prometheus-alertmanager");
        let server = Alertmanager { process, url: format!("http://{address}"), _folder: folder };
        for _ in 0..200 {
            if server.get("/-/ready").await.is_some() {
                return server;
            }
            pause().await;
        }
        panic!("Alertmanager is not ready within 20 seconds");
    }

    /// What it answers, if it does.
    async fn get(&self, path: &str) -> Option<String> {
        let request = http::Request::get(format!("{}{path}", self.url)).body(bytes::Bytes::new());
        let answer = RealHttp::new().expect("a client").send(request.expect("a request")).await.ok()?;
        answer.status().is_success().then(|| String::from_utf8_lossy(answer.body()).into_owned())
    }

    /// The alerts that are open there.
    async fn open(&self) -> Value {
        let answer = self.get("/api/v2/alerts?active=true").await.expect("an answer");
        serde_json::from_str(&answer).expect("JSON")
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "the other process does not say when it is ready")]
async fn pause() {
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn debians_alertmanager_has_the_alert_once_and_no_more_after_its_recovery() {
    // As the program does at its start.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let server = Alertmanager::start().await;
    let settings = json!({ "url": server.url, "labels": { "team": "données" } });
    let channel = open("alertmanager", settings).expect("opened");
    assert!(channel.repeats().is_some(), "it forgets what is not said again");

    channel.send(&message(Change::Opened)).await.expect("accepted");
    channel.send(&message(Change::Opened)).await.expect("accepted again");
    let open = server.open().await;
    assert_eq!(open.as_array().map(Vec::len), Some(1), "{open}");
    let labels = &open[0]["labels"];
    assert_eq!((&labels["alertname"], &labels["team"]), (&json!("TidegateSyncFailed"), &json!("données")));
    assert_eq!((&labels["sync"], &labels["severity"]), (&json!("commandes_été"), &json!("critical")));
    let told = open[0]["annotations"]["description"].as_str().expect("text");
    assert!(told.contains("Braze refused the key"), "{told}");

    channel.send(&message(Change::Resolved)).await.expect("accepted");
    for _ in 0..50 {
        if server.open().await == json!([]) {
            return;
        }
        pause().await;
    }
    panic!("it is still open: {}", server.open().await);
}
