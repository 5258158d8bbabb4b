//! Nothing lost, nothing twice, while files grow and are replaced.

mod dialects;
mod folders;
mod million;
mod unfinished;
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Decimal128Array, Int64Array, ListArray, RecordBatch, TimestampNanosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use async_trait::async_trait;
use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tidegate_model::{
    Batch, Checkpoint, ConnectorContext, ErrorKind, Http, HttpFailure, Json, ReadMode, Row, Selection,
    Settings, Source, Value,
};
use tidegate_testkit::ManualClock;

use super::folder::FilesSource;

/// A source that was opened an hour after everything was written.
#[expect(clippy::disallowed_methods, reason = "files get their times from the system")]
fn source(folder: &Path) -> FilesSource {
    source_at(folder, Timestamp::now() + SignedDuration::from_hours(1))
}

fn source_at(folder: &Path, now: Timestamp) -> FilesSource {
    struct NoHttp;
    #[async_trait]
    impl Http for NoHttp {
        async fn send(
            &self,
            _: http::Request<bytes::Bytes>,
        ) -> Result<http::Response<bytes::Bytes>, HttpFailure> {
            panic!("files need no HTTP")
        }
    }
    let context = ConnectorContext {
        http: Arc::new(NoHttp),
        clock: Arc::new(ManualClock::at(now)),
        project: folder.to_owned(),
        data: folder.to_owned(),
        dry_run: false,
    };
    FilesSource::open(&Settings::default(), &context).expect("settings that work")
}

fn select(members: serde_json::Value) -> Selection {
    let serde_json::Value::Object(members) = members else { panic!("an object") };
    Selection::new(members)
}

async fn read(
    folder: &Path,
    selection: &Selection,
    after: Option<Checkpoint>,
    batch_rows: usize,
) -> Vec<Batch<Row>> {
    let feed = source(folder)
        .read(selection, &ReadMode::Resume { checkpoint: after, follow: false }, batch_rows)
        .await
        .expect("a read");
    feed.try_collect().await.expect("batches")
}

/// The values of all rows as text, with blanks between them.
fn told(batches: &[Batch<Row>]) -> Vec<String> {
    let text = |value: &Value| value.to_text().unwrap_or_default().to_string();
    let rows = batches.iter().flat_map(|batch| &batch.items);
    rows.map(|row| row.values.iter().map(text).collect::<Vec<_>>().join(" ")).collect()
}

/// What could not be read: where, and why.
fn rejected(batches: &[Batch<Row>]) -> Vec<(String, String)> {
    let pieces = batches.iter().flat_map(|batch| &batch.malformed);
    pieces.map(|piece| (piece.location.clone(), piece.reason.message.clone())).collect()
}

/// The place after the last batch.
fn place_of(batches: &[Batch<Row>]) -> Option<Checkpoint> {
    batches.last().and_then(|batch| batch.checkpoint.clone())
}

/// The first cells of all rows, and the checkpoint after them.
async fn cells(folder: &Path, path: &str, after: Option<Checkpoint>) -> (Vec<String>, Option<Checkpoint>) {
    let batches = read(folder, &select(json!({ "path": path })), after.clone(), 2).await;
    let checkpoint = batches.last().map_or(after, |batch| batch.checkpoint.clone());
    let rows = batches.iter().flat_map(|batch| &batch.items);
    (rows.map(|row| row.values[0].to_text().unwrap_or_default().to_string()).collect(), checkpoint)
}

#[tokio::test]
async fn a_run_reads_new_files_and_what_was_appended_to_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    for (name, head, line) in [("a.csv", "id,n\n", "ID,1\n"), ("a.jsonl", "", "{\"id\":\"ID\"}\n")] {
        let text =
            |ids: &[&str]| head.to_owned() + &ids.iter().map(|id| line.replace("ID", id)).collect::<String>();
        let pattern = name.replace('a', "*");

        write(name, &text(&["1", "2", "3"]));
        let (first, checkpoint) = cells(folder.path(), &pattern, None).await;
        assert_eq!(first, ["1", "2", "3"]);
        let (nothing, checkpoint) = cells(folder.path(), &pattern, checkpoint).await;
        assert!(nothing.is_empty(), "{nothing:?}");

        write(name, &text(&["1", "2", "3", "4"]));
        write(&name.replace('a', "b"), &text(&["5"]));
        let (mut new, checkpoint) = cells(folder.path(), &pattern, checkpoint).await;
        new.sort();
        assert_eq!(new, ["4", "5"]);

        write(name, &text(&["6"]));
        let (replaced, checkpoint) = cells(folder.path(), &pattern, checkpoint).await;
        assert_eq!(replaced, ["6"]);
        write(name, &text(&["7", "8", "9", "10", "11"]));
        let (replaced, _) = cells(folder.path(), &pattern, checkpoint).await;
        assert_eq!(replaced, ["7", "8", "9", "10", "11"]);
    }
}

