//! The sandbox answers custom events with message events that our own ingest takes.

use std::collections::BTreeMap;

use super::*;
use tidegate_model::{Event, Ingest, SandboxContext};
use tokio::sync::mpsc;

const SECRET: &str = "stream-secret-0123456789";

/// Hands requests to an ingest and its events to the test.
struct ToIngest(Arc<dyn Ingest>, mpsc::UnboundedSender<Event>);

#[async_trait]
impl Http for ToIngest {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        assert_eq!(request.uri().path(), "/in/onesignal/push");
        let (mut head, body) = request.into_parts();
        head.uri = "/".parse().unwrap();
        let received = self.0.receive(&http::Request::from_parts(head, body)).await;
        received.events.into_iter().for_each(|event| self.1.send(event).expect("the test listens"));
        Ok(received.answer)
    }
}

async fn call(sandbox: &Arc<dyn Http>, path: &str, body: &Value) -> http::Response<Bytes> {
    let request =
        http::Request::post(format!("http://sandbox/apps/{APP}{path}")).header("authorization", "Key k");
    sandbox.send(request.body(Bytes::from(body.to_string())).unwrap()).await.expect("an answer")
}

#[tokio::test]
async fn custom_events_come_back_as_message_events_in_order() {
    let connection = json!({ "app_id": APP, "api_key": "k-1", "event_stream": { "token": SECRET } });
    let ingest =
        super::super::ingest::open(&settings(connection), &context(Script::answering(200, "{}"))).unwrap();
    let (sender, mut arrived) = mpsc::unbounded_channel();
    let url = "http://127.0.0.1:7700/in/onesignal/push";
    let sandbox = (tidegate_sandbox::onesignal::SANDBOX.open)(&SandboxContext {
        data: None,
        clock: Arc::new(Noon),
        faults: Arc::default(),
        limits: false,
        settings: settings(json!({ "message_events": { "url": url, "token": SECRET } })),
        http: Some(Arc::new(ToIngest(ingest, sender))),
        webhooks: Arc::default(),
    })
    .expect("a sandbox");
    let user = json!({ "identity": { "external_id": "u1" }, "subscriptions": [{ "type": "Email", "token": "a@b.c" }] });
    assert_eq!(call(&sandbox, "/users", &user).await.status(), 201);

    let event =
        |n: usize| json!({ "name": "order_placed", "external_id": "u1", "idempotency_key": format!("k{n}") });
    let mut batch: Vec<Value> = (0..40).map(event).collect();
    batch.push(json!({ "name": "order_placed", "external_id": "stranger" }));
    for _ in 0..2 {
        assert_eq!(call(&sandbox, "/custom_events", &json!({ "events": batch })).await.status(), 202);
    }

    let mut kinds = BTreeMap::new();
    while kinds.get("message.push.sent") != Some(&40) {
        let event = arrived.recv().await.expect("more events");
        assert_eq!((&*event.user, &*event.app), ("u1", APP));
        *kinds.entry(event.kind.to_string()).or_insert(0) += 1;
    }
    let (received, clicked) = (kinds["message.push.received"], kinds["message.push.clicked"]);
    assert!(received > clicked && received < 40 && clicked > 0, "{kinds:?}");
}

#[test]
fn a_sandbox_with_unknown_settings_says_so() {
    let context = SandboxContext {
        data: None,
        clock: Arc::new(Noon),
        faults: Arc::default(),
        limits: false,
        settings: settings(json!({ "mesage_events": {} })),
        http: None,
        webhooks: Arc::default(),
    };
    let error = (tidegate_sandbox::onesignal::SANDBOX.open)(&context).err().expect("a typo");
    assert!(error.message().contains("mesage_events"), "{error:?}");
}
