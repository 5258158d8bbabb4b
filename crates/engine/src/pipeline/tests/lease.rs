//! A run whose lease is lost.

use tidegate_model::Claimed;

use super::*;

/// A run whose lease is given away after 50 ms of it, to another process if `taken`.
async fn run_that_loses_its_lease(taken: bool) -> (Stage, Result<Run, Error>, Instant) {
    let mut stage = Stage::new(&Table::of(0..2_000), Idempotency::None, limits(), all_delivered());
    let sync = SyncId::new("s");
    stage.parts.lease = stage.store.claim(&sync).await.expect("asked").taken().expect("free");
    let (progress, _) = watch::channel(Progress::default());
    let stop = CancellationToken::new();
    let running = run(&stage.import, &stage.parts, Cause::Manual, Input::Changes, stop, progress);
    let (ended, lost) = tokio::join!(running, async {
        crate::pipeline::wait::span(Duration::from_millis(50)).await;
        stage.parts.lease.release().await;
        if taken {
            let claimed = stage.store.claim(&sync).await.expect("asked");
            assert!(matches!(claimed, Claimed::Taken(_)));
        }
        Instant::now()
    });
    (stage, ended, lost)
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lost_its_lease_sends_nothing_more() {
    for taken in [true, false] {
        let (stage, ended, lost) = run_that_loses_its_lease(taken).await;

        let requests = stage.platform.requests.lock().expect("no panic");
        assert!(requests.iter().all(|(at, _)| *at <= lost), "sent after the lease was lost");
        assert!(!requests.is_empty() && requests.len() < 200, "{} requests", requests.len());
        let ending = ended.map(|run| run.ending).map_err(|error| error.kind());
        let expected = if taken { Err(ErrorKind::Held) } else { Ok(Some(Ending::Failed)) };
        assert_eq!(ending, expected, "taken over: {taken}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_took_effect_under_a_lost_lease_is_in_doubt_and_not_sent_twice() {
    let (stage, _, _) = run_that_loses_its_lease(true).await;
    let stage = Stage { parts: Parts { lease: Unshared::lease(&SyncId::new("s")), ..stage.parts }, ..stage };

    let next = stage.run().await;

    assert_eq!(stage.sent(), once(0..2_000));
    assert!(next.counts.in_doubt > 0, "what was sent and not committed: {:?}", next.counts);
}
