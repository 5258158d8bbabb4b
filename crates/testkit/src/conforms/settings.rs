//! What a connector says of itself, and how it is opened.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use tidegate_model::{Connector, Error, ErrorKind, ObjectKind, Platform, Settings, Source, Tools};

use super::{Example, Suite, settings_of, tools};

/// A folder that is not there, and is not to be made.
pub(super) const NOWHERE: &str = "/nonexistent/tidegate";

/// `kind:` in project files names one connector.
pub async fn a_kind_is_one_lowercase_word_of_its_own(suite: &Suite) {
    let mut seen = BTreeSet::new();
    for Connector { kind, .. } in suite.connectors {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(
            kind.starts_with(|first: char| first.is_ascii_lowercase()) && kind.bytes().all(word),
            "{kind}"
        );
        assert!(seen.insert(kind), "`{kind}` is there twice");
    }
}

/// It has a title, a page and a picture that needs nothing from elsewhere.
pub async fn a_connector_introduces_itself(suite: &Suite) {
    for Connector { kind, title, readme, icon, platform, source, .. } in suite.connectors {
        assert!(!title.trim().is_empty(), "{kind}: title");
        assert!(readme.starts_with("# ") && readme.contains(&format!("kind: {kind}")), "{kind}: README");
        let icon = icon.trim();
        assert!(icon.starts_with("<svg ") && icon.ends_with("</svg>"), "{kind}: the icon is no SVG");
        assert!(icon.contains("http://www.w3.org/2000/svg") && icon.contains("viewBox="), "{kind}: icon");
        for foreign in ["<script", "href=", "<!", "url(http", " on"] {
            assert!(!icon.contains(foreign), "{kind}: the icon holds `{foreign}`");
        }
        assert!(platform.is_some() || source.is_some(), "{kind} plays no role");
        assert!(platform.is_none_or(|role| !role.objects.is_empty()), "{kind} takes no objects");
    }
}

/// A schema with its name for messages.
fn schemas(connector: &Connector) -> Vec<(String, Value)> {
    let named = |what: &str, schema: Value| (format!("{}, {what}", connector.kind), schema);
    let mut schemas = vec![named("settings", (connector.settings)().to_value())];
    schemas.extend(connector.source.map(|role| named("selection", (role.selection)().to_value())));
    schemas.extend(connector.platform.map(|role| named("target", (role.target)().to_value())));
    schemas
}

/// Shows every object type of a schema to `see`, with its definitions.
fn each_object(schema: &Value, see: &mut impl FnMut(&Map<String, Value>, &Map<String, Value>)) {
    // How a secret is written is the same for all connectors, and explained once.
    if schema["writeOnly"] == true {
        return;
    }
    if let (Some(object), Value::Object(properties)) = (schema.as_object(), &schema["properties"]) {
        see(object, properties);
    }
    match schema {
        Value::Object(members) => members.values().for_each(|member| each_object(member, see)),
        Value::Array(list) => list.iter().for_each(|member| each_object(member, see)),
        _ => {}
    }
}

/// The schema that a property refers to, or itself.
fn resolved<'a>(root: &'a Value, property: &'a Value) -> &'a Value {
    let alternatives = property["anyOf"].as_array().into_iter().flatten();
    let reference = alternatives.chain([property]).find_map(|schema| schema["$ref"].as_str());
    reference.and_then(|path| root.pointer(path.trim_start_matches('#'))).unwrap_or(property)
}

/// The doc comment of a setting is its help everywhere.
pub async fn every_setting_has_its_help_text(suite: &Suite) {
    for connector in suite.connectors {
        for (place, schema) in schemas(connector) {
            assert!(schema["description"].is_string(), "{place}: no description");
            each_object(&schema, &mut |_, properties| {
                for (name, property) in properties {
                    let help = property["description"].as_str().unwrap_or_default();
                    assert!(help.len() > 10 && help.ends_with('.'), "{place}: help of `{name}`: {help:?}");
                }
            });
        }
    }
}

