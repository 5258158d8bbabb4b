//! Kinesis and Firehose against third-party emulators, read back by
//! AWS's own client.

pub mod emulator;
mod firehose;
mod kinesis;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tidegate_model::{
    ConnectorContext, Event, Json, Layout, LoggedEvent, Offset, Settings, Sink, SinkTarget, StreamId, SyncId,
    SystemClock,
};

fn settings(members: &Value) -> Settings {
    Settings::new(members.as_object().expect("an object").clone())
}

/// A sink over the network.
fn sink(kind: &str, connection: &Value, target: &Value) -> Arc<Sink> {
    let context = ConnectorContext {
        http: Arc::new(tidegate_transport::http::RealHttp::new().expect("a client")),
        clock: Arc::new(SystemClock),
        project: std::env::temp_dir(),
        data: std::env::temp_dir(),
        dry_run: false,
    };
    let target = SinkTarget {
        sync: SyncId::new("export"),
        stream: StreamId::new("shop"),
        layout: Layout::Events,
        settings: settings(target),
    };
    let connector = match kind {
        "kinesis" => tidegate_streams::kinesis::CONNECTOR,
        _ => tidegate_streams::firehose::CONNECTOR,
    };
    let role = connector.sink.expect("a sink");
    (role.open)(&settings(connection), &target, &context).expect("a sink")
}

/// Event number `at`, of one of twenty users, with a payload that is larger by `more` bytes.
fn event(at: u64, more: usize) -> LoggedEvent {
    let payload = json!({ "event_id": format!("e-{at}"), "at": at, "name": "é \"日本\" \n 🎈", "more": "x".repeat(more) });
    let moment = "2026-11-22T07:00:00Z".parse().expect("a time");
    LoggedEvent {
        offset: Offset::new(0, at),
        logged_at: moment,
        event: Event {
            id: format!("e-{at}").into(),
            kind: "order_placed".into(),
            at: moment,
            user: format!("usér {}", at % 20).into(),
            app: "".into(),
            message: "".into(),
            template: "".into(),
            payload: Json::parse(payload.to_string().into()).expect("JSON"),
        },
    }
}

/// Has a program of `clients/python/aws` look for the events.
fn read_back(program: &str, arguments: [&str; 2], events: &[LoggedEvent]) {
    let python = std::env::var("TIDEGATE_TEST_PYTHON").expect("scripts/test sets it");
    let program = format!("{}/../../clients/python/aws/{program}", env!("CARGO_MANIFEST_DIR"));
    let mut reader = Command::new(python)
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let lines: String = events
        .iter()
        .map(|logged| {
            let (data, key) = (logged.event.payload.as_str(), &*logged.event.user);
            json!({ "data": data, "key": key }).to_string() + "\n"
        })
        .collect();
    let mut input = reader.stdin.take().expect("piped");
    // On a thread of its own, lest both wait for the other to read.
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = reader.wait_with_output().expect("it ends");
    let _ = writer.join();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
