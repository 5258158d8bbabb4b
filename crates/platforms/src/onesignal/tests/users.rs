use super::*;
use tidegate_model::{ErrorKind, Outcome, Receipt};

async fn sent(record: Record) -> (String, String, Value) {
    let script = Script::answering(202, "{}");
    let receipt = open(record.kind(), &script).deliver(&[record]).await.expect("receipt");
    assert_eq!(receipt, Receipt::delivered(1));
    script.request()
}

async fn outcome(record: Record, target: Value, status: u16, body: &str) -> Outcome {
    let http = Script::answering(status, body);
    let platform = open_with(&connection(), record.kind(), target, http).expect("settings that work");
    platform.deliver(&[record]).await.expect("receipt").outcomes.remove(0)
}

fn rejection(outcome: Outcome) -> (String, String) {
    let Outcome::Rejected(reason) = outcome else { panic!("{outcome:?}") };
    (reason.code.into_owned(), reason.message)
}

#[tokio::test]
async fn a_row_with_an_address_creates_the_user() {
    let attributes = r#"{"email":"a@b.example","phone":"+4930123","language":"en","plan":"pro"}"#;
    let (method, path, body) = sent(user("u1", attributes)).await;
    assert_eq!((method.as_str(), path), ("POST", format!("/apps/{APP}/users")));
    let expected = json!({
        "identity": { "external_id": "u1" },
        "properties": { "language": "en", "tags": { "plan": "pro" } },
        "subscriptions": [
            { "type": "Email", "token": "a@b.example" },
            { "type": "SMS", "token": "+4930123" },
        ],
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_user_may_be_created_by_alias_and_with_an_address_alone() {
    let mut record = user("", r#"{"email":"a@b.example","phone":null}"#);
    record.identity = Identity::Alias { label: "crm_id".into(), name: "7".into() };
    let (_, _, body) = sent(record).await;
    let subscriptions = json!([{ "type": "Email", "token": "a@b.example" }]);
    assert_eq!(body, json!({ "identity": { "crm_id": "7" }, "subscriptions": subscriptions }));
}

#[tokio::test]
async fn a_row_without_an_address_updates_the_user() {
    let attributes = concat!(
        r#"{"country":"FR","timezone_id":"Europe/Paris","lat":48.85,"long":"2.35","#,
        r#""first_active":1700000000,"last_active":"2026-03-01T12:00:00Z","language":null,"email":"","#,
        r#""score":12.50,"vip":true,"note":"a \"b\"","gone":null,"tags":{"more":7}}"#,
    );
    let (method, path, body) = sent(user("u/1 é", attributes)).await;
    assert_eq!(
        (method.as_str(), path),
        ("PATCH", format!("/apps/{APP}/users/by/external_id/u%2F1%20%C3%A9"))
    );
    let expected = json!({ "properties": {
        "country": "FR",
        "timezone_id": "Europe/Paris",
        "lat": 48.85,
        "long": 2.35,
        "first_active": 1_700_000_000,
        "last_active": 1_772_366_400,
        "tags": { "score": "12.50", "vip": "true", "note": "a \"b\"", "gone": "", "more": "7" },
    } });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn an_unknown_user_is_rejected_with_what_would_create_it() {
    let (code, message) = rejection(outcome(user("u", r#"{"a":1}"#), json!({}), 404, "{}").await);
    assert_eq!(code, "user_not_found");
    assert!(message.contains("map `email` or `phone`"), "{message}");

    let existing_only = json!({ "update_existing_only": true });
    let (code, message) = rejection(outcome(user("u", r#"{"a":1}"#), existing_only, 404, "").await);
    assert_eq!(code, "user_not_found");
    assert!(message.contains("`update_existing_only`"), "{message}");
}

#[tokio::test]
async fn a_conflict_is_told_in_onesignals_words() {
    let body =
        r#"{"errors":[{"code":"user-2","title":"One or more Aliases claimed by another User"},"and more"]}"#;
    let (code, message) = rejection(outcome(user("u", r#"{"email":"a@b.c"}"#), json!({}), 409, body).await);
    assert_eq!(code, "user-2");
    assert_eq!(message, "One or more Aliases claimed by another User; and more");

    let (code, message) = rejection(outcome(user("u", r#"{"a":1}"#), json!({}), 409, "").await);
    assert_eq!((code.as_str(), message.contains("409")), ("http_409", true));
}

#[tokio::test]
async fn purchases_of_one_user_share_a_request() {
    let script = Script::answering(202, "{}");
    let platform = open(ObjectKind::Purchase, &script);
    let receipt =
        platform.deliver(&[purchase(1, "u", "9.90"), purchase(2, "u", "5")]).await.expect("receipt");
    assert_eq!(receipt, Receipt::delivered(2));
    let purchases = json!([
        { "sku": "sku-1", "iso": "EUR", "amount": "9.90", "count": 2 },
        { "sku": "sku-1", "iso": "EUR", "amount": "5", "count": 2 },
    ]);
    let path = format!("/apps/{APP}/users/by/external_id/u");
    assert_eq!(script.request(), ("PATCH".into(), path, json!({ "deltas": { "purchases": purchases } })));
}

#[tokio::test]
async fn refused_purchases_are_halved_and_a_single_one_is_rejected() {
    let script = Script::answering(400, r#"{"errors":["bad amount"]}"#);
    let platform = open(ObjectKind::Purchase, &script);
    let error = platform.deliver(&[purchase(1, "u", "9"), purchase(2, "u", "5")]).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Rejected);

    let (_, message) =
        rejection(outcome(purchase(1, "u", "9"), json!({}), 400, r#"{"errors":["bad amount"]}"#).await);
    assert_eq!(message, "bad amount");
}

#[tokio::test]
async fn purchases_of_an_unknown_user_are_all_rejected() {
    let script = Script::answering(404, "{}");
    let platform = open(ObjectKind::Purchase, &script);
    let receipt = platform.deliver(&[purchase(1, "u", "9"), purchase(2, "u", "5")]).await.expect("receipt");
    for outcome in receipt.outcomes {
        assert_eq!(rejection(outcome).0, "user_not_found");
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_every_purchase_in_doubt() {
    let script = Script::saying(Err(HttpFailure::ResponseLost("reset".into())));
    let platform = open(ObjectKind::Purchase, &script);
    let receipt = platform.deliver(&[purchase(1, "u", "9"), purchase(2, "u", "5")]).await.expect("receipt");
    assert!(receipt.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))), "{receipt:?}");
    assert_eq!(receipt.outcomes.len(), 2);
}

#[tokio::test]
async fn purchases_of_two_users_never_share_a_request() {
    let script = Arc::new(Script::default());
    let platform = open(ObjectKind::Purchase, &script);
    let error =
        platform.deliver(&[purchase(1, "u", "9"), purchase(2, "v", "5")]).await.expect_err("two users");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(script.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_deletion_names_the_user_and_is_done_when_the_user_is_gone() {
    let (method, path, body) = sent(deletion("u1")).await;
    assert_eq!(
        (method.as_str(), path, body),
        ("DELETE", format!("/apps/{APP}/users/by/external_id/u1"), Value::Null)
    );
    assert_eq!(outcome(deletion("u1"), json!({}), 404, "{}").await, Outcome::Delivered);
    assert_eq!(outcome(deletion("u1"), json!({}), 200, "").await, Outcome::Delivered);
    assert!(matches!(outcome(deletion("u1"), json!({}), 500, "").await, Outcome::Unknown(_)));
}

#[tokio::test]
async fn a_stranger_at_the_address_is_not_believed() {
    for record in
        [user("u", r#"{"a":1}"#), user("u", r#"{"email":"a@b.c"}"#), purchase(1, "u", "1"), deletion("u")]
    {
        let script = Script::answering(404, "<html>Not found</html>");
        let error =
            open(record.kind(), &script).deliver(std::slice::from_ref(&record)).await.expect_err("missing");
        assert_eq!(error.kind(), ErrorKind::Missing);
        let outcome = outcome(record, json!({}), 200, "<html>Welcome</html>").await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    }
    let checks = open(ObjectKind::User, &Script::answering(404, "<html>")).check().await.expect("checks");
    assert!(!checks.passed());
}

#[tokio::test]
async fn a_check_proves_the_key_by_looking_up_nobody() {
    let script = Script::answering(404, "{}");
    let checks = open(ObjectKind::User, &script).check().await.expect("checks");
    assert!(checks.passed(), "{checks:?}");
    let told = |what: &str| checks.0.iter().any(|check| check.detail.contains(what));
    assert!(told("OneSignal creates a user only with an e-mail address or a phone number"), "{checks:?}");
    assert_eq!(script.request().1, format!("/apps/{APP}/users/by/external_id/tidegate-check"));

    let checks = open(ObjectKind::User, &Script::answering(403, "{}")).check().await.expect("checks");
    assert!(!checks.passed());
    assert!(checks.0[0].remedy.as_deref().is_some_and(|remedy| remedy.contains("`api_key`")), "{checks:?}");

    let error = open(ObjectKind::User, &Script::answering(503, "")).check().await.expect_err("unavailable");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
