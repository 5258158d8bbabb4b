//! The sandbox refuses, drops and keeps what Braze's pages say.

use super::*;

/// The error that one object is refused with, by its array.
async fn fault(array: &str, object: Value) -> Option<String> {
    let http = sandbox(Faults::default());
    let answer = call(&*http, "POST", "/users/track", &json!({ array: [object] }).to_string()).await;
    let answer = json_of(&answer);
    answer["errors"][0]["type"].as_str().map(str::to_owned)
}

/// The error of the user `ada` with these attributes.
async fn attributes(attributes: Value) -> Option<String> {
    let mut object = json!({ "external_id": "ada" });
    object.as_object_mut().expect("object").extend(attributes.as_object().expect("object").clone());
    fault("attributes", object).await
}

/// The attributes of Ada after these, one request each.
async fn kept(objects: &[Value]) -> Value {
    let http = sandbox(Faults::default());
    for object in objects {
        let mut object = object.clone();
        object["external_id"] = json!("ada");
        let body = json!({ "attributes": [object] }).to_string();
        assert_eq!(call(&*http, "POST", "/users/track", &body).await.status(), 201);
    }
    let users = call(&*http, "GET", "/_sandbox/users", "").await;
    let user: Value = serde_json::from_slice(users.body()).expect("one user");
    user["attributes"].clone()
}

#[tokio::test]
async fn every_published_error_of_an_object_is_answered() {
    let group = |id: &str, state: &str| json!({ "subscription_groups": [{ "subscription_group_id": id, "subscription_state": state }] });
    let uuid = "2d1b8b6c-0b0a-4e9b-8f0e-3b1f5c0d9a11";
    let token =
        |device: &str| json!({ "push_tokens": [{ "app_id": "a", "token": "t", "device_id": device }] });
    let cases = [
        (json!({ "email": "bad" }), "EMAIL_BAD_FORMAT"),
        (json!({ "email_subscribe": "yes" }), "BAD_EMAIL_SUBSCRIPTION_STATE"),
        (json!({ "push_subscribe": true }), "BAD_PUSH_SUBSCRIPTION_STATE"),
        (json!({ "current_location": { "longitude": 200, "latitude": 1 } }), "BAD_LOCATION_UPDATE"),
        (json!({ "email_subscription_info": {} }), "INVALID_ATTRIBUTE_EMAIL_SUBSCRIPTION_INFO"),
        (json!({ "push_tokens": "t" }), "BAD_PUSH_TOKEN_VALUE"),
        (json!({ "push_tokens": [{ "app_id": "a", "token": 1 }] }), "BAD_PUSH_TOKEN_STRING"),
        (json!({ "push_tokens": [{ "token": "t" }] }), "BAD_PUSH_TOKEN_APP_ID"),
        (json!({ "push_token_import": true, "push_tokens": [] }), "BAD_PUSH_TOKEN_IMPORT"),
        (token("short"), "BAD_DEVICE_ID"),
        (json!({ "subscription_groups": {} }), "BAD_SUBSCRIPTION_GROUP_ARRAY"),
        (json!({ "subscription_groups": [{}] }), "BAD_SUBSCRIPTION_GROUP_HASH"),
        (group("7", "subscribed"), "BAD_SUBSCRIPTION_GROUP_ID"),
        (group(uuid, "opted_in"), "BAD_SUBSCRIPTION_GROUP_STATE"),
    ];
    for (object, code) in cases {
        assert_eq!(attributes(object.clone()).await.as_deref(), Some(code), "{object}");
    }
    for good in [
        json!({ "email": "ada@example.org", "email_subscribe": "opted_in", "push_subscribe": null }),
        json!({ "current_location": { "longitude": 2.35, "latitude": 48.85 } }),
        token("longer than 8"),
        group(uuid, "unsubscribed"),
    ] {
        assert_eq!(attributes(good.clone()).await, None, "{good}");
    }
}

