//! Every format that Confluent's own serializers write.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::support::{Project, Sandbox, variable};
use crate::topics::{Topic, client, know_users, unique};

/// What `produce.py` names its topics after, and the format of their values.
const KINDS: &[(&str, &str)] = &[
    ("json", "json"),
    ("json_schema", "json_schema"),
    ("avro", "avro"),
    ("avro_record_name", "avro, subject: record_name"),
    ("avro_header", "avro"),
    ("protobuf", "protobuf"),
    ("protobuf_nested", "protobuf"),
];
const MESSAGES: usize = 5;

/// A line of `produce.py`.
#[derive(Deserialize)]
struct Written {
    topic: String,
    expect: Value,
    digits: Vec<String>,
}

/// An event as the sandbox lists it.
#[derive(Deserialize)]
struct Event {
    external_id: String,
    name: String,
    properties: Box<RawValue>,
}

#[tokio::test]
async fn kafka_messages_of_confluents_serializers_arrive_field_by_field() {
    let prefix = unique("shop");
    let broker = variable("TIDEGATE_TEST_KAFKA");
    let topics: BTreeMap<&str, Topic> =
        KINDS.iter().map(|(kind, _)| (*kind, Topic::at(&broker, &format!("{prefix}-{kind}"), 1))).collect();
    let written: Vec<Written> = produce(&prefix, &broker);
    assert_eq!(written.len(), KINDS.len() * MESSAGES);
    let sandbox = Sandbox::start(&["--memory", "--no-limits"]);
    know_users(&sandbox, "user-", MESSAGES as u32).await;

    let project = project(&prefix, &broker, &sandbox, &registry().2);
    let runs = project.json(&["run", "--all", "--parallel", "4"]);
    for run in runs.as_array().expect("runs") {
        assert_eq!(run["ending"], "succeeded", "{run:#}");
        assert_eq!(run["counts"]["delivered"], MESSAGES, "{run:#}");
    }

    for vendor in ["braze", "onesignal"] {
        let lines = sandbox.lines(&format!("{vendor}/events")).await;
        let events: Vec<Event> =
            lines.iter().map(|line| serde_json::from_str(line).expect("an event")).collect();
        assert_eq!(events.len(), written.len());
        for (at, message) in written.iter().enumerate() {
            let kind = message.topic.strip_prefix(&format!("{prefix}-")).expect("ours");
            let user = format!("user-{}", at / KINDS.len());
            let mut arrived = events.iter().filter(|event| event.name == kind && event.external_id == user);
            let properties = arrived.next().unwrap_or_else(|| panic!("{kind} of {user}")).properties.get();
            assert!(arrived.next().is_none(), "{vendor}: {kind} of {user} arrived twice");
            let read: Value = serde_json::from_str(properties).expect("JSON");
            assert_eq!(read, message.expect, "{vendor}: {kind} of {user}");
            // Braze's sandbox reads numbers as floats; what OneSignal's was sent it lists as it came.
            for digits in message.digits.iter().filter(|_| vendor == "onesignal") {
                assert!(properties.contains(digits), "{vendor}: {digits} in {properties}");
            }
        }
        for (kind, topic) in &topics {
            let group = format!("{kind}_to_{vendor}");
            assert_eq!(topic.committed(&group), [Some(MESSAGES as u64)], "{group}");
        }
    }
}

#[tokio::test]
async fn kafka_check_finds_a_registry_that_refuses_us_before_a_run_does() {
    let prefix = unique("locked");
    let broker = variable("TIDEGATE_TEST_KAFKA");
    produce(&prefix, &broker);
    let sandbox = Sandbox::start(&["--memory"]);
    let (url, _, password) = registry();

    let locked = project(&prefix, &broker, &sandbox, "not the password");
    let checked = locked.done(&["check", "avro_to_braze"]);
    assert_eq!(checked.code, 1, "{checked:?}");
    for line in [
        format!("ok   READ on topic {prefix}-avro: a message was read\n"),
        format!("FAIL schemas of topic {prefix}-avro: the schema registry at {url} rejected the credentials"),
        "correct `registry.username` and `registry.password`".to_owned(),
    ] {
        assert!(checked.stdout.contains(&line), "{line} in {}", checked.stdout);
    }
    // JSON needs no registry.
    assert_eq!(locked.done(&["check", "json_to_braze"]).code, 0);

    let open = project(&prefix, &broker, &sandbox, &password);
    assert_eq!(open.done(&["check", "avro_to_braze"]).code, 0);
    let yaml = std::fs::read_to_string(open.path().join("tidegate.yaml")).expect("the project");
    open.write("tidegate.yaml", &yaml.replace("format: avro }", "format: json }"));
    let misread = open.done(&["check", "avro_to_braze"]);
    let line = format!(
        "ok   READ on topic {prefix}-avro: a message was read, but is not a row: has a schema registry header"
    );
    assert!(misread.stdout.contains(&line), "{line} in {}", misread.stdout);
}

/// Lets Confluent's serializers write, and returns what they wrote.
fn produce(prefix: &str, broker: &str) -> Vec<Written> {
    let (registry, user, password) = registry();
    let prefix = format!("{prefix}-");
    let count = MESSAGES.to_string();
    let arguments = ["--prefix", &prefix, "--count", &count, "--broker", broker, "--registry", &registry];
    let said = client("produce.py", &[&arguments[..], &["--user", &user, "--password", &password]].concat());
    said.lines().map(|line| serde_json::from_str(line).expect("a message")).collect()
}

fn registry() -> (String, String, String) {
    let of = |name: &str| variable(&format!("TIDEGATE_TEST_REGISTRY{name}"));
    (of(""), of("_USER"), of("_PASSWORD"))
}

/// A sync of each topic to each platform.
fn project(prefix: &str, broker: &str, sandbox: &Sandbox, password: &str) -> Project {
    let (url, user, _) = registry();
    let mut yaml = format!(
        "connections:\n  stream:\n    type: kafka\n    brokers: {broker}\n    \
         registry: {{ url: \"{url}\", username: {user}, password: \"{password}\" }}\n{}syncs:\n",
        sandbox.connections()
    );
    for vendor in ["braze", "onesignal"] {
        for (kind, format) in KINDS {
            yaml.push_str(&format!(
                "  {kind}_to_{vendor}:\n    source: {{ connection: stream, topics: {prefix}-{kind}, group: {kind}_to_{vendor}-{prefix}-{kind}, format: {format} }}\n    \
                 destination: {{ connection: {vendor}, object: event }}\n    \
                 mapping: {{ external_id: key, name: {{ value: {kind} }}, timestamp: timestamp, properties: value }}\n"
            ));
        }
    }
    Project::new(&yaml)
}
