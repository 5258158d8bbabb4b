//! The promises on SQLite, and what only files can show.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::SignedDuration;
use tempfile::TempDir;
use tidegate_model::store::{BatchCommit, RowQuery, RowStatus, RunEnd};
use tidegate_model::{Cause, Clock, Ending, ObjectKind, Secret, Store, SyncId};
use tidegate_state::{MasterKeys, StateConfig, StoreLocation};
use tidegate_testkit::store::Backend;
use tidegate_testkit::{ManualClock, rows};

/// A data folder for one test.
pub(crate) struct Folder {
    pub(crate) data: TempDir,
    pub(crate) clock: ManualClock,
}

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder { data: tempfile::tempdir().expect("folder"), clock: ManualClock::default() }
    }
}

/// What a store in `data` is opened with.
pub(crate) fn config(data: &Path, clock: &ManualClock) -> StateConfig {
    StateConfig {
        data: data.to_path_buf(),
        store: StoreLocation::Embedded,
        clock: Arc::new(clock.clone()),
        history_days: 0,
        failed_row_days: 0,
        master_keys: MasterKeys::default(),
        lease: tidegate_state::LEASE,
        bucket: None,
    }
}

#[async_trait]
impl Backend for Folder {
    async fn open(&self) -> Arc<dyn Store> {
        tidegate_state::open(config(self.data.path(), &self.clock)).await.expect("opened")
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

tidegate_testkit::store_conforms!(Folder::new());

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_look_into_the_data_folder() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new();
    let data = folder.data.path().join("new").join(".tidegate");

    tidegate_state::open(config(&data, &folder.clock)).await.expect("opened");

    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("history")), 0o700);
    assert_eq!(mode(&data.join("tidegate.db")), 0o600);
}

/// Everything below a folder, and itself.
#[cfg(unix)]
fn modes(folder: &Path) -> Vec<(std::path::PathBuf, u32)> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    let mut found = vec![(folder.to_path_buf(), mode(folder))];
    for entry in std::fs::read_dir(folder).expect("listed") {
        let path = entry.expect("entry").path();
        match path.is_dir() {
            true => found.extend(modes(&path)),
            false => found.push((path.clone(), mode(&path))),
        }
    }
    found
}

#[cfg(unix)]
#[tokio::test]
async fn every_file_of_the_data_folder_is_closed_to_others_also_one_that_was_open_to_them() {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use tidegate_state::{LogAccess, LogConfig, open_log};

    let folder = Folder::new();
    let data = folder.data.path().join(".tidegate");
    for round in 0..2 {
        let store = tidegate_state::open(config(&data, &folder.clock)).await.expect("opened");
        let (sync, at) = (SyncId::new("orders"), folder.clock.now());
        let claim = store.claim(&sync).await.expect("asked").taken().expect("free");
        let run = store.start_run(&claim, ObjectKind::User, Cause::Manual, at).await.expect("started");
        let results = vec![rows::result(round, RowStatus::Delivered)];
        store
            .commit_batch(&run.id, BatchCommit { results, ..BatchCommit::default() })
            .await
            .expect("committed");
        store
            .finish_run(&run.id, RunEnd { complete: true, ..RunEnd::new(Ending::Succeeded, at) })
            .await
            .expect("finished");
        store.put_secret("braze", &Secret::new("hunter2")).await.expect("kept");
        store.rows(&RowQuery { limit: 1, ..Default::default() }).await.expect("rows");
        let clock = Arc::new(folder.clock.clone());
        let log = LogConfig::new(data.join("events"), clock, LogAccess::Append);
        let log = open_log(LogConfig { segment_bytes: 1, ..log }).expect("opened");
        for event in 0..3 {
            let event = round as usize * 3 + event;
            let events = tidegate_testkit::event_log::events(event, event + 1);
            log.append(&tidegate_model::StreamId::new("push"), events).await.expect("appended");
        }

        let found = modes(&data);
        let named = |name: &str| found.iter().any(|(path, _)| path.to_string_lossy().contains(name));
        for name in
            ["tidegate.db-wal", "master.key", "locks/", ".parquet", "events/lock", ".log", ".ids", "/end"]
        {
            assert!(named(name), "{name}: {found:?}");
        }
        for (path, mode) in &found {
            let closed = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(*mode, closed, "{}", path.display());
        }
        drop((claim, log, store));
        // As a restored backup is.
        for name in ["tidegate.db", "master.key", "events/lock", "events/push/end"] {
            fs::set_permissions(data.join(name), Permissions::from_mode(0o644)).expect("opened");
        }
        for name in ["locks", "history", "events"] {
            fs::set_permissions(data.join(name), Permissions::from_mode(0o755)).expect("opened");
        }
    }
}

