//! A folder that others write into: good files, bad ones, and members that come late.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::served::Served;
use crate::support::{Project, Sandbox};

fn project(sandbox: &Sandbox, syncs: &str) -> Project {
    let project = Project::new(&format!(
        "connections:\n  drops: {{ type: files, path: drops }}\n{}syncs:\n{syncs}",
        sandbox.connections()
    ));
    project.write("drops/.made", "");
    project
}

/// The attribute of each user that has it.
async fn attribute(sandbox: &Sandbox, name: &str) -> BTreeMap<String, Value> {
    let users = sandbox.effects("braze/users").await.into_iter();
    let text = |user: &Value| user["external_id"].as_str().expect("a user").to_owned();
    users
        .filter(|user| !user["attributes"][name].is_null())
        .map(|user| (text(&user), user["attributes"][name].clone()))
        .collect()
}

#[tokio::test]
async fn journey_bad_lines_and_files_are_listed_and_everything_else_arrives() {
    let sandbox = Sandbox::start(&["--memory"]);
    let project = project(
        &sandbox,
        "  notes:\n    source: { connection: drops, path: \"**/*\", last_line_after: 0s }\n    \
         destination: { connection: braze, object: user }\n    \
         mapping: { external_id: id, attributes: { columns: [note, day] } }\n",
    );
    // Nothing is there yet: a run of nothing.
    project.run_to("notes", "succeeded", &[("read", 0)]);

    project.write("drops/day=2026-11-22/open.csv", "id,note\n1,\"abc\n2,def\n3,ghi\n");
    project.write("drops/quotes.csv", "id,note\n4,\"say \\\"hi\\\" now\"\n5,5\" pipe\n");
    project.write("drops/broken.parquet", "garbage-garbage");
    project.write("drops/twice.csv", "id,id\n6,7\n");
    project.run_to("notes", "partial", &[("delivered", 3), ("rejected", 4)]);
    let rejected = |project: &Project| -> Vec<String> {
        let rows = project.rows(&["--rejected"]);
        let mut keys: Vec<String> =
            rows.iter().map(|row| row["key"].as_str().expect("a key").to_owned()).collect();
        keys.sort();
        keys
    };
    let places = ["broken.parquet", "day=2026-11-22/open.csv:2", "quotes.csv:2", "twice.csv"];
    assert_eq!(rejected(&project), places);
    let notes = attribute(&sandbox, "note").await;
    assert_eq!(
        notes,
        [("2", "def"), ("3", "ghi"), ("5", "5\" pipe")].map(|(id, note)| (id.into(), note.into())).into()
    );
    let days = attribute(&sandbox, "day").await;
    assert_eq!(days["2"], "2026-11-22");

    // What is fixed in its file arrives.
    project.write("drops/twice.csv", "id,note\n6,six\n");
    fs::remove_file(project.path().join("drops/broken.parquet")).expect("removed");
    project.run_to("notes", "succeeded", &[("delivered", 1), ("rejected", 0)]);
    assert_eq!(attribute(&sandbox, "note").await["6"], "six");
}

#[tokio::test]
async fn journey_a_member_after_the_first_thousand_lines_is_part_of_its_line() {
    let sandbox = Sandbox::start(&["--memory"]);
    let project = project(
        &sandbox,
        "  rest:\n    source: { connection: drops, path: \"*.jsonl\" }\n    \
         destination: { connection: braze, object: user }\n    \
         mapping: { external_id: id, attributes: { rest: true } }\n  \
         mapped:\n    source: { connection: drops, path: \"*.jsonl\" }\n    \
         destination: { connection: braze, object: user }\n    \
         mapping: { external_id: id, attributes: { fields: { also: late } } }\n",
    );
    // More than what is looked at for the columns.
    let long = "x".repeat(250);
    let members = ["a", "b", "c", "d"].map(|name| format!("\"{name}\":\"{long}\""));
    let mut lines = format!("{{\"id\":\"u\",{}}}\n", members.join(",")).repeat(18_000);
    lines += "{\"id\":\"v\",\"late\":5}\n";
    project.write("drops/a.jsonl", &lines);

    project.run_to("rest", "succeeded", &[("delivered", 18_001)]);
    project.run_to("mapped", "succeeded", &[("delivered", 18_001)]);

    let expected: BTreeMap<String, Value> = [("v".to_owned(), 5.into())].into();
    assert_eq!(attribute(&sandbox, "late").await, expected);
    assert_eq!(attribute(&sandbox, "also").await, expected);
}

