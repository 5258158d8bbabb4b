//! Reads the feed, finds what is new, transforms it and hands it on to be sent.

use std::cmp::Ordering;
use std::sync::Arc;

use futures_util::StreamExt;
use tidegate_model::store::{RowResult, RowStatus};
use tidegate_model::{
    Batch, Clock, Counts, Destination, Feed, MalformedRecord, Origin, RowHash, RowPart, Text, Value,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::pipeline::batch_order::BatchOrder;
use crate::pipeline::item::{BatchOpened, CommitEvent, ReadItems};
use crate::pipeline::read::equal_rows::EqualRows;
use crate::pipeline::read::restored::Restored;
use crate::pipeline::read::resume::ResumeState;
use crate::pipeline::repeat::RepeatPolicy;
use crate::pipeline::run_kind::{Retention, RunKind};
use crate::pipeline::shutdown::Shutdown;
use crate::pipeline::transform::{PartialItem, Transform};
use tidegate_project::Changed;

/// Everything the reading side of a run needs.
pub(crate) struct Reader<F: Transform> {
    pub(crate) transform: Arc<F>,
    pub(crate) destination: Arc<dyn Destination<F::Sent>>,
    pub(crate) shutdown: Arc<Shutdown>,
    /// The number of the last batch of the run so far.
    pub(crate) batches: u64,
    pub(crate) resume: ResumeState,
    /// Whether an item that an earlier run sent is sent again.
    pub(crate) repeats: RepeatPolicy,
    pub(crate) clock: Arc<dyn Clock>,
    /// Decides whether rows that earlier runs committed are skipped.
    pub(crate) kind: RunKind,
    pub(crate) retention: Retention,
    /// What becomes of rows that were committed with other values.
    pub(crate) changed: Changed,
    /// Numbers rows that nothing tells apart.
    pub(crate) numbers: EqualRows,
    /// Rows that are again as they were before a rejected change.
    pub(crate) restored: Restored,
    /// Where the cursor was before the run.
    pub(crate) standing: Option<Value>,
    /// Where items go that are to be sent.
    pub(crate) to_send: mpsc::Sender<ReadItems<F>>,
    /// Whether items are partitioned, since those of one user keep their order.
    pub(crate) partitions: bool,
    pub(crate) events: mpsc::Sender<CommitEvent>,
    /// Batches that may be in flight.
    pub(crate) under_way: usize,
    /// One permit for each of them.
    pub(crate) window: Arc<Semaphore>,
    /// The newest batch whose items must not wait for more of them: nothing
    /// more is read before it is committed. Items of later batches still fill their
    /// requests, since nothing waits for them.
    pub(crate) urgent_through: watch::Sender<u64>,
}

impl<F: Transform> Reader<F> {
    /// Whether rows that were skipped are forgotten batch by batch: the checkpoint moves past them.
    fn forgets(&self) -> bool {
        self.kind.moves_checkpoint() && self.retention == Retention::PartialBatches
    }

    /// Reads until the feed ends or the run halts. Returns what is left to resume and the
    /// number of the last batch.
    pub(crate) async fn read_all(mut self, mut feed: Feed<F::Read>) -> (ResumeState, u64) {
        let mut scratch = Vec::with_capacity(512);
        loop {
            let next = tokio::select! {
                biased;
                () = self.shutdown.halt() => break,
                next = feed.next() => next,
            };
            let read = match next {
                None => break,
                Some(Ok(read)) => read,
                Some(Err(error)) => {
                    self.shutdown.fail(error);
                    break;
                }
            };
            if let Err(error) = self.transform.validate_batch(&read) {
                self.shutdown.fail(error);
                break;
            }
            self.batches += 1;
            if !self.process_batch(self.batches, read, &mut scratch).await {
                break;
            }
        }
        (self.resume, self.batches)
    }

    /// Looks one batch up and partitions it. Returns whether the run continues.
    async fn process_batch(&mut self, batch: u64, read: Batch<F::Read>, scratch: &mut Vec<u8>) -> bool {
        let Some(permit) = self.enter(batch).await else { return false };
        self.transform.begin_batch().await;
        let mut counts = Counts { not_due: read.not_due, ..Counts::default() };
        counts.read = (read.items.len() + read.malformed.len()) as u64 + read.unchanged + read.ignored;
        let order = BatchOrder::of(read.items.len(), &read.malformed);
        let (mut malformed, mut unread_highest) = (Vec::new(), None);
        for (at, piece) in order.malformed().zip(read.malformed) {
            let (row, cursor) = self.unread(piece, scratch);
            raise(&mut unread_highest, cursor);
            malformed.push((at, row));
        }
        let lookup = self.look_up(&read.items, &read.origins, &order, malformed, scratch).await;
        let mut lookup = match lookup {
            Ok(lookup) => lookup,
            Err(error) => {
                self.shutdown.fail(error);
                return false;
            }
        };
        raise(&mut lookup.highest, unread_highest);
        counts.skipped = lookup.skipped + read.unchanged;
        counts.ignored = lookup.ignored + read.ignored;
        // Whatever read them could not count them any more.
        counts.read += lookup.earlier.len() as u64;
        let mut fixed = std::mem::take(&mut lookup.restored);
        fixed.extend(read.fixed.iter().map(|location| Origin::hash_of(location, scratch)));
        let items = order.items().zip(read.items);
        let partitioned = self.partition(batch, items, lookup.known, lookup.malformed);
        let opened = BatchOpened {
            batch,
            checkpoint: read.checkpoint,
            under_way: partitioned.to_send.len(),
            decided: partitioned.decided,
            earlier: lookup.earlier,
            without_cursor: partitioned.without_cursor,
            highest: lookup.highest,
            marks: lookup.marks,
            left: (self.forgets() && counts.skipped > 0).then(|| self.resume.unmatched()),
            fixed,
            origins: read.origins,
            order,
            recalled: lookup.recalled,
            kept: lookup.kept,
            counts,
            permit,
        };
        if self.events.send(CommitEvent::Opened(Box::new(opened))).await.is_err() {
            return false;
        }
        partitioned.to_send.len() == 0 || self.to_send.send(partitioned.to_send).await.is_ok()
    }

    /// The result of what could not be read whole, and its cursor.
    fn unread(&self, mut piece: MalformedRecord, scratch: &mut Vec<u8>) -> (RowResult, Option<Value>) {
        let input = (!piece.payload.is_empty()).then(|| Text::from(piece.payload.as_str()));
        let Some(item) = piece.row.take().and_then(|row| self.transform.partial(*row, input, scratch)) else {
            return (self.input(piece, scratch), None);
        };
        let PartialItem { keys, key_text, user, cursor, payload } = item;
        let key_text = if key_text.is_empty() { piece.location.into() } else { key_text };
        let status = RowStatus::Rejected(piece.reason);
        let result =
            RowResult { key: keys.key, key_text, row: keys.version, user, status, payload: Some(payload) };
        (result, cursor)
    }

    /// The result of input of which no value could be read: its location is its key.
    fn input(&self, piece: MalformedRecord, scratch: &mut Vec<u8>) -> RowResult {
        let (input, location) = (Text::from(piece.payload), Text::from(piece.location));
        let row = [&input, &location].map(|text| Value::Text(text.clone()));
        let part = RowPart { input: Some(input), location: Some(location.clone()), ..RowPart::default() };
        RowResult {
            key: Origin::hash_of(&location, scratch),
            key_text: location,
            row: RowHash::of_values(&row, scratch),
            user: Text::new(),
            status: RowStatus::Rejected(piece.reason),
            payload: Some(self.transform.kept_input(part)),
        }
    }

    /// Waits until this batch may be in flight too; `None` if the run halts.
    async fn enter(&self, batch: u64) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.window.clone().try_acquire_owned() {
            return Some(permit);
        }
        // Batches are committed in order, so this waits for the oldest one in flight.
        self.urgent_through.send_replace(batch.saturating_sub(self.under_way as u64));
        tokio::select! {
            () = self.shutdown.halt() => None,
            permit = self.window.clone().acquire_owned() => permit.ok(),
        }
    }
}

/// Raises the highest cursor value of a batch.
fn raise(highest: &mut Option<Value>, value: Option<Value>) {
    let Some(value) = value else { return };
    if highest.as_ref().is_none_or(|high| value.compare(high) == Some(Ordering::Greater)) {
        *highest = Some(value);
    }
}
