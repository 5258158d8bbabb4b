//! Reading: the same rows each time, from any position, and not longer than wanted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;
use tidegate_model::{
    Batch, Checkpoint, Columns, DataType, Error, ErrorKind, Feed, Mode, ReadMode, Row, Selection, Source,
    Value,
};

use super::context::settings_of;
use super::example::SourceBackend;
use super::suite::Suite;

/// A batch size of which every source has several.
const BATCH_ROWS: usize = 7;

/// A source with a backend of its example.
struct Spot {
    name: String,
    source: Arc<dyn Source>,
    selection: Selection,
    backend: SourceBackend,
    /// Whether a sync may have `mode: stream`.
    streams: bool,
}

async fn spots(suite: &Suite) -> Vec<Spot> {
    let mut spots = Vec::new();
    for (connector, example) in suite.each() {
        let (Some(role), Some(source)) = (connector.source, &example.source) else { continue };
        for backend in (source.backends)().await {
            assert!(backend.rows > 30, "{}: the example has too few rows", connector.kind);
            let context = backend.context();
            let source =
                (role.open)(&settings_of(&backend.settings), &context).expect("the example's settings");
            let selection = settings_of(&backend.selection);
            let name = format!("{}, {}", connector.kind, backend.selection);
            let streams = role.modes.contains(&Mode::Stream);
            spots.push(Spot { name, source, selection, backend, streams });
        }
    }
    spots
}

impl Spot {
    async fn feed(&self, mode: &ReadMode) -> Feed<Row> {
        let feed = self.source.read(&self.selection, mode, BATCH_ROWS).await;
        feed.unwrap_or_else(|error| panic!("{}: {mode:?}: {error:?}", self.name))
    }

    /// All batches of about this size, or the failure, wherever it comes up.
    async fn read(&self, mode: &ReadMode, batch_rows: usize) -> Result<Vec<Batch<Row>>, Error> {
        self.source.read(&self.selection, mode, batch_rows).await?.try_collect().await
    }

    async fn batches(&self, mode: &ReadMode) -> Vec<Batch<Row>> {
        let batches = self.read(mode, BATCH_ROWS).await;
        batches.unwrap_or_else(|error| panic!("{}: {mode:?}: {error:?}", self.name))
    }

    async fn rows(&self, mode: &ReadMode) -> Vec<Row> {
        self.batches(mode).await.into_iter().flat_map(|batch| batch.items).collect()
    }

    /// A reach that gives every row, in an order where the source has one.
    fn all(&self) -> ReadMode {
        match self.backend.cursor {
            Some(column) => self.cursor(column, None),
            None if self.source.supports_checkpoints() => {
                ReadMode::Resume { checkpoint: None, follow: false }
            }
            None => ReadMode::Full,
        }
    }

    fn cursor(&self, column: &str, from: Option<Value>) -> ReadMode {
        ReadMode::Incremental { column: column.to_owned(), from, time_zone: "UTC".to_owned() }
    }
}

/// Rows as text, to compare without regard to their order.
fn sorted(rows: &[Row]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| row.to_json().as_str().to_owned()).collect();
    rows.sort_unstable();
    rows
}

/// The columns that are announced are those of every row.
pub async fn a_description_agrees_with_the_rows(suite: &Suite) {
    for spot in spots(suite).await {
        let described = spot.source.describe(&spot.selection).await.expect("described");
        let names: Vec<String> = described.columns.iter().map(|column| column.name.clone()).collect();
        assert!(described.columns.iter().all(|column| !column.type_name.is_empty()), "{}", spot.name);
        for mode in [spot.all(), ReadMode::Full] {
            let rows = spot.rows(&mode).await;
            assert_eq!(rows.len(), spot.backend.rows, "{}", spot.name);
            for row in rows {
                assert_eq!(row.columns.names(), names, "{}", spot.name);
                assert_eq!(row.values.len(), names.len(), "{}", spot.name);
            }
        }
    }
}

