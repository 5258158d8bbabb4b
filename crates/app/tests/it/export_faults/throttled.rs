//! Streams that do not take everything at once.

use serde_json::json;

use super::aws;
use super::double::Double;
use super::proxy::Proxy;
use super::{committed, id, offer, once, project, send, until};
use crate::served::Served;
use crate::support::{same, variable};

const EVENTS: u32 = 3_000;

/// Every seventh record once, every eleventh three times.
fn some(at: u32, offer: u32) -> Option<&'static str> {
    match at {
        at if at.is_multiple_of(11) && offer <= 3 => Some("InternalFailure"),
        at if at.is_multiple_of(7) && offer <= 1 => Some("ProvisionedThroughputExceededException"),
        _ => None,
    }
}

/// How often [`some`] refuses a record.
fn refusals(at: u32) -> u32 {
    (1..).take_while(|offer| some(at, *offer).is_some()).count() as u32
}

async fn all_taken(double: &Double) {
    until("every record is taken", async || (double.taken() >= EVENTS as usize).then_some(())).await;
}

/// Each record was taken once, and offered again only where it was refused.
fn only_refused_ones_came_again(double: &Double) {
    let offers = double.offers();
    assert_eq!(offers.len(), EVENTS as usize);
    for (at, (offered, refused)) in offers {
        assert_eq!((offered, refused), (refusals(at) + 1, refusals(at)), "record {at}");
    }
    assert_eq!(double.taken(), EVENTS as usize);
}

async fn only_refused_records_come_again(service: &str, target: &str) {
    let double = Double::start(some).await;
    let project = project(&aws::account(service, &double.url), target);
    let served = Served::start(&project);

    send(&served, 0..EVENTS).await;
    all_taken(&double).await;

    committed(&project).await;
    only_refused_ones_came_again(&double);
}

#[tokio::test]
async fn export_of_records_that_a_stream_refuses_sends_only_these_again() {
    only_refused_records_come_again("kinesis", "stream: s").await;
}

#[tokio::test]
async fn export_in_strict_order_keeps_the_order_of_a_user_though_records_are_refused() {
    let double = Double::start(some).await;
    // Requests hold one event of each user: with these users, twenty.
    let project = project(&aws::account("kinesis", &double.url), "stream: s, order: strict");
    let served = Served::start(&project);

    send(&served, 0..EVENTS / 10).await;
    until("every record is taken", async || (double.taken() >= EVENTS as usize / 10).then_some(())).await;

    committed(&project).await;
    let by_user = double.by_user();
    assert_eq!(by_user.len(), super::USERS as usize);
    for (user, taken) in by_user {
        assert!(taken.is_sorted(), "{user}: {taken:?}");
    }
    for (at, (offered, refused)) in double.offers() {
        assert_eq!((offered, refused), (refusals(at) + 1, refusals(at)), "record {at}");
    }
}

#[tokio::test]
async fn export_to_firehose_sends_only_refused_records_again() {
    only_refused_records_come_again("firehose", "delivery_stream: s").await;
}

#[tokio::test]
async fn export_to_opensearch_sends_only_throttled_documents_again() {
    let double = Double::start(some).await;
    let sink = format!("{{ type: opensearch, endpoint: '{}' }}", double.url);
    let project = project(&sink, "index: shop, template: false");
    let served = Served::start(&project);

    send(&served, 0..EVENTS).await;
    all_taken(&double).await;

    committed(&project).await;
    only_refused_ones_came_again(&double);
}

/// Whole requests are throttled by a third-party proxy.
#[tokio::test]
async fn export_that_is_throttled_waits_and_keeps_the_order_of_each_user() {
    let kinesalite = variable("TIDEGATE_TEST_KINESALITE");
    let stream = aws::stream(&kinesalite, 4).await;
    let rule = json!({
        "service": "kinesis", "operation": "PutRecords", "sequence": { "fail": 2, "pass": 1 }, "times": 6,
        "error": { "code": "ProvisionedThroughputExceededException" },
    });
    let proxy = Proxy::start("TIDEGATE_TEST_KINESALITE", rule).await;
    let account = aws::account("kinesis", &proxy.url);
    let project = project(&account, &format!("stream: {stream}, limits: legacy"));
    let served = Served::start(&project);

    send(&served, 0..EVENTS).await;
    committed(&project).await;

    // Each was taken once: a throttled request leaves nothing behind.
    same("the stream", &once(0..EVENTS), &aws::in_stream(&kinesalite, &stream).await);
    for shard in aws::records(&kinesalite, &stream).await {
        let mut last = std::collections::HashMap::new();
        for event in shard {
            let (user, at) = (event["user"].as_str().expect("a user").to_owned(), event["at"].as_u64());
            assert!(last.insert(user, at) < Some(at), "{event} came too late");
        }
    }
    assert!(proxy.fired().await >= 2, "the proxy throttled nothing");
}

/// The emulator itself refuses records that are larger than a megabyte.
#[tokio::test]
async fn export_of_a_record_that_no_stream_takes_lists_it_and_delivers_the_others() {
    let local = variable("TIDEGATE_TEST_KINESIS_LOCAL");
    let stream = aws::stream(&local, 2).await;
    let project = project(&aws::account("kinesis", &local), &format!("stream: {stream}"));
    let served = Served::start(&project);
    send(&served, 0..50).await;
    assert_eq!(offer(&served, 50..51, 1_100_000).await.status, 202);
    send(&served, 51..100).await;

    committed(&project).await;

    let mut others = once(0..100);
    others.remove(&id(50));
    same("the stream", &others, &aws::in_stream(&local, &stream).await);
    let rejected = project.rows(&["--rejected"]);
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!(rejected[0]["key"], id(50));
    let reason = rejected[0]["reason"].to_string();
    assert!(!reason.contains("xxxx"), "a reason holds no value: {reason}");
}
