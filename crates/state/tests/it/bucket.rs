//! Files of the state in a bucket, beside PostgreSQL: any machine continues where another one was.

mod memory;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tidegate_model::store::{BatchCommit, Known, LookbackChunk, RowQuery, RowStatus, RowVersion, RunEnd};
use tidegate_model::{
    Cause, Claimed, Clock as _, Ending, ErrorKind, ObjectKind, RowHash, Secret, Store, SyncId, SystemClock,
    Value,
};
use tidegate_state::{BucketConfig, CACHE_BYTES, MasterKeys, StateConfig};
use tidegate_testkit::{ManualClock, rows};

use self::memory::{MARKS, Memory};
use crate::postgres::Database;

/// A state database and a bucket, without any machine.
struct Scene {
    database: Database,
    bucket: Memory,
}

/// A machine with a disk of its own.
struct Machine {
    store: Arc<dyn Store>,
    disk: TempDir,
}

impl Scene {
    async fn new() -> Scene {
        let database = Database::new().await;
        let bucket = Memory::new(&database.folder.clock);
        Scene { database, bucket }
    }

    fn config(&self, data: &Path) -> StateConfig {
        let bucket = Arc::new(self.bucket.clone());
        let bucket = Some(BucketConfig { bucket, cache_bytes: CACHE_BYTES });
        let key = Some(Secret::new("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));
        let master_keys = MasterKeys { current: key, former: None };
        StateConfig { data: data.to_owned(), bucket, master_keys, ..self.database.config() }
    }

    async fn machine(&self) -> Machine {
        let disk = tempfile::tempdir().expect("a disk");
        let store = tidegate_state::open(self.config(disk.path())).await.expect("opened");
        Machine { store, disk }
    }

    async fn refusal(&self, config: StateConfig) -> String {
        let error = tidegate_state::open(config).await.err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
        format!("{}; {}", error.message(), error.next_step())
    }
}

impl Machine {
    /// One run that delivers these rows.
    async fn run(&self, scene: &Scene, ids: &[i64]) {
        let (sync, at) = (SyncId::new("orders"), scene.bucket.clock.now());
        let claim = self.store.claim(&sync).await.expect("asked").taken().expect("free");
        let run = self.store.start_run(&claim, ObjectKind::User, Cause::Manual, at).await.expect("started");
        let results = ids.iter().map(|id| rows::result(*id, RowStatus::Delivered)).collect();
        let commit = BatchCommit { results, ..BatchCommit::default() };
        self.store.commit_batch(&run.id, commit).await.expect("committed");
        let end = RunEnd { complete: true, ..RunEnd::new(Ending::Succeeded, at) };
        self.store.finish_run(&run.id, end).await.expect("finished");
        claim.release().await;
    }

    /// The keys of all rows, newest first.
    async fn keys(&self) -> Vec<String> {
        let all = RowQuery { limit: 1_000, ..RowQuery::default() };
        self.store.rows(&all).await.expect("rows").into_iter().map(|row| row.key).collect()
    }

    /// The user of a row.
    async fn user(&self, key: &str) -> String {
        let rows = self.store.rows(&RowQuery { limit: 1_000, ..RowQuery::default() }).await.expect("rows");
        rows.iter().find(|row| row.key == key).expect("there").user.clone()
    }

    /// A file of today that was begun with a user, by a process that died.
    fn begin_file(&self, user: &str) -> PathBuf {
        let day = self.disk.path().join("history/orders/2026-03-01");
        fs::create_dir_all(&day).expect("made");
        let path = day.join("x.tmp");
        fs::write(&path, user).expect("written");
        path
    }

    /// The same machine, after its process has ended.
    async fn restart(self, scene: &Scene) -> Machine {
        let Machine { store, disk } = self;
        drop(store);
        let store = tidegate_state::open(scene.config(disk.path())).await.expect("opened");
        Machine { store, disk }
    }

    /// The history files of its disk.
    fn paths(&self) -> Vec<PathBuf> {
        files_below(&self.disk.path().join("history"))
    }

    fn copies(&self) -> usize {
        self.paths().len()
    }
}

/// The Parquet files of a folder and of those in it.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = |path: PathBuf| match path.is_dir() {
        true => files_below(&path),
        false => Vec::from_iter(path.extension().is_some_and(|end| end == "parquet").then_some(path)),
    };
    entries.flat_map(|entry| files(entry.path())).collect()
}

