//! Connections that point to another system than in the last run.

use std::collections::BTreeMap;

use super::mirror::mirror;
use super::*;

fn system(kind: &str, settings: &[(&str, &str)]) -> System {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    System { kind: kind.to_owned(), settings: settings.collect::<BTreeMap<_, _>>() }
}

fn shop(host: &str) -> System {
    system("postgres", &[("host", host), ("database", "shop")])
}

fn braze(endpoint: &str) -> System {
    system("braze", &[("endpoint", endpoint)])
}

/// A sync that has run against the sandbox.
async fn after_the_sandbox(make: fn(&Table) -> Stage) -> Stage {
    let mut stage = make(&Table::of(0..20));
    stage.import.limits = Some(tidegate_project::Limits::default());
    stage.import.systems = Systems { source: shop("db1"), destination: braze("sandbox") };
    assert_eq!(stage.run().await.counts.delivered, 20);
    stage
}

fn by_cursor(table: &Table) -> Stage {
    Stage::new(table, Idempotency::Idempotent, limits(), all_delivered())
}

fn by_comparison(table: &Table) -> Stage {
    mirror(table, all_delivered())
}

#[tokio::test(start_paused = true)]
async fn going_live_from_the_sandbox_stops_before_rows_are_skipped_that_the_account_never_got() {
    for make in [by_cursor, by_comparison] {
        let mut stage = after_the_sandbox(make).await;
        stage.import.systems.destination = braze("https://rest.iad-01.braze.com");
        for _ in 0..2 {
            let run = stage.run().await;
            assert_eq!((run.ending, run.counts.read), (Some(Ending::Failed), 0));
            let error = run.error.expect("an error");
            let said = "`endpoint` of `p` was `sandbox` and is `https://rest.iad-01.braze.com` since the last run of `s`: \
                rows that were delivered there would be skipped, and another system would never get them";
            assert!(error.contains(said), "{error}");
            assert!(error.contains("tidegate reset s") && error.contains("tidegate run s --yes"), "{error}");
        }
        let state = stage.store.sync_state(&SyncId::new("s")).await.expect("a state");
        assert!(state.paused.is_some(), "`serve` does not try it at its full pace");

        stage.store.reset(&stage.parts.lease).await.expect("reset");
        assert_eq!(stage.run().await.counts.delivered, 20, "all rows go to the account");
        assert_eq!(stage.run().await.counts.delivered, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_moved_to_another_host_is_confirmed_once() {
    for make in [by_cursor, by_comparison] {
        let mut stage = after_the_sandbox(make).await;
        stage.import.systems.source = shop("db2");
        let error = stage.run().await.error.expect("an error");
        assert!(error.contains("`host` of `t` was `db1` and is `db2` since the last run of `s`"), "{error}");
        assert!(error.contains("as if they had been sent"), "{error}");

        let limits = stage.import.limits.take();
        assert_eq!(stage.run().await.ending, Some(Ending::Succeeded), "a person has confirmed it");
        stage.import.limits = limits;
        assert_eq!(stage.run().await.ending, Some(Ending::Succeeded), "it is known from now on");
        assert_eq!(stage.sent(), once(0..20), "nothing is sent twice");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_another_name_goes_on_where_it_was() {
    let mut stage = after_the_sandbox(by_cursor).await;
    stage.import.source_connection = ConnectionId::new("warehouse");
    stage.import.connection = ConnectionId::new("braze_eu");
    assert_eq!(stage.run().await.ending, Some(Ending::Succeeded));
    assert_eq!(stage.sent(), once(0..20));
}

#[tokio::test(start_paused = true)]
async fn a_full_run_to_another_account_takes_it_over_only_if_it_ends() {
    let mut stage = after_the_sandbox(by_cursor).await;
    stage.import.systems.destination = braze("https://rest.iad-01.braze.com");
    let stopped = stage.run_until(stop_after(Duration::from_millis(5)), Input::Everything).await;
    assert_eq!(stopped.ending, Some(Ending::Interrupted));
    assert_eq!(stage.run().await.ending, Some(Ending::Failed), "the account does not have all rows");
    let full = stage.run_until(CancellationToken::new(), Input::Everything).await;
    assert_eq!((full.ending, full.counts.delivered), (Some(Ending::Succeeded), 20));
    assert_eq!(stage.run().await.ending, Some(Ending::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_first_run_that_failed_does_not_tie_a_sync_to_its_host() {
    let table = Table::of(0..20);
    let refused: Answer = Box::new(|_| Err(Error::new(ErrorKind::Denied, "the key was revoked")));
    let mut stage = Stage::new(&table, Idempotency::None, limits(), refused);
    stage.import.limits = Some(tidegate_project::Limits::default());
    stage.import.systems = Systems { source: shop("wrong"), destination: braze("sandbox") };
    assert_eq!(stage.run().await.ending, Some(Ending::Failed));
    stage.import.systems.source = shop("db1");
    *stage.platform.answer.lock().expect("no panic") = all_delivered();
    assert_eq!(stage.run().await.counts.delivered, 20);
}

#[tokio::test(start_paused = true)]
async fn a_retry_to_another_account_does_not_make_it_the_one_of_the_sync() {
    let mut stage = after_the_sandbox(by_cursor).await;
    stage.import.systems.destination = braze("https://rest.iad-01.braze.com");
    let row =
        Row { columns: columns(), values: vec![Value::Int(1), Value::Text("u1".into()), Value::Int(1)] };
    let retry = stage.run_until(CancellationToken::new(), Input::rows(Batch::of(vec![row]))).await;
    assert_eq!(retry.ending, Some(Ending::Succeeded));
    assert_eq!(stage.run().await.ending, Some(Ending::Failed));
}
