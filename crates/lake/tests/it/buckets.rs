//! Objects of a store as files.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use futures_util::TryStreamExt;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tempfile::tempdir;
use tidegate_model::{Batch, Checkpoint, ErrorKind, ReadMode, Row, Source};

use crate::s3::{bucket, connection, put};
use crate::support::{context, settings};

fn source(connection: &Value) -> Arc<dyn Source> {
    let folder = tempdir().expect("a folder");
    let role = tidegate_lake::files::CONNECTOR.source.expect("files are a source");
    (role.open)(&settings(connection.clone()), &context(folder.path())).expect("a source")
}

async fn read(
    source: &Arc<dyn Source>,
    selection: Value,
    checkpoint: Option<Checkpoint>,
    rows: usize,
) -> Vec<Batch<Row>> {
    let mode = ReadMode::Resume { checkpoint, follow: false };
    let feed = source.read(&settings(selection), &mode, rows).await.expect("a read");
    feed.try_collect().await.expect("batches")
}

/// The columns `id` and `day` of all rows, in their order.
fn told(batches: &[Batch<Row>]) -> Vec<String> {
    let cell =
        |row: &Row, name: &str| row.get(name).and_then(|it| it.to_text()).unwrap_or_default().to_string();
    let rows = batches.iter().flat_map(|batch| &batch.items);
    rows.map(|row| format!("{} {}", cell(row, "id"), cell(row, "day"))).collect()
}

fn last(batches: &[Batch<Row>]) -> Option<Checkpoint> {
    batches.last().and_then(|batch| batch.checkpoint.clone())
}

fn csv(ids: std::ops::Range<u32>) -> String {
    "id,name\n".to_owned() + &ids.map(|id| format!("{id},name {id}\n")).collect::<String>()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("packed");
    encoder.finish().expect("packed")
}

