//! What the sandbox does, seen from the wire and through our own platform.

use super::*;
use std::sync::atomic::{AtomicI64, Ordering};
use tidegate_model::{Faults, Outcome, Receipt, SandboxContext};

/// Noon and as many milliseconds as it was moved on.
#[derive(Default)]
pub(super) struct Watch(AtomicI64);

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        noon() + jiff::SignedDuration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl Watch {
    fn advance(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

pub(super) struct World {
    pub(super) http: Arc<dyn Http>,
    pub(super) watch: Arc<Watch>,
    pub(super) faults: Arc<Mutex<Faults>>,
}

impl World {
    pub(super) fn new(limits: bool) -> World {
        World::at(None, limits)
    }

    fn at(data: Option<PathBuf>, limits: bool) -> World {
        let watch = Arc::new(Watch::default());
        let faults = Arc::new(Mutex::new(Faults::default()));
        let context = SandboxContext {
            data,
            clock: Arc::clone(&watch) as Arc<dyn Clock>,
            faults: Arc::clone(&faults),
            limits,
            settings: Settings::default(),
            http: None,
            webhooks: Arc::default(),
        };
        let http = (tidegate_sandbox::onesignal::SANDBOX.open)(&context).expect("a folder for users");
        World { http, watch, faults }
    }

    pub(super) fn platform(&self, object: ObjectKind) -> Arc<dyn Platform> {
        let connection = settings(json!({ "endpoint": "sandbox", "app_id": APP, "api_key": "k-1" }));
        open_with(&connection, object, json!({}), Arc::clone(&self.http)).expect("settings that work")
    }

    async fn send(&self, method: &str, path: &str, key: &str, body: &str) -> http::Response<Bytes> {
        let path = path.replace("APP", APP);
        let request = http::Request::builder().method(method).uri(format!("http://sandbox{path}"));
        let request = request.header("authorization", key).body(Bytes::copy_from_slice(body.as_bytes()));
        self.http.send(request.unwrap()).await.expect("an answer")
    }

    /// Status and body; every answer has a content type and every success an object.
    async fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let response = self.send(method, path, "Key k-1", &body.to_string()).await;
        assert_eq!(response.headers()["content-type"], "application/json");
        let answer: Value = serde_json::from_slice(response.body()).expect("JSON");
        assert!(answer.is_object(), "{answer}");
        (response.status().as_u16(), answer)
    }

    pub(super) async fn lines(&self, what: &str) -> Vec<Value> {
        let response = self.send("GET", &format!("/_sandbox/{what}"), "", "").await;
        let lines = String::from_utf8(response.body().to_vec()).expect("UTF-8");
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    pub(super) async fn add_user(&self, external_id: &str) {
        let (status, _) = self.call("POST", "/apps/APP/users", &creation(external_id)).await;
        assert_eq!(status, 201);
    }

    async fn send_event(&self, event: Value) -> (u16, Value) {
        self.call("POST", "/apps/APP/custom_events", &json!({ "events": [event] })).await
    }
}

fn creation(external_id: &str) -> Value {
    let token = format!("{external_id}@b.example");
    json!({ "identity": { "external_id": external_id }, "subscriptions": [{ "type": "Email", "token": token }] })
}

#[tokio::test]
async fn a_user_is_created_once_and_then_modified() {
    let world = World::new(false);
    let mut body = creation("u1");
    body["properties"] = json!({ "language": "en", "tags": { "plan": "pro", "old": "x" } });
    let (status, made) = world.call("POST", "/apps/APP/users", &body).await;
    assert_eq!((status, &made["identity"]["external_id"]), (201, &json!("u1")));
    let id = made["identity"]["onesignal_id"].clone();
    assert_eq!(made["subscriptions"][0]["token"], "u1@b.example");

    body["identity"]["crm_id"] = json!("7");
    body["properties"] = json!({ "tags": { "old": "", "new": 5 } });
    let (status, modified) = world.call("POST", "/apps/APP/users", &body).await;
    assert_eq!((status, &modified["identity"]["onesignal_id"]), (202, &id));
    assert_eq!(modified["properties"], json!({ "language": "en", "tags": { "plan": "pro", "new": "5" } }));
    assert_eq!(modified["subscriptions"].as_array().map(Vec::len), Some(1));

    let (status, seen) = world.call("GET", "/apps/APP/users/by/crm_id/7", &Value::Null).await;
    assert_eq!((status, &seen), (200, &modified));
    assert_eq!(world.lines("users").await.len(), 1);
}

#[tokio::test]
async fn names_of_two_users_conflict_and_nothing_is_written() {
    let world = World::new(false);
    world.add_user("u1").await;
    let mut other = creation("u2");
    other["identity"]["crm_id"] = json!("7");
    assert_eq!(world.call("POST", "/apps/APP/users", &other).await.0, 201);
    let before = world.lines("users").await;

    let mut both = creation("u1");
    both["identity"]["crm_id"] = json!("7");
    both["properties"] = json!({ "language": "de" });
    let (status, answer) = world.call("POST", "/apps/APP/users", &both).await;

    assert_eq!(status, 409);
    assert!(answer["errors"][0]["meta"]["conflicting_aliases"].is_object(), "{answer}");
    assert_eq!(world.lines("users").await, before);
}

#[tokio::test]
async fn a_user_that_cannot_be_created_is_refused() {
    let world = World::new(false);
    let subscriptions = json!([{ "type": "Email", "token": "a@b.example" }]);
    for body in [
        json!({}),
        json!({ "identity": { "external_id": "u" } }),
        json!({ "subscriptions": subscriptions }),
        json!({ "identity": { "external_id": "NA" }, "subscriptions": subscriptions }),
        json!({ "identity": { "crm_id": "7" }, "subscriptions": subscriptions }),
        json!({ "identity": { "external_id": "u" }, "subscriptions": [{ "type": "Fax", "token": "1" }] }),
        json!({ "identity": { "external_id": "u" }, "subscriptions": subscriptions, "properties": { "tags": { "a": [] } } }),
    ] {
        let (status, answer) = world.call("POST", "/apps/APP/users", &body).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer["errors"][0].is_string(), "{answer}");
    }
    assert!(world.lines("users").await.is_empty());
}

#[tokio::test]
async fn an_address_belongs_to_the_last_one_who_took_it() {
    let world = World::new(false);
    world.add_user("u1").await;
    let mut second = creation("u2");
    second["subscriptions"][0]["token"] = json!("u1@b.example");
    world.call("POST", "/apps/APP/users", &second).await;
    let users = world.lines("users").await;
    assert_eq!((&users[0]["email"], &users[1]["email"]), (&Value::Null, &json!("u1@b.example")));
    assert_eq!(users[0]["attributes"]["subscriptions"], json!([]));
}

#[tokio::test]
async fn updates_and_deletions_need_a_user() {
    let world = World::new(false);
    let tags = json!({ "properties": { "tags": { "a": "1" } } });
    for (method, path) in [
        ("PATCH", "/apps/APP/users/by/external_id/u"),
        ("DELETE", "/apps/APP/users/by/external_id/u"),
        ("GET", "/apps/APP/users/by/onesignal_id/u"),
        ("GET", "/apps/APP/users/by/crm_id/u/identity"),
        ("GET", "/apps/APP/nothing"),
    ] {
        assert_eq!(world.call(method, path, &tags).await.0, 404, "{method} {path}");
    }
    world.add_user("u").await;
    let (status, answer) = world.call("PATCH", "/apps/APP/users/by/external_id/u", &tags).await;
    assert_eq!((status, answer), (202, tags));
    let (status, answer) = world.call("DELETE", "/apps/APP/users/by/external_id/u", &Value::Null).await;
    assert_eq!(status, 202);
    assert!(answer["identity"]["onesignal_id"].is_string(), "{answer}");
    assert_eq!(world.call("DELETE", "/apps/APP/users/by/external_id/u", &Value::Null).await.0, 404);
}

#[tokio::test]
async fn aliases_are_added_listed_and_removed() {
    let world = World::new(false);
    world.add_user("u1").await;
    world.add_user("u2").await;
    let of = |user: &str| format!("/apps/APP/users/by/external_id/{user}/identity");
    let crm = json!({ "identity": { "crm_id": "7" } });

    let (status, answer) = world.call("PATCH", &of("u1"), &crm).await;
    assert_eq!((status, &answer["identity"]["crm_id"]), (200, &json!("7")));
    assert_eq!(world.call("PATCH", &of("u2"), &crm).await.0, 409);
    let replaced = json!({ "identity": { "crm_id": "8" } });
    assert_eq!(world.call("PATCH", &of("u1"), &replaced).await.1["identity"]["crm_id"], "8");
    assert_eq!(world.call("GET", &of("u1"), &Value::Null).await.1["identity"]["crm_id"], "8");
    let (status, answer) = world.call("DELETE", &format!("{}/crm_id", of("u1")), &Value::Null).await;
    assert_eq!((status, &answer["identity"]["crm_id"]), (200, &Value::Null));
    assert_eq!(world.call("PATCH", &of("u2"), &crm).await.0, 200);
}

#[tokio::test]
async fn a_user_has_20_subscriptions_at_most() {
    let world = World::new(false);
    world.add_user("u").await;
    for count in 2..=21 {
        let body = json!({ "subscription": { "type": "AndroidPush", "token": format!("t{count}") } });
        let (status, _) = world.call("POST", "/apps/APP/users/by/external_id/u/subscriptions", &body).await;
        assert_eq!(status, if count <= 20 { 201 } else { 409 }, "{count}");
    }
}

#[tokio::test]
async fn an_event_of_an_unknown_user_fails_as_the_vendor_says_it() {
    let world = World::new(false);
    world.add_user("u1").await;
    let known = json!({ "name": "n", "external_id": "u1", "properties": { "a": 1.50 } });
    let unknown =
        json!({ "name": "n", "external_id": "abc123", "event_id": "567491ee-9105-4a87-9cbc-ed78a571645b" });
    let events = json!({ "events": [known, unknown] });
    let (status, answer) = world.call("POST", "/apps/APP/custom_events", &events).await;
    let expected = json!({ "errors": [{
        "event_user_id": "abc123",
        "event_id": "567491ee-9105-4a87-9cbc-ed78a571645b",
        "error": { "code": "not found", "title": "failed to find a onesignal_id for user_id abc123" },
    }] });
    assert_eq!((status, answer), (202, expected));
    assert_eq!(world.lines("events").await.len(), 1);
}

#[tokio::test]
async fn properties_may_be_called_payload() {
    let world = World::new(false);
    world.add_user("u").await;
    for name in ["properties", "payload"] {
        let (status, answer) =
            world.send_event(json!({ "name": name, "external_id": "u", name: { "a": 1 } })).await;
        assert_eq!((status, answer), (202, json!({})));
    }
    for event in world.lines("events").await {
        assert_eq!(event["properties"], json!({ "a": 1 }));
    }
}

#[tokio::test]
async fn a_key_counts_once_within_four_hours() {
    let world = World::new(false);
    world.add_user("u").await;
    let event = json!({ "name": "n", "external_id": "u", "idempotency_key": "k" });
    world.send_event(event.clone()).await;
    world.watch.advance(4 * 3_600_000 - 1);
    assert_eq!(world.send_event(event.clone()).await, (202, json!({})));
    assert_eq!(world.lines("events").await.len(), 1);
    world.watch.advance(2);
    world.send_event(event).await;
    assert_eq!(world.lines("events").await.len(), 2);
}

#[tokio::test]
async fn a_time_in_the_future_becomes_now_and_one_in_the_past_is_kept() {
    let world = World::new(false);
    world.add_user("u").await;
    for at in ["2026-03-02T00:00:00Z", "2020-01-01T00:00:00+01:00"] {
        world.send_event(json!({ "name": "n", "external_id": "u", "timestamp": at })).await;
    }
    let times: Vec<Value> =
        world.lines("events").await.into_iter().map(|event| event["time"].clone()).collect();
    assert_eq!(times, [json!("2026-03-01T12:00:00Z"), json!("2019-12-31T23:00:00Z")]);
}

#[tokio::test]
async fn one_bad_event_refuses_the_request_without_effect() {
    let world = World::new(false);
    world.add_user("u").await;
    let good = json!({ "name": "n", "external_id": "u" });
    for bad in [
        json!({ "external_id": "u" }),
        json!({ "name": "", "external_id": "u" }),
        json!({ "name": "x".repeat(129), "external_id": "u" }),
        json!({ "name": "n" }),
        json!({ "name": "n", "external_id": "u", "timestamp": "yesterday" }),
        json!({ "name": "n", "external_id": "u", "properties": [1] }),
        json!({ "name": "n", "external_id": "u", "properties": { "a": "x".repeat(2_024) } }),
        json!(7),
    ] {
        let body = json!({ "events": [good, bad] });
        let (status, answer) = world.call("POST", "/apps/APP/custom_events", &body).await;
        assert_eq!(status, 400, "{bad}");
        assert!(answer["errors"][0].as_str().is_some_and(|error| error.starts_with("events[1]")), "{answer}");
    }
    assert!(world.lines("events").await.is_empty());
    let large = json!({ "events": vec![good; 40_000] });
    assert_eq!(world.call("POST", "/apps/APP/custom_events", &large).await.0, 413);
    assert_eq!(world.call("POST", "/apps/APP/custom_events", &json!({})).await.0, 400);
}

#[tokio::test]
async fn what_the_official_sdks_send_is_understood() {
    let world = World::new(false);
    let user = "/apps/APP/users/by/external_id/u1";
    let requests = [
        (
            "POST",
            "/apps/APP/users",
            201,
            json!({
                "identity": { "external_id": "u1" },
                "properties": { "language": "en", "tags": { "plan": "pro" } },
                "subscriptions": [{ "type": "Email", "token": "a@example.test" }],
            }),
        ),
        ("PATCH", user, 202, json!({ "properties": { "tags": { "plan": "x" } } })),
        (
            "POST",
            "/apps/APP/custom_events",
            202,
            json!({
                "events": [{ "name": "purchase", "external_id": "u1", "payload": { "sku": "1", "price": 9.99 } }],
            }),
        ),
        (
            "POST",
            "/notifications",
            200,
            json!({
                "app_id": APP,
                "contents": { "en": "hello" },
                "include_aliases": { "external_id": ["u1"] },
                "target_channel": "push",
            }),
        ),
        ("DELETE", user, 202, Value::Null),
    ];
    for (method, path, status, body) in requests {
        let (given, answer) = world.call(method, path, &body).await;
        assert_eq!(given, status, "{method} {path}: {answer}");
        assert_eq!(answer.get("errors"), None);
    }
}

#[tokio::test]
async fn what_arrived_is_still_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let data = Some(folder.path().to_owned());
    World::at(data.clone(), false).add_user("u").await;
    let users = World::at(data, false).lines("users").await;
    assert_eq!(users.len(), 1);
    assert_eq!(users[0]["external_id"], "u");
}

