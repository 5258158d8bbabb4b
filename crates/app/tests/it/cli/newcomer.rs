//! What people met who followed the guides for the first time.

use tidegate::registry::CONNECTORS;

use super::expect;
use crate::support::{Ended, Project};

/// Files into the sandbox of Braze.
fn yaml(syncs: &[&str]) -> String {
    let mut text = "connections:\n  drops: { type: files, path: drops }\n  \
        braze: { type: braze, endpoint: sandbox, api_key: x }\nsyncs:\n"
        .to_owned();
    for sync in syncs {
        text += &format!(
            "  {sync}:\n    source: {{ connection: drops, path: \"{sync}.csv\" }}\n    \
             destination: {{ connection: braze, object: user }}\n    \
             mapping: {{ external_id: id, attributes: [plan] }}\n"
        );
    }
    text
}

#[test]
fn newcomer_setup_needs_no_project_and_fills_in_what_is_not_given() {
    let project = Project::new("");
    std::fs::remove_file(project.path().join("tidegate.yaml")).expect("removed");
    for connector in CONNECTORS {
        let ended = project.done(&["setup", connector.kind]);
        match connector.kind {
            // A region, an address and brokers cannot be made up, nor a warehouse or one of several ways to log in.
            kind @ ("databricks" | "firehose" | "kafka" | "kinesis" | "opensearch") => {
                expect(
                    &ended,
                    2,
                    &[&format!("give it on the command line: `tidegate setup {kind} --set NAME=VALUE`")],
                );
            }
            kind => assert_eq!(ended.code, 0, "{kind}: {ended:?}"),
        }
    }
    let ended = project.done(&["setup", "postgres", "--set", "user=tidegate"]);
    expect(&ended, 0, &["CREATE USER \"tidegate\"", "\"your-database\""]);
}

#[test]
fn newcomer_mistakes_on_the_command_line_are_named_in_its_words() {
    let project = Project::new(&yaml(&["customers"]));
    project.write("drops/customers.csv", "id,plan\n1,free\n");
    let says = |words: &[&str], told: &[&str]| expect(&project.done(words), 2, told);
    says(&["setup", "postgres", "--set", "usr=x"], &["`postgres` has no setting `usr`", "host, port"]);
    says(&["rows", "--since", "2999-01-01"], &["`--since` is in the future"]);
    says(&["rows", "--since", "7d", "--until", "8d"], &["`--until` is not after `--since`"]);
    says(&["rows", "--limit", "0"], &["expected 1 or more"]);
    let file = project.path().join("tidegate.yaml");
    let words = ["status", "--data", file.to_str().expect("text")];
    says(&words, &["tidegate.yaml is a file, and --data names a folder"]);
    says(&["plan"], &["the command needs <SYNC>", "`tidegate status` lists them"]);
    let mut command = project.tidegate(&["status"]);
    let ended = Ended::of(&command.env("TIDEGATE_HISTORY_DAYS", "many").output().expect("it runs"));
    expect(&ended, 2, &["invalid value 'many' for TIDEGATE_HISTORY_DAYS: expected a whole number"]);
}

#[test]
fn newcomer_a_project_file_that_an_editor_of_windows_saved_is_read() {
    let text = yaml(&["customers"]).replace('\n', "\r\n");
    let project = Project::new(&format!("\u{feff}# a comment\r\n{text}"));
    expect(&project.done(&["validate"]), 0, &["valid: 2 connections, 1 sync"]);
    let project = Project::new("\u{feff}conections: {}\r\n");
    expect(&project.done(&["validate"]), 2, &["tidegate.yaml:1:1: unknown key `conections`"]);
}

#[test]
fn newcomer_setup_names_the_error_of_a_project_file_that_cannot_be_read() {
    let project = Project::new("connections:\n  push: { type: onesignal, app: 1 }\n");
    expect(&project.done(&["setup", "push"]), 2, &["tidegate.yaml:2", "`app`"]);
    expect(&project.done(&["setup", "onesignal"]), 0, &["App API key"]);
}

