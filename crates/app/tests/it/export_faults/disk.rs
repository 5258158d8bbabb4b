//! Disks that fill up, and folders that cannot be written.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::{committed, in_files, in_table, offer, once, paused, project, resume, says, send, until};
use crate::bad_input::disk::Mount;
use crate::served::Served;
use crate::support::same;

/// Changes how the small disk is mounted.
fn remount(folder: &Path, options: &str) {
    let done = Command::new("mount")
        .args(["-o", &format!("remount,{options}")])
        .arg(folder)
        .status()
        .expect("mount");
    assert!(done.success(), "{options}");
}

/// Offers events of 20 kB, ten in a request, until one is refused.
async fn fill(served: &Served) -> (u32, crate::served::Answer) {
    for at in (0..4_000).step_by(10) {
        let answer = offer(served, at..at + 10, 20_000).await;
        if answer.status != 202 {
            return (at, answer);
        }
    }
    panic!("the disk does not fill up");
}

#[tokio::test]
async fn export_and_ingest_go_on_by_themselves_when_the_disk_of_the_log_has_room_again() {
    let project = project("{ type: files, path: out }", "format: jsonl, layout: events, commit_every: 1s");
    let data = project.path().join(".tidegate");
    let _disk = Mount::new(&data, "size=6m");
    let mut served = Served::start(&project);

    let (refused, answer) = fill(&served).await;

    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), "10");
    assert!(answer.body.contains("send them again"), "{}", answer.body);
    let shown = data.display().to_string();
    says(
        &served,
        &["events could not be made durable", "the disk is full", &shown, "free space on that disk"],
    )
    .await;
    assert_eq!(served.get("/healthz").await.status, 200);

    remount(&data, "size=64m");
    // No restart: what was refused is taken, and everything arrives.
    assert_eq!(offer(&served, refused..refused + 10, 20_000).await.status, 202);
    send(&served, refused + 10..refused + 200).await;
    let out = project.path().join("out");
    let all = once(0..refused + 200);
    until("every event is in a file", async || (in_files(&out).len() == all.len()).then_some(())).await;
    same("the files", &all, &in_files(&out));

    // What was confirmed is there after a crash, too, and is not written twice.
    assert!(served.kill());
    let served = Served::start(&project);
    send(&served, refused + 200..refused + 201).await;
    until("the next event is in a file", async || (in_files(&out).len() == all.len() + 1).then_some(()))
        .await;
    same("the files", &once(0..refused + 201), &in_files(&out));
}

#[tokio::test]
async fn export_into_files_goes_on_by_itself_when_the_full_disk_has_room_again() {
    let project = project("{ type: files, path: out }", "format: jsonl, layout: events, commit_every: 100ms");
    let out = project.path().join("out");
    let _disk = Mount::new(&out, "size=400k");
    let served = Served::start(&project);

    for at in (0..100).step_by(10) {
        assert_eq!(offer(&served, at..at + 10, 20_000).await.status, 202);
    }
    let shown = out.display().to_string();
    says(
        &served,
        &["sync failed; retrying automatically", &shown, "no space is left", "Next: free some disk space"],
    )
    .await;
    assert!(in_files(&out).len() < 100, "the disk is full before the end");

    remount(&out, "size=64m");
    until("every event is in a file", async || (in_files(&out).len() == 100).then_some(())).await;
    same("the files", &once(0..100), &in_files(&out));
}

#[tokio::test]
async fn export_into_a_table_goes_on_by_itself_when_the_full_disk_has_room_again() {
    /// Far more than the disk holds, however well they are packed.
    const EVENTS: u32 = 12_000;
    let project = project("{ type: delta, path: lake }", "layout: messages, table: t, commit_every: 100ms");
    let folder = project.path().join("lake");
    let _disk = Mount::new(&folder, "size=60k");
    let served = Served::start(&project);

    for at in (0..EVENTS).step_by(500) {
        send(&served, at..at + 500).await;
    }
    let shown = folder.display().to_string();
    says(
        &served,
        &["sync failed; retrying automatically", &shown, "no space is left", "Next: free some disk space"],
    )
    .await;

    remount(&folder, "size=64m");
    let table = folder.join("app_events/t");
    committed(&project).await;
    assert_eq!(in_table(&table), BTreeMap::from([("seen".to_owned(), u64::from(EVENTS))]));
}

#[tokio::test]
async fn export_into_a_folder_that_cannot_be_written_is_paused_and_resumed() {
    for (sink, to) in [
        ("{ type: files, path: out }", "format: jsonl, layout: events, commit_every: 100ms"),
        ("{ type: delta, path: out }", "layout: messages, table: t, commit_every: 100ms"),
    ] {
        let project = project(sink, to);
        let out = project.path().join("out");
        let _disk = Mount::new(&out, "size=8m");
        let served = Served::start(&project);
        send(&served, 0..100).await;
        committed(&project).await;

        remount(&out, "ro");
        send(&served, 100..200).await;
        let shown = out.display().to_string();
        paused(&project, &[&shown, "the file system is read-only", "Next: make the folder writable"]).await;

        remount(&out, "rw");
        resume(&project);
        committed(&project).await;
        if sink.contains("delta") {
            assert_eq!(in_table(&out.join("app_events/t")), BTreeMap::from([("seen".to_owned(), 200)]));
        } else {
            same("the files", &once(0..200), &in_files(&out));
        }
        assert_eq!(project.json(&["status", "out"])[0]["paused"], serde_json::Value::Null);
    }
}

#[test]
fn export_log_whose_folder_cannot_be_written_is_named_when_the_server_starts() {
    let project = project("{ type: files, path: out }", "format: jsonl");
    let events = project.path().join(".tidegate/events");
    let _disk = Mount::new(&events, "size=1m,ro");

    let told = project.done(&["serve", "--listen", "127.0.0.1:0"]);

    assert_eq!(told.code, 1, "{told:?}");
    for words in [events.to_str().expect("a path"), "let the user that runs tidegate read and write"] {
        assert!(told.stderr.contains(words), "{told:?}");
    }
}
