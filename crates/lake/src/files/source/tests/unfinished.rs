//! Files that are being written while they are read.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tidegate_model::{Batch, Checkpoint, ReadMode, Row, Source};

use super::{place_of, rejected, select, source_at, told};

/// Reads as long after now as `seconds`.
#[expect(clippy::disallowed_methods, reason = "files get their times from the system")]
async fn read_after(folder: &Path, path: &str, after: Option<Checkpoint>, seconds: i64) -> Vec<Batch<Row>> {
    let source = source_at(folder, Timestamp::now() + SignedDuration::from_secs(seconds));
    let mode = ReadMode::Resume { checkpoint: after, follow: false };
    let feed = source.read(&select(json!({ "path": path })), &mode, 100).await.unwrap();
    feed.try_collect().await.unwrap()
}

fn append(path: &Path, text: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text).unwrap();
}

fn waiting(batches: &[Batch<Row>]) -> u64 {
    batches.iter().map(|batch| batch.not_due).sum()
}

#[tokio::test]
async fn a_line_that_is_just_being_written_is_no_row() {
    let folder = tempfile::tempdir().unwrap();
    for (name, start, rest, whole) in [
        ("a.csv", "id,n\nu1,1\nu2,12", "345\nu3,3\n", ["u2 12345", "u3 3"]),
        ("b.csv", "id,n\nu1,1\nu2,\"x\n", "y\"\nu3,3\n", ["u2 x\ny", "u3 3"]),
        ("c.csv", "id,n\r\nu1,1\r\nu2,2\r", "\nu3,3\r\n", ["u2 2", "u3 3"]),
        (
            "d.jsonl",
            "{\"id\":\"u1\",\"n\":1}\n{\"id\":\"u2\",\"n\":2",
            "2}\n{\"id\":\"u3\",\"n\":3}\n",
            ["u2 22", "u3 3"],
        ),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, start).unwrap();
        let first = read_after(folder.path(), name, None, 0).await;
        assert_eq!((told(&first), waiting(&first)), (vec!["u1 1".to_owned()], 1), "{name}");
        let still_writing = read_after(folder.path(), name, place_of(&first), 3).await;
        assert_eq!((told(&still_writing).len(), waiting(&still_writing)), (0, 1), "{name}");

        append(&path, rest.as_bytes());
        let second = read_after(folder.path(), name, place_of(&still_writing), 0).await;
        assert_eq!(told(&second), whole, "{name}");
        assert!(rejected(&second).is_empty(), "{name}: {:?}", rejected(&second));
    }
}

#[tokio::test]
async fn a_last_line_without_a_line_break_is_a_row_when_the_file_has_been_still() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "id,n\nu1,1\nu2,2").unwrap();
    let first = read_after(folder.path(), "*.csv", None, 0).await;
    assert_eq!(told(&first), ["u1 1"]);
    let later = read_after(folder.path(), "*.csv", place_of(&first), 11).await;
    assert_eq!(told(&later), ["u2 2"]);
    assert!(read_after(folder.path(), "*.csv", place_of(&later), 60).await.is_empty());
    // Its line break is nothing new, a further row is.
    append(&path, b"\nu3,3\n");
    let grown = read_after(folder.path(), "*.csv", place_of(&later), 60).await;
    assert_eq!(told(&grown), ["u3 3"]);
}

#[tokio::test]
async fn a_quote_that_is_open_at_the_end_of_a_still_file_is_rejected_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "id,note\nu1,\"x\n").unwrap();
    let first = read_after(folder.path(), "*.csv", None, 0).await;
    assert!(told(&first).is_empty() && rejected(&first).is_empty(), "{first:?}");
    let later = read_after(folder.path(), "*.csv", place_of(&first), 11).await;
    let expected = ("a.csv:2".to_owned(), "a quote that begins in line 2 is not closed".to_owned());
    assert_eq!(rejected(&later), [expected]);
    assert!(read_after(folder.path(), "*.csv", place_of(&later), 60).await.is_empty(), "once");
}

#[tokio::test]
async fn a_stray_quote_in_the_last_line_sends_it_once() {
    let folder = tempfile::tempdir().unwrap();
    for (name, line) in [("a.csv", "1,5\" pipe\n"), ("b.csv", "1,a\"b\"c\"d\r\n")] {
        let path = folder.path().join(name);
        fs::write(&path, format!("id,size\n{line}")).unwrap();
        let first = read_after(folder.path(), name, None, 60).await;
        assert_eq!(told(&first).len(), 1);
        append(&path, b"2,x\n");
        let second = read_after(folder.path(), name, place_of(&first), 60).await;
        assert_eq!(told(&second), ["2 x"], "{name}");
        assert!(read_after(folder.path(), name, place_of(&second), 60).await.is_empty());
    }
}

#[tokio::test]
async fn half_a_header_names_no_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "id,na").unwrap();
    let first = read_after(folder.path(), "*.csv", None, 0).await;
    assert_eq!(waiting(&first), 1);
    append(&path, b"me\n1,ann\n");
    let second = read_after(folder.path(), "*.csv", place_of(&first), 0).await;
    assert_eq!(told(&second), ["1 ann"]);
    assert_eq!(second[0].items[0].columns.names(), ["id", "name"]);
}

#[tokio::test]
async fn a_parquet_file_that_is_being_copied_is_not_broken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    super::values::write_ids(&path, &[1, 2]);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let first = read_after(folder.path(), "*.parquet", None, 0).await;
    assert!(rejected(&first).is_empty() && waiting(&first) == 1, "{first:?}");
    fs::write(&path, &whole).unwrap();
    assert_eq!(told(&read_after(folder.path(), "*.parquet", place_of(&first), 0).await), ["1", "2"]);
}