/// A person finds each setting on the connector's page.
pub async fn every_setting_stands_in_the_readme(suite: &Suite) {
    for connector in suite.connectors {
        let words: BTreeSet<&str> =
            connector.readme.split(|char: char| !char.is_ascii_alphanumeric() && char != '_').collect();
        for (place, schema) in schemas(connector) {
            each_object(&schema, &mut |_, properties| {
                for name in properties.keys() {
                    assert!(words.contains(name.as_str()), "{place}: the README does not mention `{name}`");
                }
            });
        }
    }
}

/// What is called a key, a password or a token is a secret; others may be, too.
pub async fn every_secret_is_write_only(suite: &Suite) {
    for connector in suite.connectors {
        for (place, schema) in schemas(connector) {
            each_object(&schema, &mut |_, properties| {
                for (name, property) in properties {
                    let secret = ["api_key", "password", "token", "secret", "private_key"];
                    if secret.iter().any(|word| name.contains(word)) {
                        let write_only =
                            property["writeOnly"] == true || resolved(&schema, property)["writeOnly"] == true;
                        assert!(write_only, "{place}: `{name}` is not write-only");
                    }
                }
            });
        }
    }
}

/// The values of an example's secrets.
pub(super) fn secrets(connector: &Connector, settings: &Value) -> Vec<(String, String)> {
    let schema = (connector.settings)().to_value();
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .filter(|(_, property)| resolved(&schema, property)["writeOnly"] == true)
        .filter_map(|(name, _)| Some((name.clone(), settings[name].as_str()?.to_owned())))
        .collect()
}

/// By the schema, for editors, and by the connector itself: a typo is never passed over.
pub async fn unknown_members_are_refused(suite: &Suite) {
    for (connector, example) in suite.each() {
        for (place, schema) in schemas(connector) {
            each_object(&schema, &mut |object, _| {
                assert_eq!(
                    object.get("additionalProperties"),
                    Some(&Value::Bool(false)),
                    "{place}: {object:?}"
                );
            });
        }
        let refused = |what: &str, result: Result<(), Error>| {
            let error = result.expect_err(&format!("{}: {what} with an unknown member", connector.kind));
            assert_eq!(error.kind(), ErrorKind::Settings, "{}: {error:?}", connector.kind);
            assert!(error.message().contains("no_such_setting"), "{}: {error:?}", connector.kind);
        };
        refused("settings", open_each(connector, &example, &with_typo(&example.settings), None));
        if let Some(platform) = &example.platform {
            let target = with_typo(&(platform.target)(connector.platform.expect("a platform").objects[0]));
            refused("target", open_each(connector, &example, &example.settings, Some(&target)));
        }
        if let (Some(role), Some(source)) = (connector.source, &example.source) {
            for place in (source.places)().await {
                let source = (role.open)(&settings_of(&place.settings), &nowhere()).expect("an example");
                let described = source.describe(&settings_of(&with_typo(&place.selection))).await;
                refused("selection", described.map(|_| ()));
            }
        }
    }
}

fn with_typo(settings: &Value) -> Value {
    let mut settings = settings.clone();
    settings["no_such_setting"] = json!(1);
    settings
}

/// Tools with which nothing can be done.
fn nowhere() -> Tools {
    tools(NOWHERE.as_ref())
}

/// Opens every role of a connector; `target` stands in for the example's.
fn open_each(
    connector: &Connector,
    example: &Example,
    settings: &Value,
    target: Option<&Value>,
) -> Result<(), Error> {
    let settings = settings_of(settings);
    if let Some(role) = connector.source {
        let _: Arc<dyn Source> = (role.open)(&settings, &nowhere())?;
    }
    if let (Some(role), Some(example)) = (connector.platform, &example.platform) {
        for kind in role.objects {
            open_platform(connector, &settings, *kind, target.unwrap_or(&(example.target)(*kind)))?;
        }
    }
    Ok(())
}

fn open_platform(
    connector: &Connector,
    settings: &Settings,
    kind: ObjectKind,
    target: &Value,
) -> Result<Arc<dyn Platform>, Error> {
    (connector.platform.expect("a platform").open)(settings, kind, &settings_of(target), &nowhere())
}