#[tokio::test]
async fn every_checkpoint_is_a_place_to_read_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let mut csv = "id,note\r\n".to_owned();
    let mut lines = String::new();
    for id in 0..20 {
        csv += &format!("{id},\"a\r\nb \"\"c\"\"\"\r\n");
        lines += &format!("{{\"id\": {id}}}\n\n");
    }
    fs::write(folder.path().join("1.csv"), &csv).unwrap();
    fs::write(folder.path().join("2.csv"), csv.trim_end()).unwrap();
    fs::write(folder.path().join("1.jsonl"), &lines).unwrap();
    fs::write(folder.path().join("2.jsonl"), lines.trim_end()).unwrap();
    for path in ["*.csv", "*.jsonl"] {
        let selection = select(json!({ "path": path }));
        let batches = read(folder.path(), &selection, None, 3).await;
        let all: Vec<Row> = batches.iter().flat_map(|batch| batch.items.clone()).collect();
        assert_eq!(all.len(), 40, "{path}");
        let mut seen = 0;
        for batch in &batches {
            seen += batch.items.len();
            let rest = read(folder.path(), &selection, batch.checkpoint.clone(), 7).await;
            let rest: Vec<Row> = rest.into_iter().flat_map(|batch| batch.items).collect();
            assert_eq!(rest, all[seen..], "{path} after {seen}");
        }
    }
}

#[tokio::test]
async fn a_last_line_without_a_line_break_is_read_once_and_again_when_it_grew() {
    let folder = tempfile::tempdir().unwrap();
    for (name, start, rest, torn, whole) in [
        ("t.csv", "id,n\n1,1\n2,2", "2\n3,3\n", "2 2", ["2 22", "3 3"]),
        ("t.jsonl", "{\"id\":1,\"n\":1}\n{\"id\":2,\"n\":2}", "\n{\"id\":3,\"n\":3}\n", "2 2", ["3 3", ""]),
        ("u.csv", "id,n\n1,1\n2,2", "\n3,3", "2 2", ["3 3", ""]),
    ] {
        let path = folder.path().join(name);
        let selection = select(json!({ "path": name }));
        fs::write(&path, start).unwrap();
        let first = read(folder.path(), &selection, None, 100).await;
        assert_eq!(told(&first), ["1 1", torn], "{name}");
        let checkpoint = first.last().and_then(|batch| batch.checkpoint.clone());
        assert!(read(folder.path(), &selection, checkpoint.clone(), 100).await.is_empty(), "{name}");

        fs::write(&path, format!("{start}{rest}")).unwrap();
        let second = read(folder.path(), &selection, checkpoint, 100).await;
        let expected: Vec<&str> = whole.into_iter().filter(|row| !row.is_empty()).collect();
        assert_eq!(told(&second), expected, "{name}");
    }
}

#[tokio::test]
async fn broken_lines_are_reported_with_their_place_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("b.csv"), b"id,name\n1,a\n2\n3,b,c\n4,\xff\n5,\n").unwrap();
    fs::write(folder.path().join("b.jsonl"), b"{\"id\":1}\n{\"id\":\n[1]\n\n{\"id\":\"\xff\"}\n{\"id\":5}\n")
        .unwrap();
    for (path, indexes) in
        [("b.csv", ["b.csv:3", "b.csv:4", "b.csv:5"]), ("b.jsonl", ["b.jsonl:2", "b.jsonl:3", "b.jsonl:5"])]
    {
        let batches = read(folder.path(), &select(json!({ "path": path })), None, 100).await;
        let found: Vec<&str> = batches
            .iter()
            .flat_map(|batch| &batch.malformed)
            .map(|broken| broken.location.as_str())
            .collect();
        assert_eq!(found, indexes);
        assert_eq!(batches.iter().map(|batch| batch.items.len()).sum::<usize>(), 2, "{path}");
    }
}

