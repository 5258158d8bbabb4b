//! What an event stream sends, and what becomes of it.

use super::super::template::template;
use super::*;
use tidegate_model::{Event, Ingest, Layout, LoggedEvent, Offset, Received};
use tidegate_testkit::conforms::ingest::take;

const SECRET: &str = "stream-secret-0123456789";

fn ingest(event_stream: Value) -> Arc<dyn Ingest> {
    let mut members = json!({ "app_id": APP, "api_key": "k-1" });
    if !event_stream.is_null() {
        members["event_stream"] = event_stream;
    }
    super::super::ingest::open(&settings(members), &context(Script::answering(200, "{}"))).expect("settings")
}

async fn post(secret: &str, body: &str) -> Received {
    let request = http::Request::post("/").header("authorization", format!("Bearer {secret}"));
    let request = request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap();
    take(ingest(json!({ "token": SECRET })).as_ref(), &request).await
}

async fn accepted(body: &str) -> Vec<Event> {
    let received = post(SECRET, body).await;
    let answer = String::from_utf8_lossy(received.answer.body()).into_owned();
    assert_eq!(received.answer.status(), 200, "{answer}");
    received.events
}

async fn refused(body: &str) -> String {
    let received = post(SECRET, body).await;
    assert_eq!((received.answer.status().as_u16(), received.events.len()), (400, 0));
    String::from_utf8(received.answer.body().to_vec()).expect("UTF-8")
}

fn payload(event: &Event) -> Value {
    serde_json::from_str(event.payload.as_str()).expect("JSON")
}

/// The template with these variables filled, the others empty, and no care for quotes.
fn filled(values: &[(&str, &str)]) -> String {
    let template = template();
    let mut out = String::new();
    let mut rest = template.as_str();
    while let Some((before, after)) = rest.split_once("{{ ") {
        let (expression, behind) = after.split_once(" }}").expect("an end");
        let variable = expression.split([' ', '|']).next().unwrap_or_default();
        let value = values.iter().find(|(name, _)| *name == variable).map(|(_, value)| *value);
        let default = if expression.ends_with("'{}'") { "{}" } else { "" };
        out.push_str(before);
        out.push_str(value.unwrap_or(default));
        rest = behind;
    }
    out.push_str(rest);
    out
}

