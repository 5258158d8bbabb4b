//! State that an earlier version wrote is opened by this one, which continues from it.
//!
//! `tests/state/` has backups, named after the version and the steps of its tables. None is ever changed. With each
//! step that is added to `state/src/store/migrations.rs` one more is written, and named in `STATES`:
//!
//! ```text
//! UPDATE=1 cargo nextest run -p tidegate --run-ignored only -E 'test(state_of_this_version_is_written)'
//! ```

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::served::Served;
use crate::support::{Project, Sandbox};

/// The states that this version has to open, oldest first. The last one has the tables of this version.
const STATES: [&str; 4] = ["0.1.0-2", "0.1.0-6", "0.1.0-7", "0.1.0-8"];
const BEARER: (&str, &str) = ("authorization", "Bearer a-token-of-the-shops-own");
/// The third one is rejected: it has no id.
const CUSTOMERS: &str = "id,first_name,plan\n1,Amélie,free\n2,小明,pro\n,Nameless,free\n4,ليلى,pro\n";

fn newest() -> &'static str {
    STATES[STATES.len() - 1]
}

fn archive(state: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/state").join(format!("{state}.tar.gz"))
}

/// The project whose state it is. Its state is kept for longer than any test run lies ahead.
fn project(sandbox: &Sandbox) -> Project {
    let mut project = Project::new(&format!(
        "connections:
  drops: {{ type: files, path: drops }}
  shop: {{ type: events, token: a-token-of-the-shops-own }}
  out: {{ type: files, path: out }}
{}retention: {{ events: 36500d }}
syncs:
  customers: {{ source: {{ connection: drops, path: \"customers.csv\" }}, mode: full, primary_key: id, destination: {{ connection: braze, object: user }}, mapping: {{ external_id: id, attributes: [first_name, plan] }} }}
  orders: {{ source: {{ connection: drops, path: \"orders-*.csv\" }}, destination: {{ connection: braze, object: event }}, mapping: {{ external_id: customer, name: {{ value: ordered }}, properties: [id] }} }}
  seen: {{ source: {{ connection: shop }}, destination: {{ connection: out }} }}
",
        sandbox.connections()
    ));
    project.set("TIDEGATE_HISTORY_DAYS", "0");
    project.write("drops/customers.csv", CUSTOMERS);
    project.write("drops/orders-1.csv", "id,customer\n100,1\n101,2\n");
    project
}

async fn send(served: &Served, id: &str, user: &str) {
    let body = json!({ "id": id, "kind": "seen", "user_id": user }).to_string();
    assert_eq!(served.post("/in/events/shop", &[BEARER], body).await.status, 202);
}

#[tokio::test]
#[ignore = "writes the state that later versions have to open"]
async fn state_of_this_version_is_written() {
    let sandbox = Sandbox::start(&["--memory"]);
    let project = project(&sandbox);
    project.run("customers");
    project.run("orders");
    let mut set =
        project.tidegate(&["secret", "set", "braze_key"]).stdin(Stdio::piped()).spawn().expect("starts");
    std::io::Write::write_all(&mut set.stdin.take().expect("piped"), b"sesame").expect("written");
    assert!(set.wait().expect("ended").success());
    let served = Served::start(&project);
    for (id, user) in [("e1", "1"), ("e2", "2"), ("e3", "erased")] {
        send(&served, id, user).await;
    }
    served.stop().await;
    project.run("seen");
    assert_eq!(project.done(&["users", "erase", "erased"]).code, 0);
    project.done(&["pause", "orders", "--why", "until the upgrade"]);

    let room = tempfile::tempdir().expect("a folder");
    let backup = room.path().join("backup");
    assert_eq!(project.done(&["backup", backup.to_str().expect("text")]).code, 0);
    if std::env::var_os("UPDATE").is_some() {
        let archive = archive(newest());
        assert!(!archive.exists(), "{} is never changed: name a new one in STATES", archive.display());
        let packed = Command::new("tar").arg("-czf").arg(archive).arg("-C").arg(&backup).arg(".").status();
        assert!(packed.expect("tar starts").success());
    }
}

/// Puts a state into the folder of a new project.
fn restored(state: &str, sandbox: &Sandbox) -> Project {
    let project = project(sandbox);
    let backup = tempfile::tempdir().expect("a folder");
    let mut tar = Command::new("tar");
    tar.arg("-xz").arg("-C").arg(backup.path()).stdin(File::open(archive(state)).expect("there"));
    assert!(tar.status().expect("tar starts").success());

    let restored = project.done(&["restore", backup.path().to_str().expect("text")]);

    assert_eq!(restored.code, 0, "the state {state} that is checked in cannot be opened: {restored:?}");
    project
}

/// Whether the tables of a state stepped forward when it was opened.
fn stepped_forward(project: &Project) -> bool {
    let files = fs::read_dir(project.path().join(".tidegate")).expect("there").flatten();
    files
        .map(|file| file.file_name())
        .any(|name| name.to_string_lossy().starts_with("tidegate.db.before-step-"))
}

#[tokio::test]
async fn upgrade_state_of_an_earlier_version_is_opened_read_and_continued() {
    for state in STATES {
        let sandbox = Sandbox::start(&["--memory"]);
        let project = restored(state, &sandbox);
        is_read_and_continued(&project).await;
        assert_eq!(
            stepped_forward(&project),
            state != newest(),
            "{state}: the last state has the steps of this version; add one, as the head of this file says"
        );
    }
}

async fn is_read_and_continued(project: &Project) {
    let users = |rows: &[Value]| {
        let mut users: Vec<String> =
            rows.iter().map(|row| row["user"].as_str().unwrap_or_default().into()).collect();
        users.sort();
        users
    };
    assert_eq!(users(&project.rows(&["--sync", "customers", "--delivered"])), ["1", "2", "4"]);
    let open = project.rows(&["--open"]);
    assert_eq!(open.len(), 1, "{open:#?}");
    assert!(open[0]["row"].to_string().contains("Nameless"), "its contents are opened: {open:#?}");
    let runs = project.json(&["runs"]);
    assert!(runs.as_array().is_some_and(|runs| runs.len() >= 3), "of each sync: {runs:#}");
    assert_eq!(project.json(&["secret", "list"]), json!(["braze_key"]));
    assert_eq!(project.json(&["users", "erasures", "erased"])["erasures"].as_array().map(Vec::len), Some(1));
    let events = project.json(&["events", "shop", "--last", "10"]);
    assert_eq!(events.as_array().map(Vec::len), Some(2), "{events:#}");
    let status = project.json(&["status"]);
    let orders = status.as_array().expect("a list").iter().find(|sync| sync["sync"] == "orders");
    assert_eq!(orders.expect("there")["paused"]["why"], "until the upgrade", "{status:#}");

    // It continues: lines that were read are not read again, and events that were exported are not either.
    project.write("drops/orders-2.csv", "id,customer\n102,4\n");
    project.done(&["resume", "orders"]);
    // The sandbox has another port than the one when the state was written.
    let run = project.json(&["run", "orders", "--yes"])[0].clone();
    assert_eq!((&run["ending"], &run["counts"]["delivered"]), (&"succeeded".into(), &1.into()), "{run:#}");
    let served = Served::start(project);
    send(&served, "e2", "2").await;
    send(&served, "e4", "4").await;
    served.stop().await;
    let run = project.json(&["runs", "seen", "--limit", "1"]);
    assert!(run[0]["counts"]["delivered"].as_u64().is_some_and(|delivered| delivered <= 2), "{run:#}");
    project.write("drops/customers.csv", &CUSTOMERS.replace(",Nameless", "3,Named"));
    let run = project.json(&["run", "customers", "--yes"])[0].clone();
    assert_eq!(run["counts"]["read"], 4, "{run:#}");
    assert_eq!(project.rows(&["--open"]).len(), 1, "a row without a key is listed until it is dismissed");
}
