//! What third-party programs read in a table, and write into it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{all_delivered, delta, event_on, events, open, target};

/// Runs one of the programs in `clients/python/lake` and gives what it printed.
fn run(program: &str, arguments: &[&str]) -> Value {
    run_with(program, arguments, &[])
}

/// The same with these variables.
pub fn run_with(program: &str, arguments: &[&str], variables: &[(&str, String)]) -> Value {
    let python = std::env::var("TIDEGATE_TEST_LAKE_PYTHON").expect("scripts/test sets it");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python/lake").join(program);
    let done = Command::new(python)
        .arg(script)
        .args(arguments)
        .envs(variables.iter().cloned())
        .output()
        .expect("Python");
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn table(project: &Path) -> PathBuf {
    project.join("lake/onesignal_events/message_events")
}

#[tokio::test]
async fn deltalake_polars_and_duckdb_read_the_same_rows() {
    let project = tempdir().expect("folder");
    let target = target("export", json!({}));
    let sink = open(delta(), project.path(), &target);
    sink.deliver(&events(1..=300)).await.expect("a receipt");
    sink.deliver(&[event_on(301, -86_400), event_on(302, 0), event_on(303, 86_400)])
        .await
        .expect("a receipt");
    // A crash: the same again, cut in another way.
    let again = open(delta(), project.path(), &target);
    again.deliver(&events(250..=600)).await.expect("a receipt");

    let seen = run("read.py", &[table(project.path()).to_str().expect("path")]);

    let kinds = json!({ "message.email.opened": 200, "message.push.clicked": 200, "message.push.sent": 200 });
    assert_eq!(seen, json!({ "rows": 600, "ids": 600, "kinds": kinds }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_of_another_make_loses_nothing_and_takes_nothing() {
    let project = tempdir().expect("folder");
    let sink = open(delta(), project.path(), &target("export", json!({})));
    sink.deliver(&events(0..10)).await.expect("a receipt");
    let path = table(project.path()).to_str().expect("path").to_owned();
    let folder = path.clone();
    let other = tokio::task::spawn_blocking(move || run("append.py", &[&folder, "20"]));

    let mut round = 1;
    while round < 10 || !other.is_finished() {
        let receipt = sink.deliver(&events(round * 10..round * 10 + 10)).await.expect("a receipt");
        assert!(all_delivered(&receipt, 10));
        round += 1;
    }
    other.await.expect("the other writer");

    let seen = run("read.py", &[&path]);
    assert_eq!(seen["rows"], json!(round * 10 + 20));
    assert_eq!(seen["ids"], seen["rows"]);
    assert_eq!(seen["kinds"]["other"], json!(20));
}
