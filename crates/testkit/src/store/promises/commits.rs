//! What a commit writes at once: the checkpoint, the lookback and the rest.

use jiff::Timestamp;
use serde_json::json;
use tidegate_model::store::{
    BatchCommit, KeptUser, Known, LookbackChunk, RowResult, RowStatus, RowVersion, SentUser,
};
use tidegate_model::{Checkpoint, Clock, Compared, Counts, Differences, Reason, RowHash, SyncId, Value};

use super::steps::{all_of, commit_batch, finish, keys, orders, remembered, results, rows, start, version};
use crate::rows::{intended, intent, key, rejected, result, row};
use crate::store::backend::Backend;

/// With the commit that has one; without one the checkpoint stays.
pub async fn a_checkpoint_moves_with_its_commit(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let first = Checkpoint(json!({ "after": "2026-03-01T00:00:00.123456789Z", "offsets": [1, 2] }));
    let moved = BatchCommit { checkpoint: Some(first.clone()), ..BatchCommit::default() };

    commit_batch(&*store, &run.id, moved).await;
    commit_batch(&*store, &run.id, BatchCommit { batch: 1, ..BatchCommit::default() }).await;

    let state = backend.open().await.sync_state(&orders()).await.expect("state");
    assert_eq!(state.checkpoint, Some(first));
}

/// `complete` is set by an ending that says so. A later run takes it away with
/// its first checkpoint and not before: until then the checkpoint is still that of the
/// completed read, and going on from there would skip every row.
pub async fn a_read_begins_anew_only_after_it_came_to_its_end(backend: &dyn Backend) {
    let store = backend.open().await;
    let complete = async || store.sync_state(&orders()).await.expect("state").complete;
    let checkpoint = Some(Checkpoint(json!(1)));

    let run = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &run.id, BatchCommit { checkpoint: checkpoint.clone(), ..BatchCommit::default() })
        .await;
    finish(&*store, &run.id, false, backend.clock().now()).await;
    assert!(!complete().await);
    let run = start(&*store, &orders(), backend.clock().now()).await;
    finish(&*store, &run.id, true, backend.clock().now()).await;
    assert!(complete().await);

    let run = start(&*store, &orders(), backend.clock().now()).await;
    finish(&*store, &run.id, false, backend.clock().now()).await;
    assert!(complete().await);
    let run = start(&*store, &orders(), backend.clock().now()).await;
    commit_batch(&*store, &run.id, BatchCommit { checkpoint, ..BatchCommit::default() }).await;
    assert!(!complete().await);
}

/// Of two runs the last one counts, and a row that is gone is not known any more.
pub async fn a_source_is_compared_with_what_was_committed_last(backend: &dyn Backend) {
    // The low bits of a row are marks.
    let version = |key, row: u128| version(key, row << 8);
    let store = backend.open().await;
    let gone = RowVersion { row: RowHash::REMOVED.with_changes(1), ..version(4, 0) };
    let chunks = [
        vec![version(1, 1), version(2, 1), version(3, 1), version(4, 1)],
        vec![version(2, 2), gone, version(5, 1)],
    ];
    for (seq, rows) in (0..).step_by(2).zip(chunks) {
        let run = start(&*store, &orders(), backend.clock().now()).await;
        // What it took over of an earlier one is replaced.
        let taken = rows.iter().map(|row| RowVersion { row: RowHash::UNCERTAIN, ..*row }).collect();
        let remember = Some(LookbackChunk { seq, high: None, rows: taken });
        let commit = BatchCommit { remember, is_replaced: true, ..BatchCommit::default() };
        commit_batch(&*store, &run.id, commit).await;
        let seq = seq + 1;
        let remember = Some(LookbackChunk { seq, high: None, rows });
        commit_batch(&*store, &run.id, BatchCommit { remember, ..BatchCommit::default() }).await;
        finish(&*store, &run.id, true, backend.clock().now()).await;
    }
    let run = start(&*store, &orders(), backend.clock().now()).await;

    let mut comparison = store.compare(&orders()).await.expect("opened");
    let rows = [version(1, 1), version(2, 1), version(4, 1), version(6, 1)];
    let known = comparison.add(&rows).await.expect("added");
    let one = |row| Known::One(version(0, row).row);
    assert_eq!(known, [one(1), one(2), Known::Nothing, Known::Nothing]);
    comparison.add(&[version(7, 1), version(5, 1), version(7, 2)]).await.expect("added");
    let found = comparison.end().await.expect("compared");
    let compared = Compared { known: 4, added: 2, changed: 1, unchanged: 2, removed: 1, duplicate_keys: 1 };
    assert_eq!(found, Differences { compared, duplicates: vec![version(7, 1).key], overtaken: 0 });
    assert_eq!(comparison.removed(10).await.expect("removed"), [version(3, 1).key]);
    assert_eq!(comparison.removed(10).await.expect("removed"), []);

    store.note_compared(&run.id, compared).await.expect("noted");
    let noted = store.run(&run.id).await.expect("asked").expect("a run").compared;
    assert_eq!(noted, Some(compared));
}

