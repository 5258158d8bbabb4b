//! CSV as it is written elsewhere: what keeps the rules is read, what breaks them is
//! rejected with its line.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value as Settings, json};
use tidegate_model::{Batch, Row};

use super::{place_of, read, rejected, select, source, told};
use tidegate_model::Source as _;

async fn read_file(content: &[u8], settings: Settings) -> Vec<Batch<Row>> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), content).unwrap();
    read(folder.path(), &with_path(settings), None, 100).await
}

fn with_path(mut settings: Settings) -> tidegate_model::Selection {
    settings["path"] = json!("a.csv");
    select(settings)
}

fn indexes(batches: &[Batch<Row>]) -> Vec<String> {
    rejected(batches).into_iter().map(|(place, _)| place).collect()
}

#[tokio::test]
async fn an_unclosed_quote_swallows_no_rows() {
    let batches = read_file(b"id,note\n1,\"abc\n2,def\n3,ghi\n", json!({})).await;
    assert_eq!(told(&batches), ["2 def", "3 ghi"]);
    let not_closed = "a quote that begins in line 2 is not closed".to_owned();
    assert_eq!(rejected(&batches), [("a.csv:2".to_owned(), not_closed.clone())]);

    // Closed by the quote that opens another cell.
    let batches = read_file(b"id,note\n1,\"abc\n2,\"def\"\n3,ghi\n", json!({})).await;
    assert_eq!(told(&batches), ["2 def", "3 ghi"]);
    assert_eq!(rejected(&batches), [("a.csv:2".to_owned(), not_closed)]);
}

#[tokio::test]
async fn a_quote_inside_quotes_that_is_not_doubled_alters_no_text() {
    let content = b"id,note\n1,\"say \\\"hi\\\" now\"\n2,\"Issue \"Witho\" x\"\n3,\"C:\\dir\\\"\n4,good\n5,\"abc\"def\n";
    let batches = read_file(content, json!({})).await;
    assert_eq!(told(&batches), ["3 C:\\dir\\", "4 good"]);
    assert_eq!(indexes(&batches), ["a.csv:2", "a.csv:3", "a.csv:6"]);

    let batches = read_file(b"id,note\n1,\"say \\\"hi\\\" now\"\n4,good\n", json!({ "escape": "\\" })).await;
    assert_eq!(told(&batches), ["1 say \"hi\" now", "4 good"]);
}

#[tokio::test]
async fn line_numbers_are_those_of_an_editor() {
    // A mark, a header of two lines, CRLF, line breaks in cells, an empty line, then two wrong lines.
    let content = "\u{feff}id,\"the\r\nnote\"\r\n1,\"a\r\nb\r\nc\"\r\n\r\n2\r\n3,x\r\n4,\"y\" z\r\n";
    for batch_rows in [1, 100] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.csv"), content).unwrap();
        let batches = read(folder.path(), &with_path(json!({})), None, batch_rows).await;
        assert_eq!(told(&batches), ["1 a\r\nb\r\nc", "3 x"]);
        assert_eq!(indexes(&batches), ["a.csv:7", "a.csv:9"]);
        // And when it is read on from the first batch.
        if batch_rows == 1 {
            let rest = read(folder.path(), &with_path(json!({})), batches[0].checkpoint.clone(), 100).await;
            assert_eq!(
                (told(&rest), indexes(&rest)),
                (vec!["3 x".to_owned()], vec!["a.csv:7".into(), "a.csv:9".into()])
            );
        }
    }
}

#[tokio::test]
async fn a_record_of_the_wrong_length_says_which_lines_it_has() {
    let batches = read_file(b"id,a,b\n1,\"x\ny\"\n2,3,4\n", json!({})).await;
    assert_eq!(told(&batches), ["2 3 4"]);
    let (place, why) = rejected(&batches).remove(0);
    assert_eq!(place, "a.csv:2");
    assert_eq!(why, "2 cells, and the file has 3 columns; the record goes from line 2 to line 3");
}

