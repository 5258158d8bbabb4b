//! Requests that bring events: what is good is taken, what is not has no effect.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tempfile::TempDir;
use tidegate_model::{Error, ErrorKind, Ingest, Received};

use super::context::{context, settings_of};
use super::example::{IngestExample, PRIVATE};
use super::secrets::assert_silent;
use super::suite::Suite;

/// One ingest and what it is sent.
struct Backend {
    kind: &'static str,
    ingest: Arc<dyn Ingest>,
    example: IngestExample,
    secrets: Vec<(String, String)>,
    _folder: TempDir,
}

/// Gives a request to an ingest as the server does: its head first.
pub async fn take(ingest: &dyn Ingest, request: &Request<Bytes>) -> Received {
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = request.method().clone();
    head.uri = request.uri().clone();
    head.headers = request.headers().clone();
    head.extensions = request.extensions().clone();
    match ingest.answer_head(&head) {
        Some(answer) => Received::only(answer),
        None => ingest.receive(request).await,
    }
}

fn backends(suite: &Suite) -> Vec<Backend> {
    let mut backends = Vec::new();
    for (connector, example) in suite.each() {
        let (Some(role), Some(ingest)) = (connector.ingest, example.ingest) else { continue };
        let folder = tempfile::tempdir().expect("a folder");
        let opened = (role.open)(&settings_of(&example.settings), &context(folder.path()));
        let mut secrets = Vec::new();
        gather("", &example.settings, &mut secrets);
        assert!(!secrets.is_empty(), "{}: no secret to look for", connector.kind);
        backends.push(Backend {
            kind: connector.kind,
            ingest: opened.unwrap_or_else(|error| panic!("{}: {error:?}", connector.kind)),
            example: ingest,
            secrets,
            _folder: folder,
        });
    }
    backends
}

/// The texts whose names say that they are secret, however deep they are.
fn gather(name: &str, settings: &Value, out: &mut Vec<(String, String)>) {
    let secret = ["key", "token", "secret"].iter().any(|word| name.contains(word));
    match settings {
        Value::String(text) if secret => out.push((name.to_owned(), text.clone())),
        Value::Object(members) => members.iter().for_each(|(name, value)| gather(name, value, out)),
        Value::Array(list) => list.iter().for_each(|value| gather(name, value, out)),
        _ => {}
    }
}

impl Backend {
    fn good(&self, number: usize) -> Request<Bytes> {
        (self.example.prove)((self.example.request)(number))
    }

    /// Sends, and sees that the answer is JSON, in shape, and silent.
    async fn send(&self, request: &Request<Bytes>) -> Received {
        let received = take(self.ingest.as_ref(), request).await;
        self.look_at(&received.answer);
        assert!(
            received.answer.status().is_success() || received.events.is_empty(),
            "{}: a refused request brought events",
            self.kind
        );
        received
    }

    fn look_at(&self, answer: &http::Response<Bytes>) {
        let text = format!("{:?} {}", answer.headers(), String::from_utf8_lossy(answer.body()));
        assert_silent(self.kind, &text, &self.secrets);
        assert_eq!(answer.headers()["content-type"], "application/json", "{}", self.kind);
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_else(|_| panic!("{text}"));
        assert!(body.is_object(), "{}: {body}", self.kind);
    }

    async fn ids(&self, number: usize) -> Vec<String> {
        let received = self.send(&self.good(number)).await;
        received.events.iter().map(|event| event.id.to_string()).collect()
    }
}

/// Each with an id and a kind of its own, and the whole event in its payload.
pub async fn a_good_request_brings_its_events(suite: &Suite) {
    for backend in backends(suite) {
        let kind = backend.kind;
        let received = backend.send(&backend.good(1)).await;
        assert!(received.answer.status().is_success(), "{kind}: {:?}", received.answer);
        assert_eq!(received.events.len(), backend.example.events, "{kind}");
        for event in &received.events {
            assert!(
                !event.id.is_empty() && !event.kind.is_empty() && !event.user.is_empty(),
                "{kind}: {event:?}"
            );
            assert!(
                event.payload.is_object() && event.payload.as_str().contains(PRIVATE),
                "{kind}: {event:?}"
            );
            tidegate_model::Json::parse(event.payload.text().clone()).expect("JSON");
        }
    }
}

