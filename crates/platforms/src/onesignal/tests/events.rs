use super::*;
use tidegate_model::{ErrorKind, Outcome, Receipt};

async fn deliver(records: &[Record], status: u16, body: &str) -> Result<Receipt, Error> {
    open(ObjectKind::Event, &Script::answering(status, body)).deliver(records).await
}

/// The codes of the outcomes, `ok` where delivered and `?` where in doubt.
fn outcomes(receipt: &Receipt) -> Vec<String> {
    let shown = |outcome: &Outcome| match outcome {
        Outcome::Delivered => "ok".to_owned(),
        Outcome::Rejected(reason) => reason.code.to_string(),
        Outcome::Deferred(_) => "later".to_owned(),
        Outcome::Unknown(_) => "?".to_owned(),
        Outcome::Unnamed(_) => "one of".to_owned(),
    };
    receipt.outcomes.iter().map(shown).collect()
}

fn error(user: &str, id: Option<&Record>, code: &str) -> Value {
    let mut error = json!({ "event_user_id": user, "error": { "code": code, "title": "what happened" } });
    if let Some(record) = id {
        error["event_id"] = json!(record.id.to_uuid());
    }
    error
}

async fn words_after(records: &[Record], errors: &[Value]) -> Vec<String> {
    let body = json!({ "errors": errors }).to_string();
    outcomes(&deliver(records, 202, &body).await.expect("receipt"))
}

#[tokio::test]
async fn events_travel_with_their_key_and_their_properties_untouched() {
    let script = Script::answering(202, "{}");
    let mut by_platform_id = event_with(2, "", "quote \"\n", None, "{}");
    by_platform_id.identity = Identity::PlatformId("99999999-2222-4333-8444-555555555555".into());

    let receipt = open(ObjectKind::Event, &script).deliver(&[event(1, "u1"), by_platform_id]).await;

    assert_eq!(receipt.expect("receipt"), Receipt::delivered(2));
    let requests = script.requests.lock().unwrap();
    let request = &requests[0];
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), &*format!("https://onesignal.example/apps/{APP}/custom_events"));
    assert_eq!(request.headers()["authorization"], "Key k-1");
    assert!(request.headers()["authorization"].is_sensitive());
    assert_eq!(request.headers()["content-type"], "application/json");
    let expected = concat!(
        r#"{"events":[{"name":"order_placed","external_id":"u1","timestamp":"2026-02-28T08:30:00.5Z","#,
        r#""idempotency_key":"00000000-0000-8000-8000-000000000001","#,
        r#""event_id":"00000000-0000-8000-8000-000000000001","properties":{"order_total":12.50}},"#,
        r#"{"name":"quote \"\n","onesignal_id":"99999999-2222-4333-8444-555555555555","#,
        r#""idempotency_key":"00000000-0000-8000-8000-000000000002","#,
        r#""event_id":"00000000-0000-8000-8000-000000000002"}]}"#,
    );
    assert_eq!(std::str::from_utf8(request.body()).expect("UTF-8"), expected);
}

