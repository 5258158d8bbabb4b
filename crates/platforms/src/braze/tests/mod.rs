mod bodies;
mod contract;
mod limits;
mod outcomes;
mod rules;
mod sandbox;
mod sandbox_rules;
mod settings;
mod validation;
mod with_sandbox;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_model::{
    Body, Clock, ConnectorContext, Faults, Http, HttpFailure, Identity, Json, ObjectKind, Platform, Purchase,
    Record, RowHash, SandboxContext, Settings,
};

use super::CONNECTOR;

/// 2026-03-01T12:00:00Z.
const NOW: i64 = 1_772_366_400;

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).expect("time")
    }
}

/// Answers what it was told to, and keeps what it was asked.
#[derive(Default)]
struct Canned {
    answers: Mutex<VecDeque<Result<Response<Bytes>, HttpFailure>>>,
    requests: Mutex<Vec<Request<Bytes>>>,
}

impl Canned {
    fn answering(status: u16, body: &str) -> Arc<Canned> {
        let response =
            Response::builder().status(status).body(Bytes::from(body.to_owned())).expect("response");
        Canned::with(Ok(response))
    }

    fn with(answer: Result<Response<Bytes>, HttpFailure>) -> Arc<Canned> {
        let canned = Canned::default();
        canned.answers.lock().expect("lock").push_back(answer);
        Arc::new(canned)
    }

    /// Method, path and body of the only request.
    fn asked(&self) -> (String, String, Value) {
        let requests = self.requests.lock().expect("lock");
        let [request] = requests.as_slice() else { panic!("{} requests", requests.len()) };
        let body = serde_json::from_slice(request.body()).expect("JSON");
        (request.method().to_string(), request.uri().path().to_owned(), body)
    }
}

#[async_trait::async_trait]
impl Http for Canned {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        self.requests.lock().expect("lock").push(request);
        self.answers.lock().expect("lock").pop_front().expect("an answer is left")
    }
}

fn settings(value: Value) -> Settings {
    let Value::Object(members) = value else { panic!("an object") };
    Settings::new(members)
}

fn context(http: Arc<dyn Http>) -> ConnectorContext {
    ConnectorContext { http, clock: Arc::new(Stopped), project: ".".into(), data: ".".into(), dry_run: false }
}

fn open(http: Arc<dyn Http>, kind: ObjectKind, target: Value) -> Arc<dyn Platform> {
    let connection = settings(json!({ "endpoint": "sandbox", "api_key": "key-1" }));
    let role = CONNECTOR.platform.expect("a platform");
    (role.open)(&connection, kind, &settings(target), &context(http)).expect("opened")
}

/// A sandbox in memory with these faults.
fn sandbox(faults: Faults) -> Arc<dyn Http> {
    let context = SandboxContext {
        data: None,
        clock: Arc::new(Stopped),
        faults: Arc::new(Mutex::new(faults)),
        limits: true,
        settings: Settings::default(),
        http: None,
        webhooks: Arc::default(),
    };
    (tidegate_sandbox::braze::SANDBOX.open)(&context).expect("opened")
}

/// Sends to a sandbox with a good key.
async fn call(http: &dyn Http, method: &str, path: &str, body: &str) -> Response<Bytes> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://sandbox{path}"))
        .header("authorization", "Bearer key-1")
        .body(Bytes::from(body.to_owned()))
        .expect("request");
    http.send(request).await.expect("answer")
}

fn json_of(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).expect("JSON")
}

async fn stats(http: &dyn Http) -> Value {
    json_of(&call(http, "GET", "/_sandbox/stats", "").await)
}

fn external(id: &str) -> Identity {
    Identity::ExternalId(id.into())
}

fn alias(label: &str, name: &str) -> Identity {
    Identity::Alias { label: label.into(), name: name.into() }
}

fn record(identity: Identity, body: Body) -> Record {
    Record { id: RowHash(1), identity, body }
}

fn user(identity: Identity, attributes: &'static str) -> Record {
    record(identity, Body::User { attributes: Json::trusted(attributes) })
}

fn event(identity: Identity, name: &str, properties: &str) -> Record {
    let (name, properties) = (name.into(), Json::trusted(properties.to_owned()));
    let time = Some("2026-02-03T04:05:06.5Z".parse().expect("time"));
    record(identity, Body::Event { name, time, properties, app_id: None })
}

fn purchase(product_id: &str, price: &str, quantity: u32, properties: &str) -> Record {
    let bought = Purchase {
        product_id: product_id.into(),
        currency: "EUR".into(),
        price: price.into(),
        quantity,
        time: None,
        properties: Json::trusted(properties.to_owned()),
        app_id: Some("app".into()),
    };
    record(external("ada"), Body::Purchase(Box::new(bought)))
}

fn item(id: &str, fields: &str) -> Record {
    record(Identity::None, Body::CatalogItem { id: id.into(), fields: Json::trusted(fields.to_owned()) })
}

fn removal(id: &str) -> Record {
    record(Identity::None, Body::CatalogRemoval { id: id.into() })
}
