//! What answers say about the limit, by classic contracts and by those for monthly active users.

use tidegate_model::{ErrorKind, Outcome, RateLimitStatus};

use super::outcomes::events;
use super::*;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_millisecond(NOW * 1000 + (seconds * 1000.0) as i64).expect("time")
}

fn answering(status: u16, headers: &[(&str, &str)]) -> Arc<Canned> {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    Canned::with(Ok(answer.body(Bytes::from_static(br#"{"message":"success"}"#)).expect("response")))
}

async fn refused(status: u16, headers: &[(&str, &str)]) -> ErrorKind {
    events(answering(status, headers)).await.expect_err("refused").kind()
}

async fn pace(reset: &str) -> Option<RateLimitStatus> {
    let headers = [("X-RateLimit-Remaining", "17"), ("X-RateLimit-Reset", reset)];
    events(answering(201, &headers)).await.expect("receipt").rate_limit
}

#[tokio::test]
async fn a_reset_of_5_is_five_seconds_from_now_and_not_1970() {
    assert_eq!(pace("5").await, Some(RateLimitStatus { remaining: 17, reset: at(5.0) }));
    assert_eq!(pace("3599").await, Some(RateLimitStatus { remaining: 17, reset: at(3_599.0) }));
    assert_eq!(pace("0").await, Some(RateLimitStatus { remaining: 17, reset: at(0.0) }));
}

#[tokio::test]
async fn a_reset_since_1970_is_that_time() {
    assert_eq!(pace("1772366403").await, Some(RateLimitStatus { remaining: 17, reset: at(3.0) }));
    assert_eq!(pace("1772366403.5").await, Some(RateLimitStatus { remaining: 17, reset: at(3.5) }));
    assert_eq!(pace("soon").await, None);
}

#[tokio::test]
async fn a_429_with_nothing_but_retry_after_waits_as_long_as_it_says() {
    let wait = async |headers: &[(&str, &str)]| refused(429, headers).await;
    assert_eq!(wait(&[("X-Ratelimit-Retry-After", "60")]).await, ErrorKind::Throttled(Some(at(60.0))));
    assert_eq!(wait(&[("Retry-After", "7")]).await, ErrorKind::Throttled(Some(at(7.0))));
    assert_eq!(wait(&[("X-RateLimit-Reset", "1772366403.5")]).await, ErrorKind::Throttled(Some(at(3.5))));
    assert_eq!(wait(&[]).await, ErrorKind::Throttled(None));
}

#[tokio::test]
async fn a_503_is_waited_for_as_long_as_it_says() {
    let reset = ("X-RateLimit-Reset", "1772366409");
    let away = async |headers: &[(&str, &str)]| {
        let error = events(answering(503, headers)).await.expect_err("away");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        error.acceptable_at()
    };
    assert_eq!(away(&[("Retry-After", "2"), reset]).await, Some(at(2.0)));
    assert_eq!(away(&[reset]).await, None, "the limit is not why it is away");
}

#[tokio::test]
async fn a_wait_is_told_with_its_end() {
    let error = events(answering(429, &[("X-Ratelimit-Retry-After", "7200")])).await.expect_err("refused");
    assert_eq!(
        error.message(),
        "Braze answered 429; it asks to wait until 2026-03-01 13:00:00 UTC",
        "an hour at most"
    );
}

#[tokio::test]
async fn the_hourly_window_and_its_burst_are_kept_by_the_headers_of_the_sandbox() {
    let http = sandbox(Faults::default());
    let contract = r#"{ "hourly": 5, "burst": 3 }"#;
    assert_eq!(call(&*http, "PUT", "/_sandbox/limits", contract).await.status(), 200);
    let platform = open(Arc::clone(&http), ObjectKind::Event, json!({}));
    let one = [event(external("ada"), "e", "{}")];

    for left in [4, 3, 2] {
        let receipt = platform.deliver(&one).await.expect("inside the burst");
        assert_eq!(receipt.outcomes, [Outcome::Delivered]);
        assert_eq!(
            receipt.rate_limit,
            Some(RateLimitStatus { remaining: left, reset: at(3_600.0) }),
            "of the hour"
        );
    }
    // The clock does not move: the burst is used up, and the refusal does not count by the hour.
    let kind = platform.deliver(&one).await.expect_err("over the burst").kind();
    assert_eq!(kind, ErrorKind::Throttled(Some(at(3.0))));
    let answer = call(&*http, "POST", "/users/track", "{}").await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["x-ratelimit-retry-after"], "3");
    for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }

    call(&*http, "PUT", "/_sandbox/limits", r#"{ "hourly": 2, "burst": 9 }"#).await;
    for _ in 0..2 {
        platform.deliver(&one).await.expect("inside the hour");
    }
    let kind = platform.deliver(&one).await.expect_err("over the hour").kind();
    assert_eq!(kind, ErrorKind::Throttled(Some(at(3_600.0))));

    assert_eq!(call(&*http, "PUT", "/_sandbox/limits", "hourly").await.status(), 400);
    call(&*http, "PUT", "/_sandbox/limits", "{}").await;
    let pace = platform.deliver(&one).await.expect("classic again").rate_limit.expect("pace");
    assert_eq!((pace.remaining, pace.reset), (2_999, at(3.0)));
}