const CLICK: &[(&str, &str)] = &[
    ("event.id", "a1b2c3d4-e5f6-7890-abcd-ef1234567890"),
    ("event.kind", "message.push.clicked"),
    ("event.timestamp", "1708559115"),
    ("event.datetime", "2024-02-21T23:45:15.228Z"),
    ("event.app_id", APP),
    ("event.external_id", "user_12345"),
    ("event.onesignal_id", "c3d4e5f6-a7b8-9012-cdef-123456789012"),
    ("event.subscription_device_type", "iOS"),
    ("message.id", "f3c9cd09-10d7-4f59-b9bc-66e16607f1d5"),
    ("message.title.en", "Flash \"Sale\"\nnow"),
    ("user.subscription.subscribed", "true"),
    ("user.subscription.session_count", "12"),
    ("user.tags", r#"{"plan":"pro"}"#),
];

#[tokio::test]
async fn a_body_from_the_template_becomes_an_event_with_its_columns() {
    let events = accepted(&filled(CLICK)).await;

    let [event] = events.as_slice() else { panic!("{} events", events.len()) };
    assert_eq!(event.id, "a1b2c3d4-e5f6-7890-abcd-ef1234567890");
    assert_eq!(event.kind, "message.push.clicked");
    assert_eq!(event.at.to_string(), "2024-02-21T23:45:15.228Z");
    assert_eq!((&*event.user, &*event.app), ("user_12345", APP));
    assert_eq!(event.message, "f3c9cd09-10d7-4f59-b9bc-66e16607f1d5");
    let found = payload(event);
    assert_eq!(found["message_title"], "Flash \"Sale\"\nnow");
    assert_eq!((&found["subscribed"], &found["session_count"]), (&json!(true), &json!(12)));
    assert_eq!((&found["device_type"], &found["tags"]), (&json!(0), &json!({ "plan": "pro" })));
    assert_eq!(found.get("page_name"), None, "what is empty is left out");

    let logged = LoggedEvent { offset: Offset::new(0, 0), logged_at: noon(), event: event.clone() };
    let mut cells = Vec::new();
    Layout::Messages.cells(&logged, noon(), &mut cells);
    let filled = cells.iter().filter(|cell| **cell != tidegate_model::event::Cell::Null).count();
    assert_eq!(filled, 17, "{cells:?}");
}

#[tokio::test]
async fn the_examples_of_the_documentation_are_read_too() {
    let flat = r#"{"event.kind":"message.email.opened","event.id":"e1","event.timestamp":1708559115,
        "event.external_id":"","event.onesignal_id":"o1","event.data.page_name":"",
        "message.title":"{'en':'Flash Sale: 50% Off','fr':'Soldes'}"}"#;
    let grouped = r#"{"Event Data":{"event.kind":"message.email.opened","event.id":"e1","event.timestamp":"1708559115",
        "event.onesignal_id":"o1"},"Message Data":{"message.title":"Flash Sale: 50% Off"}}"#;
    let nested = r#"{"event":{"kind":"message.email.opened","id":"e1","timestamp":1708559115,"onesignal_id":"o1"},
        "message":{"title":{"en":"Flash Sale: 50% Off","fr":"Soldes"}},"later":{"url":1}}"#;
    for body in [flat, grouped, nested] {
        let events = accepted(body).await;
        assert_eq!((&*events[0].id, &*events[0].user), ("e1", "o1"));
        assert_eq!(events[0].at.as_second(), 1_708_559_115);
        let found = payload(&events[0]);
        assert_eq!(found["message_title"], "Flash Sale: 50% Off", "{found}");
    }
    let kept = payload(&accepted(nested).await[0]);
    assert_eq!(
        (&kept["later"], &kept["message_title_localized"]["fr"]),
        (&json!({ "url": 1 }), &json!("Soldes"))
    );
}

