//! A backup of a data folder that other processes write to, and the state it restores.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::TryStreamExt as _;
use tempfile::TempDir;
use tidegate_model::store::{BatchCommit, LookbackChunk, RowQuery, RowResult, RowStatus, RowVersion, RunEnd};
use tidegate_model::{
    Cause, Checkpoint, Clock as _, Columns, Ending, ErrorKind, EventLog, LoggedEvent, ObjectKind, Reading,
    Reason, Row, RowHash, Secret, Store, StreamId, SyncId, Value,
};
use tidegate_state::backup::{
    self, Backup, BackupOptions, NotedErasure, back_up, erase_and_note, erased_since,
};
use tidegate_state::{LogAccess, LogConfig, open_log};
use tidegate_testkit::event_log::events;
use tidegate_testkit::store::Backend as _;

use crate::embedded::{Folder, config};

const CANARY: &str = "canary-ann-77f0";

/// A data folder, and room for its backups.
struct Scene {
    folder: Folder,
    room: TempDir,
}

fn orders() -> SyncId {
    SyncId::new("orders")
}

fn shop() -> StreamId {
    StreamId::new("shop")
}

impl Scene {
    fn new() -> Scene {
        Scene { folder: Folder::new(), room: tempfile::tempdir().expect("folder") }
    }

    fn data(&self) -> &Path {
        self.folder.data.path()
    }

    fn place(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    fn log_config(&self, data: &Path, access: LogAccess) -> LogConfig {
        let config = LogConfig::new(data.join("events"), Arc::new(self.folder.clock.clone()), access);
        LogConfig { segment_bytes: 20_000, compress_from: 10_000, ..config }
    }

    fn log(&self, data: &Path) -> Arc<dyn EventLog> {
        open_log(self.log_config(data, LogAccess::Append)).expect("a log")
    }

    async fn back_up(&self, name: &str) -> Backup {
        let options = BackupOptions { version: "0.0.0", master_key: true };
        back_up(config(self.data(), &self.folder.clock), &self.place(name), options).await.expect("backed up")
    }

    /// Notes an erasure in the backups, which removes nothing.
    async fn note(&self, user: &str) -> Vec<NotedErasure> {
        let nothing = async { Ok(()) };
        let config = config(self.data(), &self.folder.clock);
        erase_and_note(config, user, nothing).await.expect("noted").1
    }

    async fn restore(&self, name: &str, to: &str) -> PathBuf {
        let data = self.place(to);
        let log = self.log_config(&data, LogAccess::Append);
        backup::restore(&self.place(name), log, &data).await.expect("restored");
        data
    }
}

fn result(id: u64, user: &str) -> RowResult {
    let columns = Columns::new(["id"]);
    RowResult {
        key: RowHash(id.into()),
        key_text: format!("order {id}").into(),
        row: RowHash(u128::from(id) << 64),
        user: user.into(),
        status: match id % 50 {
            0 => RowStatus::Rejected(Reason::new("no", "no")),
            _ => RowStatus::Delivered,
        },
        payload: id
            .is_multiple_of(50)
            .then(|| Row { columns, values: vec![Value::Text(user.into())] }.into()),
    }
}

/// Runs a sync: each batch has a thousand rows, and its number is the checkpoint.
async fn run(store: &dyn Store, now: jiff::Timestamp, batches: std::ops::Range<u64>) {
    let claim = store.claim(&orders()).await.expect("asked").taken().expect("free");
    let run = store.start_run(&claim, ObjectKind::User, Cause::Manual, now).await.expect("started");
    for batch in batches {
        let ids = batch * 1_000..(batch + 1) * 1_000;
        let rows = ids.clone().map(|id| RowVersion { key: RowHash(id.into()), row: RowHash(1) }).collect();
        let commit = BatchCommit {
            batch,
            results: ids.map(|id| result(id, &format!("u{id}"))).collect(),
            remember: Some(LookbackChunk { seq: batch, high: Some(Value::Int(1)), rows }),
            checkpoint: Some(Checkpoint(serde_json::json!(batch))),
            ..BatchCommit::default()
        };
        store.commit_batch(&run.id, commit).await.expect("committed");
    }
    store.finish_run(&run.id, RunEnd::new(Ending::Partial, now)).await.expect("finished");
    claim.release().await;
}

async fn read_all(log: &dyn EventLog, after: Option<&Checkpoint>) -> Vec<LoggedEvent> {
    let reading = Reading { batch_events: 1_000, follow: false };
    let feed = log.read(&shop(), after, reading).await.expect("a feed");
    let batches: Vec<_> = feed.try_collect().await.expect("readable");
    batches.into_iter().flat_map(|batch| batch.items).collect()
}

/// The rows of the ledger and the checkpoint, which are to say the same.
async fn state(store: &dyn Store) -> (u64, u64) {
    let checkpoint = store.sync_state(&orders()).await.expect("a state").checkpoint;
    let batches = checkpoint.and_then(|at| at.0.as_u64()).map_or(0, |at| at + 1);
    let query = RowQuery { limit: 1_000_000, ..RowQuery::default() };
    (store.rows(&query).await.expect("rows").len() as u64, batches * 1_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_made_while_everything_is_written_is_of_one_moment() {
    let scene = Scene::new();
    let store = scene.folder.open().await;
    store.put_secret("braze", &Secret::new("sesame")).await.expect("sealed");
    let log = scene.log(scene.data());
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (log, stop) = (log.clone(), stop.clone());
        async move {
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                log.append(&shop(), events(next, next + 50)).await.expect("appended");
                next += 50;
            }
        }
    });
    let running = tokio::spawn({
        let (store, stop, now) = (store.clone(), stop.clone(), scene.folder.clock.now());
        async move {
            for round in 0.. {
                run(&*store, now, round * 20..(round + 1) * 20).await;
                if stop.load(Ordering::Relaxed) {
                    return (round + 1) * 20_000;
                }
            }
            0
        }
    });