#[tokio::test]
async fn journey_a_line_without_a_member_leaves_the_attribute_and_a_written_null_removes_it() {
    let sandbox = Sandbox::start(&["--memory"]);
    let sync = |name: &str, path: &str, platform: &str, more: &str| {
        format!(
            "  {name}:\n    source: {{ connection: drops, path: \"{path}\" }}\n    \
             destination: {{ connection: {platform}, object: user }}\n    \
             mapping: {{ external_id: id, attributes: {{ rest: true }} }}\n{more}"
        )
    };
    let syncs = [
        sync("braze", "*.jsonl", "braze", ""),
        sync("onesignal", "*.jsonl", "onesignal", ""),
        sync("nulls", "*.jsonl", "braze", "    absent: null\n"),
    ];
    let project = project(&sandbox, &syncs.concat());
    let whole = |id: &str| {
        format!("{{\"id\":\"{id}\",\"email\":\"{id}@example.com\",\"plan\":\"pro\",\"city\":\"Paris\"}}\n")
    };
    project.write("drops/1.jsonl", &[whole("u1"), whole("u2")].concat());
    for sync in ["braze", "onesignal"] {
        project.run_to(sync, "succeeded", &[("delivered", 2)]);
    }

    project.write("drops/2.jsonl", "{\"id\":\"u1\",\"plan\":\"free\"}\n{\"id\":\"u2\",\"city\":null}\n");
    for sync in ["braze", "onesignal"] {
        project.run_to(sync, "succeeded", &[("delivered", 2)]);
    }

    let both = [("u1", "free"), ("u2", "pro")].map(|(id, plan)| (id.to_owned(), Value::from(plan)));
    assert_eq!(attribute(&sandbox, "plan").await, both.into());
    assert_eq!(attribute(&sandbox, "city").await, [("u1".to_owned(), "Paris".into())].into());
    let tags: BTreeMap<String, Value> = (sandbox.effects("onesignal/users").await.into_iter())
        .map(|user| {
            (user["external_id"].as_str().expect("a user").to_owned(), user["attributes"]["tags"].clone())
        })
        .collect();
    assert_eq!(tags["u1"], serde_json::json!({ "plan": "free", "city": "Paris" }));
    assert_eq!(tags["u2"], serde_json::json!({ "plan": "pro" }));

    // Asked for, null takes the place of what a line lacks.
    project.run_to("nulls", "succeeded", &[("delivered", 4)]);
    assert_eq!(attribute(&sandbox, "city").await, BTreeMap::new());
}

#[tokio::test]
async fn journey_a_file_that_comes_in_arrives_within_a_minute_with_a_continuous_schedule() {
    let sandbox = Sandbox::start(&["--memory"]);
    let project = project(
        &sandbox,
        "  notes:\n    source: { connection: drops, path: \"**/*.csv\", last_line_after: 0s }\n    \
         schedule: continuous\n    destination: { connection: braze, object: user }\n    \
         mapping: { external_id: id, attributes: { columns: [note, day] } }\n",
    );
    project.write("drops/day=2026-11-22/a.csv", "id,note\n1,one\n");
    let _served = Served::start(&project);
    // `wait_for` fails after twenty seconds.
    sandbox.wait_for("braze", "users", 1).await;

    project.write("drops/day=2026-11-23/b.csv", "id,note\n2,two\n");
    sandbox.wait_for("braze", "users", 2).await;
    project.write("drops/day=2026-11-22/a.csv", "id,note\n1,one\n3,three\n");
    sandbox.wait_for("braze", "users", 3).await;

    let days = attribute(&sandbox, "day").await;
    assert_eq!((&days["2"], &days["3"]), (&"2026-11-23".into(), &"2026-11-22".into()));
}