#[tokio::test]
async fn any_key_is_good_but_the_revoked_one() {
    let world = World::new(false);
    for (key, status) in [
        ("Key k-1", 404),
        ("key k-1", 404),
        ("Key revoked", 401),
        ("Basic k-1", 404),
        ("Basic revoked", 401),
        ("Bearer k-1", 401),
        ("Key ", 401),
        ("", 401),
    ] {
        let response = world.send("GET", "/apps/APP/users/by/external_id/u", key, "").await;
        assert_eq!(response.status().as_u16(), status, "{key}");
        assert_eq!(response.headers()["content-type"], "application/json");
    }
    assert_eq!(world.call("GET", "/apps/7/users/by/external_id/u", &Value::Null).await.0, 400);
    assert_eq!(world.call("POST", "/notifications", &json!({ "app_id": APP })).await.0, 200);
}

#[tokio::test]
async fn a_user_is_written_once_a_second() {
    let world = World::new(true);
    assert_eq!(world.call("POST", "/apps/APP/users", &creation("u")).await.0, 201);
    world.watch.advance(999);
    let tags = json!({ "properties": { "tags": { "a": "1" } } });
    let response = world.send("PATCH", "/apps/APP/users/by/external_id/u", "Key k", &tags.to_string()).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "1");
    let body: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(body, json!({ "errors": ["API rate limit exceeded"], "limit": "App ID" }));
    world.watch.advance(1);
    assert_eq!(world.call("PATCH", "/apps/APP/users/by/external_id/u", &tags).await.0, 202);
}

