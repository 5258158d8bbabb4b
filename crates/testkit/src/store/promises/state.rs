//! What is known of a sync, claims of it, and secrets.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use tidegate_model::store::{BatchCommit, LookbackChunk, Pause, PausedBy, RunEnd, SyncState};
use tidegate_model::{
    Checkpoint, Claimed, Clock, ConnectionId, Ending, ObjectKind, Secret, SyncId, System, Systems, Wait,
};

use super::steps::{all_of, commit_batch, finish, orders, remembered, results, rows, start, take, version};
use crate::rows::{intended, intent, rejected};
use crate::store::backend::Backend;

/// While a claim is held, no other is granted; dropping it lets go.
pub async fn a_claim_is_exclusive_until_it_is_dropped(backend: &dyn Backend) {
    let store = backend.open().await;
    let other = backend.open().await;

    let claim = take(&*store, &orders()).await;

    assert!(store.claim(&orders()).await.expect("asked").taken().is_none());
    let Claimed::Held(holder) = other.claim(&orders()).await.expect("asked") else { panic!("it is held") };
    assert!(!holder.process.is_empty());
    take(&*other, &SyncId::new("users")).await;

    drop(claim);

    // A server learns of it a moment later.
    for _ in 0..1_000 {
        if other.claim(&orders()).await.expect("asked").taken().is_some() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the claim was dropped and is still held");
}

/// Nothing is known, and asking makes nothing.
pub async fn a_sync_that_never_ran_has_the_default_state(backend: &dyn Backend) {
    let store = backend.open().await;

    assert_eq!(store.sync_state(&orders()).await.expect("state"), SyncState::default());
    assert!(store.runs(Some(&orders()), 10).await.expect("runs").is_empty());
    assert!(rows(&*store, all_of(&orders())).await.is_empty());
    assert!(remembered(&*store, &orders()).await.is_empty());
    assert!(store.open_intents(&orders()).await.expect("intents").is_empty());
    store.reset(&take(&*store, &orders()).await).await.expect("nothing to forget");
}

/// Also over a restart, and for a sync that never ran.
pub async fn a_pause_is_kept_until_it_is_lifted(backend: &dyn Backend) {
    let at = backend.clock().now();
    let pause = Pause::new(PausedBy::Person("ann".into()), "the key was refused", at);
    backend.open().await.set_paused(&orders(), Some(pause.clone())).await.expect("paused");

    let store = backend.open().await;
    assert_eq!(store.sync_state(&orders()).await.expect("state").paused, Some(pause));
    start(&*store, &orders(), at).await;
    assert!(store.sync_state(&orders()).await.expect("state").paused.is_some());

    let all = store.sync_states().await.expect("states");
    assert_eq!(all, HashMap::from([(orders(), store.sync_state(&orders()).await.expect("state"))]));

    store.set_paused(&orders(), None).await.expect("lifted");
    assert_eq!(store.sync_state(&orders()).await.expect("state").paused, None);
}

/// Other processes see it; a run that has ended notes none.
pub async fn a_wait_is_kept_until_it_is_over_or_the_run_ends(backend: &dyn Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    let at = backend.clock().now();
    let run = start(&*store, &orders(), at).await;
    let wait = Some(Wait { connection: ConnectionId::new("braze"), until: at });
    let noted = async || other.sync_state(&orders()).await.expect("state").wait;

    store.note_wait(&run.id, wait.clone()).await.expect("noted");
    assert_eq!(noted().await, wait);
    store.note_wait(&run.id, None).await.expect("noted");
    assert_eq!(noted().await, None);
    store.note_wait(&run.id, wait.clone()).await.expect("noted");
    store.finish_run(&run.id, RunEnd::new(Ending::Succeeded, at)).await.expect("finished");
    assert_eq!(noted().await, None);
    store.note_wait(&run.id, wait).await.expect_err("the run has ended");
    assert_eq!(noted().await, None);
}

/// Also over a restart. Only the process that holds the sync may write them.
pub async fn the_systems_of_a_sync_are_kept_until_it_is_reset(backend: &dyn Backend) {
    let system = |kind: &str, host: &str| System {
        kind: kind.to_owned(),
        settings: BTreeMap::from([("host".to_owned(), host.to_owned())]),
    };
    let store = backend.open().await;
    let claim = take(&*store, &orders()).await;
    for host in ["first", "second"] {
        let systems = Systems { source: system("postgres", host), destination: system("braze", "sandbox") };
        store.note_systems(&claim, &systems).await.expect("noted");
        let other = backend.open().await;
        assert_eq!(other.sync_state(&orders()).await.expect("state").systems, Some(systems));
    }
    store.reset(&claim).await.expect("reset");
    assert_eq!(store.sync_state(&orders()).await.expect("state").systems, None);
}

/// Checkpoint, lookback and intents go; runs, rows, failed rows and the pause stay.
pub async fn a_reset_forgets_the_place_and_keeps_the_story(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let commit = BatchCommit {
        checkpoint: Some(Checkpoint(json!(1))),
        remember: Some(LookbackChunk { seq: 1, high: None, rows: vec![version(1, 1)] }),
        ..results([(1, rejected())])
    };
    commit_batch(&*store, &run.id, commit).await;
    finish(&*store, &run.id, true, backend.clock().now()).await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    store.intend(&run.id, 1, intended([intent(1)])).await.expect("intended");
    let pause = Pause::new(PausedBy::Person("ann".into()), "holidays", backend.clock().now());
    store.set_paused(&orders(), Some(pause.clone())).await.expect("paused");

    store.reset(&take(&*store, &orders()).await).await.expect("reset");

    let state = store.sync_state(&orders()).await.expect("state");
    let expected = SyncState { paused: Some(pause), object: Some(ObjectKind::Event), ..SyncState::default() };
    assert_eq!(state, expected);
    assert!(remembered(&*store, &orders()).await.is_empty());
    assert!(store.open_intents(&orders()).await.expect("intents").is_empty());
    assert_eq!(store.runs(Some(&orders()), 10).await.expect("runs").len(), 2);
    assert_eq!(rows(&*store, all_of(&orders())).await.len(), 1);
    assert_eq!(store.failed_rows(&orders()).await.expect("failed rows").len(), 1);
}

/// Over a restart, under any name.
pub async fn secrets_are_kept_and_replaced(backend: &dyn Backend) {
    let store = backend.open().await;
    assert!(store.secret("braze").await.expect("asked").is_none());
    for (name, value) in [("shop/password é", "one"), ("braze", "old"), ("braze", "new ключ\0")] {
        store.put_secret(name, &Secret::new(value)).await.expect("kept");
    }
    drop(store);

    let store = backend.open().await;

    assert_eq!(store.secret("braze").await.expect("opened"), Some(Secret::new("new ключ\0")));
    assert_eq!(store.secret("shop/password é").await.expect("opened"), Some(Secret::new("one")));
    assert_eq!(store.secrets().await.expect("names"), ["braze", "shop/password é"]);

    assert_eq!(store.rotate_master_key(false).await.expect("rotated").sealed, 2);
    assert_eq!(store.secret("braze").await.expect("opened"), Some(Secret::new("new ключ\0")));
    assert!(store.remove_secret("braze").await.expect("removed"));
    assert!(!store.remove_secret("braze").await.expect("asked"));
    assert_eq!(store.secrets().await.expect("names"), ["shop/password é"]);
}
