use tidegate_model::{ErrorKind, Outcome, Receipt};

use super::*;

/// Delivers three events to a Braze that answers this.
async fn answered(status: u16, body: &str) -> tidegate_model::Result<Receipt> {
    events(Canned::answering(status, body)).await
}

pub(super) async fn events(http: Arc<Canned>) -> tidegate_model::Result<Receipt> {
    let records = ["a", "b", "c"].map(|id| event(external(id), "e", "{}"));
    open(http, ObjectKind::Event, json!({})).deliver(&records).await
}

fn codes(receipt: &Receipt) -> Vec<&str> {
    receipt
        .outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Delivered => "delivered",
            Outcome::Rejected(reason) => &reason.code,
            Outcome::Deferred(_) => "deferred",
            Outcome::Unknown(_) => "unknown",
            Outcome::Unnamed(_) => "unnamed",
        })
        .collect()
}

#[tokio::test]
async fn a_success_delivers_all() {
    let receipt = answered(201, r#"{"message":"success","events_processed":3}"#).await.expect("receipt");
    assert_eq!(codes(&receipt), ["delivered"; 3]);

    let receipt = answered(202, r#"{"message":"queued"}"#).await.expect("receipt");
    assert_eq!(codes(&receipt), ["delivered"; 3]);
}

#[tokio::test]
async fn partial_errors_reject_the_rows_they_name() {
    let body = r#"{"events_processed":1,"message":"success","errors":[
        {"type":"'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required","input_array":"events","index":1},
        {"type":"The property '#/' did not contain a required property of 'product_id'","input_array":"events","index":0}]}"#;
    let receipt = answered(201, body).await.expect("receipt");

    assert_eq!(codes(&receipt), ["rejected_by_braze", "no_identifier", "delivered"]);
    let Outcome::Rejected(reason) = &receipt.outcomes[0] else { panic!("rejected") };
    assert_eq!(reason.message, "The property '#/' did not contain a required property of 'product_id'");
}

#[tokio::test]
async fn a_400_with_places_rejects_those_and_sends_the_others_again() {
    let body = r#"{"message":"Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.",
        "errors":[{"type":"'name' is not valid","input_array":"events","index":2}]}"#;
    let receipt = answered(400, body).await.expect("receipt");
    assert_eq!(codes(&receipt), ["deferred", "deferred", "invalid_name"]);
}

