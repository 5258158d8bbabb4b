//! Contents of rows are sealed, and a user that is erased is in no file.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tidegate_model::store::{
    BatchCommit, FailedRow, IntentRow, RowQuery, RowResult, RowStatus, RowVersion, RunEnd,
};
use tidegate_model::{
    Cause, Columns, Ending, ErasureCounts, ErrorKind, ObjectKind, Reason, Row, RowHash, Store, SyncId, Value,
};
use tidegate_testkit::rows::intended;
use tidegate_testkit::store::Backend as _;

use crate::embedded::Folder;

const CANARY: &str = "canary-ann";
const VALUE: &str = "canary-value-of-a-row";

fn orders() -> SyncId {
    SyncId::new("orders")
}

fn rejected(id: u128, user: &str, note: &str) -> RowResult {
    let columns = Columns::new(["id", "note"]);
    RowResult {
        key: RowHash(id),
        key_text: format!("order {id}").into(),
        row: RowHash(id << 64),
        user: user.into(),
        status: RowStatus::Rejected(Reason::new("no", "no")),
        payload: Some(Row { columns, values: vec![Value::Int(1), Value::Text(note.into())] }.into()),
    }
}

/// Rows of two users: some in files, some in tables, some on their way.
async fn fill(store: &dyn Store, at: jiff::Timestamp) {
    let mentions = format!("{{\"who\":\"{CANARY}\"");
    let rows = vec![
        rejected(1, CANARY, VALUE),
        rejected(2, "bob", VALUE),
        rejected(3, "", &mentions),
        rejected(4, "bob", "x"),
    ];
    let claim = store.claim(&orders()).await.expect("asked").taken().expect("free");
    let run = store.start_run(&claim, ObjectKind::Event, Cause::Manual, at).await.expect("started");
    let commit = BatchCommit { results: rows, ..BatchCommit::default() };
    store.commit_batch(&run.id, commit).await.expect("committed");
    let end = RunEnd { complete: true, ..RunEnd::new(Ending::Partial, at) };
    store.finish_run(&run.id, end).await.expect("finished");
    let run = store.start_run(&claim, ObjectKind::Event, Cause::Manual, at).await.expect("started");
    let commit = BatchCommit { results: vec![rejected(5, CANARY, "x")], ..BatchCommit::default() };
    store.commit_batch(&run.id, commit).await.expect("committed");
    let intent = |id: u128, user: &str| {
        let row = RowVersion { key: RowHash(id), row: RowHash(id) };
        let RowVersion { key, row } = row;
        IntentRow { key, row, key_text: "key".into(), user: user.into(), sends: 0, since: at }
    };
    store.intend(&run.id, 9, intended([intent(1, CANARY), intent(2, "bob")])).await.expect("noted");
    // Of one who asked and is gone.
    store.request_work(&orders(), &format!("{{\"user\":\"{CANARY}\"}}")).await.expect("asked");
    claim.release().await;
}

fn now(folder: &Folder) -> jiff::Timestamp {
    tidegate_model::Clock::now(folder.clock())
}

fn holds(place: &Path, text: &str) -> bool {
    if place.is_dir() {
        return fs::read_dir(place).expect("listed").flatten().any(|entry| holds(&entry.path(), text));
    }
    fs::read(place).expect("read").windows(text.len()).any(|window| window == text.as_bytes())
}

async fn open_rows(store: &Arc<dyn Store>) -> Vec<FailedRow> {
    store.failed_rows(&orders()).await.expect("failed rows")
}

#[tokio::test]
async fn the_contents_of_failed_rows_stand_in_no_file() {
    let folder = Folder::new();
    fill(&*folder.open().await, now(&folder)).await;

    assert!(holds(folder.data.path(), CANARY), "users are found by their names");
    assert!(!holds(folder.data.path(), VALUE));
    let store = folder.open().await;
    assert_eq!(open_rows(&store).await[0].entry.payload, rejected(1, "", VALUE).payload);

    store.rotate_master_key(false).await.expect("rotated");
    assert_eq!(open_rows(&folder.open().await).await[0].entry.payload, rejected(1, "", VALUE).payload);

    fs::write(folder.data.path().join("master.key"), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
        .expect("changed");
    let store = folder.open().await;
    let error = store.failed_rows(&orders()).await.expect_err("another key");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains("contents of failed rows"), "{error}");
    store.rotate_master_key(true).await.expect("rotated");
    let rows = open_rows(&store).await;
    assert_eq!((rows.len(), rows[0].entry.payload.clone()), (5, None));
}

#[tokio::test]
async fn an_erased_user_is_in_no_file_of_the_store_also_after_a_restart() {
    let folder = Folder::new();
    let store = folder.open().await;
    fill(&*store, now(&folder)).await;
    assert!(holds(folder.data.path(), CANARY));

    let removed = store.erase_user(CANARY).await.expect("erased");

    let expected = ErasureCounts { failed_rows: 3, intents: 1, history_rows: 2, ..ErasureCounts::default() };
    assert_eq!(removed, expected);
    assert!(!holds(folder.data.path(), CANARY));
    store.note_erasure(CANARY, &removed, now(&folder)).await.expect("noted");
    drop(store);
    let store = folder.open().await;
    let users: Vec<String> = open_rows(&store).await.into_iter().map(|row| row.entry.user).collect();
    assert_eq!(users, ["bob", "bob"]);
    let all = RowQuery { limit: 100, ..RowQuery::default() };
    let listed: Vec<String> = store.rows(&all).await.expect("rows").into_iter().map(|row| row.user).collect();
    assert_eq!(listed.iter().filter(|user| *user == "bob").count(), 2, "{listed:?}");
    let intents = store.open_intents(&orders()).await.expect("intents");
    assert_eq!((intents.len(), &*intents[0].rows[0].user), (1, "bob"));
    assert_eq!(store.erase_user(CANARY).await.expect("again"), ErasureCounts::default());

    assert_eq!(store.erasures(Some(CANARY)).await.expect("listed")[0].removed, expected);
    assert_eq!(store.erasures(None).await.expect("listed").len(), 1);
    assert!(store.erasures(Some("bob")).await.expect("listed").is_empty());
    assert!(!holds(folder.data.path(), CANARY));
}

#[tokio::test]
async fn a_damaged_history_file_keeps_an_erased_user_in_no_other_file() {
    let folder = Folder::new();
    let store = folder.open().await;
    fill(&*store, now(&folder)).await;
    let history = folder.data.path().join("history");
    let file = files(&history).pop().expect("a history file");
    let bytes = fs::read(&file).expect("read");
    // Folders have no order: one of them probably comes before the whole one.
    let name = file.file_name().expect("a name").to_string_lossy();
    let damaged = ["0", "1", "2", "x", "y", "z"].map(|before| file.with_file_name(format!("{before}{name}")));
    for path in &damaged {
        fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
    }

    let error = store.erase_user(CANARY).await.expect_err("damaged");

    assert!(damaged.iter().any(|path| error.message().contains(&path.display().to_string())), "{error:?}");
    for path in damaged {
        fs::remove_file(path).expect("moved away");
    }
    assert!(!holds(folder.data.path(), CANARY), "in the file or in free pages of the tables");
    store.erase_user(CANARY).await.expect("erased");
}

/// The files in a folder and in those below it.
fn files(place: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(place).expect("listed").flatten();
    let of = |path: std::path::PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(|entry| of(entry.path())).collect()
}