#[tokio::test]
async fn csv_cells_are_text_and_nulls_are_what_the_selection_says() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("c.csv"), "\u{feff}id;name;\n007;;x\n8;NULL;y\n").unwrap();
    let options = json!({ "path": "c.csv", "delimiter": ";", "nulls": ["NULL"], "absent_cells": ["y"] });
    let batches = read(folder.path(), &select(options), None, 100).await;
    let rows = &batches[0].items;
    assert_eq!(rows[0].columns.names(), ["id", "name", "column_3"]);
    assert_eq!(rows[0].values, [Value::Text("007".into()), Value::Text("".into()), Value::Text("x".into())]);
    assert_eq!(rows[1].values[1..], [Value::Null, Value::Absent]);
}

#[tokio::test]
async fn json_lines_keep_digits_nesting_and_late_members() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = "{\"id\":1,\"price\":10.50,\"big\":12345678901234567890,\"tags\":[1, 2],\"ok\":true,\"s\":\"a\\u00e9\"}\n".repeat(1_000);
    lines += "{\"late\":null,\"id\":2,\"later\":{\"a\":1.0}}\n";
    fs::write(folder.path().join("l.jsonl"), lines).unwrap();
    let selection = select(json!({ "path": "l.jsonl" }));
    let described = source(folder.path()).describe(&selection).await.unwrap();
    let names: Vec<&str> = described.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "price", "big", "tags", "ok", "s", "late", "later"]);
    assert!(!described.open, "all lines were looked at");
    let batches = read(folder.path(), &selection, None, 5_000).await;
    let rows = &batches[0].items;
    assert_eq!(
        rows[0].values[..6],
        [
            Value::Int(1),
            Value::Decimal("10.50".into()),
            Value::Decimal("12345678901234567890".into()),
            Value::Json(Json::trusted("[1, 2]")),
            Value::Bool(true),
            Value::Text("aé".into()),
        ]
    );
    assert_eq!(rows[1_000].get("id"), Some(&Value::Int(2)));
    assert_eq!(rows[1_000].get("later"), Some(&Value::Json(Json::trusted("{\"a\":1.0}"))));
    assert_eq!(rows[1_000].columns.names().len(), rows[1_000].values.len());
}

#[tokio::test]
async fn values_stand_where_they_were_described_whatever_the_order_of_a_file_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1.csv"), "a,b\n1,2\n").unwrap();
    fs::write(folder.path().join("2.csv"), "c,b,a\n6,5,4\n").unwrap();
    let selection = select(json!({ "path": "*.csv" }));
    let described = source(folder.path()).describe(&selection).await.unwrap();
    let batches = read(folder.path(), &selection, None, 100).await;
    for row in batches.iter().flat_map(|batch| &batch.items) {
        let names: Vec<&str> = described.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(row.columns.names(), names);
    }
    let rows: Vec<&Row> = batches.iter().flat_map(|batch| &batch.items).collect();
    assert_eq!(rows[0].get("c"), Some(&Value::Absent), "the file has no such column");
    assert_eq!(rows[1].get("a"), Some(&Value::Text("4".into())));
}

