//! The JSON of every verb, held against its schema by a validator that is not ours.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::reference::documents;
use crate::support::{Ended, Project, variable};

/// Reads pairs of schema and document, and prints a line for each.
const VALIDATOR: &str = "\
import json, sys, fastjsonschema
for pair in json.load(sys.stdin):
    try:
        fastjsonschema.compile(pair['schema'])(pair['document'])
        print(pair['name'], 'valid')
    except fastjsonschema.JsonSchemaException as error:
        print(pair['name'], error)
";

const CUSTOMERS: &str = "id,first_name,email,plan\n1,Amélie,a@example.com,free\n,Nameless,,free\n";

/// Commands and the documents that they print; the last word decides about stdin.
const COMMANDS: &[(&str, &[&str])] = &[
    ("validate", &["validate"]),
    ("error", &["apply", "--server", "http://127.0.0.1:9"]),
    ("connectors", &["connectors"]),
    ("connectors type", &["connectors", "postgres"]),
    ("setup", &["setup", "braze"]),
    ("check", &["check"]),
    ("doctor", &["doctor", "--listen", "127.0.0.1:0"]),
    ("preview", &["preview", "customers"]),
    ("plan", &["plan", "customers", "--requests", "1"]),
    ("run", &["run", "customers"]),
    ("retry", &["retry", "customers"]),
    ("status", &["status"]),
    ("runs", &["runs"]),
    ("rows", &["rows"]),
    ("events", &["events"]),
    ("events last", &["events", "app", "--last", "1"]),
    ("exposures", &["exposures"]),
    ("pause", &["pause", "customers"]),
    ("run", &["run", "customers"]),
    ("error", &["retry", "customers"]),
    ("dismiss", &["dismiss", "customers", "--note", "a test user"]),
    ("rows", &["rows", "--dismissed"]),
    ("error", &["dismiss", "customers", "--note", " "]),
    ("resume", &["resume", "customers"]),
    ("reset", &["reset", "customers", "--yes"]),
    ("secret set", &["secret", "set", "name"]),
    ("secret generate-key", &["secret", "generate-key", "pair"]),
    ("secret list", &["secret", "list"]),
    ("secret remove", &["secret", "remove", "name"]),
    ("secret rotate", &["secret", "rotate"]),
    ("rows groups", &["rows", "--open", "--by", "reason"]),
    ("alerts list", &["alerts", "list"]),
    ("alerts test", &["alerts", "test"]),
    ("people add", &["people", "add", "ada", "--role", "admin", "--rows"]),
    ("people list", &["people", "list"]),
    ("people link", &["people", "link", "ada"]),
    ("tokens add", &["tokens", "add", "airflow", "--role", "editor"]),
    ("tokens list", &["tokens", "list"]),
    ("tokens remove", &["tokens", "remove", "airflow"]),
    ("people remove", &["people", "remove", "ada"]),
    ("audit list", &["audit", "list"]),
    ("audit verify", &["audit", "verify"]),
    ("users erase", &["users", "erase", "c-1"]),
    ("users erasures", &["users", "erasures"]),
    ("backup", &["backup", "BACKUP"]),
    ("restore", &["restore", "BACKUP", "--replace"]),
    ("error", &["plan", "orders"]),
    ("error", &["rows", "--sync", "orders"]),
    ("error", &["rows", "--run", "orders"]),
    ("error", &["rows", "--since", "soon"]),
    ("error", &["fly"]),
    ("error", &["run", "--dry-run"]),
];