/// Waits for what a machine does unasked.
#[expect(clippy::disallowed_methods, reason = "it does not say when that is done")]
async fn rest(span: Duration) {
    tokio::time::sleep(span).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_of_a_machine_that_is_gone_are_listed_by_one_with_an_empty_disk() {
    let scene = Scene::new().await;
    let first = scene.machine().await;
    for id in 1..=3 {
        first.run(&scene, &[id]).await;
        scene.bucket.clock.advance(SignedDuration::from_hours(24));
    }
    assert_eq!((first.copies(), scene.bucket.names("history/orders/").len()), (3, 3));
    drop(first);

    let second = scene.machine().await;

    assert_eq!(second.keys().await, ["3", "2", "1"]);
    assert_eq!(second.copies(), 3, "copied when they were read");
    let read = scene.bucket.read("history/");
    assert_eq!(second.keys().await, ["3", "2", "1"]);
    assert_eq!(scene.bucket.read("history/"), read, "copies are read again");
    second.run(&scene, &[4]).await;
    assert_eq!(scene.machine().await.keys().await, ["4", "3", "2", "1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_any_request_to_the_bucket_and_the_end_of_the_machine_lose_no_row_and_list_none_twice() {
    let scene = Scene::new().await;
    let mut expected = Vec::new();
    drop(scene.machine().await);
    for at in 0..12 {
        let id = at + 1;
        scene.bucket.until_failure.store(at, Ordering::SeqCst);
        if let Ok(store) = tidegate_state::open(scene.config(scene.database.folder.data.path())).await {
            let disk = tempfile::tempdir().expect("a disk");
            Machine { store, disk }.run(&scene, &[id]).await;
            expected.insert(0, id.to_string());
        }
        scene.bucket.until_failure.store(-1, Ordering::SeqCst);
        scene.bucket.clock.advance(SignedDuration::from_hours(24));

        let other = scene.machine().await;
        assert_eq!(other.keys().await, expected, "the request {at} failed");
    }
    assert!(expected.len() > 6);

    // What such machines left behind is removed within a day.
    let last = scene.machine().await;
    last.run(&scene, &[100]).await;
    scene.bucket.clock.advance(SignedDuration::from_hours(24));
    last.run(&scene, &[101]).await;
    let listed = last.keys().await.len();
    assert_eq!(listed, expected.len() + 2);
    assert!(scene.bucket.names("history/").len() <= listed, "{:?}", scene.bucket.names("history/"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_user_is_in_no_file_of_the_bucket_and_in_no_copy_of_a_machine_that_is_used_again() {
    let scene = Scene::new().await;
    let (first, second) = (scene.machine().await, scene.machine().await);
    first.run(&scene, &[1, 2]).await;
    scene.bucket.clock.advance(SignedDuration::from_hours(24));
    second.run(&scene, &[1, 3]).await;
    assert_eq!(second.keys().await.len(), 4);
    let user = first.store.rows(&RowQuery { limit: 9, ..RowQuery::default() }).await.expect("rows");
    let user = &user.iter().find(|row| row.key == "1").expect("there").user;
    assert!(scene.bucket.holds(user));

    let removed = first.store.erase_user(user).await.expect("erased");

    assert_eq!(removed.history_rows, 2);
    assert!(!scene.bucket.holds(user), "{:?}", scene.bucket.names("history/"));
    assert_eq!(scene.bucket.names("history/").len(), 2);
    let mut left = second.keys().await;
    left.sort();
    assert_eq!(left, ["2", "3"], "another machine reads the new versions");
    // Its copies of the former ones go when it is used again.
    let again = second.restart(&scene).await;
    again.run(&scene, &[9]).await;
    assert_eq!(again.copies(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_of_the_bucket_keeps_an_erased_user_in_no_other_one() {
    let scene = Scene::new().await;
    let first = scene.machine().await;
    first.run(&scene, &[1, 2]).await;
    scene.bucket.clock.advance(SignedDuration::from_hours(24));
    first.run(&scene, &[1, 3]).await;
    let user = first.user("1").await;
    let (damaged, whole) = {
        let names = scene.bucket.names("history/");
        (names[0].clone(), names[1].clone())
    };
    scene.bucket.write(&damaged, b"PAR1".to_vec());
    let second = scene.machine().await;

    let error = second.store.erase_user(&user).await.expect_err("damaged");

    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(!scene.bucket.names("history/").contains(&whole), "another version is in its place");
    assert!(!scene.bucket.holds(&user));
    assert!(scene.bucket.names("history/").contains(&damaged), "it may be restored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_user_is_soon_in_no_copy_of_a_machine_that_continues_and_does_nothing() {
    let scene = Scene::new().await;
    let (first, second) = (scene.machine().await, scene.machine().await);
    first.run(&scene, &[1, 2]).await;
    let rows = second.store.rows(&RowQuery { limit: 9, ..RowQuery::default() }).await.expect("rows");
    let user = &rows.iter().find(|row| row.key == "1").expect("there").user;
    assert_eq!(second.copies(), 1);

    let removed = first.store.erase_user(user).await.expect("erased");
    first.store.note_erasure(user, &removed, scene.bucket.clock.now()).await.expect("noted");

    let begun = Instant::now();
    while second.copies() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the copy with the user is still there");
        rest(Duration::from_millis(100)).await;
    }
    assert_eq!(second.keys().await, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_user_is_soon_in_no_copy_of_a_machine_whose_syncs_run_all_the_time() {
    let scene = Scene::new().await;
    let (first, second) = (scene.machine().await, scene.machine().await);
    first.run(&scene, &[1, 2]).await;
    let user = first.user("1").await;
    assert_eq!(second.keys().await.len(), 2);
    let copy = second.paths().pop().expect("a copy");

    let removed = first.store.erase_user(&user).await.expect("erased");
    first.store.note_erasure(&user, &removed, scene.bucket.clock.now()).await.expect("noted");

    let begun = Instant::now();
    while copy.exists() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the copy with the user is still there");
        second.run(&scene, &[3]).await;
        rest(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_begun_with_an_erased_user_stays_on_the_disk_of_no_machine() {
    let scene = Scene::new().await;
    let (first, second, third) = (scene.machine().await, scene.machine().await, scene.machine().await);
    first.run(&scene, &[1, 2]).await;
    third.run(&scene, &[3]).await;
    let user = first.user("1").await;
    let begun = [&first, &second, &third].map(|machine| machine.begin_file(&user));
    let third = third.restart(&scene).await;
    third.run(&scene, &[4]).await;
    assert!(begun[2].exists(), "another process of the machine may be writing it");
    let Machine { store, disk } = third;
    drop(store);

    let removed = first.store.erase_user(&user).await.expect("erased");
    first.store.note_erasure(&user, &removed, scene.bucket.clock.now()).await.expect("noted");

    assert!(!begun[0].exists(), "on the machine that erases");
    let store = tidegate_state::open(scene.config(disk.path())).await.expect("opened");
    Machine { store, disk }.run(&scene, &[5]).await;
    assert!(!begun[2].exists(), "on a machine that was off");
    let asked = Instant::now();
    while begun[1].exists() {
        assert!(asked.elapsed() < Duration::from_secs(30), "on a machine that does nothing");
        rest(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_listed_although_a_copy_is_removed_before_it_is_complete() {
    let scene = Scene::new().await;
    let (first, second) = (scene.machine().await, scene.machine().await);
    first.run(&scene, &[1, 2]).await;
    *scene.bucket.cut.lock().expect("whole") = Some(second.disk.path().join("history"));

    assert_eq!(second.keys().await, ["2", "1"]);

    assert_eq!(scene.bucket.read("history/").len(), 2, "copied again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mark_of_an_erased_user_that_another_machine_reads_meanwhile_is_in_no_list() {
    const KEPT: &str =
        "INSERT INTO history_files (folder, name, sync, day, first_run, first_seq, last_run, last_seq,
            low, high, slot, marks)
        SELECT 'kept', name, sync, day, first_run, first_seq, last_run, last_seq, low, high, 0, marks
        FROM history_files RETURNING CAST(octet_length(marks) AS BIGINT)";
    const READ: &str = "UPDATE history_files SET marks = kept.marks FROM history_files AS kept
        WHERE history_files.folder = 'bucket' AND kept.folder = 'kept' RETURNING CAST(1 AS BIGINT)";
    const LEFT: &str = "SELECT count(*) FROM history_files JOIN history_files AS kept USING (marks)
        WHERE history_files.folder = 'bucket' AND kept.folder = 'kept'";
    let scene = Scene::new().await;
    let first = scene.machine().await;
    first.run(&scene, &[1, 2]).await;
    let user = first.user("1").await;
    assert!(scene.database.count(KEPT).await > 4, "the marks of two users");
    assert_eq!(scene.database.count(LEFT).await, 1);
    let gate = scene.bucket.close();
    let other = async {
        gate.reached.notified().await;
        scene.database.count(READ).await;
        gate.opened.notify_one();
    };

    let (removed, ()) = tokio::join!(first.store.erase_user(&user), other);

    assert_eq!(removed.expect("erased").history_rows, 1);
    assert_eq!(scene.database.count(LEFT).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_erased_while_another_machine_uploads_the_rows_is_in_no_file() {
    let scene = Scene::new().await;
    let (first, second) = (scene.machine().await, scene.machine().await);
    let gate = scene.bucket.close();
    let erased = async {
        gate.reached.notified().await;
        let rows = first.store.rows(&RowQuery { limit: 9, ..RowQuery::default() }).await.expect("rows");
        let user = rows.iter().find(|row| row.key == "1").expect("there").user.clone();
        let removed = first.store.erase_user(&user).await.expect("erased");
        gate.opened.notify_one();
        (user, removed.history_rows)
    };

    let ((), (user, removed)) = tokio::join!(second.run(&scene, &[1, 2]), erased);

    assert_eq!((removed, first.keys().await), (1, vec!["2".to_owned()]));
    assert!(!scene.bucket.holds(&user), "{:?}", scene.bucket.names("history/"));
    // The others have their file with the next run.
    scene.bucket.clock.advance(SignedDuration::from_hours(24));
    second.run(&scene, &[3]).await;
    assert_eq!(first.keys().await, ["3", "2"]);
    assert_eq!(scene.bucket.names("history/").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_users_whom_two_machines_erase_at_the_same_time_are_in_no_file() {
    let scene = Scene::new().await;
    let (first, second) = (scene.machine().await, scene.machine().await);
    first.run(&scene, &[1, 2, 3]).await;
    let rows = first.store.rows(&RowQuery { limit: 9, ..RowQuery::default() }).await.expect("rows");
    let user = |key: &str| rows.iter().find(|row| row.key == key).expect("there").user.clone();
    let (one, other) = (user("1"), user("2"));
    let gate = scene.bucket.close();
    let meanwhile = async {
        gate.reached.notified().await;
        let removed = second.store.erase_user(&other).await.expect("erased");
        gate.opened.notify_one();
        removed.history_rows
    };

    let (removed, of_other) = tokio::join!(first.store.erase_user(&one), meanwhile);

    assert_eq!((removed.expect("erased").history_rows, of_other), (1, 1));
    assert_eq!(first.keys().await, ["3"]);
    assert!(!scene.bucket.holds(&one) && !scene.bucket.holds(&other), "{:?}", scene.bucket.names("history/"));
    assert_eq!(scene.bucket.names("history/").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_several_machines_put_into_files_at_the_same_time_are_listed_once() {
    let scene = Scene::new().await;
    let reader = scene.machine().await;
    let mut expected = Vec::new();
    for id in 1..=12 {
        // A machine that dies leaves its rows in tables: it has no time for a file.
        scene.bucket.until_failure.store(0, Ordering::SeqCst);
        reader.run(&scene, &[id]).await;
        expected.insert(0, id.to_string());
        scene.bucket.until_failure.store(-1, Ordering::SeqCst);
        scene.bucket.clock.advance(SignedDuration::from_hours(24));
        let machines = futures_util::future::join_all((0..3).map(|_| scene.machine())).await;
        while scene.bucket.names("history/").len() < expected.len() {
            tokio::task::yield_now().await;
        }
        drop(machines);
        assert_eq!(reader.keys().await, expected[..]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_beyond_those_to_keep_go_from_the_bucket_too() {
    let scene = Scene::new().await;
    let disk = tempfile::tempdir().expect("a disk");
    let open = StateConfig { history_days: 2, ..scene.config(disk.path()) };
    let machine = Machine { store: tidegate_state::open(open).await.expect("opened"), disk };
    for id in 1..=4 {
        machine.run(&scene, &[id]).await;
        scene.bucket.clock.advance(SignedDuration::from_hours(24));
    }
    assert_eq!(machine.keys().await, ["4", "3", "2"]);
    assert_eq!(scene.bucket.names("history/").len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_whose_clock_is_ahead_removes_no_history_and_no_file_that_another_one_uploads() {
    let scene = Scene::new().await;
    // The clock of the server is the right one.
    let now = SystemClock.now();
    scene.bucket.clock.set(now - SignedDuration::from_hours(72));
    let machine = scene.machine().await;
    for id in 1..=3 {
        machine.run(&scene, &[id]).await;
        scene.bucket.clock.advance(SignedDuration::from_hours(24));
    }
    let block = "20260301T120000-00a-000001";
    let uploaded = format!("history/orders/{}/{block}..{block}.x.parquet", now.strftime("%Y-%m-%d"));
    scene.bucket.files.lock().expect("whole").insert(uploaded.clone(), (now, Vec::new()));
    let disk = tempfile::tempdir().expect("a disk");
    let clock = Arc::new(ManualClock::at(now + SignedDuration::from_hours(100 * 24)));
    let ahead = StateConfig { history_days: 90, clock, ..scene.config(disk.path()) };
    let ahead = Machine { store: tidegate_state::open(ahead).await.expect("opened"), disk };

    ahead.run(&scene, &[4]).await;

    assert_eq!(machine.keys().await, ["4", "3", "2", "1"]);
    assert!(scene.bucket.names("history/").contains(&uploaded), "it may be listed soon");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_take_no_more_space_than_they_may_and_files_that_are_nowhere_else_stay() {
    let scene = Scene::new().await;
    let machine = scene.machine().await;
    for id in 1..=5 {
        machine.run(&scene, &[id]).await;
        scene.bucket.clock.advance(SignedDuration::from_hours(24));
    }
    let disk = tempfile::tempdir().expect("a disk");
    let mut config = scene.config(disk.path());
    config.bucket.as_mut().expect("a bucket").cache_bytes = 1;
    let narrow = Machine { store: tidegate_state::open(config).await.expect("opened"), disk };

    assert_eq!(narrow.keys().await, ["5", "4", "3", "2", "1"]);

    assert!(narrow.copies() <= 2, "{}", narrow.copies());
    assert_eq!(machine.copies(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_data_folder_move_into_a_bucket_that_is_named_later() {
    let scene = Scene::new().await;
    let disk = tempfile::tempdir().expect("a disk");
    let without = StateConfig { bucket: None, ..scene.config(disk.path()) };
    let machine = Machine { store: tidegate_state::open(without).await.expect("opened"), disk };
    machine.run(&scene, &[1]).await;
    let data = machine.disk.path().to_owned();
    drop(machine.store);
    scene.bucket.clock.advance(SignedDuration::from_hours(24));

    let store = tidegate_state::open(scene.config(&data)).await.expect("opened");
    Machine { store, disk: machine.disk }.run(&scene, &[2]).await;

    assert_eq!(scene.machine().await.keys().await, ["2", "1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_and_a_state_database_that_do_not_belong_together_are_refused() {
    let scene = Scene::new().await;
    let embedded = StateConfig {
        bucket: scene.config(Path::new("/")).bucket,
        ..crate::embedded::config(scene.database.folder.data.path(), &scene.bucket.clock)
    };
    let said = scene.refusal(embedded).await;
    assert!(said.contains("set --store as well"), "{said}");
    drop(scene.machine().await);

    let disk = tempfile::tempdir().expect("a disk");
    let said = scene.refusal(StateConfig { bucket: None, ..scene.config(disk.path()) }).await;
    assert!(said.contains("files of this state are in s3://acme/, and --bucket is not set"), "{said}");
    assert!(said.contains("TIDEGATE_BUCKET=s3://acme/"), "{said}");
    let other = Scene { database: Database::new().await, bucket: scene.bucket.clone() };
    let said = scene.refusal(other.config(disk.path())).await;
    assert!(said.contains("s3://acme/ holds files of another state database"), "{said}");
    let mut elsewhere = Scene { bucket: Memory::new(&scene.bucket.clock), database: scene.database };
    elsewhere.bucket.address = "s3://other/".into();
    let said = elsewhere.refusal(elsewhere.config(disk.path())).await;
    assert!(said.contains("s3://other/, which does not hold them"), "{said}");

    // Everything was copied to another bucket.
    *elsewhere.bucket.files.lock().expect("whole") = scene.bucket.files.lock().expect("whole").clone();
    drop(elsewhere.machine().await);
}

fn version(at: u64) -> RowVersion {
    let key = RowHash::of_bytes(&at.to_le_bytes());
    RowVersion { key, row: RowHash::of_bytes(&key.0.to_le_bytes()).unmarked() }
}

impl Machine {
    /// One run that remembers these rows.
    async fn remember(&self, at: Timestamp, seq: u64, ids: std::ops::Range<u64>) {
        let sync = SyncId::new("mirror");
        let Claimed::Taken(claim) = self.store.claim(&sync).await.expect("asked") else { panic!("free") };
        let run = self.store.start_run(&claim, ObjectKind::User, Cause::Manual, at).await.expect("run");
        let half = ids.start.midpoint(ids.end);
        for (at, ids) in [(0, ids.start..half), (1, half..ids.end)] {
            let rows = ids.map(version).collect();
            let remember = Some(LookbackChunk { seq: 2 * seq + at, high: Some(Value::Int(1)), rows });
            let commit = BatchCommit { batch: at, remember, ..BatchCommit::default() };
            self.store.commit_batch(&run.id, commit).await.expect("committed");
        }
        self.store.finish_run(&run.id, RunEnd::new(Ending::Succeeded, at)).await.expect("finished");
        claim.release().await;
    }

    /// Whether the rows before `count` are known, and no other one.
    async fn knows(&self, count: u64) -> bool {
        let lookback = self.store.lookback(&SyncId::new("mirror")).await.expect("opened");
        let wanted = [0, 1, count / 2, count - 1, count].map(version);
        let found = lookback.find(&wanted.map(|row| row.key)).await.expect("found");
        let known = wanted.map(|row| Known::One(row.row));
        found[..4] == known[..4] && found[4] == Known::Nothing
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remembered_rows_are_in_the_bucket_and_another_machine_continues_with_them() {
    const ROWS: u64 = 150_000;
    let scene = Scene::new().await;
    let now = scene.bucket.clock.now();
    let first = scene.machine().await;
    first.remember(now, 0, 0..ROWS).await;
    first.remember(now, 1, ROWS..2 * ROWS).await;
    assert!(first.knows(2 * ROWS).await);
    let files = scene.bucket.names("lookback/mirror/");
    assert_eq!(files.len(), 2, "one for each run: {files:?}");
    let held = scene.database.count("SELECT count(*) FROM lookback WHERE body IS NOT NULL").await;
    assert_eq!(held, 0, "the database has its name alone");
    drop(first);

    let second = scene.machine().await;
    assert!(second.knows(2 * ROWS).await);
    // An upload that fails leaves the rows where they were.
    scene.bucket.until_failure.store(0, Ordering::SeqCst);
    second.remember(now, 2, 2 * ROWS..3 * ROWS).await;
    scene.bucket.until_failure.store(-1, Ordering::SeqCst);
    assert!(second.knows(3 * ROWS).await);
    assert!(scene.machine().await.knows(3 * ROWS).await);
    second.remember(now, 3, 3 * ROWS..4 * ROWS).await;
    assert!(scene.machine().await.knows(4 * ROWS).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remembered_rows_that_are_uploaded_while_the_bucket_is_swept_stay() {
    const ROWS: u64 = 150_000;
    let scene = Scene::new().await;
    let (first, second) = (scene.machine().await, scene.machine().await);
    first.run(&scene, &[1]).await;
    scene.bucket.clock.advance(SignedDuration::from_hours(25));
    let gate = scene.bucket.close_listing();
    let meanwhile = async {
        gate.reached.notified().await;
        second.remember(scene.bucket.clock.now(), 0, 0..ROWS).await;
        scene.bucket.clock.advance(SignedDuration::from_hours(2));
        gate.opened.notify_one();
    };

    tokio::join!(first.run(&scene, &[2]), meanwhile);
    // Once it is taken up, the bucket was swept.
    first.run(&scene, &[3]).await;

    assert_eq!(scene.bucket.names("lookback/mirror/").len(), 1);
    assert!(scene.machine().await.knows(ROWS).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_older_than_the_bucket_is_recognized_by_a_machine_with_an_empty_disk() {
    let scene = Scene::new().await;
    let first = scene.machine().await;
    first.run(&scene, &[1]).await;
    drop(first);
    let second = scene.machine().await;
    assert!(second.store.older_state().await.expect("looked").is_none());
    second.run(&scene, &[2]).await;
    drop(second);
    // The disk of the server is put back as it was some runs ago.
    assert_eq!(scene.database.count("UPDATE recency SET mark = mark - 1 RETURNING mark - mark").await, 0);

    let third = scene.machine().await;
    let older = third.store.older_state().await.expect("looked").expect("older");
    assert_eq!(older.newest_run, Some(scene.bucket.clock.now()));
    third.store.accept_older_state().await.expect("accepted");

    scene.bucket.clock.advance(SignedDuration::from_hours(2));
    let last = scene.machine().await;
    assert!(last.store.older_state().await.expect("looked").is_none());
    assert_eq!(scene.bucket.names(MARKS).len(), 1, "marks of machines that are gone are removed");
    last.run(&scene, &[3]).await;
    assert_eq!(last.keys().await, ["3", "2", "1"]);
}
