//! What else may lie in a folder: one bad file of many stops none of the others.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::json;
use tidegate_model::{ErrorKind, Source, Value};

use super::{place_of, read, rejected, select, source, told};

#[tokio::test]
async fn each_broken_file_is_one_rejected_item_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    super::values::write_ids(&at("good.parquet"), &[1]);
    let whole = fs::read(at("good.parquet")).unwrap();
    fs::write(at("empty.parquet"), b"").unwrap();
    fs::write(at("garbage.parquet"), b"garbage-garbage").unwrap();
    fs::write(at("torn.parquet"), &whole[..whole.len() - 20]).unwrap();
    fs::write(at("good.csv"), "id\n2\n").unwrap();
    fs::write(at("empty.csv"), "").unwrap();
    fs::write(at("twice.csv"), "id,id\n2,3\n").unwrap();
    fs::write(at("latin.csv"), b"id,caf\xe9\n2,3\n").unwrap();
    fs::write(at("open.csv"), "id,\"n\n2,3\n").unwrap();
    fs::write(at("excel.csv"), b"PK\x03\x04zip").unwrap();
    fs::write(at("bz.csv.bz2"), b"BZh91AY").unwrap();
    fs::write(at("notes.docx"), "?").unwrap();
    fs::write(at("good.jsonl"), "{\"id\":3}\n").unwrap();
    fs::write(at("empty.jsonl"), "").unwrap();
    fs::create_dir(at("folder.csv")).unwrap();

    let everything = select(json!({ "path": "*" }));
    let described = source(folder.path()).describe(&everything).await.unwrap();
    assert_eq!(described.columns.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["id"]);
    let first = read(folder.path(), &everything, None, 100).await;
    let mut rows = told(&first);
    rows.sort();
    assert_eq!(rows, ["1", "2", "3"]);
    let mut broken = rejected(&first);
    broken.sort();
    let why = |name: &str, part: &str| {
        let found = broken.iter().find(|(place, _)| place == name);
        assert!(found.is_some_and(|(_, why)| why.contains(part)), "{name}: {part}: {broken:?}");
    };
    why("empty.parquet", "Parquet");
    why("garbage.parquet", "Parquet");
    why("torn.parquet", "Parquet");
    why("twice.csv", "have one name");
    why("latin.csv", "encoding");
    why("open.csv", "a quote that begins in line 1 is not closed");
    why("excel.csv", "zip archive");
    why("bz.csv.bz2", "bzip2");
    why("notes.docx", "`format`");
    assert_eq!(broken.len(), 9, "{broken:?}");

    let second = read(folder.path(), &everything, place_of(&first), 100).await;
    assert!(second.is_empty(), "told once: {second:?}");
    fs::write(at("torn.parquet"), &whole).unwrap();
    fs::write(at("twice.csv"), "id,no\n2,3\n").unwrap();
    let fixed = read(folder.path(), &everything, place_of(&first), 100).await;
    assert_eq!(told(&fixed).len(), 2);
    assert!(rejected(&fixed).is_empty());
    let mut closed: Vec<&String> = fixed.iter().flat_map(|batch| &batch.fixed).collect();
    closed.sort();
    assert_eq!(closed, ["torn.parquet", "twice.csv"]);
    let checks = source(folder.path()).check(Some(&everything)).await.unwrap();
    let is_named = |name: &str| checks.0.iter().any(|check| check.detail.contains(name));
    assert!(checks.passed() && is_named("notes.docx") && is_named("folder.csv"), "{checks:?}");
}

#[tokio::test]
async fn a_line_that_was_fixed_in_its_file_is_closed_and_one_that_was_not_stays() {
    let folder = tempfile::tempdir().unwrap();
    for (name, broken, fixed, lines) in [
        ("a.csv", "id,n\n1\n2,\"x\n3,4\n", "id,n\n1,2\n2,\"x\n3,4\n", [2, 3]),
        ("a.jsonl", "{\"id\":\n[1]\n{\"id\":3}\n", "{\"id\":1}\n[1]\n{\"id\":3}\n", [1, 2]),
    ] {
        let path = folder.path().join(name);
        let selection = select(json!({ "path": name }));
        fs::write(&path, broken).unwrap();
        let first = read(folder.path(), &selection, None, 1).await;
        let indexes: Vec<String> = rejected(&first).into_iter().map(|(place, _)| place).collect();
        assert_eq!(indexes, lines.map(|line| format!("{name}:{line}")));

        fs::write(&path, fixed).unwrap();
        let second = read(folder.path(), &selection, place_of(&first), 1).await;
        let indexes: Vec<String> = rejected(&second).into_iter().map(|(place, _)| place).collect();
        assert_eq!(indexes, [format!("{name}:{}", lines[1])]);
        let closed: Vec<&String> = second.iter().flat_map(|batch| &batch.fixed).collect();
        assert_eq!(closed, [&name.to_owned(), &format!("{name}:{}", lines[0])]);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn names_that_are_no_text_and_links_to_themselves_stop_nothing() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "id\n1\n").unwrap();
    fs::write(folder.path().join(OsStr::from_bytes(b"b\xff.csv")), "id\n2\n").unwrap();
    std::os::unix::fs::symlink("loop.csv", folder.path().join("loop.csv")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("dangling.csv")).unwrap();
    let selection = select(json!({ "path": "**/*.csv" }));
    let first = read(folder.path(), &selection, None, 100).await;
    assert_eq!(told(&first), ["1"]);
    let mut indexes: Vec<String> = rejected(&first).into_iter().map(|(place, _)| place).collect();
    indexes.sort();
    assert_eq!(indexes, ["b\u{fffd}.csv", "loop.csv"]);
    assert!(read(folder.path(), &selection, place_of(&first), 100).await.is_empty(), "told once");
}

