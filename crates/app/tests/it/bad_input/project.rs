//! Project files as people write them, and folders that do not do.

use std::os::unix::fs::PermissionsExt;

use super::{Scene, from_people, says};
use crate::support::Project;

const SYNC: &str = "syncs:\n  orders:\n    source: { connection: shop, table: orders }\n    \
                    destination: { connection: braze, object: event }\n    mapping: { external_id: id, name: { value: x } }\n    mode: full\n";
const CONNECTIONS: &str = "connections:\n  shop: { type: postgres, host: h, database: d, user: u }\n  \
                           braze: { type: braze, endpoint: \"http://127.0.0.1:1\", api_key: k }\n";

#[test]
fn bad_input_a_project_that_is_not_right_is_told_with_line_column_and_remedy() {
    let right = format!("{CONNECTIONS}{SYNC}");
    let swap = |from: &str, to: &str| {
        assert!(right.contains(from), "{from}");
        right.replace(from, to)
    };
    let mut wrong = Vec::new();
    for (yaml, words) in [
        (swap("  shop:", "\tshop:"), &["tidegate.yaml:2:", "tab", "→ "][..]),
        (
            swap("connections:", "conections:"),
            &["tidegate.yaml:1:1: unknown key `conections`", "→ did you mean `connections`?"],
        ),
        (
            swap("host: h", "hots: h"),
            &["tidegate.yaml:2:27: `connections.shop`: unknown key `hots`", "→ did you mean `host`?"],
        ),
        (
            swap("type: postgres", "type: postgress"),
            &[
                "tidegate.yaml:2:11: `connections.shop.type`: there is no connector `postgress`",
                "→ did you mean `postgres`?",
            ],
        ),
        (
            swap("    mapping:", "    mapp:"),
            &["tidegate.yaml:8:5: `syncs.orders`: unknown key `mapp`", "→ did you mean `mapping`?"],
        ),
        (
            swap("external_id: id", "externl_id: id"),
            &[
                "tidegate.yaml:8:16: `syncs.orders.mapping`: unknown key `externl_id`",
                "→ did you mean `external_id`?",
            ],
        ),
        (
            swap("table: orders", "tabel: orders"),
            &["tidegate.yaml:6:33: `syncs.orders.source`: unknown key `tabel`", "→ did you mean `table`?"],
        ),
        (
            swap("object: event", "object: evnt"),
            &[
                "tidegate.yaml:7:39: `syncs.orders.destination.object`: `evnt` is not one of",
                "→ did you mean `event`?",
            ],
        ),
        (
            swap("connection: shop", "connection: shp"),
            &[
                "tidegate.yaml:6:15: `syncs.orders.source.connection`: there is no connection `shp`",
                "→ did you mean `shop`?",
            ],
        ),
        (
            swap("external_id: id", "external_id: [id]"),
            &["tidegate.yaml:8:16: `syncs.orders.mapping.external_id`", "→ "],
        ),
        (
            swap("external_id: id", "external_id: 7"),
            &["tidegate.yaml:8:16: `syncs.orders.mapping.external_id`", "→ "],
        ),
        (
            swap("{ connection: shop, table: orders }", "orders"),
            &["tidegate.yaml:6:5: `syncs.orders.source`: ", "→ "],
        ),
        (
            swap("    mapping:", "    curser: at\n    mapping:"),
            &["tidegate.yaml:8:5: `syncs.orders`: unknown key `curser`", "→ did you mean `cursor`?"],
        ),
        (
            swap("    mapping:", "    retry_for: soon\n    mapping:"),
            &["tidegate.yaml:8:5: `syncs.orders.retry_for`: `soon` is not a duration", "→ "],
        ),
        (swap("  orders:\n", "  orders:\n  orders:\n"), &["tidegate.yaml:6:3", "orders", "→ "]),
        (
            format!("{CONNECTIONS}syncs:\n  orders:\n    primary_key: [id]\n"),
            &["tidegate.yaml:5:3: `syncs.orders`: `source` is missing", "→ add `source: "],
        ),
        ("syncs: [".to_owned(), &["tidegate.yaml:1:8: the `[` is not closed", "→ close it"]),
        ("- a\n".to_owned(), &["tidegate.yaml:1:1: ", "→ "]),
        ("a: &x 1\nb: *x\n".to_owned(), &["tidegate.yaml:", "→ "]),
        ("a: 1\n---\nb: 2\n".to_owned(), &["more than one document", "→ "]),
    ] {
        let told = Project::new(&yaml).done(&["validate"]);
        if told.code != 2 || words.iter().any(|word| !told.stderr.contains(word)) {
            wrong.push(format!("{words:#?} is not all of\n{yaml}\n{told:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let project = Project::new(&right);
    says(&project.done(&["validate"]), 0, &[]);
}

#[test]
fn bad_input_a_setting_of_the_wrong_type_or_a_missing_one_is_named_with_its_connection() {
    let right = format!("{CONNECTIONS}{SYNC}");
    for (from, to, words) in [
        (
            "host: h,",
            "host: h, port: many,",
            &["`connections.shop.port`: expected a whole number from 0 to 65535", "→ "][..],
        ),
        (
            "user: u",
            "user: u, tls: maybe",
            &["`connections.shop.tls`: `maybe` is not one of `verify-full`", "→ "],
        ),
        ("host: h, ", "", &["`connections.shop`: `host` is missing", "→ add `host: db.example.com`"]),
        (
            "user: u",
            "user: u, password: \"${NOBODY_SETS_THIS}\"",
            &["connection `shop`: ", "NOBODY_SETS_THIS", "→ "],
        ),
        (
            "host: h",
            "host: \"postgres://h\"",
            &["`connections.shop.host`: expected a host name", "→ write only the name"],
        ),
    ] {
        let project = Project::new(&right.replace(from, to));
        says(&project.done(&["run", "orders"]), 2, words);
    }
}

#[test]
fn bad_input_an_empty_project_and_a_missing_one_say_what_to_do() {
    let project = Project::new("");
    says(&project.done(&["validate"]), 0, &["→ the project has no syncs yet: `tidegate init DIR`"]);
    says(
        &project.done(&["run", "orders"]),
        2,
        &["there is no sync `orders`", "→ the project has no syncs yet"],
    );
    says(&project.done(&["run", "--all"]), 2, &["the project has no syncs yet", "→ "]);
    let project = Project::new("connections:\nsyncs:\n");
    says(&project.done(&["validate"]), 0, &[]);
    std::fs::remove_file(project.path().join("tidegate.yaml")).expect("removed");
    says(
        &project.done(&["run", "orders"]),
        2,
        &["cannot read ", "tidegate.yaml", "→ `tidegate init` makes a project"],
    );
    let said = project.done(&["status"]).stderr;
    assert!(!said.contains("tidegate.yaml/tidegate.yaml"), "{said}");
    std::fs::write(project.path().join("tidegate.yaml"), b"connections: \xff\xfe").expect("written");
    says(&project.done(&["validate"]), 2, &["tidegate.yaml", "UTF-8", "→ "]);
}

#[tokio::test]
async fn bad_input_a_data_folder_that_cannot_be_written_is_named() {
    let scene = Scene::of_people().await;
    let file = scene.project.path().join("file");
    std::fs::write(&file, "").expect("written");
    let under_a_file = file.join("data").display().to_string();
    let told = scene.project.done(&["run", "s", "--data", &under_a_file]);
    says(&told, 1, &["making the folder", &under_a_file, "→ "]);

    // Root may write everywhere: as root the folder is mounted read-only.
    let data = scene.project.path().join("data");
    std::fs::create_dir(&data).expect("made");
    let mount = super::disk::is_root().then(|| super::disk::Mount::new(&data, "size=1m,ro"));
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o500)).ok();
    let shown = data.display().to_string();
    let told = scene.project.done(&["run", "s", "--data", &shown]);
    says(&told, 1, &[&shown, "→ let the user that runs tidegate read and write"]);
    drop(mount);
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).expect("permitted");
    assert!(scene.seen().await.is_empty());
    let run = scene.project.done(&["run", "s", "--data", &shown]);
    says(&run, 0, &[]);
    assert_eq!(scene.seen().await, super::once(1..=200));
}

#[tokio::test]
async fn bad_input_a_second_project_on_the_same_data_folder_is_refused_or_kept_apart() {
    let scene = Scene::of_people().await;
    scene.arrives_once(1..=200).await;
    let data = scene.project.path().join(".tidegate").display().to_string();
    let other = Project::new(
        &std::fs::read_to_string(scene.project.path().join("tidegate.yaml"))
            .expect("read")
            .replace(&from_people(), &from_people().replace("seen", "seen_elsewhere")),
    );
    let told = other.done(&["run", "s", "--data", &data]);
    says(&told, 2, &["belongs to the project", "→ "]);
    assert_eq!(scene.seen().await, super::once(1..=200));
    scene.arrives_once(1..=200).await;
}

#[tokio::test]
async fn bad_input_the_same_sync_started_twice_runs_once() {
    let many = super::PEOPLE.replace("200", "5000");
    let scene = Scene::new(&many, &from_people()).await;
    // All requests are under way at once, and none is answered sooner.
    scene.sandbox.put_faults(r#"{"latency_ms": 5000}"#).await;
    let first = scene.start(&["run", "s"]);
    scene.until_it_runs().await;
    let second = scene.run();
    says(&second, 1, &["the sync `s` is running in ", "→ wait for it to end"]);
    says(&super::ended(first), 0, &[]);
    assert_eq!(scene.seen().await, super::once(1..=5_000));
}
