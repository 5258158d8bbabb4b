//! What is written for a secret is never repeated, however wrong it is.

use serde_json::Value;
use tidegate::registry::{CHANNELS, CONNECTORS};
use tidegate_model::Error;
use tidegate_project as project;

/// Digits and letters, so that it is a number, a word and a key.
const CANARY: &str = "8675309424242";

/// Returns the paths of all settings that are secrets.
fn secrets(root: &Value, schema: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
        return secrets(root, &root["$defs"][name], path, found);
    }
    if schema["writeOnly"] == true {
        found.push(path.to_vec());
    }
    for choice in ["anyOf", "oneOf", "allOf"].iter().flat_map(|key| schema[*key].as_array()).flatten() {
        secrets(root, choice, path, found);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let inner: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
        secrets(root, property, &inner, found);
    }
}

#[test]
fn leaks_a_secret_of_the_wrong_type_is_not_repeated() {
    let mut paths = 0;
    for connector in CONNECTORS {
        let schema = (connector.settings)().to_value();
        let mut found = Vec::new();
        secrets(&schema, &schema, &[], &mut found);
        for path in found {
            paths += 1;
            for wrong in [
                CANARY.to_owned(),
                format!("0.{CANARY}"),
                format!("[{CANARY}]"),
                format!("[[a{CANARY}]]"),
                format!("{{ {CANARY}: {CANARY} }}"),
                format!("{{ a{CANARY} }}"),
                format!("!a{CANARY} b"),
                format!("*a{CANARY}"),
                format!("@a{CANARY}"),
                format!("${{a{CANARY}-b}}"),
                format!("{{{{ a{CANARY} }}}}"),
            ] {
                let last = path.last().expect("a name");
                let whole = path.iter().rev().fold(wrong, |inner, key| format!("{{ {key}: {inner} }}"));
                let line = whole[1..whole.len() - 1].trim();
                assert_silent(&format!("connections:\n  c:\n    type: {}\n    {line}\n", connector.kind));
                // Without the space after the colon.
                let tight = format!("{{ type: {}, {last}:a{CANARY} }}", connector.kind);
                assert_silent(&format!("connections:\n  c: {tight}\n"));
            }
        }
    }
    assert!(paths > 30, "{paths} secrets were found");
}

fn assert_silent(yaml: &str) {
    let error = Error::from(project::parse(yaml, "tidegate.yaml", CONNECTORS, CHANNELS).expect_err(yaml));
    let told = format!("{error} {error:?} {} {}", error.chain(), error.next_step());
    assert!(!told.contains(CANARY), "{yaml}\n{told}");
}
