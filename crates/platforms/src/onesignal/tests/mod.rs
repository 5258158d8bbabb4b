//! Whether we speak OneSignal's protocol, and understand what it says.

mod events;
mod faults;
mod ingest;
mod journey;
mod rules;
mod sandbox;
mod users;
mod validate;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_model::{
    Body, Clock, ConnectorContext, Error, Http, HttpFailure, Identity, Json, ObjectKind, Platform, Purchase,
    Record, RowHash, Settings,
};

const APP: &str = "11111111-2222-4333-8444-555555555555";

/// A clock that is at 2026-03-01T12:00:00Z.
struct Noon;

fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("timestamp")
}

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        noon()
    }
}

/// Answers as it was told, in order, and keeps what it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Result<http::Response<Bytes>, HttpFailure>>>,
    requests: Mutex<Vec<http::Request<Bytes>>>,
}

#[async_trait]
impl Http for Script {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        self.requests.lock().unwrap().push(request);
        self.answers.lock().unwrap().pop_front().expect("an answer in the script")
    }
}

impl Script {
    fn answering(status: u16, body: &str) -> Arc<Script> {
        let response = http::Response::builder().status(status).header("retry-after", "7");
        Script::saying(Ok(response.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()))
    }

    fn saying(answer: Result<http::Response<Bytes>, HttpFailure>) -> Arc<Script> {
        let script = Script::default();
        script.answers.lock().unwrap().push_back(answer);
        Arc::new(script)
    }

    /// Method, path and body of the only request.
    fn request(&self) -> (String, String, Value) {
        let requests = self.requests.lock().unwrap();
        let [request] = requests.as_slice() else { panic!("{} requests", requests.len()) };
        let body = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        (request.method().to_string(), request.uri().path().to_owned(), body)
    }
}

fn settings(members: Value) -> Settings {
    let Value::Object(members) = members else { panic!("settings are an object") };
    Settings::new(members)
}

fn connection() -> Settings {
    settings(json!({ "endpoint": "https://onesignal.example", "app_id": APP, "api_key": "k-1" }))
}

fn context(http: Arc<dyn Http>) -> ConnectorContext {
    ConnectorContext {
        http,
        clock: Arc::new(Noon),
        project: PathBuf::new(),
        data: PathBuf::new(),
        dry_run: false,
    }
}

fn open_with(
    connection: &Settings,
    object: ObjectKind,
    target: Value,
    http: Arc<dyn Http>,
) -> Result<Arc<dyn Platform>, Error> {
    super::platform::open(connection, object, &settings(target), &context(http))
}

fn open(object: ObjectKind, http: &Arc<Script>) -> Arc<dyn Platform> {
    let http = Arc::<Script>::clone(http);
    open_with(&connection(), object, json!({}), http).expect("settings that work")
}

fn record(id: u128, user: &str, body: Body) -> Record {
    Record { id: RowHash(id), identity: Identity::ExternalId(user.into()), body }
}

fn event(id: u128, user: &str) -> Record {
    let time = Some("2026-02-28T08:30:00.5Z".parse().expect("timestamp"));
    event_with(id, user, "order_placed", time, r#"{"order_total":12.50}"#)
}

fn event_with(id: u128, user: &str, name: &str, time: Option<Timestamp>, properties: &'static str) -> Record {
    let properties = Json::trusted(properties);
    record(id, user, Body::Event { name: name.into(), time, properties, app_id: None })
}

fn user(id: &str, attributes: &str) -> Record {
    record(1, id, Body::User { attributes: Json::trusted(attributes) })
}

fn purchase(id: u128, user: &str, price: &str) -> Record {
    let bought = Purchase {
        product_id: "sku-1".into(),
        currency: "EUR".into(),
        price: price.into(),
        quantity: 2,
        time: Some(noon()),
        properties: Json::empty_object(),
        app_id: None,
    };
    record(id, user, Body::Purchase(Box::new(bought)))
}

fn deletion(user: &str) -> Record {
    record(1, user, Body::Deletion)
}