/// A column says its type, unless it is declared to have none, and no row breaks its word.
pub async fn every_value_is_of_the_type_of_its_column(suite: &Suite) {
    for spot in spots(suite).await {
        let described = spot.source.describe(&spot.selection).await.expect("described");
        for column in &described.columns {
            let untyped = matches!(column.data_type, DataType::Any | DataType::Other);
            let declared = spot.backend.untyped.contains(&column.name.as_str());
            assert_eq!(untyped, declared, "{}: {column}", spot.name);
        }
        for row in spot.rows(&spot.all()).await {
            for (column, value) in described.columns.iter().zip(&row.values) {
                assert!(column.data_type.holds(value), "{}: {column} holds {value:?}", spot.name);
            }
        }
    }
}

/// It is found without reading the rows before it; null is no value.
pub async fn the_highest_cursor_is_that_of_the_last_row(suite: &Suite) {
    for spot in spots(suite).await {
        let Some(column) = spot.backend.cursor else { continue };
        let rows = spot.rows(&spot.cursor(column, None)).await;
        let last = rows.last().and_then(|row| row.get(column)).filter(|value| !value.is_null());
        let highest = spot.source.highest(&spot.selection, column, "UTC").await.expect("asked");
        assert_eq!(highest.as_ref(), last, "{}", spot.name);
    }
}

/// None is empty, none is more than twice as large, and together they are all rows.
pub async fn batches_have_about_the_rows_that_were_asked_for(suite: &Suite) {
    for spot in spots(suite).await {
        for batch_rows in [0, 1, BATCH_ROWS, usize::MAX] {
            let batches = spot.read(&spot.all(), batch_rows).await;
            let batches = batches.unwrap_or_else(|error| panic!("{}: {error:?}", spot.name));
            let sizes: Vec<usize> = batches.iter().map(|batch| batch.items.len()).collect();
            assert_eq!(sizes.iter().sum::<usize>(), spot.backend.rows, "{}", spot.name);
            let most = batch_rows.max(1).saturating_mul(2);
            assert!(sizes.iter().all(|size| (1..=most).contains(size)), "{}: {sizes:?}", spot.name);
            let few = spot.backend.rows.div_ceil(batch_rows.max(1)) + 4;
            assert!(sizes.len() <= few, "{}: {sizes:?}", spot.name);
        }
    }
}

/// A row's values have one form only, else a diff would find changes where none are.
pub async fn reading_twice_gives_the_same_rows(suite: &Suite) {
    for spot in spots(suite).await {
        let once = spot.rows(&spot.all()).await;
        assert_eq!(sorted(&once), sorted(&spot.rows(&spot.all()).await), "{}", spot.name);
        assert_eq!(sorted(&once), sorted(&spot.rows(&ReadMode::Full).await), "{}", spot.name);
    }
}

/// From each checkpoint on come exactly the rows after it, in the same order.
pub async fn a_restart_from_any_checkpoint_loses_nothing(suite: &Suite) {
    for spot in spots(suite).await.into_iter().filter(|spot| spot.source.supports_checkpoints()) {
        let mut rest = spot.rows(&ReadMode::Resume { checkpoint: None, follow: false }).await;
        for batch in spot.batches(&ReadMode::Resume { checkpoint: None, follow: false }).await {
            rest.drain(..batch.items.len());
            let checkpoint = batch.checkpoint.expect("a source that makes its own checkpoints gives one");
            // A checkpoint goes through storage as text.
            let text = serde_json::to_string(&checkpoint).expect("JSON");
            let checkpoint: Checkpoint = serde_json::from_str(&text).expect("JSON");
            assert_eq!(
                spot.rows(&ReadMode::Resume { checkpoint: Some(checkpoint), follow: false }).await,
                rest,
                "{}",
                spot.name
            );
        }
        assert!(rest.is_empty(), "{}", spot.name);
    }
}

/// From each value of the cursor on come all rows that are not lower, ties and
/// rows without a cursor included.
pub async fn a_restart_from_any_cursor_loses_nothing(suite: &Suite) {
    for spot in spots(suite).await {
        let Some(column) = spot.backend.cursor else { continue };
        let all = spot.rows(&spot.all()).await;
        let value = |row: &Row| row.get(column).expect("the cursor").clone();
        let first = all.iter().position(|row| !value(row).is_null()).expect("rows with a cursor");
        assert!(first > 0, "{}: the example has no row without a cursor", spot.name);
        let tied = |pair: &[Row]| value(&pair[0]) == value(&pair[1]);
        assert!(all[first..].windows(2).any(tied), "{}: the example has no ties", spot.name);
        for start in first..all.len() {
            let from = value(&all[start]);
            if from == value(&all[start - 1]) {
                continue;
            }
            let wanted = [&all[..first], &all[start..]].concat();
            let found = spot.rows(&spot.cursor(column, Some(from.clone()))).await;
            assert_eq!(sorted(&found), sorted(&wanted), "{}: from {from:?}", spot.name);
        }
    }
}

