//! A backup that is made while everything runs, and what a lost folder is restored to.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{SHOP, arrived, ids, send};
use crate::leaks::holds;
use crate::served::Served;
use crate::support::{Database, Ended, Project, Sandbox, once, same};

const CANARY: &str = "canary-bea-31c8";

async fn scene(sandbox: &Sandbox) -> (Database, Project) {
    let database = Database::create().await;
    database
        .run(&format!(
            "CREATE TABLE orders (id bigint PRIMARY KEY, ordered_at timestamptz NOT NULL, customer text);
             INSERT INTO orders SELECT id, '2026-03-01Z'::timestamptz + id * interval '1 second', 'u' || id % 50
                 FROM generate_series(1, 4000) AS id;
             UPDATE orders SET customer = '{CANARY}' WHERE id IN (7, 3990);
             CREATE TABLE people (id text PRIMARY KEY, plan text);
             INSERT INTO people VALUES ('{CANARY}', 'free'), ('u1', 'free'), ('u2', 'paid');"
        ))
        .await;
    let project = Project::new(&format!(
        "connections:
{SHOP}  db: {}
{}  lake: {{ type: delta, path: lake }}
syncs:
  orders: {{ source: {{ connection: db, table: orders }}, cursor: ordered_at, destination: {{ connection: braze, object: event }}, mapping: {{ external_id: customer, name: {{ value: ordered }}, timestamp: ordered_at, properties: [id] }} }}
  people: {{ source: {{ connection: db, table: people }}, mode: full, destination: {{ connection: braze, object: user }}, mapping: {{ external_id: id, attributes: [plan] }} }}
  log: {{ source: {{ connection: shop }}, destination: {{ connection: lake, table: log, commit_every: 100ms }} }}
",
        database.connection(),
        sandbox.connections(),
    ));
    (database, project)
}

/// Runs a command beside everything else.
async fn beside(project: &Project, words: &[&str]) -> Ended {
    let mut command = project.tidegate(words);
    let output = tokio::task::spawn_blocking(move || command.output().expect("tidegate starts"));
    Ended::of(&output.await.expect("it ends"))
}