#[tokio::test]
async fn an_error_that_names_no_object_may_be_of_each_unless_the_count_clears_them() {
    let with_count = |count: &str| {
        format!(
            r#"{{"message":"success"{count},"errors":[{{"type":"EXTERNAL_USER_ID_TOO_LARGE","index":9}}]}}"#
        )
    };
    let receipt = answered(201, &with_count("")).await.expect("receipt");
    assert_eq!(codes(&receipt), ["unnamed"; 3]);
    let receipt = answered(201, &with_count(r#","events_processed":3"#)).await.expect("receipt");
    assert_eq!(codes(&receipt), ["delivered"; 3]);
    let error = answered(201, &with_count(r#","events_processed":0"#)).await.expect_err("no effect");
    assert_eq!(error.kind(), ErrorKind::Rejected);
}

#[tokio::test]
async fn errors_of_other_shapes_are_read_and_that_of_a_single_object_rejects_it() {
    for errors in
        [r#"["blacklisted"]"#, r#"[{"type":null}]"#, r#"[{}]"#, r#""blacklisted""#, r#"{"type":"x"}"#]
    {
        let body = format!(r#"{{"message":"success","errors":{errors}}}"#);
        assert_eq!(codes(&answered(201, &body).await.expect("receipt")), ["unnamed"; 3], "{errors}");
        let alone = open(Canned::answering(201, &body), ObjectKind::Event, json!({}));
        let receipt = alone.deliver(&[event(external("a"), "e", "{}")]).await.expect("receipt");
        assert!(matches!(receipt.outcomes.as_slice(), [Outcome::Rejected(_)]), "{errors}: {receipt:?}");
    }
    let body = r#"{"deleted":1,"message":"success","errors":["one of them is unknown"]}"#;
    let platform = open(Canned::answering(201, body), ObjectKind::Deletion, json!({}));
    let receipt =
        platform.deliver(&["a", "b"].map(|id| record(external(id), Body::Deletion))).await.expect("receipt");
    assert_eq!(codes(&receipt), ["unnamed"; 2]);
}

#[tokio::test]
async fn every_error_response_has_its_kind_and_its_next_step() {
    let error = answered(400, r#"{"message":"Max Input Length Exceeded"}"#).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.message(), "Braze answered 400");
    assert_eq!(error.with_words(), "Braze answered 400: Max Input Length Exceeded");

    let error = answered(401, r#"{"message":"Invalid API Key"}"#).await.expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.next_step().contains("enter an API key"), "{}", error.next_step());

    let error = answered(403, r#"{"message":"Access Denied"}"#).await.expect_err("denied");
    assert!(error.next_step().contains("`users.track`"), "{}", error.next_step());

    let error = answered(404, r#"{"message":"Invalid URL"}"#).await.expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.next_step().contains("`endpoint`"), "{}", error.next_step());

    assert_eq!(answered(413, "").await.expect_err("too large").kind(), ErrorKind::TooLarge);
    assert_eq!(answered(503, "").await.expect_err("unavailable").kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn what_may_have_taken_effect_is_unknown() {
    for status in [500, 502, 504] {
        assert_eq!(codes(&answered(status, "").await.expect("receipt")), ["unknown"; 3], "{status}");
    }
    assert_eq!(codes(&answered(201, "<html>").await.expect("receipt")), ["unknown"; 3]);
    let lost = Canned::with(Err(HttpFailure::ResponseLost("reset".into())));
    assert_eq!(codes(&events(lost).await.expect("receipt")), ["unknown"; 3]);
}

#[tokio::test]
async fn what_never_left_is_unavailable() {
    let error =
        events(Canned::with(Err(HttpFailure::NotSent("refused".into())))).await.expect_err("not sent");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_full_catalog_storage_pauses_and_blames_no_row() {
    let deliver = async |status, body: &str| {
        let platform =
            open(Canned::answering(status, body), ObjectKind::CatalogItem, json!({ "catalog": "shop" }));
        platform.deliver(&[item("a", "{}")]).await.expect_err("refused")
    };
    let full = r#"{"errors":[{"id":"company-size-limit-already-reached","message":"x"}],"message":"Invalid Request"}"#;
    let error = deliver(400, full).await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains("storage"), "{error}");

    let gone = r#"{"errors":[{"id":"catalog-not-found","message":"x"}],"message":"Invalid Request"}"#;
    let error = deliver(404, gone).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Missing, "Braze has no catalog `shop`"));
    assert!(error.next_step().contains("create the catalog"), "{}", error.next_step());
}

#[tokio::test]
async fn a_refused_catalog_item_has_the_reason_that_braze_gives_once_it_stands_alone() {
    let body = r#"{"errors":[{"id":"unable-to-coerce-value","message":"It is no number"}],"message":"Invalid Request"}"#;
    let platform = open(Canned::answering(400, body), ObjectKind::CatalogItem, json!({ "catalog": "shop" }));
    let error = platform.deliver(&[item("a", "{}"), item("b", "{}")]).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Rejected);

    let platform = open(Canned::answering(400, body), ObjectKind::CatalogItem, json!({ "catalog": "shop" }));
    let receipt = platform.deliver(&[item("a", "{}")]).await.expect("receipt");
    let [Outcome::Rejected(reason)] = receipt.outcomes.as_slice() else { panic!("{receipt:?}") };
    assert_eq!(
        (reason.code.as_ref(), reason.message.as_str()),
        ("unable-to-coerce-value", "It is no number")
    );
}
