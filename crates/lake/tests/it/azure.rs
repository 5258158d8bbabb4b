//! Containers of Azure Blob Storage, at Azurite, Microsoft's own emulator.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use tempfile::tempdir;
use tidegate_model::{Batch, Checkpoint, ErrorKind, ReadMode, Row, Sink, SinkRole, Source};

use crate::support::{all_delivered, context, delta, event_on, events, settings, target};

/// The account of every Azurite, and its key. Source: Microsoft Learn, "Use the Azurite emulator for local Azure
/// Storage development".
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A container of its own.
pub struct Container {
    endpoint: String,
    name: String,
}

impl Container {
    pub fn new(name: &str) -> Container {
        let endpoint = std::env::var("TIDEGATE_TEST_AZURITE").expect("scripts/test sets it");
        let container = Container { endpoint, name: format!("{name}-{}", std::process::id()) };
        container.run(&["make", &container.name], b"");
        container
    }

    fn put(&self, name: &str, content: &[u8]) {
        self.run(&["put", &self.name, name], content);
    }

    /// A client of Python's standard library signs the requests.
    fn run(&self, arguments: &[&str], input: &[u8]) {
        let python = std::env::var("TIDEGATE_TEST_LAKE_PYTHON").expect("scripts/test sets it");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python/lake/azure.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(&self.endpoint)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("Python");
        child.stdin.take().expect("its input").write_all(input).expect("written");
        assert!(child.wait().expect("an end").success(), "{arguments:?}");
    }

    pub fn connection(&self, folder: &str) -> Value {
        json!({
            "path": format!("az://{}/{folder}", self.name), "endpoint": format!("{}/{ACCOUNT}", self.endpoint),
            "account": ACCOUNT, "account_key": KEY,
        })
    }
}

fn source(connection: &Value) -> Arc<dyn Source> {
    let folder = tempdir().expect("a folder");
    let role = tidegate_lake::files::CONNECTOR.source.expect("files are a source");
    (role.open)(&settings(connection.clone()), &context(folder.path())).expect("a source")
}

fn sink(role: SinkRole, connection: Value, to: Value) -> Arc<Sink> {
    let project = tempdir().expect("a folder");
    (role.open)(&settings(connection), &target("export", to), &context(project.path())).expect("a sink")
}

async fn read(source: &Arc<dyn Source>, checkpoint: Option<Checkpoint>, rows: usize) -> Vec<Batch<Row>> {
    let mode = ReadMode::Resume { checkpoint, follow: false };
    let feed = source.read(&settings(json!({ "path": "**/*.*" })), &mode, rows).await.expect("a read");
    feed.try_collect().await.expect("batches")
}

/// The columns `id` and `day` of all rows, in their order.
fn told(batches: &[Batch<Row>]) -> Vec<String> {
    let cell =
        |row: &Row, name: &str| row.get(name).and_then(|it| it.to_text()).unwrap_or_default().to_string();
    let rows = batches.iter().flat_map(|batch| &batch.items);
    rows.map(|row| format!("{} {}", cell(row, "id"), cell(row, "day"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_azure_are_read_once_and_new_ones_are_found() {
    let container = Container::new("drops");
    container.put("drops/day=2026-03-01/a.csv", b"id,name\n1,a\n2,b\n");
    container.put("drops/day=2026-03-02/b.jsonl", b"{\"id\":3}\n{\"id\":4}\n");
    container.put("elsewhere.csv", b"id\n9\n");
    let source = source(&container.connection("drops"));

    let all = read(&source, None, 1).await;

    assert_eq!(told(&all), ["1 2026-03-01", "2 2026-03-01", "3 2026-03-02", "4 2026-03-02"]);
    for end in 0..all.len() {
        let rest = read(&source, all[end].checkpoint.clone(), 3).await;
        let seen: Vec<Batch<Row>> = all[..=end].iter().cloned().chain(rest).collect();
        assert_eq!(told(&seen), told(&all), "interrupted behind batch {end}");
    }
    let last = all.last().and_then(|batch| batch.checkpoint.clone());
    let packed = zstd::encode_all("id\n5\n".as_bytes(), 1).expect("packed");
    container.put("drops/day=2026-03-03/c.csv.zst", &packed);
    assert_eq!(told(&read(&source, last, 100).await), ["5 2026-03-03"]);
    assert!(source.check(Some(&settings(json!({ "path": "**/*.*" })))).await.expect("checks").passed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_in_a_container_of_azure_are_in_a_table_and_in_files_once() {
    let container = Container::new("lake");
    for (role, to) in [
        (delta(), json!({ "schema": "out" })),
        (tidegate_lake::files::SINK, json!({ "path": "a", "format": "jsonl" })),
    ] {
        let opened = || sink(role, container.connection("lake"), to.clone());
        assert!(opened().check().await.expect("checks").passed());
        opened().deliver(&events(1..=50)).await.expect("a receipt");
        opened().deliver(&[event_on(51, 86_400), event_on(52, 0)]).await.expect("a receipt");

        let receipt = opened().deliver(&events(40..=60)).await.expect("a receipt");

        assert!(all_delivered(&receipt, 21));
    }
    let files = source(&container.connection("lake/a"));
    let feed = files.read(&settings(json!({ "path": "**/*.jsonl" })), &ReadMode::Full, 100).await;
    let batches: Vec<Batch<Row>> = feed.expect("a read").try_collect().await.expect("batches");
    assert_eq!(batches.iter().map(|batch| batch.items.len()).sum::<usize>(), 60);
    let lake = tidegate_lake::delta::CONNECTOR.source.expect("delta is a source");
    let folder = tempdir().expect("a folder");
    let lake =
        (lake.open)(&settings(container.connection("lake")), &context(folder.path())).expect("a source");
    let table = settings(json!({ "path": "out/message_events" }));
    let feed = lake.read(&table, &ReadMode::Full, 100).await;
    let batches: Vec<Batch<Row>> = feed.expect("a read").try_collect().await.expect("batches");
    assert_eq!(batches.iter().map(|batch| batch.items.len()).sum::<usize>(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_gone_and_a_wrong_key_end_the_read_with_a_reason() {
    let container = Container::new("denied");
    let selection = settings(json!({ "path": "*.csv" }));
    let mut gone = container.connection("");
    gone["path"] = json!("az://tidegate-missing-container");
    let error = source(&gone).describe(&selection).await.expect_err("no container");
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    let mut wrong = container.connection("");
    wrong["account_key"] = json!("bm8tcGFydC1vZi10aGUta2V5");
    let error = source(&wrong).describe(&selection).await.expect_err("another key");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(!error.chain().contains("bm8tcGFydC1vZi10aGUta2V5"), "{error:?}");
}