/// One run that delivers a row.
async fn run(store: &dyn Store, clock: &ManualClock, id: i64) {
    let (sync, at) = (SyncId::new("orders"), clock.now());
    let claim = store.claim(&sync).await.expect("asked").taken().expect("free");
    let run = store.start_run(&claim, ObjectKind::User, Cause::Manual, at).await.expect("started");
    let results = vec![rows::result(id, RowStatus::Delivered)];
    store.commit_batch(&run.id, BatchCommit { results, ..BatchCommit::default() }).await.expect("committed");
    let end = RunEnd { complete: true, ..RunEnd::new(Ending::Succeeded, at) };
    store.finish_run(&run.id, end).await.expect("finished");
    claim.release().await;
}

/// The keys of all rows, the least first.
async fn keys(store: &dyn Store) -> Vec<String> {
    let kept = store.rows(&RowQuery { limit: 10, ..RowQuery::default() }).await.expect("rows");
    let mut keys: Vec<String> = kept.into_iter().map(|entry| entry.key).collect();
    keys.sort();
    keys
}

/// A store that keeps its history for some days, with a row of each of three days.
async fn three_days(folder: &Folder, history_days: u32) -> Arc<dyn Store> {
    let open = StateConfig { history_days, ..config(folder.data.path(), &folder.clock) };
    let store = tidegate_state::open(open).await.expect("opened");
    for id in 1..=3 {
        run(&*store, &folder.clock, id).await;
        folder.clock.advance(SignedDuration::from_hours(24));
    }
    store
}

#[tokio::test]
async fn days_beyond_those_to_keep_go_with_the_next_run() {
    let folder = Folder::new();
    let store = three_days(&folder, 2).await;
    run(&*store, &folder.clock, 4).await;
    assert_eq!(keys(&*store).await, ["2", "3", "4"]);
}

#[tokio::test]
async fn a_clock_that_is_ahead_for_a_moment_removes_no_history() {
    let folder = Folder::new();
    let store = three_days(&folder, 90).await;
    let now = folder.clock.now();
    folder.clock.advance(SignedDuration::from_hours(24 * 100));
    run(&*store, &folder.clock, 4).await;
    folder.clock.set(now);
    run(&*store, &folder.clock, 5).await;
    assert_eq!(keys(&*store).await, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn history_of_a_machine_that_was_off_for_a_year_goes_with_the_run_of_the_second_day() {
    let folder = Folder::new();
    drop(three_days(&folder, 90).await);
    folder.clock.advance(SignedDuration::from_hours(24 * 365));
    let open = StateConfig { history_days: 90, ..config(folder.data.path(), &folder.clock) };
    let store = tidegate_state::open(open).await.expect("opened");
    run(&*store, &folder.clock, 4).await;
    assert_eq!(keys(&*store).await, ["1", "2", "3", "4"]);
    folder.clock.advance(SignedDuration::from_hours(24));
    run(&*store, &folder.clock, 5).await;
    assert_eq!(keys(&*store).await, ["4", "5"]);
}

#[tokio::test]
async fn contents_of_a_failed_row_go_after_the_days_to_keep_and_the_row_stays_listed() {
    let folder = Folder::new();
    let open = StateConfig { failed_row_days: 2, ..config(folder.data.path(), &folder.clock) };
    let store = tidegate_state::open(open).await.expect("opened");
    let sync = SyncId::new("orders");
    for id in 1..=4 {
        let at = folder.clock.now();
        let claim = store.claim(&sync).await.expect("asked").taken().expect("free");
        let run = store.start_run(&claim, ObjectKind::User, Cause::Manual, at).await.expect("started");
        let results = vec![rows::result(id, rows::rejected())];
        let commit = BatchCommit { results, ..BatchCommit::default() };
        store.commit_batch(&run.id, commit).await.expect("committed");
        store.finish_run(&run.id, RunEnd::new(Ending::Partial, at)).await.expect("finished");
        folder.clock.advance(SignedDuration::from_hours(24));
    }

    let failed = store.failed_rows(&sync).await.expect("failed rows");

    let kept: Vec<(&str, bool)> =
        failed.iter().map(|row| (row.entry.key.as_str(), row.entry.payload.is_some())).collect();
    assert_eq!(kept, [("1", false), ("2", true), ("3", true), ("4", true)]);
}