#[test]
fn newcomer_the_settings_that_setup_prints_can_be_pasted() {
    let base = "connections:\n  push: { type: onesignal, app_id: 11111111-2222-4333-8444-555555555555, api_key: x }\n  \
        app: { type: events, token: 0123456789abcdef }\n  apps: { type: pinpoint, anonymous: false }\n";
    let project = Project::new(base);
    let printed = |name: &str| project.done(&["setup", name]).stdout;
    let inline = |text: &str, key: &str| {
        let piece = text.split('`').find(|piece| piece.starts_with(key)).expect("the setting");
        piece.to_owned()
    };
    let stream = inline(&printed("push"), "event_stream:");
    let token = inline(&printed("app"), "token:");
    let apps = printed("apps");
    let keys: Vec<&str> = apps
        .lines()
        .skip_while(|line| line.trim() != "access_keys:")
        .take_while(|line| !line.trim().is_empty())
        .collect();
    let pasted = format!(
        "connections:\n  push:\n    type: onesignal\n    app_id: 11111111-2222-4333-8444-555555555555\n    api_key: x\n    \
         {stream}\n  app:\n    type: events\n    {token}\n  apps:\n    type: pinpoint\n{}\n",
        keys.iter().map(|line| format!(" {line}")).collect::<Vec<_>>().join("\n")
    );
    project.write("tidegate.yaml", &pasted);
    let ended = project.done(&["validate"]);
    // All variables that are not set are in the line to copy.
    expect(
        &ended,
        0,
        &["valid: 3 connections", "export ONESIGNAL_STREAM_TOKEN=… APP_EVENTS_TOKEN=… APPS_SECRET=…"],
    );
}

#[test]
fn newcomer_a_connection_that_is_gone_is_explained_once_and_by_status() {
    let project = Project::new(&yaml(&["customers", "leads"]).replace("path: drops }", "path: ./drops }"));
    let ended = project.done(&["run", "--all"]);
    expect(&ended, 1, &["/drops is not there", "leads: error: the same as of customers"]);
    assert_eq!(ended.stderr.matches("is not there").count(), 1, "{ended:?}");
    assert!(!ended.stderr.contains("/./"), "{ended:?}");

    let project = Project::new(&yaml(&["customers"]));
    project.write("drops/customers.csv", "id,plan\n1,free\n");
    project.run_to("customers", "succeeded", &[("delivered", 1)]);
    std::fs::remove_dir_all(project.path().join("drops")).expect("removed");
    project.done(&["run", "customers"]);
    expect(&project.done(&["status"]), 0, &["customers is paused by Tidegate: ", "is not there"]);
}

#[test]
fn newcomer_status_says_why_the_last_run_failed() {
    let project = Project::new(
        &yaml(&["customers"])
            .replace("endpoint: sandbox", "endpoint: \"http://127.0.0.1:9\"")
            .replace("    mapping:", "    retry_for: 1s\n    mapping:"),
    );
    project.write("drops/customers.csv", "id,plan\n1,free\n");
    expect(&project.done(&["run", "customers"]), 1, &["Braze cannot be reached"]);
    let why = ["active", "the last run of customers failed: gave up after", "Braze cannot be reached"];
    expect(&project.done(&["status"]), 0, &why);
}

#[test]
fn newcomer_check_says_what_it_did_not_test_and_which_names_there_are() {
    let project = Project::new(&yaml(&["customers"]).replace(
        "  braze:",
        "  spare: { type: braze, endpoint: sandbox, api_key: x }\n  apps: { type: pinpoint, anonymous: false }\n  braze:",
    ));
    project.write("drops/customers.csv", "id,plan\n1,free\n");
    expect(&project.done(&["check", "spare"]), 0, &["nothing was tested: no sync uses it"]);
    expect(&project.done(&["check", "apps"]), 1, &["FAIL events: ", "access_keys"]);
    let refused = project.done(&["serve", "--listen", "127.0.0.1:0"]);
    expect(&refused, 2, &["access_keys"]);
    assert!(!refused.stderr.contains("WARN"), "{refused:?}");
    let names = "the syncs are: customers; the connections are: ";
    expect(&project.done(&["check", "nope"]), 2, &["there is no sync and no connection `nope`", names]);
}

#[test]
fn newcomer_validate_asks_a_pinpoint_connection_for_those_who_may_send() {
    let project = Project::new("connections:\n  apps: { type: pinpoint }\n");
    let told = ["tidegate.yaml:2", "neither `access_keys` nor `anonymous` is given"];
    expect(&project.done(&["validate"]), 2, &told);
}