/// Neither a connection nor an open file.
pub async fn a_dropped_feed_leaves_nothing_running(suite: &Suite) {
    for spot in spots(suite).await {
        let mut feed = spot.feed(&spot.all()).await;
        feed.next().await.expect("a batch").expect("rows");
        assert!((spot.backend.running)().await > 0, "{}: the example sees no read under way", spot.name);

        drop(feed);

        let ended = async {
            while (spot.backend.running)().await > 0 {
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
        assert!(ended.is_ok(), "{}: still running", spot.name);
    }
}

/// The message names what was looked for, and the check says how to fix it.
pub async fn what_is_missing_is_called_missing(suite: &Suite) {
    for spot in spots(suite).await {
        let missing = settings_of(&spot.backend.missing);
        let error = spot.source.describe(&missing).await.expect_err("nothing is there");
        assert_eq!(error.kind(), ErrorKind::Missing, "{}: {error:?}", spot.name);

        let checks = spot.source.check(Some(&missing)).await.expect("checked");
        assert!(
            checks.0.iter().any(|check| !check.passed && check.remedy.is_some()),
            "{}: {checks:?}",
            spot.name
        );
    }
}

/// A cursor is for sources that have an order, a checkpoint for those that keep
/// their place, and `mode: stream` for those that follow. The error says what to write instead.
pub async fn a_reach_that_it_does_not_have_is_refused(suite: &Suite) {
    for spot in spots(suite).await {
        assert_eq!(spot.streams, spot.source.supports_streaming(), "{}", spot.name);
        let mut refused = Vec::new();
        if !spot.source.supports_checkpoints() {
            refused.push((ReadMode::Resume { checkpoint: None, follow: false }, ErrorKind::Settings));
        }
        match spot.backend.cursor {
            None => refused.push((spot.cursor("id", None), ErrorKind::Settings)),
            Some(_) => refused.push((spot.cursor("no_such_column", None), ErrorKind::Missing)),
        }
        for (mode, kind) in refused {
            let error = spot.read(&mode, BATCH_ROWS).await.expect_err(&spot.name);
            assert_eq!(error.kind(), kind, "{}: {mode:?}: {error:?}", spot.name);
        }
    }
}

/// Nor does it end a read early without a word: a checkpoint that is torn, or
/// another source's, is an error or a read that gives rows.
pub async fn no_checkpoint_panics(suite: &Suite) {
    for spot in spots(suite).await.into_iter().filter(|spot| spot.source.supports_checkpoints()) {
        let batches = spot.batches(&spot.all()).await;
        let good = batches[0].checkpoint.clone().expect("a source that makes its own checkpoints gives one");
        let foreign =
            [json!(null), json!(7), json!([]), json!({ "lsn": "0/16B3748" }), json!({ "files": 1 })];
        for torn in foreign.into_iter().chain(torn(&good.0)) {
            let mode = ReadMode::Resume { checkpoint: Some(Checkpoint(torn.clone())), follow: false };
            if let Err(error) = spot.read(&mode, BATCH_ROWS).await {
                assert_ne!(error.kind(), ErrorKind::Internal, "{}: {torn}: {error:?}", spot.name);
            }
        }
    }
}

/// The same JSON with one number or text at a time that is something else.
fn torn(json: &serde_json::Value) -> Vec<serde_json::Value> {
    use serde_json::Value;
    let mut all = Vec::new();
    match json {
        Value::Number(_) => all.extend([json!(0), json!(-1), json!(u64::MAX), json!(1.5), json!("1")]),
        Value::String(_) => all.extend([json!(""), json!(1)]),
        Value::Object(members) => {
            for (name, member) in members {
                all.extend(torn(member).into_iter().map(|torn| {
                    let mut members = members.clone();
                    members.insert(name.clone(), torn);
                    Value::Object(members)
                }));
            }
        }
        _ => {}
    }
    all
}

/// In the order in which they are named, described as before.
pub async fn a_narrowed_selection_has_its_columns_alone(suite: &Suite) {
    for mut spot in spots(suite).await {
        let described = spot.source.describe(&spot.selection).await.expect("described");
        // Every second column from the last on, and the cursor, which a read needs.
        let mut columns: Vec<String> =
            described.columns.iter().rev().step_by(2).map(|column| column.name.clone()).collect();
        if let Some(cursor) = spot.backend.cursor
            && !columns.iter().any(|name| name == cursor)
        {
            columns.push(cursor.to_owned());
        }
        let whole = spot.rows(&spot.all()).await;
        let Some(narrowed) = spot.source.narrow(&spot.selection, &columns) else { continue };
        spot.selection = narrowed;
        let again = spot.source.describe(&spot.selection).await.expect("described");
        let expected =
            columns.iter().map(|name| described.columns.iter().find(|column| column.name == *name));
        assert!(again.columns.iter().map(Some).eq(expected), "{}: {again:?}", spot.name);
        assert_eq!(again.key, described.key, "{}", spot.name);
        let expected: Vec<Row> = whole
            .iter()
            .map(|row| Row {
                columns: Columns::new(columns.as_slice()),
                values: columns.iter().map(|name| row.get(name).expect("a column").clone()).collect(),
            })
            .collect();
        assert_eq!(sorted(&spot.rows(&spot.all()).await), sorted(&expected), "{}", spot.name);
    }
}

/// All rows of a feed.
async fn items(feed: Feed<Row>) -> Vec<Row> {
    let batches: Vec<Batch<Row>> = feed.try_collect().await.expect("read");
    batches.into_iter().flat_map(|batch| batch.items).collect()
}

/// Each once, as it is read, and nothing for a key that no row has.
pub async fn a_lookup_gives_the_rows_that_were_asked_for(suite: &Suite) {
    for spot in spots(suite).await {
        let key: Vec<String> = spot.backend.key.iter().map(|name| (*name).to_owned()).collect();
        let all = spot.rows(&spot.all()).await;
        let key_of = |row: &Row| -> Vec<Value> {
            key.iter().map(|name| row.get(name).expect("a key column").clone()).collect()
        };
        let distinct: BTreeSet<String> = all.iter().map(|row| format!("{:?}", key_of(row))).collect();
        assert_eq!(distinct.len(), all.len(), "{}: the example's key names no single row", spot.name);
        let wanted: Vec<Row> = [0, 5, all.len() - 1].map(|at| all[at].clone()).to_vec();
        let mut keys: Vec<Vec<Value>> = wanted.iter().map(key_of).collect();

        let Some(found) = spot.source.lookup(&spot.selection, &key, &keys).await.expect("looked up") else {
            continue;
        };
        assert_eq!(sorted(&items(found).await), sorted(&wanted), "{}", spot.name);

        keys.truncate(1);
        keys.push(keys[0].clone());
        let found = spot.source.lookup(&spot.selection, &key, &keys).await.expect("looked up");
        assert_eq!(
            items(found.expect("it can look up")).await,
            wanted[..1],
            "{}: a key that is asked for twice",
            spot.name
        );

        let found = spot.source.lookup(&spot.selection, &key, &[]).await.expect("looked up");
        assert_eq!(items(found.expect("it can look up")).await, Vec::new(), "{}: no keys", spot.name);
    }
}

/// And what can be read is listed.
pub async fn a_check_passes_where_reads_do(suite: &Suite) {
    for spot in spots(suite).await {
        for selection in [None, Some(&spot.selection)] {
            let checks = spot.source.check(selection).await.expect("checked");
            assert!(checks.passed() && !checks.0.is_empty(), "{}: {checks:?}", spot.name);
        }
        let described = spot.source.describe(&spot.selection).await.expect("described");
        let listed = spot.source.discover().await.expect("listed");
        let columns: Vec<_> = listed.iter().map(|dataset| &dataset.columns).collect();
        assert!(columns.contains(&&described.columns), "{}: {listed:?}", spot.name);
    }
}
