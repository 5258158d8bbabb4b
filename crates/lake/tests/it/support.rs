//! Events, sinks, and an independent look at what they wrote.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tidegate_model::{
    ConnectorContext, Event, Json, Layout, LoggedEvent, Offset, Outcome, Receipt, Settings, Sink, SinkRole,
    SinkTarget, StreamId, SyncId,
};
use tidegate_testkit::ManualClock;
use tidegate_testkit::conforms::NoHttp;

/// The time at which the first event was logged.
const BEGINNING_US: i64 = 1_772_366_400_000_000;

/// Settings from a JSON object.
pub fn settings(members: Value) -> Settings {
    let Value::Object(members) = members else { panic!("settings are an object") };
    Settings::new(members)
}

/// What a sink is handed in a project that lies in this folder.
pub fn context(project: &Path) -> ConnectorContext {
    ConnectorContext {
        http: Arc::new(NoHttp),
        clock: Arc::new(ManualClock::default()),
        project: project.to_owned(),
        data: project.join(".tidegate"),
        dry_run: false,
    }
}

/// An export of message events with these settings under `destination:`.
pub fn target(export: &str, members: Value) -> SinkTarget {
    SinkTarget {
        sync: SyncId::new(export),
        stream: StreamId::new("onesignal"),
        layout: Layout::Messages,
        settings: settings(members),
    }
}

/// A sink below the folder `lake`.
pub fn open(role: SinkRole, project: &Path, target: &SinkTarget) -> Arc<Sink> {
    (role.open)(&settings(json!({ "path": "lake" })), target, &context(project)).expect("a sink")
}

/// The role of a Delta table.
pub fn delta() -> SinkRole {
    tidegate_lake::delta::CONNECTOR.sink.expect("delta is a sink")
}

/// An event at this offset: a minute later than the one before.
pub fn event(at: u64) -> LoggedEvent {
    event_on(at, i64::try_from(at).expect("small") * 60)
}

/// An event at this offset, some seconds after the beginning.
pub fn event_on(at: u64, seconds: i64) -> LoggedEvent {
    let logged_at = jiff::Timestamp::from_microsecond(BEGINNING_US + i64::try_from(at).expect("small"));
    let happened = jiff::Timestamp::from_microsecond(BEGINNING_US + seconds * 1_000_000);
    let kinds = ["message.push.sent", "message.push.clicked", "message.email.opened"];
    let payload = json!({
        "subscription_id": format!("s{at}"), "external_id": format!("u{}", at % 10), "language": "en",
        "device_type": at % 3, "subscribed": at.is_multiple_of(2), "message_title": "Grüße \"you\"",
    });
    LoggedEvent {
        offset: Offset::new(0, at),
        logged_at: logged_at.expect("in range"),
        event: Event {
            id: format!("event-{at}").into(),
            kind: kinds[usize::try_from(at % 3).expect("small")].into(),
            at: happened.expect("in range"),
            user: format!("u{}", at % 10).into(),
            app: "app-1".into(),
            message: "m-1".into(),
            template: "".into(),
            payload: Json::parse(payload.to_string().into()).expect("JSON"),
        },
    }
}

/// Events at these offsets.
pub fn events(offsets: impl IntoIterator<Item = u64>) -> Vec<LoggedEvent> {
    offsets.into_iter().map(event).collect()
}

/// Whether everything took effect.
pub fn all_delivered(receipt: &Receipt, items: usize) -> bool {
    receipt.outcomes.len() == items && receipt.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered)
}

/// The rows of a Parquet file.
pub fn parquet_rows(path: &Path) -> Vec<RecordBatch> {
    let file = File::open(path).expect("file");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("reader");
    reader.map(|batch| batch.expect("rows")).collect()
}

/// How often each event is in these Parquet files.
pub fn counts(files: &[PathBuf]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for batch in files.iter().flat_map(|file| parquet_rows(file)) {
        let ids = batch.column_by_name("event_id").expect("column");
        for id in ids.as_string::<i32>().iter().flatten() {
            *counts.entry(id.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// The same of events that were delivered once.
pub fn once(events: &[LoggedEvent]) -> BTreeMap<String, usize> {
    events.iter().map(|event| (event.event.id.to_string(), 1)).collect()
}

/// The actions of a Delta log, in order, read as plain JSON.
pub fn log_of(table: &Path) -> Vec<Value> {
    let mut commits: Vec<PathBuf> = std::fs::read_dir(table.join("_delta_log"))
        .expect("log")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    commits.sort();
    let read = |path: PathBuf| std::fs::read_to_string(path).expect("commit");
    let lines: Vec<String> = commits.into_iter().map(read).collect();
    let parse = |line: &str| serde_json::from_str(line).expect("action");
    lines.iter().flat_map(|lines| lines.lines()).map(parse).collect()
}

/// The data files that a Delta log names.
pub fn data_files(table: &Path) -> Vec<PathBuf> {
    let added = |action: &Value| action["add"]["path"].as_str().map(|path| table.join(path));
    log_of(table).iter().filter_map(added).collect()
}

/// Every file below a folder whose name ends so, in order.
pub fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