#[tokio::test]
async fn an_object_has_one_primary_identifier_of_987_bytes() {
    let event = |who: Value| {
        let mut event = json!({ "name": "e", "time": "2026-01-01T00:00:00Z" });
        event.as_object_mut().expect("object").extend(who.as_object().expect("object").clone());
        event
    };
    let long = |bytes: usize| event(json!({ "external_id": "x".repeat(bytes) }));
    assert_eq!(fault("events", long(987)).await, None);
    assert_eq!(fault("events", long(988)).await.as_deref(), Some("EXTERNAL_USER_ID_TOO_LARGE"));
    let two = fault("events", event(json!({ "external_id": "a", "braze_id": "b" }))).await;
    assert!(two.expect("refused").starts_with("only one of"));
    assert_eq!(fault("events", event(json!({ "external_id": "a", "email": "a@b.example" }))).await, None);
}

#[tokio::test]
async fn names_and_texts_of_properties_are_held_to_their_limits() {
    let with = async |properties: Value| {
        let event = json!({ "external_id": "a", "name": "e", "time": "2026-01-01T00:00:00Z", "properties": properties });
        fault("events", event).await
    };
    let no = Some("'properties' is not valid".to_owned());
    for bad in [
        json!({ "": 1 }),
        json!({ "$a": 1 }),
        json!({ "time": 1 }),
        json!({ "event_name": "x" }),
        json!({ "a": "x".repeat(256) }),
        json!({ "a": [{ "b": "x".repeat(256) }] }),
        json!({ "a": vec![1; 60_000] }),
    ] {
        assert_eq!(with(bad).await, no);
    }
    assert_eq!(with(json!({ "a": "x".repeat(255), "price": 1, "list": [{ "b": 1 }] })).await, None);
    assert_eq!(attributes(json!({ "note": "x".repeat(256) })).await.as_deref(), Some("'note' is not valid"));
}

#[tokio::test]
async fn a_currency_is_one_that_there_is() {
    let purchase = async |currency: &str| {
        let bought = json!({ "external_id": "a", "product_id": "p", "currency": currency, "price": 1, "time": "2026-01-01T00:00:00Z" });
        fault("purchases", bought).await
    };
    assert_eq!(purchase("EUR").await, None);
    assert_eq!(purchase("XXZ").await.as_deref(), Some("'currency' is not valid"));
}

#[tokio::test]
async fn a_nested_update_with_one_bad_value_is_dropped_in_silence() {
    let good = json!({ "address": { "street": "x", "city": "Rome" } });
    for bad in [
        json!({ "street": "y", "city": null }),
        json!({ "street": "y", "since": { "$time": "yesterday" } }),
        json!({ "street": "y", "a b": 1 }),
        json!({ "street": "y", "c.d": 1 }),
        json!({ "street": "y", "deep": { "$e": 1 } }),
        json!({ "street": "y", "list": [{ "a": null }] }),
        json!({ "street": "y", "big": "x".repeat(120_000) }),
    ] {
        // The text is longer than a plain attribute may be, but nested texts are not answered.
        assert_eq!(kept(&[good.clone(), json!({ "address": bad })]).await, good, "{bad}");
    }
    let moved = json!({ "address": { "street": "y", "since": { "$time": "2026-01-02T03:04:05Z" } } });
    assert_eq!(kept(&[good, moved.clone()]).await, moved);
}

#[tokio::test]
async fn an_array_keeps_each_value_once_and_the_last_500() {
    let many: Vec<usize> = (0..600).collect();
    let array = kept(&[json!({ "many": many, "twice": ["a", "b", "a"] })]).await;
    assert_eq!(array["twice"], json!(["a", "b"]));
    assert_eq!(array["many"].as_array().map(Vec::len), Some(500));
    assert_eq!(array["many"][0], 100);
    let objects = json!({ "pets": [{ "id": 1 }, { "id": 1 }] });
    assert_eq!(kept(std::slice::from_ref(&objects)).await, objects, "objects may repeat");
}

#[tokio::test]
async fn standard_attributes_keep_only_what_their_format_allows() {
    let bad =
        json!({ "gender": "male", "dob": "1.2.1990", "country": "Germany", "time_zone": "Mars/Olympus" });
    assert_eq!(kept(&[bad]).await, json!({}));
    let good = json!({ "gender": "F", "dob": "1990-02-01", "country": "DE", "time_zone": "Europe/Berlin" });
    assert_eq!(kept(std::slice::from_ref(&good)).await, good);
}