/// A row that a comparison has met as it was committed, and that another run commits otherwise before the
/// source shows it once more, is found all the same.
pub async fn a_row_that_was_overtaken_between_two_comparisons_is_no_unchanged_one(backend: &dyn Backend) {
    let version = |key, row: u128| version(key, row << 8);
    let store = backend.open().await;
    let commit = async |seq, row: u128| {
        let run = start(&*store, &orders(), backend.clock().now()).await;
        let rows = (1..=3).map(|key| version(key, if key == 2 { row } else { 1 })).collect();
        let remember = Some(LookbackChunk { seq, high: None, rows });
        commit_batch(&*store, &run.id, BatchCommit { remember, ..BatchCommit::default() }).await;
        finish(&*store, &run.id, true, backend.clock().now()).await;
    };
    let compare = async || {
        let mut comparison = store.compare(&orders()).await.expect("opened");
        let rows = [1, 2, 3].map(|key| version(key, 1));
        let known = comparison.add(&rows).await.expect("added");
        let found = comparison.end().await.expect("compared");
        (known[1] == Known::One(rows[1].row), found.compared.changed, found.overtaken)
    };
    commit(0, 1).await;
    assert_eq!(compare().await, (true, 0, 0));
    assert_eq!(compare().await, (true, 0, 0));
    commit(1, 2).await;
    let (is_told_unchanged, changed, overtaken) = compare().await;
    assert_eq!((changed, overtaken), (1, u64::from(is_told_unchanged)));
    assert_eq!(compare().await, (false, 1, 0), "it was not met as it was committed");
}

/// Those of rows that were taken for the first time, until they are erased or their sync is reset.
pub async fn users_are_kept_until_their_rows_are_gone(backend: &dyn Backend) {
    let store = backend.open().await;
    let kept = async || {
        let mut users = Vec::new();
        let mut last = 0;
        while let Some((seq, page)) = store.kept_users(&orders(), last).await.expect("asked") {
            last = seq;
            users.extend(page.into_iter().map(|kept| (kept.key, kept.user.to_string())));
        }
        users.sort();
        let names: Vec<String> = users.into_iter().map(|(_, user)| user).collect();
        names
    };
    let take = async |seq, rows: Vec<(i64, RowHash, RowStatus)>| {
        let run = start(&*store, &orders(), backend.clock().now()).await;
        let taken = rows.iter().filter(|(_, _, status)| *status == RowStatus::Delivered);
        let taken = taken.map(|(id, row, _)| RowVersion { key: key(*id), row: *row }).collect();
        let results = rows.into_iter().map(|(id, row, status)| RowResult { row, ..result(id, status) });
        let commit = BatchCommit {
            results: results.collect(),
            remember: Some(LookbackChunk { seq, high: None, rows: taken }),
            keeps_users: true,
            ..BatchCommit::default()
        };
        commit_batch(&*store, &run.id, commit).await;
        store.forget_removed_users(&run.id).await.expect("forgotten");
        finish(&*store, &run.id, true, backend.clock().now()).await;
    };
    let first = RowHash(1 << 8);
    let delivered = (1..=4).map(|id| (id, first, RowStatus::Delivered));
    take(0, delivered.chain([(5, first, rejected())]).collect()).await;
    let mut all = kept().await;
    all.sort();
    assert_eq!(all, ["user-1", "user-2", "user-3", "user-4"]);

    let run = start(&*store, &orders(), backend.clock().now()).await;
    let commit = BatchCommit {
        remember: Some(LookbackChunk {
            seq: 1,
            high: None,
            rows: vec![RowVersion { key: key(6), row: RowHash::UNCERTAIN }],
        }),
        keeps_users: true,
        uncertain: vec![KeptUser { key: key(6), user: "user-6".into() }],
        ..BatchCommit::default()
    };
    commit_batch(&*store, &run.id, commit).await;
    finish(&*store, &run.id, false, backend.clock().now()).await;

    let changed = (1, RowHash(2 << 8).with_changes(1), RowStatus::Delivered);
    take(2, vec![changed, (2, RowHash::REMOVED.with_changes(1), RowStatus::Delivered)]).await;
    let erased = store.erase_user("user-3").await.expect("erased");
    assert_eq!(erased.kept_users, 1);
    let mut left = kept().await;
    left.sort();
    assert_eq!(left, ["user-1", "user-4", "user-6"]);

    let claim = store.claim(&orders()).await.expect("asked");
    if let Some(claim) = claim.taken() {
        store.reset(&claim).await.expect("reset");
        assert!(kept().await.is_empty());
    }
}