#[test]
fn newcomer_check_says_once_what_is_wrong_with_a_connection_and_names_all_variables() {
    let yaml = yaml(&["customers", "leads"]).replace("api_key: x", "api_key: \"${NOT_SET_A}${NOT_SET_B}\"");
    let project = Project::new(&yaml);
    project.write("drops/customers.csv", "id,plan\n1,free\n");
    project.write("drops/leads.csv", "id,plan\n1,free\n");
    let ended = project.done(&["check"]);
    expect(&ended, 1, &["`NOT_SET_A`", "`NOT_SET_B`", "export NOT_SET_A=… NOT_SET_B=…", "see above"]);
    assert_eq!(ended.stdout.matches("NOT_SET_A=…").count(), 1, "{ended:?}");
}

#[test]
fn newcomer_empty_lists_say_that_they_are_empty() {
    let project = Project::new("");
    expect(&project.done(&["secret", "list"]), 0, &["no secrets yet"]);
    expect(&project.done(&["users", "erasures"]), 0, &["no erasures yet"]);
    expect(&project.done(&["users", "erasures", "u2"]), 0, &["no erasure of this user"]);
}

#[test]
fn newcomer_rows_without_an_id_are_as_many_failed_rows_as_there_are() {
    let project =
        Project::new(&yaml(&["customers"]).replace("    mapping:", "    primary_key: id\n    mapping:"));
    project.write("drops/customers.csv", "id,plan\n,free\n,free\n,pro\n7,pro\n");
    project.run_to("customers", "partial", &[("delivered", 1), ("rejected", 3)]);
    let open = project.done(&["rows", "--open"]);
    expect(&open, 0, &["customers.csv:2", "customers.csv:3", "customers.csv:4"]);
}

#[test]
fn newcomer_a_row_with_one_cell_is_counted_in_the_singular() {
    let project = Project::new(&yaml(&["customers"]).replace("attributes: [plan]", "attributes: [id]"));
    project.write("drops/customers.csv", "id\n1,2\n");
    let ended = project.done(&["run", "customers"]);
    expect(&ended, 3, &["2 cells, and the file has 1 column\n"]);
}

