//! Imports: rows of a source become records of a platform.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};
use tidegate_model::source::Column;
use tidegate_model::store::{Delivered, IntentRow, Lookback, RowResult, RowStatus};
use tidegate_model::{
    Batch, Cause, Checkpoint, Columns, ConnectionId, DataType, Error, ErrorKind, Feed, Idempotency, Identity,
    KeptRow, Mapping, Origin, PartialRow, Platform, Position, Progress, ReadMode, Reason, Record, Row,
    RowHash, RowPart, Run, RunId, Selection, Source, SyncId, Text, Value,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::pipeline::batch_size::batch_items;
use crate::pipeline::brake::ExceededLimit;
use crate::pipeline::interrupted;
use crate::pipeline::kept_row::{self, KeptRows};
use crate::pipeline::read::compare::{Comparing, Duplicates};
use crate::pipeline::read::cursor_state::{self, ChangeTracking, CursorState};
use crate::pipeline::read::epoch::EpochUnit;
use crate::pipeline::read::lookback::LookbackRule;
use crate::pipeline::read::mirror_state::MirrorState;
use crate::pipeline::read::relay::laid_out;
use crate::pipeline::removal::{self, Removal, Removed};
use crate::pipeline::run::{self, Job, Opened, Parts};
use crate::pipeline::run_kind::{Retention, RunKind};
use crate::pipeline::transform::{ItemKeys, PartialItem, Prepared, Transform};
use tidegate_project::{Changed, Limits};

/// An import with both of its ends opened.
#[derive(Clone)]
pub struct Import {
    /// The sync.
    pub sync: SyncId,
    /// Where rows are read.
    pub source: Arc<dyn Source>,
    /// What is read there.
    pub selection: Selection,
    /// The connection that records go to, for its rate limiter.
    pub connection: ConnectionId,
    /// Where records go.
    pub platform: Arc<dyn Platform>,
    /// The columns that the mapping was made for.
    pub columns: Arc<Columns>,
    /// Whether rows may come with other columns, or in another order.
    pub open: bool,
    /// From row to record.
    pub mapping: Arc<Mapping>,
    /// How new rows are found.
    pub tracking: ChangeTracking,
    /// What becomes of a row whose key was committed with other values.
    pub changed: Changed,
    /// How long keys of delivered rows are known if changes are ignored; `None` for good.
    pub keys_for: Option<Duration>,
    /// What is done about rows that are gone, if anything.
    pub removal: Option<Removal>,
    /// How much a run may change; `None` if a person has confirmed it.
    pub limits: Option<Limits>,
    /// The zone of times that have none.
    pub time_zone: String,
    /// Whether rows in doubt are sent again without asking.
    pub resend: bool,
    /// How long an unreachable system is tried.
    pub retry_for: Duration,
}

/// What a run of an import works on.
pub enum Input {
    /// What is new at the source.
    Changes,
    /// All that is at the source, whatever was sent of it.
    Everything,
    /// What is new, and what comes later, until the run is stopped.
    Following,
    /// These rows, whatever is known of them; the checkpoint of the sync stays.
    Rows(Feed<Row>),
    /// These rows, of which the mapping sends a part: what is known of them stays.
    Backfill(Feed<Row>),
}

impl Input {
    /// These rows, all at once.
    pub fn rows(rows: Batch<Row>) -> Input {
        Input::Rows(futures_util::stream::iter([Ok(rows)]).boxed())
    }
}

/// Runs an import to its end, or until `stop` fires.
///
/// # Errors
/// Only where the run could not be opened or closed in the ledger. What goes
/// wrong in between ends the run and is recorded in it: its error and its ending.
pub async fn run(
    import: &Import,
    parts: &Parts,
    cause: Cause,
    input: Input,
    stop: CancellationToken,
    progress: watch::Sender<Progress>,
) -> Result<Run, Error> {
    let object = import.platform.object();
    let kind = match input {
        Input::Changes => RunKind::CatchUp,
        Input::Everything => RunKind::Full,
        Input::Following => RunKind::Follow,
        Input::Rows(_) => RunKind::Retry,
        Input::Backfill(_) => RunKind::Backfill,
    };
    let state = parts.store.sync_state(&import.sync).await?;
    let kept = Arc::new(KeptRows::of(parts.store.clone(), &import.sync).await?);
    let duplicates = Duplicates::default();
    let job = |begins: &Begins, platform: &Arc<dyn Platform>| Job {
        sync: import.sync.clone(),
        transform: Arc::new(Rows::of(import, begins.cursor_state.as_ref(), kept.clone(), &duplicates)),
        destination: platform.clone(),
        connection: import.connection.clone(),
        object: object.kind,
        idempotency: platform.object().idempotency,
        resend: import.resend,
        retry_for: import.retry_for,
        isolates: true,
        retention: match &import.tracking {
            // It looks nothing up, and leaves nothing.
            _ if kind == RunKind::Backfill => Retention::UntilComplete,
            ChangeTracking::Cursor { lookback, origin, .. } => {
                Retention::Lookback(lookback.clone(), origin.clone())
            }
            ChangeTracking::Mirror => Retention::ByKey,
            ChangeTracking::Full if object.idempotency != Idempotency::Idempotent => Retention::UntilComplete,
            ChangeTracking::Full | ChangeTracking::Checkpoint => Retention::PartialBatches,
        },
        changed: import.changed,
        keys_for: import.keys_for,
        keeps_users: import.removal.is_some(),
        counts_read: true,
        notes: is_noted(import, platform),
        kind,
        cursor_state: begins.cursor_state.clone(),
        mirror: begins.mirror.as_ref().map(MirrorState::checkpoint),
    };
    let checkpoint = state.checkpoint.as_ref();
    // A checkpoint that no longer fits its column ends the run before anything is read.
    let (begins, opened) = match Begins::of(import, checkpoint, kind).await {
        Ok(begins) => (begins, Ok(())),
        Err(error) => (Begins::default(), Err(error)),
    };
    let removing = import.removal.as_ref().map(|removal| Job {
        keeps_users: false,
        counts_read: false,
        notes: is_noted(import, &removal.platform),
        ..job(&begins, &removal.platform)
    });
    let job = job(&begins, &import.platform);
    let comparing = progress.clone();
    let (begins, duplicates) = (&begins, &duplicates);
    let feed = |run: RunId| async move {
        opened?;
        if is_noted(import, &import.platform) {
            interrupted::take_over(import, parts.store.as_ref(), &run).await?;
        }
        match (&import.tracking, input) {
            (ChangeTracking::Mirror, Input::Changes | Input::Everything | Input::Following) => {
                let (feed, removed) = compared(import, parts, &run, begins, duplicates, comparing).await?;
                Ok(Opened { feed, then: removing.zip(removed) })
            }
            (ChangeTracking::Mirror, Input::Rows(rows)) => {
                let rows = duplicates.of_retry(rows, &import.mapping);
                open(import, None, None, Input::Rows(rows)).await.map(Opened::alone)
            }
            (_, input) => {
                open(import, begins.cursor_state.as_ref(), checkpoint, input).await.map(Opened::alone)
            }
        }
    };
    run::run_job(&job, parts, cause, feed, stop, progress).await
}

/// Whether what is sent is written down before, though sending it again does no harm.
fn is_noted(import: &Import, platform: &Arc<dyn Platform>) -> bool {
    import.tracking == ChangeTracking::Mirror && platform.object().idempotency == Idempotency::Idempotent
}

impl Import {
    /// Returns whether a run can follow the source, until it is stopped.
    pub(crate) fn follows(&self) -> bool {
        matches!(self.tracking, ChangeTracking::Checkpoint) && self.source.supports_streaming()
    }

    /// Reads about `rows` rows, as the mapping expects them; `None` if the source cannot cheaply.
    ///
    /// # Errors
    /// If reading cannot begin.
    pub(crate) async fn sample(&self, rows: usize) -> Result<Option<Feed<Row>>, Error> {
        let feed = self.source.sample(&self.selection, rows).await?;
        Ok(feed.map(|feed| if self.open { laid_out(feed, Arc::clone(&self.columns)) } else { feed }))
    }

    /// Returns the record that a row becomes, or why the platform would not take it.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn record_of(&self, row: &Row, scratch: &mut Vec<u8>) -> Result<Record, Reason> {
        let whole = self.mapping.version_of(row, scratch);
        let key = self.mapping.key_of(row, whole, scratch);
        let record = self.mapping.apply(row, key, whole)?;
        self.platform.validate(&record).map(|()| record)
    }

    /// Checks that the next run can continue from a checkpoint.
    ///
    /// # Errors
    /// If another `mode`, or a cursor of another type, made it.
    pub(crate) fn continues(&self, checkpoint: Option<&Checkpoint>) -> Result<(), Error> {
        cursor_state::cursor_state_of(&self.sync, &self.tracking, checkpoint)?;
        match self.tracking {
            ChangeTracking::Mirror => MirrorState::of(&self.sync, checkpoint).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Returns what the numbers of the cursor count since 1970, by the magnitude of
    /// the highest one; `None` if there are none, or the source cannot say.
    ///
    /// # Errors
    /// If the source cannot be asked.
    pub(crate) async fn cursor_unit(&self, cursor: &Column) -> Result<Option<Option<EpochUnit>>, Error> {
        let highest = self.source.highest(&self.selection, &cursor.name, &self.time_zone).await?;
        Ok(highest.as_ref().map(EpochUnit::of))
    }
}

/// What a run begins with.
#[derive(Default)]
struct Begins {
    kind: RunKind,
    cursor_state: Option<CursorState>,
    mirror: Option<MirrorState>,
    /// Files that the last run of a mirror has read and that are gone.
    vanished: Vec<String>,
}

impl Begins {
    /// # Errors
    /// If the checkpoint does not fit the sync, or the source cannot be asked.
    async fn of(import: &Import, checkpoint: Option<&Checkpoint>, kind: RunKind) -> Result<Begins, Error> {
        if kind == RunKind::Backfill {
            // It leaves the checkpoint of its sync alone.
            return Ok(Begins { kind, ..Begins::default() });
        }
        let cursor_state = standing(import, checkpoint, kind).await?;
        if import.tracking != ChangeTracking::Mirror {
            return Ok(Begins { kind, cursor_state, ..Begins::default() });
        }
        let before = MirrorState::of(&import.sync, checkpoint)?;
        let now = MirrorState::now(import).await?;
        Ok(Begins { kind, cursor_state, vanished: before.vanished(&now), mirror: Some(now) })
    }
}

/// Returns the files that the last run of a mirror has read and that are gone, unless as many new ones
/// are there in their place.
///
/// # Errors
/// If the files cannot be listed, or another mode made the checkpoint.
pub(crate) async fn vanished(import: &Import, checkpoint: Option<&Checkpoint>) -> Result<Vec<String>, Error> {
    Ok(MirrorState::of(&import.sync, checkpoint)?.vanished(&MirrorState::now(import).await?))
}

/// Returns the checkpoint of the sync.
///
/// # Errors
/// If its place does not fit the cursor, unless a person has confirmed it, or the lookback is a duration and the
/// cursor counts no time.
async fn standing(
    import: &Import,
    checkpoint: Option<&Checkpoint>,
    kind: RunKind,
) -> Result<Option<CursorState>, Error> {
    let (sync, tracking) = (&import.sync, &import.tracking);
    let mut cursor_state = match import.limits.is_none() || kind == RunKind::Retry {
        true => cursor_state::confirmed_cursor_state_of(sync, tracking, checkpoint)?,
        false => cursor_state::cursor_state_of(sync, tracking, checkpoint)?,
    };
    if let (Some(state), ChangeTracking::Cursor { origin, .. }) = (&mut cursor_state, tracking) {
        state.origin = Some(origin.clone());
    }
    let ChangeTracking::Cursor { column, lookback: rule @ LookbackRule::SinceEpoch(_), .. } =
        &import.tracking
    else {
        return Ok(cursor_state);
    };
    if !kind.moves_checkpoint()
        || cursor_state.as_ref().is_some_and(|cursor_state| cursor_state.epoch.is_some())
    {
        return Ok(cursor_state);
    }
    let mut unit = import.cursor_unit(column).await?;
    if let Some(cursor_state) = &mut cursor_state {
        // The numbers that were there before say enough.
        cursor_state.epoch = *unit.get_or_insert(None);
    }
    rule.contradicts(column, unit).map_or(Ok(cursor_state), Err)
}

/// Compares all rows of the source, and opens a feed of those that differ, and one of those that are
/// gone if something is done about them.
async fn compared(
    import: &Import,
    parts: &Parts,
    run: &RunId,
    begins: &Begins,
    duplicates: &Duplicates,
    progress: watch::Sender<Progress>,
) -> Result<(Feed<Row>, Option<Feed<Row>>), Error> {
    let batch_rows = batch_items(&import.platform.limits());
    let removes = import.removal.is_some();
    let about_to_be_sent = match is_noted(import, &import.platform) {
        true => HashMap::new(),
        false => removal::about_to_be_sent(parts.store.open_intents(&import.sync).await?),
    };
    let mut comparing = Comparing { import, kind: begins.kind, batch_rows, progress, about_to_be_sent };
    let mut found = comparing.compare(parts.store.compare(&import.sync).await?).await?;
    parts.store.note_compared(run, found.differences.compared).await?;
    if let Some(limits) = &import.limits
        && let Some(exceeded) =
            ExceededLimit::by_mirror(limits, removes, &found.differences.compared, &begins.vanished)
    {
        return Err(exceeded.error(&import.sync));
    }
    duplicates.add(found.differences.duplicates.drain(..));
    let lookback: Arc<dyn Lookback> = Arc::from(parts.store.lookback(&import.sync).await?);
    let differing = comparing.differing(&mut found, Arc::clone(&lookback)).await?;
    let unknown = removal::unknown(comparing.about_to_be_sent, lookback.as_ref()).await?;
    if found.unreadable > 0 && found.differences.compared.removed > 0 && removes {
        let (sync, rows) = (&import.sync, found.unreadable);
        tracing::warn!(%sync, rows, "nothing is done about removed rows: rows whose key could not be read may be among them");
    }
    let removed = (removes && found.unreadable == 0).then(|| {
        let removed = Removed {
            store: parts.store.clone(),
            sync: import.sync.clone(),
            comparison: found.comparison,
            columns: import.columns.clone(),
            mapping: import.mapping.clone(),
            batch_rows,
        };
        removed.feed(&unknown)
    });
    Ok((differing, removed))
}

/// Opens the feed at the checkpoint of the sync.
async fn open(
    import: &Import,
    cursor_state: Option<&CursorState>,
    checkpoint: Option<&Checkpoint>,
    input: Input,
) -> Result<Feed<Row>, Error> {
    let batch_rows = batch_items(&import.platform.limits());
    let (follow, from_beginning) = match input {
        Input::Rows(rows) | Input::Backfill(rows) => {
            let pieces = move |rows| futures_util::stream::iter(pieces(rows, batch_rows).into_iter().map(Ok));
            return Ok(rows.map_ok(pieces).try_flatten().boxed());
        }
        Input::Changes => (false, false),
        Input::Everything => (false, true),
        Input::Following => (true, false),
    };
    let cursor_state = cursor_state.filter(|_| !from_beginning);
    let mode = match &import.tracking {
        ChangeTracking::Full | ChangeTracking::Mirror => ReadMode::Full,
        ChangeTracking::Checkpoint => ReadMode::Resume { checkpoint: checkpoint.cloned(), follow },
        ChangeTracking::Cursor { column, lookback, .. } => ReadMode::Incremental {
            column: column.name.clone(),
            from: cursor_state.map(|cursor_state| cursor_state.low(lookback)).transpose()?.flatten(),
            time_zone: import.time_zone.clone(),
        },
    };
    let feed = import.source.read(&import.selection, &mode, batch_rows).await?;
    Ok(if import.open { laid_out(feed, Arc::clone(&import.columns)) } else { feed })
}

/// Cuts a batch into batches of this many rows; the last one has what is no row.
fn pieces(rows: Batch<Row>, batch_rows: usize) -> Vec<Batch<Row>> {
    let Batch { items, origins, malformed, fixed, .. } = rows;
    let (mut items, mut origins) = (items.into_iter(), origins.into_iter());
    let mut batches = Vec::new();
    while items.len() > 0 {
        let items = items.by_ref().take(batch_rows.max(1)).collect();
        let origins = origins.by_ref().take(batch_rows.max(1)).collect();
        batches.push(Batch { origins, ..Batch::of(items) });
    }
    if !malformed.is_empty() || !fixed.is_empty() {
        batches.push(Batch { malformed, fixed, ..Batch::of(Vec::new()) });
    }
    batches
}

/// The rows of one run.
struct Rows {
    sync: SyncId,
    source: Arc<dyn Source>,
    columns: Arc<Columns>,
    mapping: Arc<Mapping>,
    /// What the ledger keeps of failed rows.
    kept: Arc<KeptRows>,
    /// The cursor column and its place among the columns.
    cursor: Option<(usize, Column)>,
    /// Where the cursor was before this run.
    standing: Option<Position>,
    /// The keys that more than one row has, if rows are compared by their key.
    duplicates: Option<Duplicates>,
    /// Whether what became of rows that are gone is deleted.
    deletes: bool,
}

impl Rows {
    fn of(
        import: &Import,
        cursor_state: Option<&CursorState>,
        kept: Arc<KeptRows>,
        duplicates: &Duplicates,
    ) -> Rows {
        let cursor = match &import.tracking {
            ChangeTracking::Cursor { at, column, .. } => Some((*at, column.clone())),
            ChangeTracking::Full | ChangeTracking::Checkpoint | ChangeTracking::Mirror => None,
        };
        Rows {
            deletes: import.removal.as_ref().is_some_and(|removal| removal.deletes),
            duplicates: (import.tracking == ChangeTracking::Mirror).then(|| duplicates.clone()),
            sync: import.sync.clone(),
            source: import.source.clone(),
            columns: import.columns.clone(),
            mapping: import.mapping.clone(),
            kept,
            cursor,
            standing: cursor_state.map(|cursor_state| cursor_state.cursor.clone()),
        }
    }

    /// The names of the key columns.
    fn key_names(&self) -> Vec<&str> {
        let names = self.columns.names();
        self.mapping.key_columns().iter().filter_map(|at| names.get(*at)).map(String::as_str).collect()
    }
}

#[async_trait]
impl Transform for Rows {
    type Read = Row;
    type Sent = Record;
    type Context = Row;
    type User = Identity;

    /// The source may have changed since its columns were looked at: no value may be taken
    /// for another, and no cursor compared with one of another type. More columns after
    /// those that are known do no harm.
    fn validate_batch(&self, batch: &Batch<Row>) -> Result<(), Error> {
        let mut checked: Option<&Arc<Columns>> = None;
        for row in &batch.items {
            if !checked.is_some_and(|checked| Arc::ptr_eq(checked, &row.columns)) {
                if !row.columns.names().starts_with(self.columns.names()) {
                    return Err(Error::new(
                        ErrorKind::Unexpected,
                        format!("the columns of the source changed while `{}` began to read", self.sync),
                    )
                    .hint("run it again: none of these rows was sent"));
                }
                checked = Some(&row.columns);
            }
            if let Some((at, column)) = &self.cursor
                && let Some(value) = row.values.get(*at)
                && !cursor_state::fits(value, &column.data_type)
            {
                let now = value.type_name();
                return Err(match &self.standing {
                    Some(cursor_state) => cursor_state::misfit(&self.sync, &column.name, now, cursor_state),
                    None => Error::new(
                        ErrorKind::Unexpected,
                        format!(
                            "the cursor `{}` was {} when `{}` began to read, and is {now} now",
                            column.name, column.data_type, self.sync
                        ),
                    )
                    .hint("run it again: none of these rows was sent"),
                });
            }
        }
        Ok(())
    }

    #[inline]
    fn identify(&self, row: &Row, origin: Option<&Origin>, scratch: &mut Vec<u8>) -> ItemKeys {
        if let Some(Origin::Removed(key)) = origin {
            return ItemKeys { key: *key, version: RowHash::REMOVED };
        }
        let whole = self.mapping.version_of(row, scratch);
        let version = whole.unmarked();
        let key = match origin {
            // Without a key, equal rows are distinguished by their location.
            Some(origin) if self.mapping.lacks_key(row) => origin.hash(scratch),
            None if self.mapping.lacks_key(row) => row.hash(scratch),
            _ => self.mapping.key_of(row, whole, scratch),
        };
        ItemKeys { key, version }
    }

    fn has_keys(&self) -> bool {
        self.mapping.has_key()
    }

    async fn begin_batch(&self) {
        self.kept.look_again().await;
    }

    fn kept_input(&self, part: RowPart) -> KeptRow {
        self.kept.kept(KeptRow::Part(Box::new(part)), &[])
    }

    fn kept(&self, bytes: u64) {
        self.kept.committed(bytes);
    }

    fn partial(
        &self,
        partial: PartialRow,
        input: Option<Text>,
        scratch: &mut Vec<u8>,
    ) -> Option<PartialItem> {
        let PartialRow { row, unreadable, origin } = partial;
        let version = self.mapping.version_of(&row, scratch);
        let whole = row.hash(scratch);
        let location = origin.as_ref().map(Origin::to_string).unwrap_or_default();
        let keyed = self.mapping.key_is_without(&unreadable);
        let key = match (keyed, origin) {
            (true, _) => self.mapping.key_of(&row, version, scratch),
            (false, Some(origin)) => origin.hash(scratch),
            (false, None) => whole,
        };
        let key_text = if keyed { self.mapping.key_text(&row) } else { Text::new() };
        let cursor = self.cursor.as_ref().filter(|(at, _)| !unreadable.contains(at));
        let cursor = cursor.and_then(|_| self.cursor(&row)).filter(|value| !value.is_null()).cloned();
        let mut readable = row.clone();
        for &at in &unreadable {
            if let Some(value) = readable.values.get_mut(at) {
                *value = Value::Null;
            }
        }
        let user = self.mapping.label(&readable).unwrap_or_default();
        let keys = ItemKeys { key, version: if keyed { version } else { whole }.unmarked() };
        let location = (!location.is_empty()).then(|| location.into());
        let part = kept_row::readable(&row, &unreadable, input, location);
        let payload = self.kept.kept(KeptRow::Part(Box::new(part)), &self.key_names());
        Some(PartialItem { keys, key_text, user, cursor, payload })
    }

    fn cursor<'a>(&self, row: &'a Row) -> Option<&'a Value> {
        let (at, column) = self.cursor.as_ref()?;
        match row.values.get(*at)? {
            // A time without a beginning compares with no other: it is before all of them.
            Value::Text(text) if &**text == "-infinity" && column.data_type != DataType::Text => {
                column.data_type.beginning_of_time()
            }
            value => Some(value),
        }
    }

    #[inline]
    fn transform(&self, row: Row, keys: ItemKeys) -> Prepared<Record, Row> {
        if keys.version.is_removed() {
            let sent = self.mapping.removal(&row, keys.key, keys.version, self.deletes);
            return Prepared { sent, context: row };
        }
        let fault =
            self.duplicates.as_ref().and_then(|duplicates| duplicates.fault(&self.mapping, &row, keys.key));
        match fault {
            Some(reason) => Prepared { sent: Err(reason), context: row },
            None => Prepared { sent: self.mapping.apply(&row, keys.key, keys.version), context: row },
        }
    }

    fn user<'a>(&self, record: &'a Record) -> &'a Identity {
        &record.identity
    }

    #[inline]
    fn partition_hash(&self, record: &Record) -> u64 {
        match &record.identity {
            Identity::Alias { label, name } => xxh3_64_with_seed(name.as_bytes(), xxh3_64(label.as_bytes())),
            _ => xxh3_64(record.label().as_bytes()),
        }
    }

    fn intent(&self, keys: ItemKeys, row: &Row, record: &Record) -> IntentRow {
        let key_text = self.mapping.key_text(row);
        IntentRow::first(keys.into(), key_text, user_of(record))
    }

    #[inline]
    fn delivered(&self, index: u32, keys: ItemKeys, row: Row, record: &Record, delivered: &mut Delivered) {
        let key_text = |out: &mut String| self.mapping.write_key_text(&row, out);
        delivered.push(index, keys.key, keys.version, key_text, &record.label());
    }

    fn result(&self, keys: ItemKeys, row: Row, record: Option<&Record>, status: RowStatus) -> RowResult {
        let key_text = self.mapping.key_text(&row);
        let user = match record {
            Some(record) => user_of(record),
            None => self.mapping.label(&row).unwrap_or_default(),
        };
        let payload = (!matches!(status, RowStatus::Delivered)).then_some(row);
        let payload = payload.map(|row| self.kept.kept(row, &self.key_names()));
        RowResult { key: keys.key, key_text, row: keys.version, user, status, payload }
    }

    fn lists_delivered(&self) -> bool {
        true
    }

    async fn committed(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.source.committed(checkpoint).await
    }
}

/// What people search for, without a copy if there is one to share.
fn user_of(record: &Record) -> Text {
    match &record.identity {
        Identity::ExternalId(id) | Identity::PlatformId(id) | Identity::Email(id) | Identity::Phone(id) => {
            id.clone()
        }
        _ => record.label().into_owned().into(),
    }
}