#[tokio::test]
async fn an_app_is_asked_1000_times_a_second() {
    let world = World::new(true);
    for count in 0..1_001 {
        let path = format!("/apps/APP/users/by/external_id/u{count}");
        let (status, _) = world.call("DELETE", &path, &Value::Null).await;
        assert_eq!(status, if count < 1_000 { 404 } else { 429 }, "{count}");
    }
}

#[tokio::test]
async fn records_arrive_through_our_own_platform() {
    let world = World::new(true);
    let users = world.platform(ObjectKind::User);
    let created =
        users.deliver(&[user("u/1", r#"{"email":"a@b.example","language":"en","score":12.50}"#)]).await;
    assert_eq!(created.expect("receipt"), Receipt::delivered(1));
    let missing = users.deliver(&[user("u2", r#"{"score":1}"#)]).await.expect("receipt");
    assert!(matches!(&missing.outcomes[0], Outcome::Rejected(reason) if reason.code == "user_not_found"));

    let events = world.platform(ObjectKind::Event);
    let records = [event(1, "u/1"), event(2, "u2"), event(3, "u/1"), event(4, "u2")];
    for _ in 0..2 {
        let receipt = events.deliver(&records).await.expect("receipt");
        let outcomes: Vec<bool> =
            receipt.outcomes.iter().map(|outcome| *outcome == Outcome::Delivered).collect();
        assert_eq!(outcomes, [true, false, true, false]);
    }
    world.watch.advance(1_000);
    let purchases = world.platform(ObjectKind::Purchase);
    let receipt = purchases.deliver(&[purchase(5, "u/1", "9.90"), purchase(6, "u/1", "5")]).await;
    assert_eq!(receipt.expect("receipt"), Receipt::delivered(2));

    assert!(users.check().await.expect("checks").passed());
    let line = &world.lines("users").await[0];
    assert_eq!(line["email"], "a@b.example");
    assert_eq!(line["attributes"]["tags"], json!({ "score": "12.50" }));
    assert_eq!(world.lines("events").await.len(), 2);
    assert_eq!(world.lines("purchases").await[0]["price"].to_string(), "9.9");
    let stats = &world.lines("stats").await[0];
    assert_eq!((&stats["users"], &stats["events"], &stats["purchases"]), (&json!(1), &json!(2), &json!(2)));

    world.watch.advance(1_000);
    let deletions = world.platform(ObjectKind::Deletion);
    for _ in 0..2 {
        assert_eq!(deletions.deliver(&[deletion("u/1")]).await.expect("receipt"), Receipt::delivered(1));
        world.watch.advance(1_000);
    }
    assert!(world.lines("users").await.is_empty());
}

#[tokio::test]
async fn the_paths_of_older_clients_lead_to_the_same() {
    let world = World::new(false);
    world.add_user("u").await;
    let events = json!({ "events": [{ "name": "n", "external_id": "u" }] });
    for path in
        ["/apps/APP/custom_events", "/apps/APP/integrations/custom_events", "/api/v1/apps/APP/custom_events"]
    {
        assert_eq!(world.call("POST", path, &events).await, (202, json!({})), "{path}");
    }
    assert_eq!(world.call("POST", "/api/v1/notifications", &json!({})).await.0, 200);
    let tags = json!({ "tags": { "plan": "pro" } });
    let edited = world.call("PUT", "/api/v1/apps/APP/users/u", &tags).await;
    assert_eq!(edited, (200, json!({ "success": true })));
    assert_eq!(world.lines("users").await[0]["attributes"]["tags"], tags["tags"]);
    assert_eq!(world.lines("events").await.len(), 3);
}

#[tokio::test]
async fn a_bad_key_is_refused_in_the_words_that_the_sdks_look_for() {
    let world = World::new(false);
    let denied = async |method: &str, path: &str| {
        let response = world.send(method, path, "Key revoked", "{}").await;
        assert_eq!(response.status(), 401);
        serde_json::from_slice::<Value>(response.body()).expect("JSON")["errors"][0].clone()
    };
    let words = "Access denied.  Please include an 'Authorization: ...' header with a valid API key \
                 (https://documentation.onesignal.com/docs/en/keys-and-ids#api-keys).";
    assert_eq!(denied("POST", "/apps/APP/custom_events").await, json!(words));
    let title = "This operation requires 'Authorization' in the HTTP header";
    let user = denied("PATCH", "/apps/APP/users/by/external_id/u").await;
    assert_eq!(user, json!({ "code": "auth-1", "title": title }));
}

#[tokio::test]
async fn one_bad_field_costs_the_whole_user() {
    let world = World::new(false);
    world.add_user("u").await;
    for bad in [json!({ "language": "EN" }), json!({ "country": "de" }), json!({ "lat": 91 })] {
        let body = json!({ "properties": bad });
        assert_eq!(world.call("PATCH", "/apps/APP/users/by/external_id/u", &body).await.0, 400, "{bad}");
    }
    for (kind, token) in [("SMS", "0151"), ("SMS", "+0151"), ("Email", "not an email"), ("Email", "a@b")] {
        let mut body = creation("v");
        body["subscriptions"] = json!([{ "type": kind, "token": token }]);
        assert_eq!(world.call("POST", "/apps/APP/users", &body).await.0, 400, "{token}");
    }
}

#[tokio::test]
async fn an_amount_may_be_written_as_in_the_documentation() {
    let world = World::new(false);
    world.add_user("u").await;
    let bought = json!({ "sku": "item", "iso": "USD", "amount": "$33.33", "count": 3 });
    let body = json!({ "deltas": { "purchases": [bought] } });
    assert_eq!(world.call("PATCH", "/apps/APP/users/by/external_id/u", &body).await.0, 202);
    assert_eq!(world.lines("purchases").await[0]["price"], json!(33.33));
}