/// Each order that was sent is at the platform once.
async fn each_order_once(sandbox: &Sandbox, count: u32, when: &str) {
    same(when, &once(count), &sandbox.times("braze/events", "/properties/id").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_of_a_server_under_load_is_restored_without_a_doubled_row_and_without_an_erased_user() {
    let sandbox = Sandbox::start(&["--no-limits", "--faults", r#"{"latency_ms": 40}"#]);
    let (database, project) = scene(&sandbox).await;
    let (data, room) = (project.path().join(".tidegate"), tempfile::tempdir().expect("a folder"));
    let folder = room.path().join("backup");
    let backup = folder.to_str().expect("text");
    let served = Served::start(&project);
    project.run("people");
    let event = json!({ "id": "e-bea", "kind": "seen", "user_id": CANARY }).to_string();
    let bearer = ("authorization", "Bearer a-token-of-the-shops-own");
    assert_eq!(served.post("/in/events/shop", &[bearer], event).await.status, 202);

    // A run and senders of events are at work while the backup is made.
    let run = project.start("orders");
    sandbox.wait_for("braze", "events", 100).await;
    let stop = AtomicBool::new(false);
    let load = async {
        let mut next = 0;
        while !stop.load(Ordering::Relaxed) || next < 200 {
            send(&served, next..next + 20).await;
            next += 20;
        }
        next
    };
    let backing = async {
        let done = beside(&project, &["backup", backup]).await;
        stop.store(true, Ordering::Relaxed);
        done
    };
    let (sent, done) = tokio::join!(load, backing);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.stdout.contains("backed up to") && done.stderr.contains("the master key is in it"),
        "{done:?}"
    );
    let run = Ended::of(&run.wait_with_output().expect("it ends"));
    assert_eq!(run.code, 0, "{run:?}");

    // More rows and events arrive.
    database
        .run(
            "INSERT INTO orders SELECT id, '2026-03-02Z'::timestamptz + id * interval '1 second', 'u1'
                 FROM generate_series(4001, 4500) AS id",
        )
        .await;
    project.run_to("orders", "succeeded", &[("delivered", 500)]);
    send(&served, sent..sent + 100).await;
    let sent = sent + 100;
    let mut expected = ids(0..sent);
    expected.insert("e-bea".to_owned(), 1);
    arrived(&project, "log", &expected).await;
    served.stop().await;
    each_order_once(&sandbox, 4_500, "before the folder is lost").await;

    // A user is erased, first at the source.
    database
        .run(&format!(
            "DELETE FROM people WHERE id = '{CANARY}'; DELETE FROM orders WHERE customer = '{CANARY}'"
        ))
        .await;
    let erased = project.json(&["users", "erase", CANARY]);
    assert_eq!(erased["backups"], json!([folder.canonicalize().expect("there")]), "{erased:#}");
    // And a second one, as in any month.
    project.json(&["users", "erase", "someone-else"]);
    let former = std::fs::metadata(folder.join("SHA256SUMS")).expect("there");

    // The folder is lost.
    std::fs::remove_dir_all(&data).expect("removed");
    let restored = project.document(&["restore", backup]);

    assert_eq!(restored["erased"], 2, "{restored:#}");
    assert_eq!(restored["erased_by"], json!([folder.join("erased")]), "{restored:#}");
    let paused = |name: &str| {
        let syncs = restored["syncs"].as_array().expect("a list");
        syncs.iter().find(|sync| sync["sync"] == name).map(|sync| sync["paused"] == true)
    };
    assert_eq!((paused("orders"), paused("people"), paused("log")), (Some(true), Some(false), Some(false)));
    assert!(!holds(&data, CANARY), "{restored:#}");
    assert_eq!(std::fs::metadata(folder.join("SHA256SUMS")).expect("there").len(), former.len());
    assert_eq!(project.json(&["users", "erasures", CANARY])["erasures"].as_array().map(Vec::len), Some(1));

    // What would count twice waits for a person, what would not continues.
    let refused = project.done(&["run", "orders"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("restored from a backup of"), "{refused:?}");
    each_order_once(&sandbox, 4_500, "after the folder was restored").await;
    project.run_to("people", "succeeded", &[("delivered", 2)]);
    let served = Served::start(&project);
    send(&served, sent..sent + 100).await;
    expected.extend(ids(sent..sent + 100));
    arrived(&project, "log", &expected).await;
    served.stop().await;
    project.done(&["resume", "orders"]);
    let run = project.run("orders");
    assert!(run["counts"]["delivered"].as_u64().is_some_and(|again| again >= 500), "{run:#}");
    assert!(!holds(&data, CANARY));
    leaves_no_trace(project.path());
}

/// Nothing but the data folder is left beside the project.
fn leaves_no_trace(project: &Path) {
    let names = std::fs::read_dir(project).expect("listed").flatten().map(|entry| entry.file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".tidegate-restore")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn backup_is_not_put_in_the_place_of_state_unasked_and_damage_changes_nothing() {
    let project = Project::new("connections:\n  own: { type: profiles }\nsyncs: {}\n");
    let room = tempfile::tempdir().expect("a folder");
    let folder = room.path().join("backup");
    let backup = folder.to_str().expect("text");
    project.done(&["status"]);
    project.write(".tidegate/notes.txt", "of now");
    assert_eq!(project.done(&["backup", backup]).code, 0);
    let again = project.done(&["backup", backup]);
    assert!(again.code == 2 && again.stderr.contains("is not empty"), "{again:?}");

    let refused = project.done(&["restore", backup]);
    assert!(refused.code == 2 && refused.stderr.contains("--replace"), "{refused:?}");
    let notes = folder.join("notes.txt");
    std::fs::write(&notes, "of non").expect("written");
    let damaged = project.done(&["restore", backup, "--replace"]);
    assert!(damaged.code == 1 && damaged.stderr.contains("is damaged: notes.txt"), "{damaged:?}");
    std::fs::write(&notes, "of now").expect("written");
    project.write(".tidegate/notes.txt", "of later");
    let restored = project.document(&["restore", backup, "--replace"]);

    let text = std::fs::read_to_string(project.path().join(".tidegate/notes.txt")).expect("restored");
    assert_eq!(text, "of now");
    let mode =
        std::os::unix::fs::MetadataExt::mode(&project.path().join(".tidegate").metadata().expect("there"));
    assert_eq!(mode & 0o777, 0o700, "other users look into the restored folder");
    let former = restored["replaced"].as_str().expect("a folder");
    assert_eq!(std::fs::read_to_string(Path::new(former).join("notes.txt")).expect("kept"), "of later");
    leaves_no_trace(project.path());
}
