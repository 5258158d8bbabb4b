//! How fast rows are sent when answers take their time.

use super::*;

/// Requests a second, from the first to the last one, and how many rows each holds.
async fn pace(rows: i64, users: i64, limits: Limits, latency_ms: u64) -> (f64, f64) {
    let table = Table::default();
    (0..rows).for_each(|id| table.put(id, &format!("u{}", id % users), id));
    let mut stage = Stage::new(&table, Idempotency::Idempotent, limits, all_delivered());
    stage.import.tracking = ChangeTracking::Full;
    *stage.platform.latency.lock().expect("no panic") = Duration::from_millis(latency_ms);
    let run = stage.run().await;
    assert_eq!(run.counts.delivered, u64::try_from(rows).expect("a count"));
    let requests = stage.platform.requests.lock().expect("no panic");
    let span = requests[requests.len() - 1].0 - requests[0].0;
    (requests.len() as f64 / span.as_secs_f64(), rows as f64 / requests.len() as f64)
}

/// A tenth of Braze's rate with ten times the answer time: as many requests at once.
fn braze() -> Limits {
    let rate = tidegate_model::Rate { requests: 300, per: Duration::from_secs(3) };
    Limits { max_items: 75, max_in_flight: 512, rate: Some(rate), bucket: "track", ..Limits::GENEROUS }
}

#[tokio::test(start_paused = true)]
async fn braze_gets_its_documented_rate_in_full_requests_at_answers_after_60_and_150_ms() {
    for answers_after_ms in [600, 1_500] {
        let (rate, rows) = pace(45_000, 45_000, braze(), answers_after_ms).await;
        assert!(rate * rows >= 0.95 * 7_500.0, "{answers_after_ms} ms: {rate} requests of {rows} rows");
        assert!(rate <= 110.0 && rows > 73.0, "{answers_after_ms} ms: {rate} requests of {rows} rows");
    }
}

/// Each user has twelve rows among those that are read and not yet committed.
#[tokio::test(start_paused = true)]
async fn users_with_many_rows_hold_little_up() {
    for (answers_after_ms, share) in [(600, 0.85), (1_500, 0.65)] {
        let (rate, rows) = pace(45_000, 3_000, braze(), answers_after_ms).await;
        assert!(rate * rows >= share * 7_500.0, "{answers_after_ms} ms: {rate} requests of {rows} rows");
    }
}

#[tokio::test(start_paused = true)]
async fn onesignal_gets_its_documented_rate_of_users_at_answers_after_60_and_150_ms() {
    let limits = Limits {
        max_items: 1,
        linger: Duration::ZERO,
        max_in_flight: 512,
        rate: Some(tidegate_model::Rate { requests: 1_000, per: Duration::from_secs(1) }),
        bucket: "users",
        single_user: true,
        min_user_interval: Duration::from_secs(1),
        ..Limits::GENEROUS
    };
    for answers_after_ms in [60, 150] {
        let (rate, _) = pace(8_000, 8_000, limits, answers_after_ms).await;
        assert!((950.0..=1_030.0).contains(&rate), "{answers_after_ms} ms: {rate} users a second");
    }
}