#[tokio::test]
async fn an_empty_folder_is_an_empty_read_and_a_missing_one_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("drops")).unwrap();
    let source = source(folder.path());
    for path in ["*.csv", "drops/*.csv", "**/*.csv"] {
        let selection = select(json!({ "path": path }));
        let described = source.describe(&selection).await.unwrap();
        assert!(described.columns.is_empty() && described.open, "{path}");
        assert!(read(folder.path(), &selection, None, 100).await.is_empty(), "{path}");
    }
    for path in ["gone/*.csv", "drops/gone/**/*.csv", "drops/a.csv"] {
        let error = source.describe(&select(json!({ "path": path }))).await.expect_err(path);
        assert_eq!(error.kind(), ErrorKind::Missing, "{path}");
    }
}

#[tokio::test]
async fn a_mount_that_was_away_for_a_while_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for place in ["eu", "us"] {
        fs::create_dir(at(place)).unwrap();
        fs::write(at(place).join("a.csv"), format!("id\n{place}\n")).unwrap();
    }
    let selection = select(json!({ "path": "*/*.csv" }));
    let first = read(folder.path(), &selection, None, 100).await;
    fs::rename(at("eu"), at(".away")).unwrap();
    fs::write(at("us/b.csv"), "id\nnew\n").unwrap();
    let second = read(folder.path(), &selection, place_of(&first), 100).await;
    assert_eq!(told(&second), ["new"]);
    fs::rename(at(".away"), at("eu")).unwrap();
    assert!(read(folder.path(), &selection, place_of(&second), 100).await.is_empty());
}

#[tokio::test]
async fn folders_of_hive_are_columns() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for day in ["day=2026-11-21", "day=2026-11-22"] {
        fs::create_dir(at(day)).unwrap();
        super::values::write_ids(&at(day).join("part-0.parquet"), &[1]);
        fs::write(at(day).join("a.csv"), "id\n2\n").unwrap();
        fs::write(at(day).join("a.jsonl"), "{\"id\":3}\n").unwrap();
    }
    for path in ["**/*.parquet", "**/*.csv", "**/*.jsonl"] {
        let selection = select(json!({ "path": path }));
        let described = source(folder.path()).describe(&selection).await.unwrap();
        assert_eq!(described.columns[1].to_string(), "day text (folder)", "{path}");
        let batches = read(folder.path(), &selection, None, 100).await;
        let rows = batches.iter().flat_map(|batch| &batch.items);
        let days: Vec<Option<&Value>> = rows.map(|row| row.get("day")).collect();
        let text = |day: &str| Value::Text(day.into());
        assert_eq!(days, [Some(&text("2026-11-21")), Some(&text("2026-11-22"))], "{path}");
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(text).unwrap();
    writer.finish().unwrap()
}

#[tokio::test]
async fn compressed_files_are_read_by_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.csv.gz"), gzip(b"\xef\xbb\xbfid,n\nu1,a\nu2,b\n")).unwrap();
    fs::write(at("b.jsonl.zst"), zstd::encode_all(&b"{\"id\":\"u3\"}\n{\"id\":\"u4\"}\n"[..], 1).unwrap())
        .unwrap();
    fs::write(at("c.csv"), gzip(b"id,n\nu5,c\n")).unwrap();
    for (path, expected) in
        [("*.csv.gz", vec!["u1 a", "u2 b"]), ("*.zst", vec!["u3", "u4"]), ("c.csv", vec!["u5 c"])]
    {
        let selection = select(json!({ "path": path }));
        let batches = read(folder.path(), &selection, None, 1).await;
        assert_eq!(told(&batches), expected, "{path}");
        let rest = read(folder.path(), &selection, batches[0].checkpoint.clone(), 1).await;
        assert_eq!(told(&rest), expected[1..], "{path}");
        assert!(read(folder.path(), &selection, place_of(&batches), 1).await.is_empty(), "{path}");
    }
    // Two compressed files, one after the other, are one.
    let all = [fs::read(at("a.csv.gz")).unwrap(), gzip(b"u6,d\n")].concat();
    let selection = select(json!({ "path": "*.csv.gz" }));
    let before = read(folder.path(), &selection, None, 100).await;
    fs::write(at("a.csv.gz"), all).unwrap();
    assert_eq!(told(&read(folder.path(), &selection, place_of(&before), 100).await), ["u6 d"]);
}

#[tokio::test]
async fn a_compressed_file_that_ends_early_gives_what_it_has_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..20_000).map(|id| format!("u{id},{}\n", id * 7919)).collect();
    let whole = gzip(format!("id,n\n{lines}").as_bytes());
    cut(&folder.path().join("a.csv.gz"), &whole);
    let selection = select(json!({ "path": "*.gz" }));
    let batches = read(folder.path(), &selection, None, 100).await;
    assert_eq!(
        rejected(&batches),
        [("a.csv.gz".to_owned(), "the compressed file is damaged or ends early".to_owned())]
    );
    let before = told(&batches).len();
    assert!(before > 1_000 && before < 20_000, "{before}");
    // The rest comes, and only the rest.
    fs::write(folder.path().join("a.csv.gz"), &whole).unwrap();
    let rest = read(folder.path(), &selection, place_of(&batches), 100).await;
    assert_eq!(before + told(&rest).len(), 20_000);
}

fn cut(path: &Path, whole: &[u8]) {
    fs::write(path, &whole[..whole.len() / 2]).unwrap();
}
