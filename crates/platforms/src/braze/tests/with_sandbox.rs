use tidegate_model::{ErrorKind, Outcome, Receipt};

use super::*;

const CATALOG: &str = r#"{"catalogs":[{"name":"shop","fields":[
    {"name":"id","type":"string"},{"name":"n","type":"number"}]}]}"#;

fn delivered(receipt: &Receipt) -> usize {
    receipt.outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count()
}

fn events(count: usize) -> Vec<Record> {
    (0..count).map(|at| event(external(&format!("user-{}", at % 20)), "opened", r#"{"n":1}"#)).collect()
}

#[tokio::test]
async fn every_kind_of_object_arrives() {
    let http = sandbox(Faults::default());
    call(&*http, "POST", "/catalogs", CATALOG).await;
    let deletion = record(external("bob"), Body::Deletion);
    let all: [(ObjectKind, Vec<Record>); 5] = [
        (ObjectKind::User, vec![user(external("ada"), r#"{"plan":"pro"}"#), user(alias("crm", "7"), "{}")]),
        (ObjectKind::Event, events(75)),
        (ObjectKind::Purchase, vec![purchase("p1", "9.99", 1, "{}"), user_purchase("bob")]),
        (ObjectKind::CatalogItem, vec![item("a", r#"{"n":1}"#), item("b", "{}")]),
        (ObjectKind::Deletion, vec![deletion]),
    ];

    for (kind, records) in all {
        let platform = open(Arc::clone(&http), kind, json!({ "catalog": "shop" }));
        assert!(platform.check().await.expect("checked").passed(), "{kind}");
        for record in &records {
            platform.validate(record).expect("admitted");
        }
        let receipt = platform.deliver(&records).await.expect("delivered");
        assert_eq!(delivered(&receipt), records.len(), "{kind}: {:?}", receipt.outcomes);
        assert!(receipt.rate_limit.is_some());
    }

    let stats = stats(&*http).await;
    assert_eq!(stats["users"], 22, "ada, the alias and 20 of the events, without bob");
    assert_eq!((&stats["events"], &stats["purchases"]), (&json!(75), &json!(1)));
    assert_eq!((&stats["catalog_items"], &stats["deletions"]), (&json!(2), &json!(1)));
}

fn user_purchase(id: &str) -> Record {
    Record { identity: external(id), ..purchase("p2", "1", 1, "{}") }
}

#[tokio::test]
async fn a_dropped_answer_leaves_the_rows_in_doubt_and_in_the_platform() {
    let http = sandbox(Faults { dropped: 1.0, ..Faults::default() });
    let receipt =
        open(Arc::clone(&http), ObjectKind::Event, json!({})).deliver(&events(3)).await.expect("receipt");

    assert!(receipt.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))));
    assert_eq!(stats(&*http).await["events"], 3);
}

#[tokio::test]
async fn a_request_without_effect_is_an_error_of_its_kind() {
    let until = Timestamp::from_second(NOW + 1).expect("time");
    let cases = [
        (Faults { throttled: 1.0, ..Faults::default() }, ErrorKind::Throttled(Some(until))),
        (Faults { unavailable: 1.0, ..Faults::default() }, ErrorKind::Unavailable),
        (Faults { revoked: true, ..Faults::default() }, ErrorKind::Denied),
    ];
    for (faults, kind) in cases {
        let http = sandbox(faults);
        let platform = open(Arc::clone(&http), ObjectKind::Event, json!({}));
        assert_eq!(platform.deliver(&events(3)).await.expect_err("no effect").kind(), kind);
        assert_eq!(stats(&*http).await["events"], 0);
    }
}

#[tokio::test]
async fn refused_rows_are_rejected_and_the_others_arrive() {
    let http = sandbox(Faults { rejected: 0.3, ..Faults::default() });
    let receipt =
        open(Arc::clone(&http), ObjectKind::Event, json!({})).deliver(&events(75)).await.expect("receipt");

    let rejected = receipt.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Rejected(_))).count();
    assert!((10..40).contains(&rejected), "{rejected}");
    assert_eq!(delivered(&receipt), 75 - rejected);
    assert_eq!(stats(&*http).await["events"], json!(75 - rejected));
}

#[tokio::test]
async fn the_documented_rate_is_enforced() {
    let http = sandbox(Faults::default());
    let platform = open(Arc::clone(&http), ObjectKind::Event, json!({}));
    let one = events(1);
    for _ in 0..3_000 {
        platform.deliver(&one).await.expect("inside the limit");
    }
    let error = platform.deliver(&one).await.expect_err("one too many");
    let ErrorKind::Throttled(Some(until)) = error.kind() else { panic!("{error:?}") };
    assert!((1..=3).contains(&(until.as_second() - NOW)));
}

#[tokio::test]
async fn a_check_names_the_key_and_the_catalog_that_are_missing() {
    let revoked = sandbox(Faults { revoked: true, ..Faults::default() });
    let checks = open(revoked, ObjectKind::Event, json!({})).check().await.expect("checked");
    assert!(!checks.passed());
    assert_eq!(checks.0[0].name, "users.track");
    assert!(checks.0[0].remedy.as_deref().expect("a remedy").contains("API key"));

    let platform = open(sandbox(Faults::default()), ObjectKind::CatalogItem, json!({ "catalog": "gone" }));
    let checks = platform.check().await.expect("checked");
    assert!(checks.0[0].remedy.as_deref().expect("a remedy").contains("create the catalog"));
}

#[tokio::test]
async fn a_dry_run_is_answered_like_a_success() {
    struct DryRun;
    #[async_trait::async_trait]
    impl Http for DryRun {
        async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
            Ok((CONNECTOR.platform.expect("a platform").dry_run_response)(&request))
        }
    }
    for (kind, record) in [
        (ObjectKind::User, user(external("ada"), "{}")),
        (ObjectKind::Deletion, record(external("ada"), Body::Deletion)),
        (ObjectKind::CatalogItem, item("a", "{}")),
    ] {
        let platform = open(Arc::new(DryRun), kind, json!({ "catalog": "shop" }));
        let receipt = platform.deliver(&[record]).await.expect("dry run");
        assert_eq!(receipt.outcomes, [Outcome::Delivered], "{kind}");
    }
}
