//! What must not be said: keys, passwords, the values of rows.

use futures_util::TryStreamExt;
use tidegate_model::{Checks, Error, Faults, Reach, Source};

use super::settings::{NOWHERE, secrets};
use super::{PRIVATE, Suite, log, settings_of, tools};

/// Everything that people can get to see of an error.
fn told(error: &Error) -> String {
    format!("{error} {error:?} {} {}", error.chain(), error.next_step())
}

fn assert_silent(place: &str, text: &str, secrets: &[(String, String)]) {
    for (name, secret) in secrets {
        assert!(!text.contains(secret), "{place}: the value of `{name}` is told:\n{text}");
    }
    assert!(!text.contains(PRIVATE), "{place}: a row's value is told:\n{text}");
}

/// Neither by errors, nor by checks, nor in the log, whatever goes wrong.
pub async fn a_delivery_tells_no_secret_and_no_row(suite: &Suite) {
    log::start();
    for (world, settings) in suite.worlds().await.into_iter().map(|world| {
        let settings = (suite.example)(world.connector.kind).expect("looked at before").settings;
        (world, settings)
    }) {
        let secrets = secrets(world.connector, &settings);
        assert!(world.connector.sandbox.is_none() || !secrets.is_empty(), "{world}: no secret to look for");
        let faults = [
            Faults::default(),
            Faults { throttled: 1.0, ..Faults::default() },
            Faults { unavailable: 1.0, ..Faults::default() },
            Faults { dropped: 1.0, ..Faults::default() },
            Faults { refused: 1.0, ..Faults::default() },
            Faults { revoked: true, ..Faults::default() },
        ];
        for faults in faults {
            world.misbehave(&faults);
            let platform = world.platform();
            let mut text = match platform.check().await {
                Ok(checks) => said(&checks),
                Err(error) => told(&error),
            };
            match platform.deliver(&world.records(5)).await {
                Ok(receipt) => text.push_str(&format!("{receipt:?}")),
                Err(error) => text.push_str(&told(&error)),
            }
            assert_silent(&format!("{world}, {faults:?}"), &text, &secrets);
        }
        assert_silent(&format!("{world}, the log"), &log::written(), &secrets);
    }
}

fn said(checks: &Checks) -> String {
    format!("{checks:?}")
}

/// A key with a line break is refused without being shown.
pub async fn a_key_that_cannot_be_one_is_not_repeated(suite: &Suite) {
    for (connector, example) in suite.each() {
        for (name, secret) in secrets(connector, &example.settings) {
            for broken in [format!("{secret}\n"), format!("\u{e9}{secret}"), format!("{secret}\0")] {
                let mut settings = example.settings.clone();
                settings[&name] = broken.into();
                let settings = settings_of(&settings);
                let tools = tools(NOWHERE.as_ref());
                let mut results = Vec::new();
                results.extend(connector.source.map(|role| (role.open)(&settings, &tools).map(|_| ())));
                if let (Some(role), Some(platform)) = (connector.platform, &example.platform) {
                    results.extend(role.objects.iter().map(|kind| {
                        let target = settings_of(&(platform.target)(*kind));
                        (role.open)(&settings, *kind, &target, &tools).map(|_| ())
                    }));
                }
                for error in results.into_iter().filter_map(Result::err) {
                    let secrets = [(name.clone(), secret.clone())];
                    assert_silent(connector.kind, &told(&error), &secrets);
                    assert!(error.message().contains(&name), "{}: {error:?}", connector.kind);
                }
            }
        }
    }
}

/// Not even where the source itself repeats the value that it stumbled over.
pub async fn a_failed_read_tells_no_secret_and_no_row(suite: &Suite) {
    log::start();
    for (connector, example) in suite.each() {
        let (Some(role), Some(source)) = (connector.source, &example.source) else { continue };
        for place in (source.places)().await {
            let kind = connector.kind;
            let settings = settings_of(&place.settings);
            let secrets = secrets(connector, &place.settings);
            let opened = (role.open)(&settings, &tools(&place.project)).expect("an example");
            for selection in [Some(&place.selection), Some(&place.missing), place.failing.as_ref()] {
                let Some(selection) = selection.map(settings_of) else { continue };
                let text = match opened.check(Some(&selection)).await {
                    Ok(checks) => said(&checks),
                    Err(error) => told(&error),
                };
                assert_silent(kind, &text, &secrets);
                if let Err(error) = read(&*opened, &selection).await {
                    assert_silent(kind, &told(&error), &secrets);
                }
            }
            if let Some(failing) = &place.failing {
                read(&*opened, &settings_of(failing)).await.expect_err("the example says that it fails");
            }
            assert_silent(&format!("{kind}, the log"), &log::written(), &secrets);
        }
    }
}

async fn read(source: &dyn Source, selection: &tidegate_model::Selection) -> Result<(), Error> {
    source.read(selection, &Reach::Everything, 100).await?.try_for_each(async |_| Ok(())).await
}