/// Those of the last delivery, until their rows are gone, they are erased or their sync is reset.
pub async fn what_was_sent_of_users_is_kept_by_key(backend: &dyn Backend) {
    let store = backend.open().await;
    let all: Vec<RowHash> = (0..300).map(key).collect();
    let sent = |id: i64, version: u128, attributes: &[u64]| SentUser {
        key: key(id),
        row: RowHash(version << 8),
        user: format!("user-{id}").into(),
        attributes: attributes.to_vec(),
    };
    let commit = async |sent: Vec<SentUser>, gone: Option<i64>| {
        let run = start(&*store, &orders(), backend.clock().now()).await;
        let gone = gone.map(|id| RowResult { row: RowHash::REMOVED, ..result(id, RowStatus::Delivered) });
        let results = gone.into_iter().collect();
        commit_batch(&*store, &run.id, BatchCommit { results, sent, ..BatchCommit::default() }).await;
        finish(&*store, &run.id, true, backend.clock().now()).await;
    };
    let kept = async |keys: &[RowHash]| {
        let mut users = store.sent_users(&orders(), keys).await.expect("asked");
        users.sort_by_key(|user| user.key);
        users
    };
    let sorted = |mut users: Vec<SentUser>| {
        users.sort_by_key(|user| user.key);
        users
    };
    commit((0..250).map(|id| sent(id, 1, &[1, u64::MAX])).collect(), None).await;
    assert_eq!(kept(&all).await, sorted((0..250).map(|id| sent(id, 1, &[1, u64::MAX])).collect()));
    assert_eq!(kept(&[]).await, []);
    assert_eq!(store.sent_users(&SyncId::new("other"), &all).await.expect("asked"), []);

    commit(vec![sent(3, 2, &[]), sent(4, 2, &[7])], Some(5)).await;
    let few = [key(3), key(4), key(5), key(6)];
    assert_eq!(kept(&few).await, sorted(vec![sent(3, 2, &[]), sent(4, 2, &[7]), sent(6, 1, &[1, u64::MAX])]));
    assert_eq!(store.erase_user("user-4").await.expect("erased").sent_users, 1);
    assert_eq!(kept(&[key(4)]).await, []);

    let claim = store.claim(&orders()).await.expect("asked");
    if let Some(claim) = claim.taken() {
        store.reset(&claim).await.expect("reset");
        assert_eq!(kept(&all).await, []);
    }
}

/// Not in counts, checkpoint, failed rows, rows, lookback or intents.
pub async fn a_commit_that_fails_leaves_no_trace(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let chunk = LookbackChunk { seq: 7, high: None, rows: vec![version(1, 1)] };
    let first = BatchCommit {
        batch: 1,
        checkpoint: Some(Checkpoint(json!("first"))),
        remember: Some(chunk.clone()),
        ..results([(1, rejected())])
    };
    commit_batch(&*store, &run.id, first).await;
    store.intend(&run.id, 2, intended([intent(2)])).await.expect("intended");

    // The number of a lookback chunk is taken: the last of many writes fails.
    let second = BatchCommit {
        batch: 2,
        checkpoint: Some(Checkpoint(json!("second"))),
        counts: Counts { read: 1, ..Counts::default() },
        remember: Some(chunk.clone()),
        solved: vec![key(1)],
        ..results([(2, rejected())])
    };
    store.commit_batch(&run.id, second).await.expect_err("the chunk is there already");

    let store = backend.open().await;
    let state = store.sync_state(&orders()).await.expect("state");
    assert_eq!(state.checkpoint, Some(Checkpoint(json!("first"))));
    assert_eq!(store.runs(None, 1).await.expect("runs")[0].counts, Counts::default());
    assert_eq!(remembered(&*store, &orders()).await, chunk.rows);
    assert_eq!(keys(&rows(&*store, all_of(&orders())).await), ["1"]);
    let failed_rows = store.failed_rows(&orders()).await.expect("failed rows");
    assert_eq!(failed_rows.iter().map(|failed_row| failed_row.key).collect::<Vec<_>>(), [key(1)]);
    assert_eq!(store.open_intents(&orders()).await.expect("intents").len(), 1);
}