    let mut found = Vec::new();
    for number in 0..4 {
        let name = format!("backup-{number}");
        let durable = read_all(&*log, None).await.len();
        let made = scene.back_up(&name).await;
        assert!(made.tables && made.master_key, "{made:?}");
        found.push((name, durable));
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.expect("written");
    let rows = running.await.expect("run");

    for (name, durable) in &found {
        let data = scene.restore(name, &format!("{name}-restored")).await;
        let restored = tidegate_state::open(config(&data, &scene.folder.clock)).await.expect("opened");
        let (listed, committed) = state(&*restored).await;
        assert_eq!(listed, committed, "{name}: each row up to the checkpoint once");
        assert!(committed <= rows, "{name}");
        let secret = restored.secret("braze").await.expect("a key").expect("a secret");
        assert_eq!(secret.expose(), "sesame");
        let log = scene.log(&data);
        let read = read_all(&*log, None).await;
        assert!(read.len() >= *durable, "{name}: {} of {durable} acknowledged events", read.len());
        // What a run remembers is whole, and it continues.
        let keys: Vec<RowHash> = (0..committed).map(|id| RowHash(id.into())).collect();
        let known = restored.lookback(&orders()).await.expect("a lookback").find(&keys).await.expect("found");
        assert_eq!(known.len() as u64, committed);
        run(&*restored, scene.folder.clock.now(), committed / 1_000..committed / 1_000 + 1).await;
    }
}

#[tokio::test]
async fn a_restored_log_gives_out_no_offset_that_the_lost_one_gave_out() {
    let scene = Scene::new();
    drop(scene.folder.open().await);
    let log = scene.log(scene.data());
    log.append(&shop(), events(0, 10)).await.expect("appended");
    scene.back_up("backup").await;
    log.append(&shop(), events(10, 20)).await.expect("appended");
    let lost = read_all(&*log, None).await;

    let data = scene.restore("backup", "restored").await;
    let log = scene.log(&data);
    let checkpoint = Checkpoint(serde_json::json!({ "log": lost[3].offset.log, "offset": 4 }));
    log.append(&shop(), events(30, 35)).await.expect("appended");

    let read = read_all(&*log, Some(&checkpoint)).await;
    let ids: Vec<&str> = read.iter().map(|logged| &*logged.event.id).collect();
    let expected: Vec<String> =
        (4..10).chain(30..35).map(|id: usize| events(id, id + 1)[0].id.to_string()).collect();
    assert_eq!(ids, expected);
    let (old, new) = read.split_at(6);
    assert!(old.iter().all(|logged| logged.offset.log == lost[0].offset.log), "known to destinations");
    assert!(new.iter().all(|logged| logged.offset.log != lost[0].offset.log), "unlike any that they have");
}

#[tokio::test]
async fn a_damaged_a_missing_and_an_unfinished_file_are_named() {
    let scene = Scene::new();
    let store = scene.folder.open().await;
    run(&*store, scene.folder.clock.now(), 0..1).await;
    scene.log(scene.data()).append(&shop(), events(0, 10)).await.expect("appended");
    scene.back_up("backup").await;
    let files: Vec<String> = fs::read_to_string(scene.place("backup").join("SHA256SUMS"))
        .expect("a list")
        .lines()
        .map(|line| line.split_once("  ").expect("a line").1.to_owned())
        .collect();
    assert!(files.iter().any(|name| name.starts_with("events/shop/")), "{files:?}");

    for (at, name) in files.iter().enumerate() {
        let path = scene.place("backup").join(name);
        let whole = fs::read(&path).expect("read");
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for (damage, bytes) in [Some(&flipped[..]), Some(&whole[..middle]), None].into_iter().enumerate() {
            match bytes {
                Some(bytes) => fs::write(&path, bytes).expect("written"),
                None => fs::remove_file(&path).expect("removed"),
            }
            let data = scene.place(&format!("restored-{at}-{damage}"));
            let log = scene.log_config(&data, LogAccess::Append);
            let error = backup::restore(&scene.place("backup"), log, &data).await.expect_err("damaged");
            assert!(error.message().contains(&format!("is damaged: {name} ")), "{name}: {error:?}");
            fs::write(&path, &whole).expect("written");
        }
    }
    fs::remove_file(scene.place("backup").join("SHA256SUMS")).expect("removed");
    let error = backup::look(&scene.place("backup")).expect_err("unfinished");
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
}

#[tokio::test]
async fn a_backup_goes_into_no_folder_that_holds_anything_and_not_into_what_it_copies() {
    let scene = Scene::new();
    drop(scene.folder.open().await);
    fs::create_dir(scene.place("full")).expect("made");
    fs::write(scene.place("full").join("mine"), b"x").expect("written");
    let options = BackupOptions { version: "0.0.0", master_key: true };
    for (to, why) in [(scene.place("full"), "is not empty"), (scene.data().join("b"), "lies in the folder")] {
        let refused = back_up(config(scene.data(), &scene.folder.clock), &to, options).await;
        let error = refused.expect_err("refused");
        assert!(error.message().contains(why), "{error:?}");
    }
    assert!(scene.place("full").join("mine").exists());
    let nothing =
        back_up(config(&scene.place("none"), &scene.folder.clock), &scene.place("b"), options).await;
    assert!(nothing.expect_err("nothing").message().contains("there is no state"));
}

#[tokio::test]
async fn without_the_master_key_a_backup_opens_no_secret() {
    let scene = Scene::new();
    let store = scene.folder.open().await;
    store.put_secret("braze", &Secret::new("sesame")).await.expect("sealed");
    let options = BackupOptions { version: "0.0.0", master_key: false };
    let made = back_up(config(scene.data(), &scene.folder.clock), &scene.place("backup"), options).await;
    assert!(!made.expect("backed up").master_key);

    let data = scene.restore("backup", "restored").await;

    let restored = tidegate_state::open(config(&data, &scene.folder.clock)).await.expect("opened");
    let denied = restored.secret("braze").await.expect_err("no key");
    assert_eq!(denied.kind(), ErrorKind::Denied, "{denied:?}");
    let lacks_key = async || backup::lacks_key(config(&data, &scene.folder.clock)).await.expect("read");
    assert!(lacks_key().await, "`tidegate restore` says so");
    fs::copy(scene.data().join("master.key"), data.join("master.key")).expect("copied");
    assert!(!lacks_key().await);
    assert_eq!(restored.secret("braze").await.expect("a key").expect("a secret").expose(), "sesame");
}

#[tokio::test]
async fn a_backup_knows_who_was_erased_after_it_and_does_not_tell() {
    let scene = Scene::new();
    drop(scene.folder.open().await);
    let config_of = |data: &Path| config(data, &scene.folder.clock);
    scene.back_up("gone").await;
    scene.back_up("backup").await;
    fs::remove_dir_all(scene.place("gone")).expect("removed");

    let noted = scene.note(CANARY).await;

    let (gone, kept) = (scene.place("gone"), scene.place("backup"));
    let expected =
        [NotedErasure { backup: gone, noted: false }, NotedErasure { backup: kept.clone(), noted: true }];
    assert_eq!(noted, expected);
    let list = fs::read_to_string(kept.join("erased")).expect("a list");
    assert!(!list.contains(CANARY), "{list}");
    let data = scene.restore("backup", "restored").await;
    let erased = erased_since(&kept, config_of(&data)).await.expect("opened");
    assert_eq!(erased, [CANARY]);
    fs::write(kept.join("erased"), list.replace(' ', " A")).expect("written");
    let error = erased_since(&kept, config_of(&data)).await.expect_err("changed");
    assert!(error.message().contains("line 1"), "{error:?}");
}

/// The backup is under way: what it has copied may hold the user.
#[tokio::test]
async fn an_erasure_during_a_backup_is_noted_in_it() {
    let scene = Scene::new();
    drop(scene.folder.open().await);
    let backup = scene.place("backup");
    let erasing = async {
        while !backup.is_dir() {
            tokio::task::yield_now().await;
        }
        let is_made = backup.join("SHA256SUMS").exists();
        (is_made, scene.note(CANARY).await)
    };
    let (_, (is_made, noted)) = tokio::join!(scene.back_up("backup"), erasing);
    assert!(!is_made, "the erasure came before the end of the backup");
    assert_eq!(noted, [NotedErasure { backup: backup.clone(), noted: true }]);
    let data = scene.restore("backup", "restored").await;
    let erased = erased_since(&backup, config(&data, &scene.folder.clock)).await.expect("opened");
    assert_eq!(erased, [CANARY]);
}

#[tokio::test]
async fn a_user_who_is_erased_while_a_backup_begins_and_ends_is_noted_in_it_once() {
    let scene = Scene::new();
    let store = scene.folder.open().await;
    run(&*store, scene.folder.clock.now(), 0..1).await;
    scene.back_up("before").await;
    let erasure = async {
        scene.back_up("meanwhile").await;
        store.erase_user("u7").await
    };

    let (removed, noted) =
        erase_and_note(config(scene.data(), &scene.folder.clock), "u7", erasure).await.expect("erased");

    assert_eq!(removed.history_rows, 1);
    let noted_in = |name| NotedErasure { backup: scene.place(name), noted: true };
    assert_eq!(noted, ["before", "meanwhile"].map(noted_in));
    for name in ["before", "meanwhile"] {
        let data = scene.restore(name, &format!("{name}-restored")).await;
        let restored = tidegate_state::open(config(&data, &scene.folder.clock)).await.expect("opened");
        let query = RowQuery { user: Some("u7".into()), limit: 9, ..RowQuery::default() };
        assert_eq!(restored.rows(&query).await.expect("rows").len(), 1, "{name} holds the user");
        let erased = erased_since(&scene.place(name), config(&data, &scene.folder.clock)).await;
        assert_eq!(erased.expect("opened"), ["u7"], "{name}");
        let list = fs::read_to_string(scene.place(name).join("erased")).expect("a list");
        assert_eq!(list.lines().count(), 1, "{name}");
    }
}