#[test]
fn the_json_of_each_verb_is_as_its_schema_says_and_stands_alone() {
    let project = Project::new("");
    std::fs::remove_file(project.path().join("tidegate.yaml")).expect("removed");
    let mut pairs = Vec::new();
    let mut add = |name: &str, document: &Value, project: &Project| {
        let words: Vec<&str> = ["schema"].into_iter().chain(name.split(' ')).collect();
        let schema: Value = serde_json::from_str(&project.done(&words).stdout).expect("a schema");
        pairs.push(json!({ "name": name, "schema": schema, "document": document }));
    };
    add("init", &project.document(&["init"]), &project);
    project.write("drops/customers.csv", CUSTOMERS);
    let yaml = std::fs::read_to_string(project.path().join("tidegate.yaml")).expect("read");
    let ingest = "connections:\n  app: { type: events, token: 0123456789abcdef }\n";
    // Nothing listens there.
    let channels = "alerts:\n  channels:\n    team: { type: slack, url: http://127.0.0.1:9/x }\n";
    let yaml = yaml.replacen("connections:\n", ingest, 1);
    project.write("tidegate.yaml", &format!("{channels}{yaml}"));

    let room = tempfile::tempdir().expect("a folder");
    let folder = room.path().join("backup").to_str().expect("text").to_owned();
    for (name, words) in COMMANDS {
        let words: Vec<&str> =
            words.iter().map(|word| if *word == "BACKUP" { &*folder } else { word }).collect();
        let mut command = project.tidegate(&words);
        command.args(["--output", "json"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("tidegate starts");
        process.stdin.take().expect("piped").write_all(b"sesame").expect("written");
        let ended = Ended::of(&process.wait_with_output().expect("it ends"));
        assert_eq!(ended.stderr, "", "{words:?} prints one document and nothing else");
        let document: Value = serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|cause| panic!("{words:?}: {cause}: {ended:?}"));
        assert_eq!(document.get("error").is_some(), *name == "error", "{words:?}: {document:#}");
        add(name, &document, &project);
    }

    let checked: Vec<&str> = pairs.iter().filter_map(|pair| pair["name"].as_str()).collect();
    let missing: Vec<String> = documents()
        .into_iter()
        .filter(|name| {
            !["demo", "sandbox", "apply"].contains(&name.as_str()) && !checked.contains(&name.as_str())
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?} have a schema, and no command of this test prints them");

    let mut python = Command::new(variable("TIDEGATE_TEST_PYTHON"))
        .args(["-c", VALIDATOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let text = serde_json::to_vec(&pairs).expect("JSON");
    python.stdin.take().expect("piped").write_all(&text).expect("written");
    let ended = Ended::of(&python.wait_with_output().expect("it ends"));
    let wrong: Vec<&str> = ended.stdout.lines().filter(|line| !line.ends_with(" valid")).collect();
    assert!(wrong.is_empty() && ended.stdout.lines().count() == pairs.len(), "{ended:?}");
}

#[test]
fn rows_in_groups_are_all_counted_beyond_one_page_and_without_their_contents() {
    let yaml = "connections:\n  drops: { type: files, path: drops }\n  braze: { type: braze, endpoint: sandbox, api_key: x }\n\
        syncs:\n  customers:\n    source: { connection: drops, path: \"*.csv\" }\n    \
        destination: { connection: braze, object: user }\n    mapping: { external_id: id, attributes: [plan] }\n";
    let project = Project::new(yaml);
    let mut lines = String::from("id,plan,line\n");
    for line in 0..1_203 {
        lines += &format!(",free,{line}\n");
    }
    for line in 0..40 {
        lines += &format!("user-{line},pro,{line}\n");
    }
    project.write("drops/customers.csv", &lines);
    project.run_to("customers", "partial", &[("rejected", 1_203), ("delivered", 40)]);
    for (words, rows) in [
        (&["rows", "--open", "--by", "reason"][..], 1_203),
        (&["rows", "--by", "reason"], 1_203),
        (&["rows", "--by", "reason", "--delivered"], 0),
        (&["rows", "--by", "sync"], 1_243),
        (&["rows", "--by", "day", "--user", "user-7"], 1),
        (&["rows", "--by", "day", "--since", "1d", "--delivered"], 40),
    ] {
        let document = project.document(words);
        assert_eq!((&document["total"], &document["complete"]), (&json!(rows), &json!(true)), "{words:?}");
        assert_eq!(document["groups"].as_array().map(Vec::len), Some(usize::from(rows > 0)), "{words:?}");
    }
}

#[test]
fn a_run_that_cannot_begin_has_the_keys_of_one_that_succeeded() {
    let yaml = "connections:\n  drops: { type: files, path: drops }\n  braze: { type: braze, endpoint: sandbox, api_key: x }\n\
        syncs:\n  customers:\n    source: { connection: drops, path: \"*.csv\" }\n    \
        destination: { connection: braze, object: user }\n    mapping: { external_id: id, attributes: [plan] }\n";
    let project = Project::new(yaml);
    project.write("drops/customers.csv", "id,plan\n1,free\n");
    let keys = |run: &Value| run.as_object().expect("a run").keys().cloned().collect::<Vec<_>>();
    let good = project.run("customers");
    assert_eq!((&good["ending"], good["counts"]["delivered"].as_u64()), (&json!("succeeded"), Some(1)));
    project.done(&["pause", "customers"]);
    let bad = project.run("customers");
    assert_eq!(bad["ending"], "failed");
    assert!(bad["error"].as_str().is_some_and(|error| error.contains("tidegate resume customers")), "{bad}");
    assert_eq!(keys(&good), keys(&bad));
}

#[test]
fn json_lines_are_one_element_a_line_and_a_closed_pipe_ends_quietly() {
    let project = Project::new("");
    let all = project.document(&["connectors"])["connectors"].as_array().expect("a list").len();
    let lines = project.done(&["connectors", "--output", "jsonl"]).stdout;
    let parsed =
        lines.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()));
    assert_eq!(parsed.count(), all);

    for words in [&["completions", "zsh"][..], &["schema"], &["connectors"], &["help"]] {
        let mut command = project.tidegate(words);
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tidegate starts");
        drop(process.stdout.take());
        let ended = Ended::of(&process.wait_with_output().expect("it ends"));
        assert!(!ended.stderr.contains("panicked"), "{words:?}: {ended:?}");
    }
}

#[test]
fn completions_know_the_syncs_and_connections_of_the_project() {
    let project = Project::new("");
    std::fs::remove_file(project.path().join("tidegate.yaml")).expect("removed");
    project.done(&["init"]);
    let complete = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.current_dir(project.path()).env("TIDEGATE_COMPLETE", "bash");
        command
            .env("_CLAP_COMPLETE_INDEX", (words.len() + 1).to_string())
            .args(["--", "tidegate"])
            .args(words)
            .arg("");
        Ended::of(&command.output().expect("tidegate starts")).stdout
    };
    assert!(complete(&["run"]).contains("customers"), "{}", complete(&["run"]));
    assert!(complete(&["rows", "--sync"]).contains("customers"));
    let checked = complete(&["check"]);
    assert!(
        checked.contains("customers") && checked.contains("drops") && checked.contains("braze"),
        "{checked}"
    );
    let script = project.done(&["completions", "bash"]).stdout;
    assert!(script.contains("TIDEGATE_COMPLETE"), "{script}");
}
