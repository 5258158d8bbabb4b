//! Exports: events of the log go to a sink.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use jiff::Timestamp;
use tidegate_model::store::{RowColumns, RowResult, RowStatus};
use tidegate_model::{
    Batch, Cause, Checkpoint, Columns, ConnectionId, Error, EventLog, EventSelection, Idempotency, KeptRow,
    Limits, LoggedEvent, ObjectKind, Origin, Progress, Reading, Row, RowPart, Run, Sink, StreamId, SyncId,
    Text, Value,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use crate::pipeline::batch_size::{batch_items, batches_under_way};
use crate::pipeline::deliver::shared_event::{SharedEvent, SharedEventSink};
use crate::pipeline::kept_row::KeptRows;
use crate::pipeline::read::gather::gather;
use crate::pipeline::run::{self, Job, Opened, Parts};
use crate::pipeline::run_kind::{Retention, RunKind};
use crate::pipeline::transform::{ItemKeys, Prepared, Transform};
use tidegate_project::Changed;

/// An export with both of its ends opened.
#[derive(Clone)]
pub struct Export {
    /// The sync.
    pub sync: SyncId,
    /// Where events are read.
    pub log: Arc<dyn EventLog>,
    /// The stream that is read there.
    pub stream: StreamId,
    /// Which of its events are taken.
    pub selection: EventSelection,
    /// Events that were logged before are skipped.
    pub since: Timestamp,
    /// The connection that events go to, for its rate limiter.
    pub connection: ConnectionId,
    /// Where events go.
    pub sink: Arc<Sink>,
    /// How long an unreachable system is tried.
    pub retry_for: Duration,
}

/// Runs an export: to the end of what is logged, or, where it follows, until
/// `stop` fires.
///
/// # Errors
/// As [`crate::pipeline::run`].
pub async fn run_export(
    export: &Export,
    parts: &Parts,
    cause: Cause,
    follow: bool,
    stop: CancellationToken,
    progress: watch::Sender<Progress>,
) -> Result<Run, Error> {
    let state = parts.store.sync_state(&export.sync).await?;
    let job = Job {
        sync: export.sync.clone(),
        transform: Arc::new(Events { kept: KeptRows::of(parts.store.clone(), &export.sync).await? }),
        destination: Arc::new(SharedEventSink(export.sink.clone())),
        connection: export.connection.clone(),
        object: ObjectKind::Event,
        idempotency: Idempotency::Idempotent,
        resend: true,
        retry_for: export.retry_for,
        // An event is well-formed: what it meets is the state of the sink.
        isolates: false,
        retention: Retention::PartialBatches,
        changed: Changed::Send,
        keys_for: None,
        keeps_users: false,
        counts_read: true,
        notes: false,
        kind: if follow { RunKind::Follow } else { RunKind::CatchUp },
        cursor_state: None,
        mirror: None,
    };
    let feed = async {
        let limits = export.sink.limits();
        let batch_events = batch_events(&limits);
        // All that may be under way is read in the time in which a request fills.
        let span = u32::try_from(batches_under_way(&limits)).unwrap_or(1);
        let reading = Reading { batch_events, follow };
        let feed = export.log.read(&export.stream, state.checkpoint.as_ref(), reading).await?;
        let (selection, since) = (export.selection.clone(), export.since);
        let chosen = feed.map(move |batch| {
            batch.map(|mut batch| {
                // Weighed whole: what is chosen may share its memory with the rest.
                let all = batch.items.iter().map(|logged| logged.event.estimated_size());
                let bytes = if follow { all.sum() } else { 0 };
                batch.items.retain(|logged| logged.logged_at >= since && selection.takes(&logged.event));
                (hold(batch), bytes)
            })
        });
        Ok(Opened::alone(match follow {
            true => gather(chosen.boxed(), batch_events, limits.linger / span),
            false => chosen.map(|batch| batch.map(|(batch, _)| batch)).boxed(),
        }))
    };
    run::run_job(&job, parts, cause, |_| feed, stop, progress).await
}

/// Events of a batch. If one large request at a time is sent, a batch is enough
/// for one, so that the next is read while it is written.
fn batch_events(limits: &Limits) -> usize {
    const SMALL: usize = 5_000;
    let items = batch_items(limits);
    if limits.max_in_flight > 1 { items } else { items.min(SMALL.max(limits.max_items / 2)) }
}

fn hold(batch: Batch<LoggedEvent>) -> Batch<SharedEvent> {
    let Batch { mut items, malformed, fixed, checkpoint, not_due, .. } = batch;
    // They stay in memory until they are committed: if few are chosen, the rest is freed.
    if items.len() < items.capacity() / 2 {
        items.shrink_to_fit();
    }
    Batch { malformed, fixed, checkpoint, not_due, ..Batch::of(SharedEvent::all(items)) }
}

/// Events: sent as they are read.
pub(crate) struct Events {
    /// What the ledger keeps of events that were not taken.
    pub(crate) kept: KeptRows,
}

/// What the ledger shows of an event that was not taken.
const COLUMNS: [&str; 4] = ["event_id", "event_kind", "event_timestamp", "payload"];

#[async_trait]
impl Transform for Events {
    type Read = SharedEvent;
    type Sent = SharedEvent;
    type Context = ();
    type User = Text;

    fn validate_batch(&self, _: &Batch<SharedEvent>) -> Result<(), Error> {
        Ok(())
    }

    fn identify(&self, logged: &SharedEvent, _: Option<&Origin>, scratch: &mut Vec<u8>) -> ItemKeys {
        ItemKeys { key: logged.key(), version: logged.version(scratch) }
    }

    fn has_keys(&self) -> bool {
        true
    }

    fn cursor<'a>(&self, _: &'a SharedEvent) -> Option<&'a Value> {
        None
    }

    fn transform(&self, logged: SharedEvent, _: ItemKeys) -> Prepared<SharedEvent, ()> {
        Prepared { sent: Ok(logged), context: () }
    }

    fn user<'a>(&self, logged: &'a SharedEvent) -> &'a Text {
        &logged.event.user
    }

    fn partition_hash(&self, logged: &SharedEvent) -> u64 {
        // Events without a user have no order among themselves.
        let event = &logged.event;
        xxh3_64(if event.user.is_empty() { event.id.as_bytes() } else { event.user.as_bytes() })
    }

    fn describe(&self, keys: ItemKeys, (): &(), logged: &SharedEvent, columns: &mut RowColumns) {
        let event = &logged.event;
        columns.push(keys.into(), |text| text.push_str(&event.id), &event.user);
    }

    fn result(&self, keys: ItemKeys, (): (), logged: Option<&SharedEvent>, status: RowStatus) -> RowResult {
        let event = logged.filter(|_| status != RowStatus::Delivered).map(|logged| &logged.event);
        let payload = event.map(|event| {
            let row = Row {
                columns: Columns::new(COLUMNS),
                values: vec![
                    Value::Text(event.id.clone()),
                    Value::Text(event.kind.clone()),
                    Value::Timestamp(event.at),
                    Value::Json(event.payload.clone()),
                ],
            };
            self.kept.kept(row, || COLUMNS[..1].to_vec())
        });
        RowResult {
            key: keys.key,
            key_text: event.map(|event| event.id.clone()).unwrap_or_default(),
            row: keys.version,
            user: event.map(|event| event.user.clone()).unwrap_or_default(),
            status,
            payload,
        }
    }

    async fn begin_batch(&self) {
        self.kept.look_again().await;
    }

    fn kept(&self, bytes: u64) {
        self.kept.committed(bytes);
    }

    fn kept_input(&self, part: RowPart) -> KeptRow {
        self.kept.kept(KeptRow::Part(Box::new(part)), Vec::new)
    }

    fn lists_delivered(&self) -> bool {
        false
    }

    async fn committed(&self, _: &Checkpoint) -> Result<(), Error> {
        Ok(())
    }
}
