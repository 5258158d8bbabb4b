//! The client against answers written by hand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_model::{ErrorKind, Http, HttpFailure, Settings};

use super::{Registry, SchemaId};

/// Answers by path; anything else is 404 as a registry says it.
#[derive(Default)]
struct Script {
    answers: HashMap<&'static str, (u16, &'static str)>,
    asked: Mutex<Vec<http::Request<Bytes>>>,
}

#[async_trait]
impl Http for Script {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        let path = request.uri().path_and_query().expect("path").as_str().to_owned();
        self.asked.lock().expect("lock").push(request);
        let unknown = (404, r#"{"error_code":40401,"message":"Subject not found"}"#);
        let &(status, body) = self.answers.get(path.as_str()).unwrap_or(&unknown);
        let mut response = http::Response::new(Bytes::from_static(body.as_bytes()));
        *response.status_mut() = http::StatusCode::from_u16(status).expect("status");
        Ok(response)
    }
}

fn registry(settings: serde_json::Value, http: &Arc<Script>) -> Result<Registry, tidegate_model::Error> {
    let serde_json::Value::Object(members) = settings else { panic!("an object") };
    let settings = Settings::new(members).parse().expect("settings");
    Registry::new(&settings, Arc::clone(http) as Arc<dyn Http>)
}

fn script(answers: &[(&'static str, u16, &'static str)]) -> Arc<Script> {
    let answers = answers.iter().map(|(path, status, body)| (*path, (*status, *body))).collect();
    Arc::new(Script { answers, asked: Mutex::default() })
}

#[tokio::test]
async fn references_come_before_those_that_need_them_and_once() {
    let http = script(&[
        (
            "/api/schemas/ids/7?subject=a%2Fb-value",
            200,
            r#"{"schema":"order","references":[{"name":"line","subject":"s/line","version":2},{"name":"money","subject":"money","version":1}]}"#,
        ),
        (
            "/api/subjects/s%2Fline/versions/2?deleted=true",
            200,
            r#"{"schema":"LINE","references":[{"name":"money","subject":"money","version":1}]}"#,
        ),
        ("/api/subjects/money/versions/1?deleted=true", 200, r#"{"schema":"MONEY"}"#),
    ]);
    let registry = registry(serde_json::json!({ "url": "http://r.example/api/" }), &http).expect("registry");

    let found =
        registry.schema(SchemaId::Number(7), Some("a/b-value")).await.expect("answers").expect("known");

    assert_eq!((found.kind.as_str(), found.text.as_str()), ("AVRO", "order"));
    let names: Vec<_> = found.references.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(names, [("money", "MONEY"), ("line", "LINE")]);
    assert_eq!(http.asked.lock().expect("lock").len(), 3);
}

#[tokio::test]
async fn schemas_that_need_each_other_end() {
    let http = script(&[
        ("/schemas/ids/1", 200, r#"{"schema":"A","references":[{"name":"b","subject":"b","version":1}]}"#),
        (
            "/subjects/b/versions/1?deleted=true",
            200,
            r#"{"schema":"B","references":[{"name":"b","subject":"b","version":1}]}"#,
        ),
    ]);
    let registry = registry(serde_json::json!({ "url": "http://r.example" }), &http).expect("registry");

    let found = registry.schema(SchemaId::Number(1), None).await.expect("answers").expect("known");

    assert_eq!(found.references.len(), 1);
}

#[tokio::test]
async fn a_reference_that_is_gone_ends_no_feed() {
    let http = script(&[(
        "/schemas/ids/1",
        200,
        r#"{"schema":"A","references":[{"name":"b","subject":"b","version":1}]}"#,
    )]);
    let registry = registry(serde_json::json!({ "url": "http://r.example" }), &http).expect("registry");

    let found = registry.schema(SchemaId::Number(1), None).await.expect("answers").expect("known");

    assert_eq!(found.references, []);
}

#[tokio::test]
async fn every_answer_has_its_meaning() {
    let cases = [
        (200, r#"{"no":"schema"}"#, Some(ErrorKind::Unexpected)),
        (401, "", Some(ErrorKind::Denied)),
        (403, r#"{"error_code":40301}"#, Some(ErrorKind::Denied)),
        (404, r#"{"error_code":40403}"#, None),
        (404, "<html>", Some(ErrorKind::Missing)),
        (302, "", Some(ErrorKind::Unexpected)),
        (429, "", Some(ErrorKind::Throttled(None))),
        (500, r#"{"error_code":50001}"#, Some(ErrorKind::Unavailable)),
        (503, "", Some(ErrorKind::Unavailable)),
    ];
    for (status, body, kind) in cases {
        let http = script(&[("/schemas/ids/1", status, body)]);
        let settings =
            serde_json::json!({ "url": "https://r.example", "username": "me", "password": "hunter2" });
        let registry = registry(settings, &http).expect("registry");

        let answer = registry.schema(SchemaId::Number(1), None).await;

        match (answer, kind) {
            (Ok(found), None) => assert_eq!(found, None),
            (Err(error), Some(kind)) => {
                assert_eq!(error.kind(), kind, "{status}");
                assert!(error.message().contains("https://r.example"), "{error}");
                assert!(!error.message().contains("hunter2"), "{error}");
            }
            (answer, _) => panic!("{status} gave {answer:?}"),
        }
        let asked = http.asked.lock().expect("lock");
        assert_eq!(asked[0].headers()["authorization"], "Basic bWU6aHVudGVyMg==");
    }
}

#[tokio::test]
async fn a_guid_is_asked_for_as_people_write_it() {
    let http = script(&[("/schemas/guids/00010203-0405-0607-0809-0a0b0c0d0e0f", 200, r#"{"schema":"A"}"#)]);
    let registry = registry(serde_json::json!({ "url": "https://r.example", "token": "t" }), &http);
    let id = SchemaId::Guid(std::array::from_fn(|at| at as u8));

    let found = registry.expect("registry").schema(id, Some("s")).await.expect("answers");

    assert_eq!(found.expect("known").text, "A");
    assert_eq!(http.asked.lock().expect("lock")[0].headers()["authorization"], "Bearer t");
}

#[test]
fn credentials_that_contradict_each_other_are_refused() {
    for settings in [
        serde_json::json!({ "url": "registry.example" }),
        serde_json::json!({ "url": "https://r.example", "username": "me" }),
        serde_json::json!({ "url": "https://r.example", "api_secret": "s" }),
        serde_json::json!({ "url": "https://r.example", "username": "a", "api_key": "a", "password": "b" }),
        serde_json::json!({ "url": "https://r.example", "username": "a", "password": "b", "token": "t" }),
        serde_json::json!({ "url": "https://r.example", "token": "line\nbreak" }),
    ] {
        let error = registry(settings, &Arc::default()).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Settings);
    }
}

#[test]
fn a_registry_that_is_logged_in_to_is_reached_over_https_or_on_this_machine() {
    let open = |url: &str, login: bool| {
        let mut settings = serde_json::json!({ "url": url });
        if login {
            settings["token"] = "hunter2".into();
        }
        registry(settings, &Arc::default())
    };
    assert!(open("https://r.example", true).is_ok());
    assert!(open("http://127.0.0.1:8081", true).is_ok());
    assert!(open("http://r.example:8081", false).is_ok());
    for (url, login) in [("http://r.example:8081", true), ("https://me:hunter2@r.example", false)] {
        let error = open(url, login).err().expect(url);
        assert!(
            error.message().starts_with("`registry.url`") && !error.chain().contains("hunter2"),
            "{error:?}"
        );
    }
}
