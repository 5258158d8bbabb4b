//! Deliveries: outcomes, limits, dry runs, checks.

use tidegate_model::Outcome;

use super::example::PRIVATE;
use super::suite::Suite;
use super::world;

/// The example's records are what the platform takes.
pub async fn good_records_are_admitted(suite: &Suite) {
    for world in suite.worlds().await {
        let platform = world.platform();
        assert_eq!(platform.object().kind, world.kind, "{world}: opened for another kind");
        assert!(!platform.object().identifiers.is_empty(), "{world}: a row is identified by something");
        for record in world.records(50) {
            assert_eq!(record.kind(), world.kind, "{world}: the example's record");
            assert_eq!(platform.validate(&record), Ok(()), "{world}");
        }
    }
}

/// An empty delivery has an empty receipt, and sends no request.
pub async fn nothing_is_delivered_without_a_request(suite: &Suite) {
    for world in suite.worlds().await {
        let before = world.state().await;

        let receipt =
            world.platform().deliver(&[]).await.unwrap_or_else(|error| panic!("{world}: {error:?}"));

        assert!(receipt.outcomes.is_empty(), "{world}");
        assert!(world.requests().is_empty(), "{world}: a request was sent");
        world.assert_still(&before, "nothing was delivered").await;
    }
}

/// One outcome for each record; what is `Delivered` can be seen at the other side.
pub async fn every_record_has_its_outcome(suite: &Suite) {
    for world in suite.worlds().await {
        let before = world.state().await;
        let records = world.records(7);

        let receipt = world.platform().deliver(&records).await;

        let receipt = receipt.unwrap_or_else(|error| panic!("{world}: {error:?}"));
        assert_eq!(receipt.outcomes, vec![Outcome::Delivered; records.len()], "{world}");
        assert!(world.state().await != before, "{world}: delivered without an effect");
    }
}

/// As many records as the limits allow travel in one request, which is not much
/// larger than their weights say.
pub async fn a_full_request_is_one_request_inside_its_limits(suite: &Suite) {
    for world in suite.worlds().await {
        let platform = world.platform();
        let limits = platform.limits();
        assert!(limits.max_items > 0 && limits.max_in_flight > 0, "{world}: {limits:?}");
        let full = world.records(limits.max_items);
        for records in [&full[..], &full[..1]] {
            let weight: usize = records.iter().map(|record| platform.estimated_size(record)).sum();
            assert!(weight <= limits.max_bytes, "{world}: the example's records are too heavy");

            let receipt =
                platform.deliver(records).await.unwrap_or_else(|error| panic!("{world}: {error:?}"));

            assert_eq!(receipt.outcomes, vec![Outcome::Delivered; records.len()], "{world}");
            let requests = world.requests();
            if world.connector.sandbox.is_none() {
                continue;
            }
            assert_eq!(requests.len(), 1, "{world}: {} records", records.len());
            let bytes = requests[0].body().len();
            assert!(bytes <= limits.max_bytes, "{world}: {bytes} bytes");
            assert!(
                weight * 10 >= bytes * 8,
                "{world}: {} records weigh {weight} and take {bytes} bytes",
                records.len()
            );
            let sent = String::from_utf8_lossy(requests[0].body()).into_owned() + requests[0].uri().path();
            assert!(sent.contains(PRIVATE), "{world}: an example's record holds `{PRIVATE}`");
        }
    }
}

/// At any position, and whether or not the platform names it.
pub async fn only_the_bad_record_is_rejected(suite: &Suite) {
    for world in suite.worlds().await {
        let Some(bad) = (world.example.bad)(world.kind) else { continue };
        let good: Vec<_> = (0..5).map(|n| (world.example.record)(world.kind, n)).collect();
        for backend in [0, 2, 5] {
            let mut records = good.clone();
            records.insert(backend, bad.clone());

            let outcomes = world::deliver_all(&*world.platform(), &records).await;

            for (at, outcome) in outcomes.iter().enumerate() {
                match outcome {
                    Outcome::Rejected(reason) if at == backend => {
                        assert!(!reason.code.is_empty() && !reason.message.is_empty(), "{world}: {reason:?}");
                    }
                    Outcome::Delivered if at != backend => {}
                    outcome => panic!("{world}: bad is {backend}, {at} is {outcome:?}"),
                }
            }
        }
    }
}

/// The same code against answers that take everything; nothing changes.
pub async fn a_dry_run_takes_everything(suite: &Suite) {
    for world in suite.worlds().await {
        let before = world.state().await;
        let records = world.records(20);

        let receipt = world.dry_run().deliver(&records).await;

        let receipt = receipt.unwrap_or_else(|error| panic!("{world}: {error:?}"));
        assert_eq!(receipt.outcomes, vec![Outcome::Delivered; records.len()], "{world}");
        world.assert_still(&before, "a dry run had an effect").await;
    }
}

/// And it changes nothing.
pub async fn a_check_passes_where_deliveries_do(suite: &Suite) {
    for world in suite.worlds().await {
        let before = world.state().await;

        let checks = world.platform().check().await.unwrap_or_else(|error| panic!("{world}: {error:?}"));

        assert!(checks.passed() && !checks.0.is_empty(), "{world}: {checks:?}");
        world.assert_still(&before, "a check had an effect").await;
    }
}