#[tokio::test]
async fn parquet_is_exact_and_read_on_from_every_batch() {
    let folder = tempfile::tempdir().unwrap();
    let price = Decimal128Array::from(vec![Some(1_050), None, Some(-1), Some(0), Some(7)])
        .with_precision_and_scale(38, 2)
        .unwrap();
    let at = TimestampNanosecondArray::from(vec![1_767_225_600_123_456_789_i64; 5]).with_timezone("UTC");
    let local = TimestampNanosecondArray::from(vec![-1_i64; 5]);
    let tags = ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>(
        (0..5).map(|n| Some(vec![Some(n), None])),
    );
    let nanos = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Nanosecond, zone.map(Into::into));
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("price", DataType::Decimal128(38, 2), true),
        Field::new("at", nanos(Some("UTC")), false),
        Field::new("local", nanos(None), false),
        Field::new_list("tags", Field::new_list_field(DataType::Int64, true), true),
    ]));
    let ids = Int64Array::from(vec![1, 2, 3, 4, 5]);
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![Arc::new(ids), Arc::new(price), Arc::new(at), Arc::new(local), Arc::new(tags)],
    )
    .unwrap();
    let file = fs::File::create(folder.path().join("p.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();

    let selection = select(json!({ "path": "*.parquet" }));
    let batches = read(folder.path(), &selection, None, 2).await;
    let rows: Vec<Row> = batches.iter().flat_map(|batch| batch.items.clone()).collect();
    assert_eq!(rows.len(), 5);
    assert_eq!(
        rows[0].values,
        [
            Value::Int(1),
            Value::Decimal("10.50".into()),
            Value::Timestamp("2026-01-01T00:00:00.123456789Z".parse::<Timestamp>().unwrap()),
            Value::DateTime("1969-12-31T23:59:59.999999999".parse().unwrap()),
            Value::Json(Json::trusted("[0,null]")),
        ]
    );
    assert_eq!(rows[1].values[1], Value::Null);
    assert_eq!(rows[2].values[1], Value::Decimal("-0.01".into()));
    let mut seen = 0;
    for batch in &batches {
        seen += batch.items.len();
        let rest = read(folder.path(), &selection, batch.checkpoint.clone(), 2).await;
        let rest: Vec<Row> = rest.into_iter().flat_map(|batch| batch.items).collect();
        assert_eq!(rest, rows[seen..]);
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in/a.csv"), "id\n1\n").unwrap();
    let source = source(folder.path());
    let none = source.describe(&select(json!({ "path": "out/*.csv" }))).await.expect_err("no file");
    assert_eq!(none.kind(), ErrorKind::Missing);
    let mode = ReadMode::Incremental { column: "id".into(), from: None, time_zone: "UTC".into() };
    let cursor =
        source.read(&select(json!({ "path": "in/*.csv" })), &mode, 10).await.err().expect("no cursor");
    assert_eq!(cursor.kind(), ErrorKind::Settings);
    let there = select(json!({ "path": "in/*.csv" }));
    let checks = source.check(Some(&there)).await.unwrap();
    assert!(checks.passed() && checks.0[1].detail == "1 found", "{checks:?}");
    let later = source.check(Some(&select(json!({ "path": "in/*.jsonl" })))).await.unwrap();
    assert!(later.passed() && later.0[1].remedy.is_some(), "a pattern without files is noted: {later:?}");
    assert_eq!(source.describe(&there).await.unwrap().columns[0].to_string(), "id text");
    assert!(!source.check(Some(&select(json!({ "path": "a.csv" })))).await.unwrap().passed());
    assert!(!source.check(Some(&select(json!({ "path": "out/*.csv" })))).await.unwrap().passed());
    let names: Vec<String> =
        source.discover().await.unwrap().into_iter().map(|dataset| dataset.name).collect();
    assert_eq!(names, ["in/*.csv"]);
    let unknown =
        source.describe(&select(json!({ "path": "in/*.csv", "delimiter": "é" }))).await.expect_err("no byte");
    assert_eq!(unknown.kind(), ErrorKind::Settings);
}

#[tokio::test]
async fn a_file_that_could_not_be_read_is_read_when_the_setting_is_corrected() {
    let latin: &[u8] = b"id,caf\xe9\n1,x\n";
    for (name, bytes, before, after, code) in [
        ("a.dat", &b"id,n\n1,x\n"[..], json!({}), json!({ "format": "csv" }), "unknown_format"),
        ("a.csv", &b"id,id\n1,x\n"[..], json!({}), json!({ "header": false }), "invalid_header"),
        ("a.csv", latin, json!({}), json!({ "encoding": "latin-1" }), "invalid_header"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        let with = |mut settings: serde_json::Value| {
            settings["path"] = json!(name);
            select(settings)
        };
        let first = read(folder.path(), &with(before.clone()), None, 10).await;
        assert_eq!(first[0].malformed[0].reason.code, code);
        let again = read(folder.path(), &with(before), place_of(&first), 10).await;
        assert!(again.is_empty(), "by the same settings it is not looked at again");

        let corrected = read(folder.path(), &with(after.clone()), place_of(&first), 10).await;
        assert!(told(&corrected).contains(&"1 x".to_owned()), "{code}: {:?}", told(&corrected));
        assert!(corrected[0].fixed.contains(&name.to_owned()), "the failed row is closed");
        let done = read(folder.path(), &with(after), place_of(&corrected), 10).await;
        assert!(done.is_empty(), "nothing is sent twice");
    }
}

/// Of a file that was read in part, rows were sent: other settings do not send them again.
#[tokio::test]
async fn a_file_of_which_rows_were_read_is_not_read_again_by_other_settings() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), b"id,n\n1,x\n2,caf\xe9\n").unwrap();
    let first = read(folder.path(), &select(json!({ "path": "a.csv" })), None, 10).await;
    assert_eq!(told(&first), ["1 x"]);
    let latin = select(json!({ "path": "a.csv", "encoding": "latin-1" }));
    assert!(read(folder.path(), &latin, place_of(&first), 10).await.is_empty());
}
