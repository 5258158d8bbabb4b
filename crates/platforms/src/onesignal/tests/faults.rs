//! Every fault of the sandbox, as our platform sees it.

use super::sandbox::World;
use super::*;
use tidegate_model::{ErrorKind, Faults, Outcome};

async fn world(faults: Faults) -> World {
    let world = World::new(false);
    world.add_user("u").await;
    *world.faults.lock().unwrap() = faults;
    world
}

/// One record of each kind about the user `u`.
fn records() -> [Record; 4] {
    [user("u", r#"{"a":1}"#), event(1, "u"), purchase(2, "u", "1"), deletion("u")]
}

async fn kinds(faults: Faults) -> Vec<ErrorKind> {
    let world = world(faults).await;
    let mut kinds = Vec::new();
    for record in records() {
        let platform = world.platform(record.kind());
        kinds.push(platform.deliver(&[record]).await.expect_err("an error without effect").kind());
    }
    let stats = &world.lines("stats").await[0];
    assert_eq!((&stats["events"], &stats["purchases"], &stats["users"]), (&json!(0), &json!(0), &json!(1)));
    kinds
}

#[tokio::test]
async fn a_revoked_key_is_denied() {
    assert_eq!(kinds(Faults { revoked: true, ..Faults::default() }).await, [ErrorKind::Denied; 4]);
}

#[tokio::test]
async fn a_throttled_request_says_when_it_is_welcome() {
    let in_a_second = Some("2026-03-01T12:00:01Z".parse().expect("timestamp"));
    let kinds = kinds(Faults { throttled: 1.0, ..Faults::default() }).await;
    assert_eq!(kinds, [ErrorKind::Throttled(in_a_second); 4]);
}

#[tokio::test]
async fn an_outage_has_no_effect() {
    assert_eq!(kinds(Faults { unavailable: 1.0, ..Faults::default() }).await, [ErrorKind::Unavailable; 4]);
}

#[tokio::test]
async fn a_dropped_answer_leaves_in_doubt_what_took_effect() {
    let world = world(Faults { dropped: 1.0, ..Faults::default() }).await;
    for record in records().into_iter().take(3) {
        let receipt = world.platform(record.kind()).deliver(&[record]).await.expect("receipt");
        assert!(matches!(receipt.outcomes.as_slice(), [Outcome::Unknown(_)]), "{receipt:?}");
    }
    let stats = &world.lines("stats").await[0];
    assert_eq!((&stats["events"], &stats["purchases"]), (&json!(1), &json!(1)));

    // The event has its key: sending it again changes nothing.
    *world.faults.lock().unwrap() = Faults::default();
    let receipt = world.platform(ObjectKind::Event).deliver(&[event(1, "u")]).await.expect("receipt");
    assert_eq!(receipt.outcomes, [Outcome::Delivered]);
    assert_eq!(world.lines("stats").await[0]["events"], 1);
}

#[tokio::test]
async fn refused_events_are_rejected_one_by_one() {
    let world = world(Faults { rejected: 0.5, seed: 3, ..Faults::default() }).await;
    let records: Vec<Record> = (1..=100).map(|id| event(id, "u")).collect();
    let receipt = world.platform(ObjectKind::Event).deliver(&records).await.expect("receipt");
    let delivered = world.lines("events").await;
    let names: Vec<&str> = delivered.iter().filter_map(|event| event["key"].as_str()).collect();
    assert!((20..80).contains(&names.len()), "{}", names.len());
    for (record, outcome) in records.iter().zip(&receipt.outcomes) {
        let arrived = names.contains(&record.id.to_uuid().as_str());
        assert_eq!(*outcome == Outcome::Delivered, arrived, "{outcome:?}");
        assert!(arrived || matches!(outcome, Outcome::Rejected(reason) if reason.code == "invalid"));
    }
}

#[tokio::test]
async fn refused_users_are_rejected() {
    let world = world(Faults { rejected: 1.0, ..Faults::default() }).await;
    let receipt =
        world.platform(ObjectKind::User).deliver(&[user("u", r#"{"a":1}"#)]).await.expect("receipt");
    assert!(matches!(receipt.outcomes.as_slice(), [Outcome::Rejected(_)]), "{receipt:?}");
}
