//! How a connector is opened: without I/O, and from any settings at all.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tidegate_model::{
    ConnectionId, Connector, ConnectorContext, Error, ErrorKind, Ingest, ObjectKind, Platform, Settings,
    Source,
};

use super::context::{Unreachable, context, settings_of};
use super::example::Example;
use super::settings::{each_object, schemas};
use super::suite::Suite;

/// A folder that is not there, and is not to be made.
pub(super) const NOWHERE: &str = "/nonexistent/tidegate";

/// By the schema, for editors, and by the connector itself: a typo is never ignored.
pub async fn unknown_members_are_refused(suite: &Suite) {
    for (connector, example) in suite.each() {
        for (backend, schema) in schemas(connector) {
            each_object(&schema, &mut |object, _| {
                assert_eq!(
                    object.get("additionalProperties"),
                    Some(&Value::Bool(false)),
                    "{backend}: {object:?}"
                );
            });
        }
        let refused = |what: &str, result: Result<(), Error>| {
            let error = result.expect_err(&format!("{}: {what} with an unknown member", connector.kind));
            assert_eq!(error.kind(), ErrorKind::Settings, "{}: {error:?}", connector.kind);
            assert!(error.message().contains("no_such_setting"), "{}: {error:?}", connector.kind);
        };
        // The roles that need more to be opened have suites of their own.
        if connector.source.is_some() || connector.platform.is_some() {
            refused("settings", open_each(connector, &example, &with_typo(&example.settings), None));
        }
        if let Some(platform) = &example.platform {
            let target = with_typo(&(platform.target)(connector.platform.expect("a platform").objects[0]));
            refused("target", open_each(connector, &example, &example.settings, Some(&target)));
        }
        if let (Some(role), Some(source)) = (connector.source, &example.source) {
            for backend in (source.backends)().await {
                let source = (role.open)(&settings_of(&backend.settings), &nowhere()).expect("an example");
                let described = source.describe(&settings_of(&with_typo(&backend.selection))).await;
                refused("selection", described.map(|_| ()));
            }
        }
    }
}

pub(super) fn with_typo(settings: &Value) -> Value {
    let mut settings = settings.clone();
    settings["no_such_setting"] = json!(1);
    settings
}

/// A context with which nothing can be done.
pub(super) fn nowhere() -> ConnectorContext {
    context(NOWHERE.as_ref())
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
    if let Some(role) = connector.ingest {
        let _: Arc<dyn Ingest> = (role.open)(&settings, &nowhere())?;
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
                settings_or_fine(
                    setup(&ConnectionId::new("example"), &settings_of(&settings), None).map(|_| ()),
                )?;
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
        let (Some(role), Some(backends)) = (connector.source, &example.source) else { continue };
        let settings = settings_of(&example.settings);
        // Some of what is made up is a selection that could be there.
        let context = ConnectorContext { http: Arc::new(Unreachable), ..nowhere() };
        let source = (role.open)(&settings, &context).expect("an example");
        let runtime = tokio::runtime::Handle::current();
        let selection = (backends.backends)().await.remove(0).selection;
        tokio::task::spawn_blocking({
            let setup = connector.setup;
            move || {
                try_each(&mangled(&selection), |selection| {
                    let selection = settings_of(&selection);
                    if let Some(Err(error)) =
                        setup.map(|setup| setup(&ConnectionId::new("example"), &settings, Some(&selection)))
                    {
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

pub(super) fn try_each(strategy: &BoxedStrategy<Value>, test: impl Fn(Value) -> Result<(), TestCaseError>) {
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(strategy, test).unwrap_or_else(|failure| panic!("{failure}"));
}

/// Objects of any JSON, and `example` with one member that is gone or anything else.
pub(super) fn mangled(example: &Value) -> BoxedStrategy<Value> {
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
