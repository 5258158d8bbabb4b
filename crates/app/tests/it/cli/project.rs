//! What the verbs make of a project file: its errors, its variables, its drafts, its name.

use super::expect;
use crate::support::Project;

const CONNECTIONS: &str = "connections:
  orders: { type: files, path: . }
  braze: { type: braze, endpoint: sandbox, api_key: \"${NOBODY_SETS_THIS:-key}\" }
syncs:
";

/// A sync of `orders.csv`.
fn sync(name: &str, more: &str) -> String {
    format!(
        "  {name}:\n    source: {{ connection: orders, path: \"*.csv\" }}\n    destination: {{ connection: braze, object: user }}\n    \
         mapping: {{ external_id: id, attributes: [plan] }}\n{more}"
    )
}

fn project(syncs: &str) -> Project {
    let project = Project::new(&format!("{CONNECTIONS}{syncs}"));
    project.write("orders.csv", "id,plan\nada,free\n");
    project
}

#[test]
fn cli_validate_tells_every_error_with_its_place_also_as_json() {
    let project = project(&sync("users", "    retry_for: soon\n    lookback: 5m\n"));
    let text = project.done(&["validate"]);
    expect(
        &text,
        2,
        &[
            "the project file has 2 errors",
            "tidegate.yaml:9:5: `syncs.users.retry_for`",
            "tidegate.yaml:10:5: `syncs.users.lookback`",
        ],
    );
    let json = project.done(&["validate", "--output", "json"]);
    assert_eq!((json.code, json.stderr.as_str()), (2, ""));
    let told: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(told["valid"], false);
    let first = &told["errors"][0];
    assert_eq!((first["line"].as_u64(), first["column"].as_u64()), (Some(9), Some(5)));
    assert_eq!(first["path"], "syncs.users.retry_for");
    assert!(first["message"].as_str().is_some_and(|message| message.contains("`soon` is not a duration")));
    assert!(first["next"].as_str().is_some_and(|next| next.contains("`10m`")));
}

#[test]
fn cli_a_draft_is_skipped_and_says_so_unless_it_is_named() {
    let draft = "    enabled: false\n    contacts: [ada@example.com]\n    labels: { team: growth }\n";
    let project = project(&format!("{}{}", sync("users", ""), sync("later", draft)));
    let all = project.done(&["run", "--all"]);
    expect(&all, 0, &["later: skipped, it is a draft", "users: succeeded"]);
    assert!(!all.stdout.contains("later"), "{all:?}");
    let status = project.json(&["status", "later"]);
    assert_eq!(status[0]["enabled"], false);
    assert_eq!(status[0]["contacts"][0], "ada@example.com");
    assert_eq!(status[0]["labels"]["team"], "growth");
    expect(&project.done(&["run", "later"]), 0, &["later: succeeded · 1 read"]);
}

#[test]
fn cli_a_variable_that_is_not_set_is_listed_by_validate_and_stops_what_needs_it() {
    let unset = format!("{CONNECTIONS}{}", sync("users", "")).replace(":-key", "");
    let project = Project::new(&unset);
    expect(
        &project.done(&["validate"]),
        0,
        &[
            "valid: 2 connections, 1 sync",
            "not set here: NOBODY_SETS_THIS (line 3, `connections.braze.api_key`)",
        ],
    );
    let json = project.json(&["validate"]);
    assert_eq!(json["unset"][0]["name"], "NOBODY_SETS_THIS");
    expect(&project.done(&["check"]), 1, &["the environment variable `NOBODY_SETS_THIS`, which is not set"]);
    expect(
        &project.done(&["run", "users"]),
        2,
        &[
            "`connections.braze.api_key` refers to the environment variable `NOBODY_SETS_THIS`",
            "export NOBODY_SETS_THIS=…",
        ],
    );
    expect(
        &project.done(&["serve", "--listen", "127.0.0.1:0"]),
        2,
        &["environment variables are not set: NOBODY_SETS_THIS (`connections.braze.api_key`)"],
    );
}

#[test]
fn cli_times_of_day_are_shown_with_the_next_one() {
    let project =
        project(&sync("users", "    schedule: { cron: \"0 6 * * *\", time_zone: America/New_York }\n"));
    expect(&project.done(&["validate"]), 0, &["users runs next at "]);
    let json = project.json(&["validate"]);
    assert_eq!(json["schedules"][0]["schedule"], "at 0 6 * * * (America/New_York)");
    assert!(project.json(&["status"])[0]["next_run_at"].is_string());
}

#[test]
fn cli_a_project_may_be_a_file_of_another_name() {
    let project = project(&sync("users", ""));
    let (yaml, other) = (project.path().join("tidegate.yaml"), project.path().join("production.yaml"));
    std::fs::rename(&yaml, &other).expect("renamed");
    let shown = other.display().to_string();
    expect(&project.done(&["run", "users", "--project", &shown]), 0, &["users: succeeded · 1 read"]);
    std::fs::rename(&other, project.path().join("tidegate.yml")).expect("renamed");
    expect(&project.done(&["run", "users"]), 0, &["users: succeeded · 0 read"]);
    std::fs::write(&yaml, "").expect("written");
    expect(&project.done(&["run", "users"]), 2, &["holds both tidegate.yaml and tidegate.yml"]);
}
