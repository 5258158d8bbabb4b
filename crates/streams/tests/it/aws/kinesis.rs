//! Events to Kinesis.

use serde_json::{Value, json};
use tidegate_model::{ErrorKind, LoggedEvent, Outcome};

use super::emulator::Emulator;
use super::{event, read_back, sink};

#[tokio::test]
async fn the_vendors_client_reads_each_record_as_it_was_sent() {
    let kinesalite = Emulator::of("TIDEGATE_TEST_KINESALITE");
    let stream = kinesalite.kinesis_stream(4).await;
    let sink = sink("kinesis", &kinesalite.settings(), &json!({ "stream": stream, "limits": "legacy" }));
    let events: Vec<LoggedEvent> = (0..1_200).map(|at| event(at, 20)).collect();

    for request in events.chunks(500) {
        let receipt = sink.deliver(request).await.expect("a receipt");
        assert_eq!(receipt.outcomes, vec![Outcome::Delivered; request.len()]);
    }

    read_back("kinesis.py", [&kinesalite.endpoint, &stream], &events);
}

#[tokio::test]
async fn strict_order_sends_one_event_of_each_user_at_a_time() {
    let kinesalite = Emulator::of("TIDEGATE_TEST_KINESALITE");
    let stream = kinesalite.kinesis_stream(2).await;
    let sink = sink("kinesis", &kinesalite.settings(), &json!({ "stream": stream, "order": "strict" }));
    let events: Vec<LoggedEvent> = (0..50).map(|at| event(at, 0)).collect();

    let mut waiting = events.clone();
    let mut sizes = Vec::new();
    while !waiting.is_empty() {
        let receipt = sink.deliver(&waiting).await.expect("a receipt");
        let outcomes = receipt.outcomes.iter();
        sizes.push(outcomes.filter(|outcome| **outcome == Outcome::Delivered).count());
        let again = waiting.into_iter().zip(receipt.outcomes);
        waiting =
            again.filter(|(_, it)| matches!(it, Outcome::Deferred(_))).map(|(event, _)| event).collect();
    }

    assert_eq!(sizes, [20, 20, 10]);
    read_back("kinesis.py", [&kinesalite.endpoint, &stream], &events);
}

/// This emulator refuses single records by their size, inside a request that succeeds.
#[tokio::test]
async fn of_a_request_that_succeeds_in_part_only_the_refused_record_is_missing() {
    let local = Emulator::of("TIDEGATE_TEST_KINESIS_LOCAL");
    let stream = local.kinesis_stream(1).await;
    let sink = sink("kinesis", &local.settings(), &json!({ "stream": stream }));
    let mut events: Vec<LoggedEvent> = (0..5).map(|at| event(at, 10)).collect();
    events[2] = event(2, 1_100_000);

    let receipt = sink.deliver(&events).await.expect("a receipt");

    let refused = events.remove(2);
    for (at, outcome) in receipt.outcomes.iter().enumerate() {
        match outcome {
            Outcome::Delivered if at != 2 => {}
            Outcome::Rejected(reason) if at == 2 => {
                assert!(!reason.message.contains(refused.event.payload.as_str()), "{}", reason.code);
            }
            outcome => panic!("{at}: {outcome:?}"),
        }
    }
    read_back("kinesis.py", [&local.endpoint, &stream], &events);
}

#[tokio::test]
async fn a_role_with_an_external_id_is_taken_on() {
    let moto = Emulator::of("TIDEGATE_TEST_MOTO");
    let stream = moto.kinesis_stream(1).await;
    let mut settings = moto.settings();
    let role: Value = json!({
        "role_arn": "arn:aws:iam::123456789012:role/tidegate",
        "external_id": "seven/7",
        "session_name": "exports",
        "sts_endpoint": moto.endpoint,
    });
    settings.as_object_mut().expect("settings").extend(role.as_object().expect("role").clone());
    let sink = sink("kinesis", &settings, &json!({ "stream": stream }));
    let events: Vec<LoggedEvent> = (0..30).map(|at| event(at, 0)).collect();

    assert!(sink.check().await.expect("checks").passed());
    let receipt = sink.deliver(&events).await.expect("a receipt");

    assert_eq!(receipt.outcomes, vec![Outcome::Delivered; 30]);
    read_back("kinesis.py", [&moto.endpoint, &stream], &events);
}

#[tokio::test]
async fn a_request_that_the_service_finds_too_large_is_one_to_halve() {
    let moto = Emulator::of("TIDEGATE_TEST_MOTO");
    let stream = moto.kinesis_stream(1).await;
    let sink = sink("kinesis", &moto.settings(), &json!({ "stream": stream }));
    // This one still has the limits of before 2025.
    let events: Vec<LoggedEvent> = (0..8).map(|at| event(at, 900_000)).collect();

    let error = sink.deliver(&events).await.expect_err("7 MB");

    assert!(matches!(error.kind(), ErrorKind::Rejected | ErrorKind::TooLarge), "{error:?}");
    assert!(moto.kinesis_records(&stream).await.is_empty());
}