/// With rows that occur twice, and a cursor of any type.
pub async fn lookback_is_kept_in_order_until_it_is_forgotten(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let chunk = |seq, high, rows: &[u128]| LookbackChunk {
        seq,
        high,
        rows: rows.iter().map(|row| version(*row, 7)).collect(),
    };
    let chunks = [
        chunk(1, None, &[]),
        chunk(2, Some(Value::Float(0.1)), &[5, u128::MAX, 5]),
        chunk(10, Some(Value::Timestamp(Timestamp::constant(1, 999_999_999))), &[1]),
        chunk(11, Some(Value::Text("é".into())), &[2]),
    ];
    for at in [2, 0, 3, 1] {
        let remember = Some(chunks[at].clone());
        commit_batch(&*store, &run.id, BatchCommit { remember, ..BatchCommit::default() }).await;
    }
    let highs =
        |from: usize| chunks[from..].iter().map(|chunk| (chunk.seq, chunk.high.clone())).collect::<Vec<_>>();
    let lookback = store.lookback(&orders()).await.expect("lookback");
    assert_eq!(lookback.chunks(), highs(0));
    let keys = [u128::MAX, 3, 5].map(RowHash);
    let seven = || Known::One(RowHash(7));
    assert_eq!(lookback.find(&keys).await.expect("found"), [seven(), Known::Nothing, seven()]);

    commit_batch(&*store, &run.id, BatchCommit { forget_through: Some(2), ..BatchCommit::default() }).await;
    let store = backend.open().await;
    assert_eq!(store.lookback(&orders()).await.expect("lookback").chunks(), highs(2));
    assert_eq!(remembered(&*store, &orders()).await, [version(1, 7), version(2, 7)]);
    assert!(remembered(&*store, &SyncId::new("users")).await.is_empty());

    store.clear_lookback(&run.id).await.expect("cleared");
    assert!(remembered(&*store, &orders()).await.is_empty());
}

/// The last run that committed a row under a key decides alone; one run may have several.
pub async fn the_last_run_says_what_was_committed_under_a_key(backend: &dyn Backend) {
    let store = backend.open().await;
    for (seq, keys) in [(1, vec![1, 2, 3]), (2, vec![2, 3]), (3, vec![3])] {
        let run = start(&*store, &orders(), backend.clock().now()).await;
        for half in [0, 1] {
            let row = u128::from(seq + 10 * half);
            let rows = keys.iter().map(|key| version(*key, row)).collect();
            let remember = Some(LookbackChunk { seq: seq * 2 + half, high: None, rows });
            commit_batch(&*store, &run.id, BatchCommit { remember, ..BatchCommit::default() }).await;
        }
        finish(&*store, &run.id, true, backend.clock().now()).await;
    }
    let store = backend.open().await;
    let lookback = store.lookback(&orders()).await.expect("lookback");
    let found = lookback.find(&[3, 2, 1].map(RowHash)).await.expect("found");
    let several = |row| Known::Several(vec![RowHash(row), RowHash(row + 10)]);
    assert_eq!(found, [several(3), several(2), several(1)]);
}

/// Not even a NUL, which some databases cannot keep in text.
pub async fn no_text_stops_a_commit(backend: &dyn Backend) {
    let store = backend.open().await;
    let run = start(&*store, &orders(), backend.clock().now()).await;
    let mut strange = result(1, RowStatus::Rejected(Reason::new("a\0b", "c\0'\"\u{fffd}日本")));
    strange.user = "nul \0 quote ' emoji 🎈".into();
    strange.key_text = "\0".into();
    let mut payload = row(1);
    payload.values[1] = Value::Text("nul \0 in a value".into());
    strange.payload = Some(payload.clone().into());

    commit_batch(&*store, &run.id, BatchCommit { results: vec![strange.clone()], ..BatchCommit::default() })
        .await;
    finish(&*store, &run.id, true, backend.clock().now()).await;

    let failed_rows = store.failed_rows(&orders()).await.expect("failed rows");
    assert_eq!(failed_rows[0].entry.payload, Some(payload.into()));
    let found = rows(&*store, all_of(&orders())).await;
    assert_eq!((found[0].user.as_str(), found[0].key.as_str()), (&*strange.user, "\0"));
}
