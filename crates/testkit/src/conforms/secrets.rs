//! What must not be said: keys, passwords, the values of rows.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Request, Response, StatusCode};
use serde_json::json;
use tidegate_model::{Checks, Error, Faults, Http, HttpFailure, ReadMode, Selection, Source};

use super::context::{context, settings_of};
use super::example::PRIVATE;
use super::log;
use super::opening::NOWHERE;
use super::settings::secrets;
use super::suite::Suite;

/// Everything that people can get to see of an error.
pub(super) fn told(error: &Error) -> String {
    format!("{error} {error:?} {} {}", error.chain(), error.next_step())
}

pub(super) fn assert_silent(backend: &str, text: &str, secrets: &[(String, String)]) {
    for (name, secret) in secrets {
        assert!(!text.contains(secret), "{backend}: the value of `{name}` is told:\n{text}");
    }
    assert!(!text.contains(PRIVATE), "{backend}: a row's value is told:\n{text}");
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
            Faults { rejected: 1.0, ..Faults::default() },
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
        assert_silent("the log", &log::written(), &secrets);
    }
}

/// Repeats the request's credentials, as proxies do that help with debugging.
struct Echo(StatusCode, fn(&str) -> String);

#[async_trait]
impl Http for Echo {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let body = (self.1)(header.expect("a request with credentials"));
        let answer = Response::builder().status(self.0).header("content-type", "application/json");
        Ok(answer.body(Bytes::from(body)).expect("an answer"))
    }
}

/// Whatever shape the repetition has: it would stay in the history of every row.
pub async fn an_answer_that_repeats_the_key_does_not_spread_it(suite: &Suite) {
    let shapes: [fn(&str) -> String; 4] = [
        |said| format!("<html>refused: {said}</html>"),
        |said| json!({ "message": said }).to_string(),
        |said| json!({ "message": "no", "errors": [said] }).to_string(),
        |said| {
            json!({ "message": "no", "errors": [{ "code": said, "title": said, "type": said, "index": 0 }] })
                .to_string()
        },
    ];
    for world in suite.sandboxes().await {
        let settings = (suite.example)(world.connector.kind).expect("looked at before").settings;
        let secrets = secrets(world.connector, &settings);
        for status in [201, 400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503] {
            for shape in shapes {
                let status = StatusCode::from_u16(status).expect("a status");
                let platform = world.platform_behind(Arc::new(Echo(status, shape)));
                let delivered = match platform.deliver(&world.records(2)).await {
                    Ok(receipt) => format!("{receipt:?}"),
                    Err(error) => told(&error),
                };
                let checked =
                    platform.check().await.map_or_else(|error| told(&error), |checks| said(&checks));
                assert_silent(&format!("{world}, {status}"), &delivered, &secrets);
                assert_silent(&format!("{world}, {status}, check"), &checked, &secrets);
            }
        }
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
                let context = context(NOWHERE.as_ref());
                let mut results = Vec::new();
                results.extend(connector.source.map(|role| (role.open)(&settings, &context).map(|_| ())));
                results.extend(connector.ingest.map(|role| (role.open)(&settings, &context).map(|_| ())));
                if let (Some(role), Some(platform)) = (connector.platform, &example.platform) {
                    results.extend(role.objects.iter().map(|kind| {
                        let target = settings_of(&(platform.target)(*kind));
                        (role.open)(&settings, *kind, &target, &context).map(|_| ())
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
        for backend in (source.backends)().await {
            let kind = connector.kind;
            let settings = settings_of(&backend.settings);
            let secrets = secrets(connector, &backend.settings);
            let opened = (role.open)(&settings, &backend.context()).expect("an example");
            for selection in [Some(&backend.selection), Some(&backend.missing), backend.failing.as_ref()] {
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
            if let Some(failing) = &backend.failing {
                read(&*opened, &settings_of(failing)).await.expect_err("the example says that it fails");
            }
            assert_silent("the log", &log::written(), &secrets);
        }
    }
}

async fn read(source: &dyn Source, selection: &Selection) -> Result<(), Error> {
    source.read(selection, &ReadMode::Full, 100).await?.try_for_each(async |_| Ok(())).await
}
