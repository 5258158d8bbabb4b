//! What Confluent's own serializers write, decoded through a registry that
//! Confluent's own client filled.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use tidegate_model::{ErrorKind, Http, HttpFailure, Settings, Text, Value};

use super::{message, settings};
use crate::decode::Decoder;
use crate::registry::RegistrySettings;

/// A line of `produce.py`.
#[derive(Deserialize)]
struct Line {
    topic: String,
    format: String,
    key: String,
    value: String,
    headers: Vec<(String, String)>,
    expect: serde_json::Value,
    digits: Vec<String>,
}

struct RealHttp(reqwest::Client);

#[async_trait]
impl Http for RealHttp {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        let lost = |cause: reqwest::Error| HttpFailure::ResponseLost(cause.to_string());
        let request = reqwest::Request::try_from(request.map(reqwest::Body::from)).map_err(lost)?;
        let answer = self.0.execute(request).await.map_err(lost)?;
        let status = answer.status();
        let mut response = http::Response::new(answer.bytes().await.map_err(lost)?);
        *response.status_mut() = status;
        Ok(response)
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("scripts/test sets it")
}

fn registry(password: &str) -> RegistrySettings {
    let settings = serde_json::json!({
        "url": variable("TIDEGATE_TEST_REGISTRY"),
        "username": variable("TIDEGATE_TEST_REGISTRY_USER"),
        "password": password,
    });
    Settings::new(settings.as_object().expect("object").clone()).parse().expect("settings")
}

fn lines(prefix: &str) -> Vec<Line> {
    let output = Command::new(variable("TIDEGATE_TEST_CONFLUENT_PYTHON"))
        .arg(Path::new(&variable("TIDEGATE_TEST_CONFLUENT_CLIENTS")).join("produce.py"))
        .args(["--registry", &variable("TIDEGATE_TEST_REGISTRY"), "--prefix", prefix, "--count", "2"])
        .args(["--user", &variable("TIDEGATE_TEST_REGISTRY_USER")])
        .args(["--password", &variable("TIDEGATE_TEST_REGISTRY_PASSWORD")])
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    lines.collect::<Result<_, _>>().expect("JSON lines")
}

fn bytes(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).expect("base64")
}

#[tokio::test]
async fn what_confluents_serializers_write_arrives_field_by_field() {
    let registry = registry(&variable("TIDEGATE_TEST_REGISTRY_PASSWORD"));
    let http = Arc::new(RealHttp(reqwest::Client::builder().build().expect("client")));
    let lines = lines("formats-");
    assert_eq!(lines.len(), 14, "seven kinds, two messages each");

    for line in lines {
        let subject = if line.topic.ends_with("record_name") { "record_name" } else { "topic_name" };
        let settings = settings(
            serde_json::json!({ "format": line.format, "subject": subject, "fields": { "user": "user_id" } }),
        );
        let decoder =
            Decoder::new(&settings, Some(&registry), http.clone(), Path::new(".")).expect("decoder");
        let (key, value) = (bytes(&line.key), bytes(&line.value));
        let headers: Vec<_> =
            line.headers.iter().map(|(name, value)| (name.as_str(), bytes(value))).collect();
        let mut message = message(Some(&value));
        let topic = Text::from(line.topic.as_str());
        message.topic = &topic;
        message.key = Some(&key);
        message.headers = headers.iter().map(|(name, value)| (*name, Some(value.as_slice()))).collect();

        let row = decoder.row(&message).await.expect("the registry answers").expect("a row");

        let text = row.get("value").and_then(Value::to_text).expect("a value");
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, line.expect, "{}", line.topic);
        for digits in &line.digits {
            assert!(text.contains(digits), "{}: {digits} in {text}", line.topic);
        }
        if let Some(user) = line.expect.get("user_id").and_then(serde_json::Value::as_str) {
            assert_eq!(row.get("user"), Some(&Value::Text(user.into())), "{}", line.topic);
        }
        assert_eq!(row.get("key").and_then(Value::to_text).as_deref(), std::str::from_utf8(&key).ok());
    }
}

#[tokio::test]
async fn a_wrong_password_ends_the_feed_and_an_unknown_id_ends_a_message() {
    let http = Arc::new(RealHttp(reqwest::Client::builder().build().expect("client")));
    let settings = settings(serde_json::json!({ "format": "avro" }));
    let message = message(Some(b"\0\x7f\xff\xff\xff\x02"));

    let denied = registry("not the password");
    let decoder = Decoder::new(&settings, Some(&denied), http.clone(), Path::new(".")).expect("decoder");
    let error = decoder.row(&message).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains(&variable("TIDEGATE_TEST_REGISTRY")), "{error}");

    let known = registry(&variable("TIDEGATE_TEST_REGISTRY_PASSWORD"));
    let decoder = Decoder::new(&settings, Some(&known), http, Path::new(".")).expect("decoder");
    let reason = decoder.row(&message).await.expect("answers").expect_err("unknown").reason;
    assert_eq!(reason.code, "unknown_schema");
    assert!(reason.message.contains("2147483647"), "{}", reason.message);
}