#[tokio::test]
async fn a_dialect_is_what_the_settings_say() {
    for (content, settings, expected) in [
        ("id;'n'\n1;'it''s; here'\n", json!({ "delimiter": ";", "quote": "'" }), vec!["1 it's; here"]),
        ("id\tn\n1\t\"5\"\"\n", json!({ "delimiter": "\t", "quote": "" }), vec!["1 \"5\"\""]),
        ("# made today\nid,n\n# more\n1,#2\n", json!({ "comment": "#" }), vec!["1 #2"]),
        ("1,a\n2,b\n", json!({ "header": false }), vec!["1 a", "2 b"]),
    ] {
        let batches = read_file(content.as_bytes(), settings.clone()).await;
        assert_eq!(told(&batches), expected, "{settings}");
        assert!(rejected(&batches).is_empty(), "{settings}");
    }
    for wrong in [
        json!({ "quote": "''" }),
        json!({ "quote": "," }),
        json!({ "escape": "é" }),
        json!({ "comment": "\n" }),
        json!({ "encoding": "ebcdic" }),
    ] {
        let folder = tempfile::tempdir().unwrap();
        assert!(source(folder.path()).describe(&with_path(wrong.clone())).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn other_encodings_are_read_and_never_guessed_into_other_letters() {
    let batches = read_file(b"id,n\n1,caf\xe9\n2,a\n", json!({})).await;
    assert_eq!((told(&batches), indexes(&batches)), (vec!["2 a".to_owned()], vec!["a.csv:2".to_owned()]));
    let batches = read_file(b"id,n\n1,caf\xe9\n", json!({ "encoding": "latin-1" })).await;
    assert_eq!(told(&batches), ["1 café"]);
    let batches = read_file(b"id,n\n1,5 \x80\n2,\x81\n", json!({ "encoding": "windows-1252" })).await;
    assert_eq!((told(&batches), indexes(&batches)), (vec!["1 5 €".to_owned()], vec!["a.csv:3".to_owned()]));
    let header = read_file(b"id,caf\xe9\n1,2\n", json!({})).await;
    assert_eq!(indexes(&header), ["a.csv"]);
}

#[tokio::test]
async fn utf_16_with_a_mark_is_read_as_it_grows() {
    let bytes = |text: &str, big: bool| -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    };
    for big in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, bytes("\u{feff}id,n\r\n1,\"ä\r\n🎈\"\r\n2\r\n3,日本\r\n", big)).unwrap();
        let first = read(folder.path(), &with_path(json!({})), None, 1).await;
        assert_eq!(told(&first), ["1 ä\r\n🎈", "3 日本"]);
        assert_eq!(indexes(&first), ["a.csv:4"]);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&bytes("4,ö\r\n", big)).unwrap();
        let second = read(folder.path(), &with_path(json!({})), place_of(&first), 1).await;
        assert_eq!(told(&second), ["4 ö"]);
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_rejected_and_not_kept_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    write_long(&folder.path().join("a.csv"), b"id,n\n1,a\n", b"\n2,b\n");
    write_long(&folder.path().join("a.jsonl"), b"{\"id\":1}\n", b"\n{\"id\":2}\n");
    for (name, line) in [("a.csv", 3), ("a.jsonl", 2)] {
        let batches = read(folder.path(), &select(json!({ "path": name })), None, 100).await;
        assert_eq!(told(&batches).len(), 2, "{name}");
        let (place, why) = rejected(&batches).remove(0);
        assert_eq!(place, format!("{name}:{line}"));
        assert!(why.contains("the longest is 16 MiB"), "{why}");
    }
}

/// Twenty million letters in one line.
fn write_long(path: &Path, before: &[u8], behind: &[u8]) {
    let mut file = fs::File::create(path).unwrap();
    file.write_all(before).unwrap();
    for _ in 0..20 {
        file.write_all(&[b'x'; 1_000_000]).unwrap();
    }
    file.write_all(behind).unwrap();
}

#[tokio::test]
async fn a_file_of_quotes_that_do_not_close_ends_soon() {
    // Each line leaves a quote open to the end: read line by line it would take hours.
    let content = format!("id,n\n{}", "a\",\"\n".repeat(400_000));
    let started = std::time::Instant::now();
    let batches = read_file(content.as_bytes(), json!({})).await;
    let (place, why) = rejected(&batches).pop().unwrap();
    assert_eq!(place, "a.csv");
    assert!(why.contains("too many quotes are not closed"), "{why}");
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