/// By them the log knows a repetition; nothing else may be taken for one.
pub async fn a_repeated_request_has_the_same_ids(suite: &Suite) {
    for backend in backends(suite) {
        let first = backend.ids(1).await;
        assert_eq!(backend.ids(1).await, first, "{}", backend.kind);
        let all: BTreeSet<String> = first.into_iter().chain(backend.ids(2).await).collect();
        assert_eq!(all.len(), 2 * backend.example.events, "{}: {all:?}", backend.kind);
    }
}

/// And so is one with credentials that were made for something else.
pub async fn a_sender_without_credentials_is_refused(suite: &Suite) {
    for backend in backends(suite) {
        let mut wrong = backend.good(1);
        let header = wrong.headers()["authorization"].to_str().expect("text").to_owned();
        let changed = format!("{}!", &header[..header.len() - 1]);
        wrong.headers_mut().insert("authorization", changed.parse().expect("a header"));
        for request in [(backend.example.request)(1), wrong] {
            let status = backend.send(&request).await.answer.status();
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            assert!(refused.contains(&status), "{}: {status}", backend.kind);
        }
    }
}

/// Whatever bytes arrive, wherever: events, or an answer that blames the sender.
pub async fn no_request_panics_or_is_half_accepted(suite: &Suite) {
    for backend in backends(suite) {
        let runtime = tokio::runtime::Handle::current();
        let tried = tokio::task::spawn_blocking(move || {
            let good = (backend.example.request)(1);
            let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
            TestRunner::new(config).run(&mangled(&good), |(method, path, body)| {
                let mut request = (backend.example.request)(1);
                *request.method_mut() = method;
                if let Ok(uri) = path.parse() {
                    *request.uri_mut() = uri;
                }
                *request.body_mut() = body.into();
                let request = (backend.example.prove)(request);
                let status = runtime.block_on(backend.send(&request)).answer.status();
                prop_assert!(status.is_success() || status.is_client_error(), "{}: {}", backend.kind, status);
                Ok(())
            })
        });
        tried.await.expect("no panic").unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// A good request with another method, another path, or a body that is cut,
/// changed in a few places, or anything at all.
fn mangled(good: &Request<Bytes>) -> BoxedStrategy<(Method, String, Vec<u8>)> {
    let (body, path) = (good.body().to_vec(), good.uri().to_string());
    let length = body.len();
    let changes = proptest::collection::vec((0..length, any::<u8>()), 0..4);
    let changed = (changes, 0..=length).prop_map(move |(changes, end)| {
        let mut body = body.clone();
        changes.into_iter().for_each(|(at, byte)| body[at] = byte);
        body.truncate(end);
        body
    });
    let structure = proptest::collection::vec(proptest::sample::select(b"{}[]\",:1e\\u\nd8".to_vec()), 0..40);
    let anything = proptest::collection::vec(any::<u8>(), 0..60);
    let body = prop_oneof![4 => changed, 1 => structure, 1 => anything];
    let methods = vec![Method::POST, Method::GET, Method::PUT, Method::DELETE];
    let method = prop_oneof![8 => Just(Method::POST), 1 => proptest::sample::select(methods)];
    let path = prop_oneof![8 => Just(path), 1 => "(/[a-z0-9%.]{0,6}){0,5}"];
    (method, path, body).boxed()
}

/// Senders try again after 429 and 503, and are told when.
pub async fn an_overloaded_log_makes_senders_come_back(suite: &Suite) {
    for backend in backends(suite) {
        for (kind, expected) in [
            (ErrorKind::Throttled(None), 429),
            (ErrorKind::Storage, 503),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::Internal, 500),
        ] {
            let answer = backend.ingest.error_response(&Error::new(kind, format!("the log says {PRIVATE}")));
            backend.look_at(&answer);
            assert_eq!(answer.status().as_u16(), expected, "{}", backend.kind);
            assert_eq!(answer.headers().contains_key("retry-after"), expected != 500, "{}", backend.kind);
        }
    }
}