fn parquet(ids: std::ops::Range<i64>) -> Vec<u8> {
    let names: StringArray = ids.clone().map(|id| Some(format!("name {id}"))).collect();
    let ids = Int64Array::from(ids.collect::<Vec<_>>());
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(ids) as arrow_array::ArrayRef),
        ("name", Arc::new(names) as arrow_array::ArrayRef),
    ])
    .expect("a batch");
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_every_format_are_read_in_the_order_of_their_names() {
    let bucket = bucket("formats");
    put(&bucket, "drops/orders/day=2026-03-01/a.csv", csv(1..3).as_bytes());
    put(&bucket, "drops/orders/day=2026-03-01/b.csv.gz", &gzip(&csv(3..5)));
    put(
        &bucket,
        "drops/orders/day=2026-03-02/c.jsonl.zst",
        &zstd::encode_all("{\"id\":5}\n".as_bytes(), 1).expect("packed"),
    );
    put(&bucket, "drops/orders/day=2026-03-02/d.parquet", &parquet(6..8));
    put(&bucket, "drops/orders/day=2026-03-03/", b"");
    put(&bucket, "drops/other/x.csv", csv(90..91).as_bytes());
    put(&bucket, "elsewhere.csv", csv(91..92).as_bytes());
    let source = source(&connection(&format!("s3://{bucket}/drops")));
    let orders = || json!({ "path": "orders/**/*.*" });

    let first = read(&source, orders(), None, 100).await;

    let rows = [
        "1 2026-03-01",
        "2 2026-03-01",
        "3 2026-03-01",
        "4 2026-03-01",
        "5 2026-03-02",
        "6 2026-03-02",
        "7 2026-03-02",
    ];
    assert_eq!(told(&first), rows);
    let described = source.describe(&settings(orders())).await.expect("described");
    let names: BTreeSet<&str> = described.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["day", "id", "name"]));
    assert!(source.check(Some(&settings(orders()))).await.expect("checks").passed());
    let listed: Vec<String> =
        source.discover().await.expect("listed").into_iter().map(|dataset| dataset.name).collect();
    assert!(listed.contains(&"other/*.csv".to_owned()), "{listed:?}");

    // Nothing is new; then an object, one in place of another, and one whose name comes first.
    assert!(read(&source, orders(), last(&first), 100).await.is_empty());
    put(&bucket, "drops/orders/day=2026-03-04/e.csv", csv(8..9).as_bytes());
    put(&bucket, "drops/orders/day=2026-03-02/d.parquet", &parquet(60..61));
    put(&bucket, "drops/orders/day=2026-01-01/z.csv", csv(9..10).as_bytes());
    let second = read(&source, orders(), last(&first), 100).await;
    assert_eq!(told(&second), ["9 2026-01-01", "60 2026-03-02", "8 2026-03-04"]);
    assert!(read(&source, orders(), last(&second), 100).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_a_bucket_that_is_interrupted_anywhere_continues_behind_the_last_row() {
    let bucket = bucket("interrupted");
    put(&bucket, "a.csv", csv(0..5).as_bytes());
    put(&bucket, "b.csv.gz", &gzip(&csv(5..10)));
    put(&bucket, "c.parquet", &parquet(10..15));
    put(&bucket, "d.jsonl", "{\"id\":15}\n{\"id\":16}".as_bytes());
    let source = source(&connection(&format!("s3://{bucket}")));
    let everything = || json!({ "path": "*" });
    let all = read(&source, everything(), None, 2).await;
    assert_eq!(told(&all).len(), 17);

    for end in 0..all.len() {
        let rest = read(&source, everything(), all[end].checkpoint.clone(), 3).await;
        let seen: Vec<Batch<Row>> = all[..=end].iter().cloned().chain(rest).collect();
        assert_eq!(told(&seen), told(&all), "interrupted behind batch {end}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_came_in_while_a_read_was_interrupted_are_read_by_the_next_one() {
    let bucket = bucket("late");
    put(&bucket, "m.csv", csv(1..4).as_bytes());
    put(&bucket, "n.csv", csv(4..7).as_bytes());
    put(&bucket, "o.csv", csv(7..9).as_bytes());
    let source = source(&connection(&format!("s3://{bucket}")));
    let everything = || json!({ "path": "*.csv" });
    let begun = read(&source, everything(), None, 3).await;
    // Its name is before the place at which the read was interrupted.
    put(&bucket, "a.csv", csv(10..11).as_bytes());

    let rest = read(&source, everything(), begun[1].checkpoint.clone(), 100).await;

    assert_eq!(told(&rest), ["7 ", "8 ", "10 "]);
    assert!(read(&source, everything(), last(&rest), 100).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_object_is_one_rejected_item_and_the_others_are_read() {
    let bucket = bucket("broken");
    put(&bucket, "a.csv", b"id,name\n1,a,too many\n2,b\n");
    put(&bucket, "b.csv.gz", b"\x1f\x8bno gzip");
    put(&bucket, "c.parquet", b"no Parquet");
    put(&bucket, "d.csv", csv(4..5).as_bytes());
    let source = source(&connection(&format!("s3://{bucket}")));

    let batches = read(&source, json!({ "path": "*" }), None, 100).await;

    assert_eq!(told(&batches), ["2 ", "4 "]);
    let rejected: Vec<&str> =
        batches.iter().flat_map(|batch| &batch.malformed).map(|item| item.location.as_str()).collect();
    assert_eq!(rejected, ["a.csv:2", "b.csv.gz", "c.parquet"]);
    // The line is fixed by an object that takes the place of the first one.
    put(&bucket, "a.csv", csv(1..3).as_bytes());
    let again = read(&source, json!({ "path": "*" }), last(&batches), 100).await;
    assert_eq!(told(&again), ["1 ", "2 "]);
    let fixed: Vec<&String> = again.iter().flat_map(|batch| &batch.fixed).collect();
    assert!(fixed.contains(&&"a.csv:2".to_owned()), "{fixed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_gone_and_a_store_that_does_not_answer_end_the_read_with_a_reason() {
    let gone = source(&connection("s3://tidegate-missing-bucket"));
    let selection = settings(json!({ "path": "*.csv" }));
    let error = gone.describe(&selection).await.expect_err("no bucket");
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    assert!(!gone.check(Some(&selection)).await.expect("checks").passed());

    let mut connection = connection("s3://bucket");
    connection["endpoint"] = json!("http://127.0.0.1:1");
    let error = source(&connection).describe(&selection).await.expect_err("no server listens");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(!error.message().contains("secret"), "{error}");
}

/// A bucket of its own at an emulator of Google Cloud Storage.
struct Google {
    endpoint: String,
    bucket: String,
}

impl Google {
    fn new() -> Google {
        let endpoint = std::env::var("TIDEGATE_TEST_FAKE_GCS").expect("scripts/test sets it");
        let google = Google { endpoint, bucket: format!("google-{}", std::process::id()) };
        google.post("/storage/v1/b", json!({ "name": google.bucket }).to_string().as_bytes());
        google
    }

    fn post(&self, path: &str, content: &[u8]) {
        let answer = crate::s3::ask_at(&self.endpoint, "POST", path, content);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn put(&self, key: &str, content: &[u8]) {
        let key = key.replace('=', "%3D");
        self.post(&format!("/upload/storage/v1/b/{}/o?uploadType=media&name={key}", self.bucket), content);
    }

    /// A service account that needs no token.
    fn connection(&self, folder: &str) -> Value {
        let key = json!({
            "private_key": "", "private_key_id": "", "client_email": "", "disable_oauth": true,
            "gcs_base_url": self.endpoint,
        });
        json!({
            "path": format!("gs://{}/{folder}", self.bucket), "endpoint": self.endpoint,
            "service_account_key": key.to_string(),
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_google_cloud_storage_are_read_once_and_new_ones_are_found() {
    let google = Google::new();
    google.put("drops/day=2026-03-01/a.csv", csv(1..3).as_bytes());
    google.put("drops/day=2026-03-02/b.parquet", &parquet(3..5));
    let source = source(&google.connection("drops"));
    let everything = || json!({ "path": "**/*.*" });
    let all = read(&source, everything(), None, 1).await;
    assert_eq!(told(&all), ["1 2026-03-01", "2 2026-03-01", "3 2026-03-02", "4 2026-03-02"]);
    for end in 0..all.len() {
        let rest = read(&source, everything(), all[end].checkpoint.clone(), 3).await;
        let seen: Vec<Batch<Row>> = all[..=end].iter().cloned().chain(rest).collect();
        assert_eq!(told(&seen), told(&all), "interrupted behind batch {end}");
    }

    google.put("drops/day=2026-03-03/c.csv.gz", &gzip(&csv(5..6)));
    let new = read(&source, everything(), last(&all), 100).await;

    assert_eq!(told(&new), ["5 2026-03-03"]);
}
