use serde_json::json;

use super::super::{ProjectText, yaml_entry};
use super::{CHANNELS, CONNECTORS, good, parse};

const FILE: &str = "# ours
connections:
  a: { type: system } # the first

  # the second
  b:
    type: system
syncs:
  # about s
  s: { source: { connection: a } }
";

fn sheet(text: &str) -> ProjectText {
    ProjectText::new(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn an_entry_that_is_added_leaves_every_other_line_as_it_was() {
    let added = sheet(FILE).put(&["connections", "c"], "c:\n  type: other\n").expect("added");
    assert_eq!(
        added,
        FILE.replace("    type: system\nsyncs", "    type: system\n  c:\n    type: other\nsyncs")
    );
    let added = sheet(FILE).put(&["syncs", "t"], "t: {}\n").expect("added");
    assert_eq!(added, format!("{FILE}  t: {{}}\n"));
    for (empty, expected) in [
        ("", "syncs:\n  s: 1\n"),
        ("# nothing\n", "# nothing\nsyncs:\n  s: 1\n"),
        ("syncs:\n", "syncs:\n  s: 1\n"),
        ("syncs: {} # none yet\nalerts: 1\n", "syncs: # none yet\n  s: 1\nalerts: 1\n"),
        ("connections:\n    a: 1", "connections:\n    a: 1\nsyncs:\n  s: 1\n"),
    ] {
        assert_eq!(sheet(empty).put(&["syncs", "s"], "s: 1").expect("added"), expected, "{empty:?}");
    }
}

#[test]
fn an_entry_is_read_replaced_and_removed_with_its_own_comments_alone() {
    assert_eq!(sheet(FILE).entry(&["connections", "b"]).as_deref(), Some("b:\n  type: system\n"));
    let replaced = sheet(FILE).put(&["connections", "a"], "a: { type: new }").expect("replaced");
    assert_eq!(replaced, FILE.replace("{ type: system } # the first", "{ type: new }"));
    let removed = sheet(FILE).without(&["connections", "b"]).expect("removed");
    assert!(removed.contains("# the second\nsyncs:"), "{removed}");
    let inner = sheet(FILE).put(&["connections", "b", "type"], "type: other").expect("replaced");
    assert_eq!(inner, FILE.replace("    type: system", "    type: other"));
}

#[test]
fn what_has_no_lines_of_its_own_is_told() {
    for text in ["syncs: { s: 1 }\n", "{ syncs: { s: 1 } }"] {
        let error = sheet(text).put(&["syncs", "t"], "t: 1").expect_err("on one line");
        assert!(error.message().contains("lines of its own"), "{error}");
        assert!(sheet(text).entry(&["syncs", "s"]).is_none());
    }
}

#[test]
fn a_value_is_written_so_that_it_is_read_as_the_same() {
    let value = json!({
        "type": "system", "host": "db.example.com", "port": 5432, "note": "it's: \"x\" # no", "empty": "",
        "password": "${SHOP_PASSWORD}", "yes": "true", "number": "12", "list": ["a b", "c,d", "*"],
        "mapping": { "external_id": "id", "name": { "value": "order placed" }, "deep": { "a": { "b": { "c": { "d": 1 } } } } },
        "multi": "a\nb", "schedule": { "every": "15m" }, "braces": "a{b}", "none": null, "é": "ü",
    });
    let text = format!("syncs:\n{}", yaml_entry("my sync", &value).replace("\n", "\n  "));
    let text = text.replacen("syncs:\n", "syncs:\n  ", 1);
    let mut findings = Vec::new();
    let root =
        super::super::yaml::read(&text, &mut findings).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
    let read =
        root.entry("syncs").and_then(|syncs| syncs.value.entry("my sync")).expect("there").value.to_member();
    assert_eq!(read, value, "{text}");
    assert!(
        text.contains("schedule: { every: 15m }\n") && text.contains("password: ${SHOP_PASSWORD}\n"),
        "{text}"
    );
    assert!(yaml_entry("a", &json!({})).starts_with("a: {}"));
}

#[test]
fn a_good_file_stays_good_when_any_entry_is_put_back() {
    let (text, before) = (good(), parse(&good(), "tidegate.yaml", CONNECTORS, CHANNELS).expect("valid"));
    for section in ["connections", "syncs"] {
        let names: Vec<String> = match section {
            "syncs" => before.syncs.keys().map(ToString::to_string).collect(),
            _ => before.connections.keys().map(ToString::to_string).collect(),
        };
        for name in names {
            let entry = sheet(&text).entry(&[section, &name]).expect("its lines");
            assert_eq!(sheet(&text).put(&[section, &name], &entry).expect("put"), text, "{section} {name}");
        }
    }
}

#[test]
fn a_setting_is_changed_and_every_other_line_stays_as_it_was() {
    let file = "connections:
  shop:
    type: system # ours
    # the host of the replica
    host: ${SHOP_HOST}
    stream:
      token: { secret: t }
  # the other one
  one: { type: system, host: a }
syncs:
";
    let text = |key: &str, value: &str| (key.to_owned(), Some(json!(value)));
    let changed = sheet(file)
        .with_settings(
            &["connections", "shop"],
            &[
                text("host", "db.example.com"),
                ("key".to_owned(), Some(json!({ "secret": "k" }))),
                text("type", "system"),
            ],
        )
        .expect("changed");
    let expected = file
        .replace("host: ${SHOP_HOST}", "host: db.example.com")
        .replace("{ secret: t }\n", "{ secret: t }\n    key: { secret: k }\n");
    assert_eq!(changed, expected);
    let removed =
        sheet(file).with_settings(&["connections", "shop"], &[("stream".to_owned(), None)]).expect("removed");
    assert_eq!(removed, file.replace("    stream:\n      token: { secret: t }\n", ""));
    let on_one_line = sheet(file)
        .with_settings(&["connections", "one"], &[text("host", "b"), text("note", "c d")])
        .expect("changed");
    assert_eq!(
        on_one_line,
        file.replace(
            "  one: { type: system, host: a }\n",
            "  one:\n    type: system\n    host: b\n    note: c d\n"
        )
    );
    assert_eq!(sheet(file).with_settings(&["connections", "one"], &[text("host", "a")]).expect("same"), file);
    assert!(sheet(file).with_settings(&["connections", "two"], &[text("host", "a")]).is_err());
}