#[test]
fn newcomer_validate_finds_what_can_never_work_without_a_connection() {
    let yaml = "connections:
  shop: { type: postgres, host: db.example.com, database: shop, user: u, password: \"${NOT_SET_P}\" }
  drops: { type: files, path: drops }
  topics: { type: kafka, brokers: \"localhost:9092\" }
  wide: { type: postgres, host: h, database: d, user: u, password: \"${NOT_SET_P}\", tls: require, ca_file: ca.pem }
  braze: { type: braze, endpoint: sandbox, api_key: \"${NOT_SET_K}\" }
syncs:
  orders:
    source: { connection: shop, table: a.b.c }
    mode: full
    destination: { connection: braze, object: user }
    mapping: { external_id: id }
  files:
    source: { connection: drops, path: /srv/drops/a.csv }
    destination: { connection: braze, object: user }
    mapping: { external_id: id }
  clicks:
    source: { connection: topics, topics: clicks, group: g, format: avro }
    destination: { connection: braze, object: user }
    mapping: { external_id: id }
";
    let project = Project::new(yaml);
    let told = [
        "`connections.wide.ca_file`: counts only with `tls: verify-full`",
        "tidegate.yaml:9:33: `syncs.orders.source.table`: expected `schema.table`",
        "tidegate.yaml:14:34: `syncs.files.source.path`: expected a pattern below the connection's folder",
        "tidegate.yaml:18:5: `syncs.clicks.source`: ",
    ];
    expect(&project.done(&["validate"]), 2, &told);
    // What is not known here is not judged.
    let fixed = yaml.replace("a.b.c", "a.b").replace("/srv/drops/", "").replace(", format: avro", "");
    project.write("tidegate.yaml", &fixed.replace("tls: require, ", ""));
    expect(&project.done(&["validate"]), 0, &["valid: 5 connections, 3 syncs"]);
}

#[test]
fn newcomer_check_says_that_a_mapping_rejects_every_row_and_preview_why() {
    let yaml = yaml(&["customers"]).replace("attributes: [plan]", "attributes: plan");
    let project = Project::new(&yaml);
    project.write("drops/customers.csv", "id,plan\n1,free\n2,pro\n");
    let words = ["each of the first 2 rows is rejected: `", "tidegate preview customers"];
    expect(&project.done(&["check", "customers"]), 0, &words);
    project.write("tidegate.yaml", &yaml.replace("attributes: plan", "attributes: [plan]"));
    let good = project.done(&["check", "customers"]);
    assert!(!good.stdout.contains("rejected"), "{good:?}");
}

#[test]
fn newcomer_check_notes_a_timestamp_that_is_probably_an_amount() {
    let yaml = |timestamp: &str| {
        format!(
            "connections:\n  drops: {{ type: files, path: drops }}\n  \
             braze: {{ type: braze, endpoint: sandbox, api_key: x }}\nsyncs:\n  orders:\n    \
             source: {{ connection: drops, path: \"*.jsonl\" }}\n    primary_key: id\n    \
             destination: {{ connection: braze, object: event }}\n    mapping: {{ external_id: id, \
             name: {{ value: order_placed }}, timestamp: {timestamp}, properties: [amount] }}\n"
        )
    };
    let project = Project::new(&yaml("amount"));
    let rows =
        "{\"id\":\"1\",\"at\":1767225600,\"amount\":3392}\n{\"id\":\"2\",\"at\":1767225601,\"amount\":50}\n";
    project.write("drops/orders.jsonl", rows);
    let words =
        ["note timestamp: each of the first 2 rows has a time in the year 1970", "map `timestamp` to"];
    expect(&project.done(&["check", "orders"]), 0, &words);
    project.write("tidegate.yaml", &yaml("at"));
    let good = project.done(&["check", "orders"]);
    assert!(good.code == 0 && !good.stdout.contains("1970"), "{good:?}");
}

#[test]
fn newcomer_check_fails_on_a_sync_whose_object_or_mode_was_changed() {
    let yaml = yaml(&["customers"]).replace("    mapping:", "    primary_key: id\n    mapping:");
    let project = Project::new(&yaml);
    project.write("drops/customers.csv", "id,plan\n1,free\n");
    project.run_to("customers", "succeeded", &[("delivered", 1)]);
    expect(&project.done(&["check", "customers"]), 0, &[]);
    let mirror = yaml.replace("    mapping:", "    mode: mirror\n    mapping:");
    project.write("tidegate.yaml", &mirror);
    let words =
        ["FAIL checkpoint: `customers` ran with another `mode` than `mirror`", "tidegate reset customers"];
    expect(&project.done(&["check", "customers"]), 1, &words);
    let plan = project.done(&["plan", "customers"]);
    expect(&plan, 1, &["error: `customers` ran with another `mode`", "  → write the `mode` that it had"]);
    assert!(!plan.stdout.contains("0 rows read") && !plan.stderr.contains("Next:"), "{plan:?}");
    let other = "object: deletion }\n    mapping: { external_id: id }\n";
    project.write(
        "tidegate.yaml",
        &yaml.split("object: user").next().map(|begin| format!("{begin}{other}")).expect("a part"),
    );
    let words = ["FAIL object: the sync `customers` has run with the object `user`"];
    expect(&project.done(&["check", "customers"]), 1, &words);
}

#[test]
fn newcomer_preview_shows_lines_that_are_no_rows() {
    let project = Project::new(&yaml(&["customers"]));
    project.write("drops/customers.csv", "id,plan\n1,free\n2\n3,pro\n");
    let ended = project.done(&["preview", "customers"]);
    expect(&ended, 0, &["at      customers.csv:3", "rejected wrong_cell_count: "]);
    let rows = &project.document(&["preview", "customers"])["rows"];
    assert_eq!(
        (&rows[1]["location"], &rows[1]["row"]),
        (&"customers.csv:3".into(), &serde_json::Value::Null)
    );
    assert_eq!(rows[2]["row"]["id"], "3", "the order of the file: {rows}");
}

#[test]
fn newcomer_looking_at_state_that_is_elsewhere_makes_none_and_says_so() {
    let project = Project::new(&yaml(&["customers"]));
    let elsewhere = project.path().join("elsewhere");
    let data = elsewhere.to_str().expect("UTF-8");
    for verb in ["status", "runs", "rows", "events"] {
        let ended = project.done(&[verb, "--data", data]);
        expect(&ended, 0, &[&format!("no state in {data}"), "`--data`, or `TIDEGATE_STORE`"]);
        assert!(!elsewhere.exists(), "{verb}");
    }
    expect(&project.done(&["status"]), 0, &["customers", "never ran", "no state in "]);
    assert!(!project.path().join(".tidegate").exists(), "nothing was made");
}
