//! Verbs that need no rows, exit codes, and what programs read.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Shop, expect};
use crate::support::{Ended, Project, repository, variable};

#[test]
fn cli_a_new_project_is_valid_and_is_never_overwritten() {
    let project = Project::new("");
    let folder = project.path().join("new");
    let folder = folder.to_str().expect("text");
    let tidegate = |arguments: &[&str]| {
        Ended::of(&Command::new(env!("CARGO_BIN_EXE_tidegate")).args(arguments).output().expect("it starts"))
    };
    expect(&tidegate(&["init", folder]), 0, &["tidegate.yaml", "next: "]);
    expect(&tidegate(&["validate", "--project", folder]), 0, &["valid: 2 connections, 1 sync"]);
    expect(&tidegate(&["init", folder]), 2, &["exists already"]);
    expect(&project.done(&["validate"]), 0, &["valid: 0 connections, 0 syncs"]);
}

#[tokio::test]
async fn cli_exit_codes_say_how_it_went() {
    let shop = Shop::open().await;
    let done = |arguments: &[&str]| shop.project.done(arguments);
    expect(
        &done(&["run", "orders"]),
        3,
        &["orders: partial · 300 read · 297 delivered · 3 rejected", "tidegate rows --rejected"],
    );
    expect(&done(&["run", "orders"]), 0, &["orders: succeeded", "300 skipped"]);
    expect(&done(&["run", "order"]), 2, &["there is no sync `order`", "the syncs are: orders"]);
    expect(&done(&["run"]), 2, &["--all"]);
    expect(&done(&["fly"]), 2, &["fly"]);
    shop.sandbox.put_faults(r#"{"revoked": true}"#).await;
    shop.database.run("INSERT INTO orders VALUES (301, 'c1', now(), 1)").await;
    expect(&done(&["run", "orders"]), 1, &["orders: failed", "401"]);

    let yaml = std::fs::read_to_string(shop.project.path().join("tidegate.yaml")).expect("read");
    shop.project.write(
        "tidegate.yaml",
        &yaml.replace("properties: [id, total]", "properties: { colums: [id, total] }"),
    );
    expect(&done(&["validate"]), 2, &["tidegate.yaml:", "`colums`", "did you mean `columns`?"]);
    shop.project.write("tidegate.yaml", &yaml.replace("external_id: customer", "external_id: custmer"));
    expect(&done(&["plan", "orders"]), 1, &["custmer", "customer"]);
    let nowhere = Project::new("");
    std::fs::remove_file(nowhere.path().join("tidegate.yaml")).expect("removed");
    let ended = nowhere.done(&["validate"]);
    assert!(ended.code == 1 || ended.code == 2, "{ended:?}");
    expect(&ended, ended.code, &["tidegate init"]);
}

#[tokio::test]
async fn cli_every_answer_parses_as_json_and_progress_is_silent_in_a_pipe() {
    let shop = Shop::open().await;
    for arguments in [
        &["validate"][..],
        &["check"],
        &["plan", "orders"],
        &["preview", "orders"],
        &["run", "orders"],
        &["runs"],
        &["rows"],
        &["rows", "--rejected"],
        &["status"],
        &["retry", "orders"],
        &["connectors"],
        &["connectors", "postgres"],
        &["secret", "list"],
        &["schema"],
    ] {
        let ended = shop.project.done(&[arguments, &["--output", "json"]].concat());
        let parsed: Result<Value, _> = serde_json::from_str(&ended.stdout);
        assert!(parsed.is_ok(), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stderr, "", "{arguments:?} has nothing else to say");
    }
}

#[tokio::test]
async fn cli_a_sync_that_runs_already_is_refused() {
    let shop = Shop::open().await;
    shop.sandbox.put_faults(r#"{"latency_ms": 3000}"#).await;
    let first = shop.project.start("orders");
    for _ in 0..200 {
        if shop.project.json(&["runs"])[0].is_object() {
            break;
        }
    }
    let second = shop.project.done(&["run", "orders"]);
    expect(&second, 1, &["the sync `orders` is running in ", "wait for it to end"]);
    let reset = shop.project.done(&["reset", "orders", "--yes"]);
    assert_eq!(reset.code, 0, "once the run has ended: {reset:?}");
    let first = Ended::of(&first.wait_with_output().expect("it ends"));
    assert_eq!(first.code, 3, "the first one is not disturbed: {first:?}");
    assert_eq!(shop.sandbox.stats("braze").await["events"], 297);
    assert_eq!(shop.project.json(&["runs"]).as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn cli_a_sync_that_a_person_paused_waits_for_a_person() {
    let shop = Shop::open().await;
    expect(&shop.project.done(&["pause", "orders", "--why", "month's end"]), 0, &["orders is paused"]);
    expect(&shop.project.done(&["run", "orders"]), 1, &["month's end", "tidegate resume orders"]);
    expect(&shop.project.done(&["status"]), 0, &["paused", "month's end"]);
    expect(&shop.project.done(&["resume", "orders"]), 0, &["orders is active"]);
    shop.project.run_to("orders", "partial", &[("delivered", 297)]);
    expect(&shop.project.done(&["reset", "orders", "--yes"]), 0, &["starts from the beginning"]);
    assert_eq!(shop.project.json(&["plan", "orders"])["run"]["counts"]["delivered"], 297);
}

#[test]
fn cli_setup_prints_the_statements_for_the_names_of_the_project() {
    let project = Project::new(
        "connections:\n  shop: { type: postgres, host: db, port: \"${NOBODY_SETS_THIS}\", database: café, user: \"o'neill\", password: \"${NOBODY_SETS_THIS}\" }\n  \
         braze: { type: braze, endpoint: sandbox, api_key: x }\n\
         syncs:\n  orders:\n    source: { connection: shop, table: sales.orders }\n    \
         mode: full\n    destination: { connection: braze, object: event }\n    mapping: { external_id: a, name: { value: b } }\n",
    );
    let words = [
        "CREATE USER \"o'neill\" WITH PASSWORD",
        "GRANT CONNECT ON DATABASE \"café\" TO \"o'neill\";",
        "GRANT USAGE ON SCHEMA \"sales\" TO \"o'neill\";",
        "GRANT SELECT ON ALL TABLES IN SCHEMA \"sales\" TO \"o'neill\";",
    ];
    expect(&project.done(&["setup", "shop"]), 0, &words);
    let nothing = Project::new("");
    let set = ["--set", "host=db", "--set", "user=reader", "--set", "database=shop"];
    let ended = nothing.done(&[&["setup", "postgres"], &set[..]].concat());
    expect(&ended, 0, &["CREATE USER \"reader\"", "DATABASE \"shop\""]);
    expect(&nothing.done(&["setup", "braze"]), 0, &["users.track"]);
    expect(&nothing.done(&["setup", "orcale"]), 2, &["tidegate connectors"]);
}

#[test]
fn cli_setup_names_the_addresses_that_allow_lists_need() {
    let project = Project::new(
        "egress: [203.0.113.7, 198.51.100.0/29]\nconnections:\n  \
         shop: { type: postgres, host: db, database: shop, user: reader }\n  \
         braze: { type: braze, endpoint: sandbox, api_key: x }\nsyncs: {}\n",
    );
    let words = [
        "hostssl \"shop\" \"reader\" 203.0.113.7/32 scram-sha-256",
        "hostssl \"shop\" \"reader\" 198.51.100.0/29 scram-sha-256",
        "-- Addresses for allow lists: 203.0.113.7, 198.51.100.0/29",
    ];
    expect(&project.done(&["setup", "shop"]), 0, &words);
    expect(&project.done(&["setup", "braze"]), 0, &["\nAddresses for allow lists: 203.0.113.7"]);
    project.write("tidegate.yaml", "egress: [example.com]\n");
    expect(&project.done(&["validate"]), 2, &["egress", "neither an IP address nor a network"]);
}

#[test]
fn cli_connectors_explain_themselves_and_shells_get_their_completions() {
    let project = Project::new("");
    let kinds: Vec<&str> = tidegate::registry::CONNECTORS.iter().map(|connector| connector.kind).collect();
    expect(&project.done(&["connectors"]), 0, &kinds);
    for kind in kinds {
        let ended = project.done(&["connectors", kind]);
        expect(&ended, 0, &["Settings"]);
        let settings = ended.stdout.split("\nSettings\n").nth(1).expect("settings");
        for line in settings.lines().filter(|line| line.contains(": ") || line.ends_with(':')) {
            assert!(!line.trim_end().ends_with(':'), "{kind} does not explain {line}");
        }
    }
    expect(&project.done(&["connectors", "orcale"]), 2, &["there is no connector `orcale`"]);
    for shell in ["bash", "zsh", "fish"] {
        let ended = project.done(&["completions", shell]);
        expect(&ended, 0, &["tidegate", "TIDEGATE_COMPLETE"]);
    }
}

/// Validates as an editor does: a schema on stdin, then project files.
const VALIDATOR: &str = "\
import json, sys, fastjsonschema, yaml
valid = fastjsonschema.compile(json.load(sys.stdin))
for path in sys.argv[1:]:
    try:
        valid(yaml.safe_load(open(path)))
        print(path, 'valid')
    except fastjsonschema.JsonSchemaException as error:
        print(path, error)
";

#[test]
fn cli_the_schema_accepts_the_examples_and_no_misspelled_key() {
    let project = Project::new("");
    let schema = project.done(&["schema"]).stdout;
    let new = project.path().join("new");
    expect(&project.done(&["init", new.to_str().expect("text")]), 0, &[]);
    let examples = repository().join("examples");
    let good = [examples.join("quickstart"), examples.join("jaffle"), new]
        .map(|folder| folder.join("tidegate.yaml"));
    let quickstart = std::fs::read_to_string(&good[0]).expect("read");
    let mut files = good.to_vec();
    for (at, (right, wrong)) in [
        ("external_id: id", "externalid: id"),
        ("type: files", "type: fils"),
        ("app_id:", "appid:"),
        ("object: purchase", "object: purchases"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(quickstart.contains(right), "{right} stands in the quickstart");
        project.write(&format!("{at}.yaml"), &quickstart.replacen(right, wrong, 1));
        files.push(project.path().join(format!("{at}.yaml")));
    }
    let mut python = Command::new(variable("TIDEGATE_TEST_PYTHON"));
    python
        .args(["-c", VALIDATOR])
        .args(&files)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut python = python.spawn().expect("Python starts");
    python.stdin.take().expect("piped").write_all(schema.as_bytes()).expect("written");
    let told = Ended::of(&python.wait_with_output().expect("it ends"));
    let valid: Vec<bool> = told.stdout.lines().map(|line| line.ends_with(" valid")).collect();
    assert_eq!(valid, [true, true, true, false, false, false, false], "{told:?}");
    for (folder, valid) in [("quickstart", "valid: 4 connections"), ("jaffle", "valid: 3 connections")] {
        let folder = examples.join(folder);
        expect(&project.done(&["validate", "--project", folder.to_str().expect("text")]), 0, &[valid]);
    }
}