#[tokio::test]
async fn kinds_that_nobody_knows_yet_and_arrays_are_accepted() {
    let one = |id: &str, kind: &str| json!({ "event_id": id, "event_kind": kind, "event_timestamp": 1 });
    let body = json!([one("a", "message.fax.sent"), one("b", "message.push.sent")]).to_string();
    let events = accepted(&body).await;
    assert_eq!(
        events.iter().map(|event| &*event.kind).collect::<Vec<_>>(),
        ["message.fax.sent", "message.push.sent"]
    );
    assert!(accepted("[]").await.is_empty());
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named() {
    for (body, part) in [
        ("", "not JSON at line 1"),
        ("7", "neither an object nor an array"),
        ("[7]", "event 0 is not an object"),
        ("{}", "`event_id` is missing or empty"),
        (r#"{"event_id":"a","event_timestamp":1}"#, "`event_kind` is missing or empty"),
        (r#"{"event_id":"a","event_kind":"k"}"#, "`event_timestamp` is missing or empty"),
        (r#"{"event_id":{},"event_kind":"k","event_timestamp":1}"#, "`event_id` must be text"),
        (r#"{"event_id":"a","event_kind":[],"event_timestamp":1}"#, "`event_kind` must be text"),
    ] {
        let said = refused(body).await;
        assert!(said.contains(part), "{body}: {said}");
        assert!(said.contains("tidegate setup"), "{said}");
    }
}

#[tokio::test]
async fn an_odd_value_never_loses_its_event() {
    let body = |name: &str, value: Value| {
        let mut body = json!({ "event_id": "a", "event_kind": "k", "event_timestamp": "1708559115" });
        body[name] = value;
        body.to_string()
    };
    for (name, odd) in [
        ("subscribed", json!("maybe")),
        ("subscribed", json!(7)),
        ("session_count", json!("many")),
        ("amount_spent", json!("$9.99")),
        ("amount_spent", json!("1,234.50")),
        ("play_time", json!([1])),
        ("message_title", json!(["a"])),
        ("url", json!({ "en": "x" })),
        ("event_datetime", json!("yesterday")),
        ("event_timestamp", json!("soon")),
    ] {
        let events = accepted(&body(name, odd.clone())).await;
        let found = payload(&events[0]);
        assert_eq!(found["unreadable"], json!({ name: odd }), "{found}");
        assert!(found.get(name).is_none() || name == "event_timestamp", "{found}");
        let expected =
            if name == "event_timestamp" { noon() } else { "2024-02-21T23:45:15Z".parse().unwrap() };
        assert_eq!(events[0].at, expected, "{name}");
    }
    for (name, written, read) in [
        ("subscribed", json!("True"), json!(true)),
        ("subscribed", json!("no"), json!(false)),
        ("subscribed", json!(1), json!(true)),
        ("amount_spent", json!(".5"), json!(0.5)),
        ("session_count", json!(" 12 "), json!(12)),
        ("session_count", json!("nil"), Value::Null),
    ] {
        let found = payload(&accepted(&body(name, written.clone())).await[0]);
        assert_eq!((&found[name], found.get("unreadable")), (&read, None), "{name} {written}");
    }
}

#[tokio::test]
async fn a_huge_body_is_refused_before_it_is_read_into_members() {
    let body = format!("[{}{{}}]", "{},".repeat(400_000));
    let received = post(SECRET, &body).await;
    assert_eq!(received.answer.status(), 413);
    assert!(String::from_utf8_lossy(received.answer.body()).contains("one event in a request"));
}

#[tokio::test]
async fn a_time_is_read_as_vendors_write_it() {
    for (name, written, expected) in [
        ("event_timestamp", "1708559115228", "2024-02-21T23:45:15.228Z"),
        ("event_timestamp", "1708559115.0", "2024-02-21T23:45:15Z"),
        ("event_timestamp", "2024-02-21T23:45:15Z", "2024-02-21T23:45:15Z"),
        ("event_datetime", "2024-02-21 23:45:15 UTC", "2024-02-21T23:45:15Z"),
    ] {
        let body = json!({ "event_id": "a", "event_kind": "k", name: written }).to_string();
        assert_eq!(accepted(&body).await[0].at.to_string(), expected, "{written}");
    }
}

#[tokio::test]
async fn a_quote_in_the_vendors_own_example_loses_no_event() {
    let body = r#"{"event":{"kind":"message.push.clicked","id":"e1","timestamp":"1708559115"},"message":{"title":"Flash "Sale""}}"#;
    assert_eq!(payload(&accepted(body).await[0])["message_title"], "Flash \"Sale\"");
}

#[tokio::test]
async fn nobody_gets_in_without_the_secret() {
    assert_eq!(post("wrong-secret-0123456789", &filled(CLICK)).await.answer.status(), 401);
    let request = http::Request::post("/").body(Bytes::new()).unwrap();
    let closed = take(ingest(Value::Null).as_ref(), &request).await;
    assert_eq!(closed.answer.status(), 403);
    assert!(String::from_utf8_lossy(closed.answer.body()).contains("event_stream"));
    let error = super::super::ingest::open(
        &settings(json!({ "app_id": APP, "api_key": "k-1", "event_stream": { "token": "short" } })),
        &context(Script::answering(200, "{}")),
    );
    assert!(error.err().expect("too short").message().contains("event_stream.token"));
}

#[test]
fn no_body_makes_the_event_stream_panic_and_what_is_taken_is_json() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let click = filled(CLICK);
    let quoted = filled(&[("message.title", "Flash \"Sale\""), ("user.tags", "{\"a\"=>\"b\"}")]);
    tidegate_testkit::mangle::mangled(&[click.as_bytes(), quoted.as_bytes()], 1_000, |bytes| {
        let received = runtime.block_on(post(SECRET, &String::from_utf8_lossy(bytes)));
        let status = received.answer.status();
        assert!(status.is_success() || status.is_client_error(), "{status}");
        received.events.iter().for_each(|event| drop(payload(event)));
    });
}
