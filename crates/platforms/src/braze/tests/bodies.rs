use proptest::prelude::*;
use tidegate_model::Outcome;

use super::*;

const SUCCESS: &str = r#"{"message":"success"}"#;

async fn asked(kind: ObjectKind, target: Value, records: &[Record]) -> (String, String, Value) {
    let http = Canned::answering(201, SUCCESS);
    open(http.clone(), kind, target).deliver(records).await.expect("delivered");
    http.asked()
}

#[tokio::test]
async fn attributes_are_joined_with_each_kind_of_identifier() {
    let records = [
        user(external("ada \"x\""), r#"{"plan":"pro","visits":{"inc":1}}"#),
        user(alias("crm", "7"), " { } "),
        user(Identity::PlatformId("b1".into()), r#"{"age":36}"#),
        user(Identity::Email("a@example.test".into()), r#"{"gone":null}"#),
        user(Identity::Phone("+491".into()), "{}"),
    ];

    let (method, path, body) = asked(ObjectKind::User, json!({}), &records).await;

    assert_eq!((method.as_str(), path.as_str()), ("POST", "/users/track"));
    assert_eq!(
        body,
        json!({ "attributes": [
            { "external_id": "ada \"x\"", "plan": "pro", "visits": { "inc": 1 } },
            { "user_alias": { "alias_name": "7", "alias_label": "crm" }, "_update_existing_only": false },
            { "braze_id": "b1", "age": 36 },
            { "email": "a@example.test", "gone": null },
            { "phone": "+491" },
        ] })
    );
}

#[tokio::test]
async fn existing_users_only_is_said_for_every_object() {
    let records = [user(external("ada"), "{}"), user(alias("crm", "7"), "{}")];
    let (_, _, body) = asked(ObjectKind::User, json!({ "update_existing_only": true }), &records).await;
    assert_eq!(body["attributes"][0]["_update_existing_only"], true);
    assert_eq!(body["attributes"][1]["_update_existing_only"], true);
}

#[tokio::test]
async fn an_event_has_its_time_and_only_properties_that_are_there() {
    let records = [
        event(external("ada"), "opened", r#"{"n":12345678901234567890.5}"#),
        event(external("bob"), "x", "{}"),
    ];
    let http = Canned::answering(201, SUCCESS);
    open(http.clone(), ObjectKind::Event, json!({})).deliver(&records).await.expect("delivered");

    let requests = http.requests.lock().expect("lock");
    assert_eq!(
        std::str::from_utf8(requests[0].body()).expect("UTF-8"),
        concat!(
            r#"{"events":[{"external_id":"ada","name":"opened","time":"2026-02-03T04:05:06.5Z","#,
            r#""properties":{"n":12345678901234567890.5}},"#,
            r#"{"external_id":"bob","name":"x","time":"2026-02-03T04:05:06.5Z"}]}"#,
        )
    );
    assert_eq!(requests[0].headers()["authorization"], "Bearer key-1");
    assert!(requests[0].headers()["authorization"].is_sensitive());
}

#[tokio::test]
async fn a_purchase_keeps_its_price_and_happens_now_without_a_time() {
    let (_, _, body) =
        asked(ObjectKind::Purchase, json!({}), &[purchase("p1", "219.90", 2, r#"{"size":"L"}"#)]).await;
    assert_eq!(
        body,
        json!({ "purchases": [{
            "external_id": "ada", "product_id": "p1", "currency": "EUR", "price": 219.90, "quantity": 2,
            "time": "2026-03-01T12:00:00Z", "properties": { "size": "L" }, "app_id": "app",
        }] })
    );
}

#[tokio::test]
async fn a_deletion_request_has_identifiers_of_one_kind_and_leaves_the_others() {
    let delete = |who| record(who, Body::Deletion);
    let http = Canned::answering(201, r#"{"deleted":2,"message":"success"}"#);
    let records = [
        delete(alias("crm", "1")),
        delete(external("ada")),
        delete(alias("crm", "2")),
        delete(external("bob")),
    ];

    let receipt =
        open(http.clone(), ObjectKind::Deletion, json!({})).deliver(&records).await.expect("delivered");

    let alias = |name: &str| json!({ "alias_name": name, "alias_label": "crm" });
    assert_eq!(http.asked().1, "/users/delete");
    assert_eq!(http.asked().2, json!({ "user_aliases": [alias("1"), alias("2")] }));
    let delivered: Vec<bool> = receipt.outcomes.iter().map(|it| *it == Outcome::Delivered).collect();
    assert_eq!(delivered, [true, false, true, false]);
    assert!(matches!(receipt.outcomes[1], Outcome::Deferred(_)));
}

#[tokio::test]
async fn a_deletion_by_address_says_which_of_several_users_is_meant() {
    let delete = |who| record(who, Body::Deletion);
    let order = json!(["identified", "most_recently_updated"]);
    let email = [delete(Identity::Email("a@example.test".into()))];
    let (_, _, body) = asked(ObjectKind::Deletion, json!({}), &email).await;
    assert_eq!(body, json!({ "email_addresses": [{ "email": "a@example.test", "prioritization": order }] }));

    let phone = [delete(Identity::Phone("+491".into()))];
    let (_, _, body) = asked(ObjectKind::Deletion, json!({}), &phone).await;
    assert_eq!(body, json!({ "phone_numbers": [{ "phone": "+491", "prioritization": order }] }));

    let ids = [delete(external("ada")), delete(external("bob"))];
    assert_eq!(
        asked(ObjectKind::Deletion, json!({}), &ids).await.2,
        json!({ "external_ids": ["ada", "bob"] })
    );
    let ids = [delete(Identity::PlatformId("b1".into()))];
    assert_eq!(asked(ObjectKind::Deletion, json!({}), &ids).await.2, json!({ "braze_ids": ["b1"] }));
}

#[tokio::test]
async fn nothing_overtakes_an_earlier_change_of_the_same_item() {
    let records =
        [item("a", r#"{"n":1}"#), removal("b"), item("b", r#"{"n":2}"#), item("c", "{}"), item("a", "{}")];
    let http = Canned::answering(202, SUCCESS);

    let receipt = open(http.clone(), ObjectKind::CatalogItem, json!({ "catalog": "shop" }))
        .deliver(&records)
        .await
        .expect("delivered");

    let asked = http.asked();
    assert_eq!((asked.0.as_str(), asked.1.as_str()), ("PUT", "/catalogs/shop/items"));
    assert_eq!(asked.2, json!({ "items": [{ "id": "a", "n": 1 }, { "id": "c" }] }));
    let delivered: Vec<bool> = receipt.outcomes.iter().map(|it| *it == Outcome::Delivered).collect();
    assert_eq!(delivered, [true, false, false, true, false]);

    let http = Canned::answering(202, SUCCESS);
    let platform = open(http.clone(), ObjectKind::CatalogItem, json!({ "catalog": "shop" }));
    platform.deliver(&records[1..]).await.expect("delivered");
    assert_eq!(http.asked().0, "DELETE");
    assert_eq!(http.asked().2, json!({ "items": [{ "id": "b" }] }));
}

proptest! {
    #[test]
    fn every_text_arrives_as_it_was(id in "\\PC*", name in "\\PC*", label in "[\\x00-\\x7f]*") {
        let records = [event(external(&id), &name, "{}"), event(alias(&label, &id), &name, " {\"a\" : [ ] } ")];
        let body = crate::braze::encode::track(ObjectKind::Event, &records, false, Timestamp::UNIX_EPOCH);
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        prop_assert_eq!(&body["events"][0]["external_id"], &json!(id));
        prop_assert_eq!(&body["events"][0]["name"], &json!(name));
        prop_assert_eq!(&body["events"][1]["user_alias"]["alias_label"], &json!(label));
        prop_assert_eq!(&body["events"][1]["properties"], &json!({ "a": [] }));
    }
}