/// On a thread without a runtime, with HTTP that panics, in folders that are
/// not there: what opens there opens anywhere.
pub async fn opening_does_no_io(suite: &Suite) {
    for (connector, example) in suite.each() {
        std::thread::scope(|scope| {
            let opened = scope.spawn(|| open_each(connector, &example, &example.settings, None)).join();
            let opened = opened.unwrap_or_else(|_| panic!("{}: opening panicked", connector.kind));
            opened.unwrap_or_else(|error| panic!("{}: {error:?}", connector.kind));
        });
        assert!(!Path::new(NOWHERE).exists(), "{}: opening made a folder", connector.kind);
    }
}

/// Any JSON at all: the result is an opened connector or an error about a setting.
pub async fn no_settings_make_opening_panic(suite: &Suite) {
    for (connector, example) in suite.each() {
        let settings_or_fine = |result: Result<(), Error>| match result {
            Err(error) if error.kind() != ErrorKind::Settings => {
                Err(TestCaseError::fail(format!("{}: {error:?}", connector.kind)))
            }
            _ => Ok(()),
        };
        try_each(&mangled(&example.settings), |settings| {
            settings_or_fine(open_each(connector, &example, &settings, None))?;
            if let Some(setup) = connector.setup {
                settings_or_fine(setup(&settings_of(&settings), None).map(|_| ()))?;
            }
            Ok(())
        });
        if let Some(platform) = &example.platform {
            for kind in connector.platform.expect("a platform").objects {
                try_each(&mangled(&(platform.target)(*kind)), |target| {
                    settings_or_fine(open_each(connector, &example, &example.settings, Some(&target)))
                });
            }
        }
    }
}

/// What to read is looked at before anything is reached.
pub async fn no_selection_panics(suite: &Suite) {
    for (connector, example) in suite.each() {
        let (Some(role), Some(places)) = (connector.source, &example.source) else { continue };
        let settings = settings_of(&example.settings);
        let source = (role.open)(&settings, &nowhere()).expect("an example");
        let runtime = tokio::runtime::Handle::current();
        let selection = (places.places)().await.remove(0).selection;
        tokio::task::spawn_blocking({
            let setup = connector.setup;
            move || {
                try_each(&mangled(&selection), |selection| {
                    let selection = settings_of(&selection);
                    if let Some(Err(error)) = setup.map(|setup| setup(&settings, Some(&selection))) {
                        prop_assert_eq!(error.kind(), ErrorKind::Settings, "{:?}", error);
                    }
                    let error = runtime.block_on(source.describe(&selection)).expect_err("nothing is there");
                    let kinds = [ErrorKind::Settings, ErrorKind::Missing, ErrorKind::Unavailable];
                    prop_assert!(kinds.contains(&error.kind()), "{:?}", error);
                    Ok(())
                });
            }
        })
        .await
        .unwrap_or_else(|panic| panic!("{}: {panic}", connector.kind));
    }
}

fn try_each(strategy: &BoxedStrategy<Value>, test: impl Fn(Value) -> Result<(), TestCaseError>) {
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(strategy, test).unwrap_or_else(|failure| panic!("{failure}"));
}

/// Objects of any JSON, and `example` with one member that is gone or anything else.
fn mangled(example: &Value) -> BoxedStrategy<Value> {
    let anything = anything();
    let members = proptest::collection::btree_map("[a-z_]{1,12}", anything.clone(), 0..5);
    let any_object = members.prop_map(|members| Value::Object(members.into_iter().collect()));
    let names: Vec<String> = example.as_object().expect("an object").keys().cloned().collect();
    if names.is_empty() {
        return any_object.boxed();
    }
    let example = example.clone();
    let changed = (proptest::sample::select(names), proptest::option::weighted(0.9, anything)).prop_map(
        move |(name, value)| {
            let mut settings = example.as_object().expect("an object").clone();
            match value {
                Some(value) => settings.insert(name, value),
                None => settings.shift_remove(&name),
            };
            Value::Object(settings)
        },
    );
    prop_oneof![1 => any_object, 3 => changed].boxed()
}

fn anything() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "[\\x00-\\x7f]{0,12}".prop_map(Value::from),
        "https?://[a-z:@/?#.\\[\\]]{0,16}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{1,9}", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
    .boxed()
}