#[tokio::test]
async fn an_empty_delivery_sends_nothing() {
    let script = Arc::new(Script::default());
    let receipt = open(ObjectKind::Event, &script).deliver(&[]).await.expect("receipt");
    assert_eq!(receipt, Receipt::delivered(0));
    assert!(script.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_without_errors_delivers_everything() {
    for (status, body) in [(202, "{}"), (200, ""), (202, r#"{"errors":[]}"#), (202, r#"{"errors":null}"#)] {
        let receipt = deliver(&[event(1, "a"), event(2, "b")], status, body).await.expect("receipt");
        assert_eq!(receipt, Receipt::delivered(2), "{status} {body}");
    }
}

#[tokio::test]
async fn an_error_with_our_event_id_rejects_that_event_alone() {
    let records = [event(1, "a"), event(2, "a"), event(3, "b")];
    let errors = [error("a", Some(&records[1]), "invalid")];
    assert_eq!(words_after(&records, &errors).await, ["ok", "invalid", "ok"]);
}

#[tokio::test]
async fn an_error_without_event_id_rejects_the_only_event_of_its_user() {
    let records = [event(1, "a"), event(2, "b"), event(3, "c")];
    assert_eq!(words_after(&records, &[error("b", None, "invalid")]).await, ["ok", "invalid", "ok"]);
}

#[tokio::test]
async fn as_many_errors_as_the_user_has_events_reject_all_of_them() {
    let records = [event(1, "a"), event(2, "b"), event(3, "a")];
    let errors = [error("a", None, "first"), error("a", None, "second")];
    assert_eq!(words_after(&records, &errors).await, ["first", "ok", "second"]);
}

#[tokio::test]
async fn fewer_errors_than_events_of_the_user_may_be_of_each() {
    let records = [event(1, "a"), event(2, "b"), event(3, "a")];
    assert_eq!(words_after(&records, &[error("a", None, "invalid")]).await, ["one of", "ok", "one of"]);
}

#[tokio::test]
async fn an_unknown_user_fails_with_all_of_its_events() {
    let records = [event(1, "a"), event(2, "b"), event(3, "a")];
    assert_eq!(
        words_after(&records, &[error("a", None, "not found")]).await,
        ["user_not_found", "ok", "user_not_found"]
    );
}

#[tokio::test]
async fn a_user_may_be_repeated_as_a_number_and_an_error_as_text() {
    let error = json!({ "event_user_id": 42, "error": "what happened" });
    assert_eq!(words_after(&[event(1, "42"), event(2, "b")], &[error]).await, ["event_rejected", "ok"]);
}

#[tokio::test]
async fn errors_with_and_without_event_id_are_told_apart() {
    let records = [event(1, "a"), event(2, "a"), event(3, "a")];
    let errors = [error("a", Some(&records[2]), "by_id"), error("a", None, "x"), error("a", None, "y")];
    assert_eq!(words_after(&records, &errors).await, ["x", "y", "by_id"]);
}

#[tokio::test]
async fn an_error_that_names_no_event_may_be_of_each_of_the_rest() {
    let records = [event(1, "a"), event(2, "b")];
    for error in [json!("something"), json!({}), error("stranger", None, "invalid")] {
        assert_eq!(
            words_after(&records, std::slice::from_ref(&error)).await,
            ["one of", "one of"],
            "{error}"
        );
    }
    let errors = [error("a", Some(&records[0]), "invalid"), json!(17)];
    assert_eq!(words_after(&records, &errors).await, ["invalid", "one of"]);
}

#[tokio::test]
async fn an_accepted_answer_that_cannot_be_read_leaves_everything_in_doubt() {
    for body in ["<html>", "[]", "\"ok\""] {
        let receipt = deliver(&[event(1, "a"), event(2, "b")], 202, body).await.expect("receipt");
        assert_eq!(outcomes(&receipt), ["?", "?"], "{body}");
    }
}

#[tokio::test]
async fn a_refused_request_is_halved_until_one_event_stands_alone() {
    let body = r#"{"errors":["event is bad"]}"#;
    let error = deliver(&[event(1, "a"), event(2, "b")], 400, body).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Rejected);

    let receipt = deliver(&[event(1, "a")], 400, body).await.expect("receipt");
    let [Outcome::Rejected(reason)] = receipt.outcomes.as_slice() else { panic!("{receipt:?}") };
    assert_eq!((&*reason.code, &*reason.message), ("http_400", "event is bad"));
}

#[tokio::test]
async fn a_status_about_the_whole_request_is_an_error_without_effect() {
    let seven_later = "2026-03-01T12:00:07Z".parse().expect("timestamp");
    let cases = [
        (401, ErrorKind::Denied),
        (402, ErrorKind::Denied),
        (403, ErrorKind::Denied),
        (404, ErrorKind::Missing),
        (413, ErrorKind::TooLarge),
        (429, ErrorKind::Throttled(Some(seven_later))),
        (503, ErrorKind::Unavailable),
        (301, ErrorKind::Unexpected),
    ];
    for (status, kind) in cases {
        for body in ["", "{}", "not json"] {
            let error = deliver(&[event(1, "a"), event(2, "b")], status, body).await.expect_err("an error");
            assert_eq!(error.kind(), kind, "{status}");
            let waits = matches!(status, 429 | 503);
            assert_eq!(error.acceptable_at(), waits.then_some(seven_later), "{status}");
            assert!(!error.next_step().is_empty());
        }
    }
}

#[tokio::test]
async fn the_setting_to_fix_is_named_when_the_key_is_refused() {
    let error = deliver(&[event(1, "a")], 401, "").await.expect_err("denied");
    assert!(error.next_step().contains("`api_key`"), "{}", error.next_step());
    assert!(!format!("{error:?}").contains("k-1"));
}

#[tokio::test]
async fn a_failure_on_their_way_leaves_every_event_in_doubt() {
    for status in [500, 502, 504, 524, 408] {
        let receipt = deliver(&[event(1, "a"), event(2, "b")], status, "").await.expect("receipt");
        assert_eq!(outcomes(&receipt), ["?", "?"], "{status}");
    }
    let lost = Script::saying(Err(HttpFailure::ResponseLost("reset".into())));
    let receipt = open(ObjectKind::Event, &lost).deliver(&[event(1, "a")]).await.expect("receipt");
    assert_eq!(outcomes(&receipt), ["?"]);
}

#[tokio::test]
async fn a_request_that_never_left_is_no_doubt() {
    let refused = Script::saying(Err(HttpFailure::NotSent("connection refused".into())));
    let error = open(ObjectKind::Event, &refused).deliver(&[event(1, "a")]).await.expect_err("unreachable");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn retry_after_may_be_a_date() {
    let response = http::Response::builder().status(429);
    let response =
        response.header("retry-after", "Sun, 01 Mar 2026 12:05:00 GMT").body(Bytes::new()).unwrap();
    let script = Script::saying(Ok(response));
    let error = open(ObjectKind::Event, &script).deliver(&[event(1, "a")]).await.expect_err("throttled");
    let until = "2026-03-01T12:05:00Z".parse().expect("timestamp");
    assert_eq!(error.kind(), ErrorKind::Throttled(Some(until)));
}

proptest::proptest! {
    #[test]
    fn any_text_makes_a_body_that_is_json_and_as_long_as_admitted(name: String, user: String, value: String) {
        let properties = Json::trusted(json!({ "p": value }).to_string());
        let body = Body::Event { name: name.as_str().into(), time: Some(noon()), properties, app_id: None };
        let record = record(1, &user, body);

        let body = super::super::encode::events(std::slice::from_ref(&record));
        let parsed: Value = serde_json::from_slice(&body).expect("JSON");

        let event = &parsed["events"][0];
        proptest::prop_assert_eq!(&event["name"], &json!(name));
        proptest::prop_assert_eq!(&event["external_id"], &json!(user));
        proptest::prop_assert_eq!(&event["properties"]["p"], &json!(value));
        let envelope = r#"{"events":[]}"#.len();
        proptest::prop_assert_eq!(super::super::encode::event_length(&record), body.len() - envelope);
    }

    #[test]
    fn no_answer_panics(status in 200_u16..600, body: Vec<u8>) {
        let response = http::Response::builder().status(status).header("retry-after", "soon");
        let response = response.body(Bytes::from(body)).expect("response");
        let records = [event(1, "a"), event(2, "b")];
        if let Ok(receipt) = super::super::partial::of_events(&records, Ok(response), noon()) {
            proptest::prop_assert_eq!(receipt.outcomes.len(), 2);
        }
    }

    #[test]
    fn an_envelope_is_never_longer_than_its_bound(id: u128, nanosecond in 0_i32..1_000_000_000) {
        let time = noon() + jiff::SignedDuration::new(0, nanosecond);
        let record = event_with(id, "user", "name", Some(time), "{\"a\":1}");
        let length = super::super::encode::event_length(&record);
        proptest::prop_assert!(length <= super::super::encode::event_bound(&record));
    }
}
